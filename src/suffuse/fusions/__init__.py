"""Fusions: one vector per modality and which are present -> one joint vector.

A fusion is one module with ``Settings``, ``TAKES`` (fewest and most modalities), ``width(settings)``,
``layers(settings, widths) -> ModuleDict`` and ``fuse(settings, layers, encoded, present) -> Fused``. What
stands in an absent slot changes no bit of any row's output.
"""

TABLE = {
    "concat": "suffuse.fusions.concat",
    "gated": "suffuse.fusions.gated",
}

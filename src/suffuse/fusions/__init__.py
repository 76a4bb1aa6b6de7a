"""Fusions: one vector per modality and which are present -> one joint vector.

A fusion is one module with ``Settings``, ``TAKES`` (fewest and most modalities), ``width(settings, sizes)``,
``layers(settings, sizes) -> ModuleDict`` and ``fuse(settings, layers, encoded, present) -> Fused``; where it reads
tokens it says ``TOKENS = True``, and where it gives logits itself ``HEADLESS = True``. What stands in an absent slot
changes no bit of any row's output.
"""

TABLE = {
    "concat": "suffuse.fusions.concat",
    "gated": "suffuse.fusions.gated",
}

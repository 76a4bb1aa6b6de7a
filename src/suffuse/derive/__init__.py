"""Derived columns: a column that is made from another one, when rows are prepared and when a student predicts.

A derivation is one module with

- ``Settings``: what the recipe may say; ``column`` is the source;
- ``ready(settings)``: raises UsageError where a library that it needs isn't installed;
- ``fit(settings, labels) -> facts``: what it must know besides its settings, as JSON. ``labels`` are those of the
  rows that may be training rows. The facts go with an exported student;
- ``Facts``: the types of these facts, by which a reader checks an export that comes from anywhere;
- ``make(settings, facts, value, root) -> text``: one source cell -> one derived cell. Raises ``Absent`` where there is
  nothing to derive from and ``Unreadable`` where it can't be. What it gives depends on this cell alone;
- where it is slow, ``content(settings, value, root) -> bytes``: what the result depends on, so that it is kept and
  never made twice. Raises as ``make`` does. ``LIBRARY`` names the package whose version decides the result.

No torch: the predictor runs the same code.
"""

TABLE = {
    "mask_words": "suffuse.derive.mask_words",
    "transcribe": "suffuse.derive.transcribe",
}

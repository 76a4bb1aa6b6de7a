"""Modalities: how a cell of the table becomes an array. No torch: the predictor runs the same code.

A modality is one module with

- ``Settings``: what the recipe may say;
- ``load(settings, value, root) -> (digest, item)``: a cell -> the cleaned item (a picture's array, a
  normalised string) and the hash of its content; equal contents are one entry. Raises ``Absent`` where there
  is nothing and ``Unreadable`` where there is something that can't be read;
- ``stored(settings) -> (shape, dtype) | None``: of one item, where it is fixed before training data is seen;
- ``blank(settings) -> item``: what fills an absent slot;
- ``fit(settings, items) -> statistics``: from training items only, as JSON;
- ``encode(settings, statistics, items) -> array``: the model's input, one row per item.
"""

TABLE = {
    "image": "suffuse.modalities.image",
    "text": "suffuse.modalities.text",
}

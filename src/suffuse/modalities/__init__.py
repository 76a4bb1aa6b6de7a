"""Modalities: how a cell of the table becomes an array. No torch: the predictor runs the same code.

A modality is one module with

- ``Settings``: what the recipe may say;
- where it needs a library or a file that may not be there, ``ready(settings, fitted)``, called before anything is
  read: raises UsageError; where ``fitted``, statistics are there already;
- ``load(settings, value, root) -> (digest, item)``: a cell -> the cleaned item (a picture's array, a
  normalised string) and the hash of its content; equal contents are one entry. Raises ``Absent`` where there
  is nothing and ``Unreadable`` where there is something that can't be read. A third result, where there is one,
  says what was left out of an item that is used ("cut: ..."); nothing is left out in silence. Files are read by
  ``cell.content`` alone, which keeps to the data root and to a limit;
- ``packed(settings, value) -> value``, where Python objects come: arrays and the like as bytes, without loss,
  that ``load`` reads to the same item; what a table can hold stays as it is;
- ``stored(settings) -> (shape, dtype) | None``: of one item, where it is fixed before training data is seen; a
  first length of None stands for items of any length, (L, F);
- ``blank(settings) -> item``: what fills an absent slot;
- ``fit(settings, items) -> statistics``: from training items only, as JSON; from each distinct one once, or, where
  ``EVERY_ROW`` is set, from an item for each training row;
- ``Statistics``: the types of these statistics, by which a reader checks an export that comes from anywhere;
- ``encode(settings, statistics, items) -> array``: the model's input, one row per item; of items (L, F) it is
  (U, longest, F + 1) float32, in which the last number says which steps are real;
- where a part of an item may be lost that only the statistics tell, ``problems(settings, statistics, items) -> list
  of (position, column, reason)``: what stands in a cell and counts as missing, to be written down;
- ``corrupt(settings, statistics, entries, severity, seed) -> entries``: damage of severity 1 to 5 to encoded
  entries (U, ...), the same for the same seed;
- ``explain(settings, statistics) -> list of sentences``: what is done to a cell, for people;
- where it can be augmented, ``DRAWS`` and ``augment(settings, entries, draws) -> entries``: a pure function of
  encoded entries (U, ...) and numbers in [0, 1) (U, DRAWS), so that a view is replayed exactly from its seed.

Items that are strings come as a list or as an Arrow column; :func:`cell.pieces` reads both.
Where ``settings.column`` names several columns, a cell is a dictionary, column -> value.
"""

TABLE = {
    "audio": "suffuse.modalities.audio",
    "image": "suffuse.modalities.image",
    "sequence": "suffuse.modalities.sequence",
    "tabular": "suffuse.modalities.tabular",
    "text": "suffuse.modalities.text",
}

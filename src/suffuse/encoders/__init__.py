"""Encoders: one modality's entries -> a vector each (and tokens, where they have them).

An encoder is one module with ``Settings``, ``MODALITIES`` (the kinds it takes), ``width(settings)``,
``layers(settings, field) -> ModuleDict`` and ``encode(settings, layers, x) -> Encoded``. An entry's result
never depends on another entry.
"""

TABLE = {
    "conv": "suffuse.encoders.conv",
    "gru": "suffuse.encoders.rnn",
    "lstm": "suffuse.encoders.rnn",
}

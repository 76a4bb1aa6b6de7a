"""Encoders: one modality's entries -> a vector each (and tokens, where they have them).

An encoder is one module with ``Settings``, ``MODALITIES`` (the kinds it takes), ``layers(settings, field) ->
ModuleDict``, ``width(settings, layers)``, ``tokens(settings, layers)`` (width of a token, where it has them) and
``encode(settings, layers, x) -> Encoded``. An entry's result never depends on another entry.

One with pretrained weights builds its layers without them and loads them in ``initialise(settings, layers, field)``,
which is called before training only: a saved model holds all its weights. Where its settings have ``frozen: true``
its vectors are computed once and kept; it then stays in eval mode and gets no gradient.
"""

TABLE = {
    "conv": "suffuse.encoders.conv",
    "gru": "suffuse.encoders.rnn",
    "lstm": "suffuse.encoders.rnn",
}

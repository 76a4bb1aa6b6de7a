"""Encoders: one modality's entries -> a vector each (and tokens, where they have them).

An encoder is one module with

- ``Settings`` and ``MODALITIES`` (the kinds it takes);
- ``layers(settings, field) -> ModuleDict``, ``width(settings, layers)``, with tokens ``tokens(settings, layers)``
  (a token's width), and ``encode(settings, layers, x) -> Encoded``: an entry's result never depends on another entry,
  nor on how long the batch was padded;
- with pretrained weights: ``initialise(settings, layers, field) -> str`` loads them, and says what it loaded. It is
  called before training only: ``layers`` builds without them, and a saved model holds all its weights;
- ``resolved(settings) -> Settings``, where settings name a folder or package: the same settings with what stands there
  (but for weights) written in, so that a saved model needs neither;
- ``normalised(settings, layers) -> (mean, std) | None``: of a picture's channels in 0..1 or of a frame's numbers, where
  these are not to be normalised as the training entries say;
- ``QUERIES``: names of its layers whose weights are learned queries, which don't decay;
- ``hindrance(settings, layers) -> str``: why it can't be exported, where it can't.

Where its settings have ``frozen: true`` its vectors are computed once and kept (``engine/feature_cache.py``); it then
stays in eval mode and gets no gradient. ``layers``, ``resolved`` and ``initialise`` raise ValueError where the settings
can't be.
"""

TABLE = {
    "conv": "suffuse.encoders.conv",
    "residual": "suffuse.encoders.residual",
    "gru": "suffuse.encoders.rnn",
    "lstm": "suffuse.encoders.rnn",
    "bag": "suffuse.encoders.bag",
    "ngrams": "suffuse.encoders.ngrams",
    "conv1d": "suffuse.encoders.conv1d",
    "conv2d": "suffuse.encoders.conv2d",
    "transformer": "suffuse.encoders.transformer",
    "mlp": "suffuse.encoders.mlp",
    "timm": "suffuse.encoders.timm",
    "huggingface": "suffuse.encoders.huggingface",
    "efficientnet_lite": "suffuse.encoders.efficientnet_lite",
    "tcn": "suffuse.encoders.tcn",
    "speech_embedding": "suffuse.encoders.speech_embedding",
}

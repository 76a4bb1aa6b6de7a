"""Fusions: what the encoders give and which of it is present -> one joint vector.

A fusion is one module with ``Settings``, ``TAKES`` (fewest and most modalities), ``width(settings, sizes)``,
``layers(settings, sizes) -> ModuleDict`` and ``fuse(settings, layers, encoded, present) -> Fused``. It says
``TOKENS = True`` where it reads tokens: then a modality whose ``Sizes.tokens`` is 0 has none, and its vector is the one
token. It says ``HEADLESS = True`` where it gives logits itself, and ``LOOKS = True``
where it returns how a query for each target looks at the tokens. ``QUERIES`` names its layers whose weights are learned
queries, which don't decay. Where its settings narrow what it takes, it has
``takes(settings)`` too.

What stands in an absent slot (vector, tokens, token mask) changes no bit of any row's output or gradient. Where a
fusion has a share for each modality, it returns them as gates: they are 0 where a modality is absent, sum to 1, and
carry a gradient where they are learned. It says ``GATES = True`` then; where its settings may fix them, it has
``gates(settings)`` too.
Its docstring gives the number of its parameters as a formula, which a test evaluates.
"""

from __future__ import annotations

from ..registry import PartSettings, load

TABLE = {
    "concat": "suffuse.fusions.concat",
    "weighted": "suffuse.fusions.weighted",
    "softmax_gate": "suffuse.fusions.softmax_gate",
    "attention_pooling": "suffuse.fusions.attention_pooling",
    "gated": "suffuse.fusions.gated",
    "film": "suffuse.fusions.film",
    "low_rank": "suffuse.fusions.low_rank",
    "tensor": "suffuse.fusions.tensor",
    "cross_attention": "suffuse.fusions.cross_attention",
    "transformer": "suffuse.fusions.transformer",
    "bottleneck": "suffuse.fusions.bottleneck",
    "late": "suffuse.fusions.late",
    "queries": "suffuse.fusions.queries",
}


def default(modalities: int) -> str:
    """The kind of a network whose recipe names none: a transformer from three modalities on."""
    return "transformer" if modalities >= 3 else "gated"


def takes(settings: PartSettings) -> tuple[int, int]:
    """Fewest and most modalities that a fusion of these settings takes."""
    part = load(TABLE, settings.kind)
    return part.takes(settings) if hasattr(part, "takes") else part.TAKES


def gates(settings: PartSettings) -> bool:
    """Whether it learns a share for each modality."""
    part = load(TABLE, settings.kind)
    return part.gates(settings) if hasattr(part, "gates") else getattr(part, "GATES", False)


def headless(settings: PartSettings) -> bool:
    """Whether it gives logits itself, so that no head follows."""
    return getattr(load(TABLE, settings.kind), "HEADLESS", False)

"""Encoders: one modality's entries -> a vector each (and tokens, where they have them).

An encoder is one module that follows :class:`EncoderPart`. Where its settings have ``frozen: true`` its vectors are
computed once and kept (``engine/feature_cache.py``); it then stays in eval mode and gets no gradient. With ``finetune``
its parameters have rates of their own (``engine/finetuning.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..parameter_depths import attention_projections, depths_by_blocks
from ..registry import KindTable, PartDocs, PartSettings, default, load_part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..types import Encoded, Field

TABLE = KindTable(
    "encoders",
    PartSettings,
    {
        "conv": "suffuse.encoders.conv",
        "residual": "suffuse.encoders.residual",
        "hog": "suffuse.encoders.hog",
        "gru": "suffuse.encoders.rnn",
        "lstm": "suffuse.encoders.rnn",
        "bag": "suffuse.encoders.bag",
        "ngrams": "suffuse.encoders.ngrams",
        "conv1d": "suffuse.encoders.conv1d",
        "conv2d": "suffuse.encoders.conv2d",
        "transformer": "suffuse.encoders.transformer",
        "conformer": "suffuse.encoders.conformer",
        "mlp": "suffuse.encoders.mlp",
        "timm": "suffuse.encoders.timm",
        "huggingface": "suffuse.encoders.huggingface",
        "efficientnet_lite": "suffuse.encoders.efficientnet_lite",
        "tcn": "suffuse.encoders.tcn",
        "cepstra": "suffuse.encoders.cepstra",
        "speech_embedding": "suffuse.encoders.speech_embedding",
    },
)


class EncoderPart(Protocol):
    """The interface of an encoder's module. ``layers``, ``resolved`` and ``initialise`` raise ValueError where the
    settings can't be."""

    Settings: type[PartSettings]
    DOCS: PartDocs
    # small settings that together show every form of it, and what it reads with them: a kind of modality, or wave
    EXAMPLES: tuple[tuple[str, dict[str, Any]], ...] = ()  # none: its defaults, on each kind that it reads
    MODALITIES: tuple[str, ...]  # the kinds that it reads
    QUERIES: tuple[str, ...] = ()  # names of its layers whose weights are learned queries, which don't decay
    SPARSE: tuple[str, ...] = ()  # names of its embeddings of inputs of which few rows have any one

    def layers(self, settings: PartSettings, field: Field) -> nn.ModuleDict:
        """Its layers, with random weights."""
        ...

    def width(self, settings: PartSettings, layers: nn.ModuleDict) -> int:
        """D of the vector."""
        ...

    def encode(self, settings: PartSettings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
        """Entries (U, ...) -> vectors (U, D), and tokens (U, L, D_t) with their mask (U, L). An entry's result never
        depends on another entry, nor on how long the batch was padded."""
        ...

    @default
    def tokens(self, settings: PartSettings, layers: nn.ModuleDict) -> int:
        """Width of each token; 0 where there are none."""
        return 0

    @default
    def initialise(self, settings: PartSettings, layers: nn.ModuleDict, field: Field) -> str:
        """Load pretrained weights into the layers; returns what was loaded. It is called once, before training: a saved
        model holds all its weights."""
        return ""

    @default
    def resolved(self, settings: PartSettings) -> PartSettings:
        """Settings that name a folder or package, with what stands there (but for weights) written in, so that a saved
        model needs neither."""
        return settings

    @default
    def normalised(self, settings: PartSettings, layers: nn.ModuleDict) -> tuple[list[float], list[float]] | None:
        """Mean and deviation of a picture's channels in 0..1 or of a frame's numbers; None: those of the training
        entries."""
        return None

    @default
    def hindrance(self, settings: PartSettings, layers: nn.ModuleDict) -> str:
        """Why it can't be exported; empty where it can."""
        return ""

    @default
    def depths(self, settings: PartSettings, layers: nn.ModuleDict) -> dict[str, int]:
        """How deep each parameter lies, by its name in ``layers``: 0 of embeddings, most of the topmost block. Rates by
        layers and gradual unfreezing go by it."""
        return depths_by_blocks(layers)

    @default
    def checkpoint_gradients(self, settings: PartSettings, layers: nn.ModuleDict) -> None:
        """From now on keep only the inputs of blocks in training, and compute the rest again for the gradient. Raises
        ValueError where the network can't."""
        raise ValueError(f"got gradient_checkpointing, which encoders of the kind '{settings.kind}' don't have")

    @default
    def adapter_targets(self, settings: PartSettings, layers: nn.ModuleDict) -> tuple[str, ...]:
        """The last parts of the names of the layers that low-rank adapters are added to, where the settings name none;
        none where that isn't known."""
        return attention_projections(layers)


def load_encoder(kind: str) -> EncoderPart:
    """The encoder of this kind. Raises UsageError where there is none."""
    return load_part(TABLE, kind, EncoderPart)

"""Residual temporal convolutions over words or frames that keep their places (TCN; Bai et al. 2018).

    x = dropout(LayerNorm(embedding or patches))        x <- x + dropout(GELU(conv(LayerNorm(x))))     depth times

Convolutions see as far back as ahead, or with `look_ahead` fewer steps ahead and more back. What is padding is zero
before every one of them. Each step stays a token, so a fusion that reads tokens can look at the place where an answer
stands; the vector is their mean (and maximum).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field as Setting
from pydantic import field_validator

from ..files import package_file
from ..registry import PartDocs, PartSettings
from ..temporal_conv import pooled, residual, through
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("text", "audio", "sequence")

DOCS = PartDocs(
    summary=(
        "Residual temporal convolutions over tokens or frames (Bai et al. 2018): (U, L) or (U, L, F + 1) to (U, D), "
        "and one token per word or `patch` of frames."
    ),
    example="transcript: {kind: tcn, width: 64, depth: 3}",
)
EXAMPLES = (
    ("text", {"width": 8, "kernel": 3}),
    ("audio", {"width": 8, "kernel": 3, "depth": 3, "dilated": True, "patch": 2}),
    ("audio", {"width": 8, "kernel": 3, "depth": 2, "look_ahead": 1}),
    ("sequence", {"width": 8, "pool": "meanmax"}),
)


class Settings(PartSettings):
    """Width and number of the convolutions."""

    kind: Literal["tcn"] = "tcn"
    width: int = Setting(default=96, ge=1, description="Width of the steps.")
    depth: int = Setting(default=2, ge=0, le=64, description="Number of convolutions; 0: none.")
    kernel: int = Setting(default=5, ge=1, le=255, description="Kernel size in steps, odd.")
    dilated: bool = Setting(default=False, description="Double the dilation with each convolution.")
    patch: int = Setting(default=1, ge=1, le=512, description="Frames that make one token; 1 for text.")
    pool: Literal["mean", "meanmax"] = Setting(
        default="mean", description="`mean` or `meanmax`, for the vector that fusions without tokens read."
    )
    dropout: float = Setting(default=0.1, ge=0, lt=1, description="Dropout of the steps and after each convolution.")
    look_ahead: int | None = Setting(
        default=None,
        ge=0,
        le=2**16,
        description=(
            "Frames after its own (words after it) that a token may depend on; 0: none. Default: as many as before it."
        ),
    )
    hide: float = Setting(default=0.0, ge=0, lt=1, description="Share of the steps that are set to 0 in training.")
    FILES: ClassVar = ("vectors",)
    vectors: str | None = Setting(
        default=None,
        description="Pretrained word vectors of that width: a word2vec or GloVe file, or `package:NAME/PATH`.",
    )

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"got {kernel}, expected an odd number of steps")
        return kernel


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the width, twice for mean and maximum."""
    return settings.width * (2 if settings.pool == "meanmax" else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the width."""
    return settings.width


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """What makes the first steps, and a norm and a convolution for each block."""
    from torch import nn

    wide = settings.width
    if field.kind == "text":
        if settings.patch > 1:
            raise ValueError(f"got a patch of {settings.patch} for text, expected 1")
        first = nn.Embedding(field.statistics["vocabulary"], wide, padding_idx=0)
    else:
        if settings.vectors:
            raise ValueError(f"got word vectors for {field.kind}, expected none")
        first = nn.Conv1d(field.statistics["features"], wide, settings.patch, settings.patch)
    made = nn.ModuleDict({"first": first, "norm": nn.LayerNorm(wide), "dropout": nn.Dropout(settings.dropout)})
    made.update(residual(wide, settings.depth, settings.kernel, settings.dilated))
    return made


def initialise(settings: Settings, layers: nn.ModuleDict, field: Field) -> str:
    """Pretrained vectors of the words that have one; says how many."""
    from .word_vectors import load_embedding

    if settings.vectors is None:
        return ""
    return load_embedding(package_file(settings.vectors), field.statistics, layers["first"])


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L) int64 or (U, L, F + 1) -> vector (U, D), tokens (U, L', width), token_mask (U, L')."""
    import torch

    x, mask = _read(settings, layers["first"], x)
    if settings.hide and layers.training:
        x = x * (torch.rand(mask.shape, device=x.device) >= settings.hide).unsqueeze(2)
    ahead = None if settings.look_ahead is None else settings.look_ahead // settings.patch
    x = through(layers, settings.depth, layers["dropout"](layers["norm"](x)), mask, ahead)
    return Encoded(pooled(x, mask, settings.pool), x, mask)


def _read(settings: Settings, first: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Entries -> steps (U, T, width) and which are real (U, T)."""
    from torch.nn import functional as F

    if x.ndim == 2:
        return first(x), x != 0
    mask = x[:, :, -1] > 0
    frames = (x[:, :, :-1] * mask.unsqueeze(2)).transpose(1, 2)
    if settings.patch > 1:  # padded at its end only: the last patch may be part of one
        frames = F.pad(frames, (0, settings.patch - 1))
    return first(frames).transpose(1, 2), mask[:, :: settings.patch]

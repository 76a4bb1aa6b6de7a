"""Temporal convolutions over frames: (U, L, F + 1) -> (U, D).

Each block is a convolution along time, normalisation and ReLU, as in the front end of a CRNN (Choi et al. 2017);
then the mean and the maximum over the remaining real frames, or attention's weighted mean (Bahdanau et al. 2015).
With ``cepstra`` it reads the first cepstra of a recording instead of its mel bands (:mod:`.cepstral_transform`).
What is padding is zero before every convolution, as what lies beyond an entry's end is, and enters no statistics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting
from pydantic import field_validator

from ..registry import PartDocs, PartSettings
from ..temporal_conv import norm_of_steps, pooled
from ..types import Encoded, Field
from .cepstral_transform import clip_cepstra, cosine_matrix

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("audio", "sequence")
QUERIES = ("score",)

DOCS = PartDocs(
    summary="Convolutions along time: (U, L, F + 1) to (U, D).",
    example="sensor: {kind: conv1d, widths: [32, 64], kernel: 7}",
)
EXAMPLES = (
    ("audio", {"widths": [4, 6], "norm": "batch"}),
    ("audio", {"widths": [4, 6], "norm": "layer"}),
    ("audio", {"widths": [4, 6], "norm": "none"}),
    ("audio", {"widths": [4, 6], "cepstra": 3}),
    ("sequence", {"widths": [4, 6], "kernel": 3, "stride": 1, "pool": "attention"}),
)


class Settings(PartSettings):
    """Widths of the blocks, first to last."""

    kind: Literal["conv1d"] = "conv1d"
    widths: tuple[int, ...] = Setting(default=(64, 96, 128), min_length=1, description="Channels of each block.")
    kernel: int = Setting(default=5, ge=1, le=255, description="Kernel size in frames, odd.")
    stride: int = Setting(default=2, ge=1, le=64, description="Stride of every block.")
    norm: Literal["batch", "layer", "none"] = Setting(
        default="batch", description="Normalisation: `batch`, `layer` or `none`."
    )
    pool: Literal["meanmax", "attention"] = Setting(
        default="meanmax", description="`meanmax` (mean and maximum over time) or `attention`."
    )
    dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout after each block.")
    cepstra: int | None = Setting(
        default=None,
        ge=2,
        le=256,
        description=(
            "Read so many cepstra of an `audio` modality of form `mel` instead of its bands, each with mean 0 and "
            "deviation 1 over the recording. Default: the bands."
        ),
    )

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"got {kernel}, expected an odd number of frames")
        return kernel


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the last block's channels, twice for mean and maximum."""
    return settings.widths[-1] * (2 if settings.pool == "meanmax" else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the last block's channels."""
    return settings.widths[-1]


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """One convolution (and norm) per block, and what attention needs."""
    from torch import nn

    made, before = nn.ModuleDict(), field.statistics["features"]
    if settings.cepstra is not None:
        if field.kind != "audio" or field.statistics.get("network"):
            raise ValueError("got cepstra for what isn't log-mel power, expected an audio modality of form mel")
        made["transform"], before = nn.Module(), settings.cepstra
        made["transform"].register_buffer("matrix", cosine_matrix(settings.cepstra, field.statistics["features"]))
    for number, channels in enumerate(settings.widths):
        bias, padding = settings.norm == "none", settings.kernel // 2
        made[f"conv{number}"] = nn.Conv1d(before, channels, settings.kernel, settings.stride, padding, bias=bias)
        if settings.norm != "none":
            norm = nn.BatchNorm1d if settings.norm == "batch" else nn.LayerNorm
            made[f"norm{number}"] = norm(channels)
        before = channels
    if settings.pool == "attention":
        made["attend"] = nn.Linear(before, before)
        made["score"] = nn.Linear(before, 1, bias=False)
    made["dropout"] = nn.Dropout(settings.dropout)
    return made


def normalised(settings: Settings, layers: nn.ModuleDict) -> tuple[list[float], list[float]] | None:
    """Of cepstra: bands as they are, since cepstra are those of log power. None: as the modality has them."""
    if settings.cepstra is None:
        return None
    matrix: Tensor = layers["transform"].matrix  # pyright: ignore[reportAssignmentType]
    return [0.0] * matrix.shape[1], [1.0] * matrix.shape[1]


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L, F + 1) -> vector (U, D), tokens (U, L', channels), token_mask (U, L')."""
    mask, real, x = x[:, :, -1] > 0, x[:, :, -1:], x[:, :, :-1]
    if settings.cepstra is not None:
        x = clip_cepstra(x, real, layers["transform"].matrix)  # pyright: ignore
    for number in range(len(settings.widths)):
        x = layers[f"conv{number}"]((x * mask.unsqueeze(2)).transpose(1, 2)).transpose(1, 2)
        mask = mask[:, :: settings.stride]  # real where the middle of what it saw is
        if settings.norm != "none":
            x = norm_of_steps(layers[f"norm{number}"], x, mask)
        x = layers["dropout"](x.relu())
    here = mask.unsqueeze(2)
    x = x * here
    if settings.pool == "attention":
        scores = layers["score"](layers["attend"](x).tanh()).float()
        vector = (x * scores.masked_fill(~here, -1e9).softmax(1)).sum(1)
    else:
        vector = pooled(x, mask, settings.pool)
    return Encoded(vector, x, mask)

"""Cepstral-time matrices (Milner & Vaseghi 1995) and statistics over time of a recording: (U, L, F + 1) -> (U, D).

    C[q, k] = 1/L sum_t cos(pi k (t + 1/2) / L) sum_f cos(pi q (f + 1/2) / F) x[t, f]

x is the log-mel power of L real frames. The cosine transform over bands gives cepstra, smooth in q; the one over time
describes how each cepstrum moves over the whole recording, whatever its length. With ``statistics`` the mean, deviation
and maximum of each band and its mean absolute change follow; with ``variation`` the deviation and mean absolute change
of each cepstrum, sum_f without the factor 1/L, and log L. D = cepstra x times, and 4 F of statistics, and 2 cepstra + 1
of variation. Nothing is learned: the features are frozen and computed once for each recording. It is meant for short
recordings (a word, a command, an event), too few to learn features from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field
from .cepstral_transform import cosine_matrix

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("audio",)
QUIETEST = -1e4  # below any log-mel power

DOCS = PartDocs(
    summary=(
        "Cepstral-time matrices (Milner & Vaseghi 1995): (U, L, F + 1) to (U, D) with D = `cepstra` x `times`, and 4 F "
        "of `statistics` and 2 `cepstra` + 1 of `variation`. Nothing is learned: the features are frozen, computed "
        "once for each recording, and the fusion learns from them. For short recordings (a word, a command, an "
        "event), too few to learn features from."
    ),
    example="speech: {kind: cepstra, drop: 0.2}",
)
EXAMPLES = (
    ("audio", {"cepstra": 3, "times": 2, "drop": 0.0}),
    ("audio", {"cepstra": 2, "times": 3, "statistics": True, "drop": 0.0}),
    ("audio", {"cepstra": 3, "times": 1, "variation": True, "drop": 0.0}),
)


class Settings(PartSettings):
    """Numbers of coefficients."""

    kind: Literal["cepstra"] = "cepstra"
    cepstra: int = Setting(default=13, ge=1, le=256, description="Coefficients over the mel bands.")
    times: int = Setting(default=8, ge=1, le=256, description="Coefficients over time.")
    statistics: bool = Setting(
        default=False, description="Add each band's mean, deviation, maximum and mean absolute change."
    )
    variation: bool = Setting(
        default=False,
        description="Add each cepstrum's deviation and mean absolute change, and the logarithm of the frames' number.",
    )
    drop: float = Setting(default=0.2, ge=0, lt=1, description="Share of the features that are dropped in training.")
    frozen: Literal[True] = Setting(default=True, description="Always: there is nothing to train.")


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D."""
    statistics = 4 * _bands(layers) if settings.statistics else 0
    return settings.cepstra * settings.times + statistics + (2 * settings.cepstra + 1 if settings.variation else 0)


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The cosine transform over bands, (cepstra, F), as a constant. Raises ValueError where there are fewer bands than
    cepstra."""
    from torch import nn

    transform = nn.Module()
    transform.register_buffer("matrix", cosine_matrix(settings.cepstra, field.statistics["features"]))
    return nn.ModuleDict({"transform": transform})


def normalised(settings: Settings, layers: nn.ModuleDict) -> tuple[list[float], list[float]]:
    """Bands as they are: the cosine transform is one of log power."""
    return [0.0] * _bands(layers), [1.0] * _bands(layers)


def _bands(layers: nn.ModuleDict) -> int:
    matrix: Tensor = layers["transform"].matrix  # pyright: ignore[reportAssignmentType]
    return matrix.shape[1]


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L, F + 1) -> vector (U, D)."""
    import torch

    real, bands = x[:, :, -1:], x[:, :, :-1]
    bands = bands * real
    length = real.sum(1).clamp(min=1)  # (U, 1)
    matrix: Tensor = layers["transform"].matrix  # pyright: ignore[reportAssignmentType]
    frame = real.squeeze(2).cumsum(1) - 0.5  # (U, L), t + 1/2 of a real frame
    order = torch.arange(settings.times, dtype=x.dtype, device=x.device)
    basis = (frame.unsqueeze(1) * order.unsqueeze(1) * math.pi / length.unsqueeze(2)).cos() / length.unsqueeze(2)
    cepstra = bands @ matrix.T
    features = [(basis @ cepstra).flatten(1)]
    if settings.statistics:
        mean, deviation, change = _moments(bands, real, length)
        features += [mean, deviation, bands.masked_fill(real <= 0, QUIETEST).amax(1), change]
    if settings.variation:
        _, deviation, change = _moments(cepstra, real, length)
        features += [deviation, change, length.log()]
    return Encoded(torch.cat(features, dim=1))


def _moments(x: Tensor, real: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(U, L, K), 0 where (U, L, 1) frames aren't real, and their number (U, 1) -> mean, deviation and mean absolute
    change over time, (U, K) each."""
    mean = x.sum(1) / length
    deviation = (((x - mean.unsqueeze(1)) * real).square().sum(1) / length).clamp(min=1e-12).sqrt()
    changes = (x[:, 1:] - x[:, :-1]).abs() * real[:, 1:]
    return mean, deviation, changes.sum(1) / (length - 1).clamp(min=1)

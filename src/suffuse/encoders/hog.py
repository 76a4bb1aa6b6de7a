"""Histograms of oriented gradients (Dalal & Triggs 2005) and of colours: (U, 3, H, W) -> (U, D).

A picture is resized to 4 ``cells`` pixels a side. The gradient of each channel votes for the orientations near its own,
with its magnitude, in cells of 4 x 4 pixels. Blocks of 2 x 2 cells are divided by their norm and clipped, so that
brightness and contrast matter little. Each quarter of the picture adds a histogram of each colour channel.
D = 4 (cells - 1)^2 orientations + 12 colours. Nothing of it is learned: it is frozen, computed once for each picture,
and the fusion's layers learn from it. It is meant for tables with too few pictures to learn features from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field as Setting

from ..registry import PartDocs, PartSettings
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("image",)

DOCS = PartDocs(
    summary=(
        "Histograms of oriented gradients (Dalal & Triggs 2005) and of colours: (U, 3, H, W) to (U, D) with D = 4 "
        "(cells - 1)^2 orientations + 12 colours. Nothing is learned: the features are frozen, computed once for each "
        "picture, and the fusion learns from them. For tables with too few pictures to learn features "
        "from. Pictures are resized to 4 `cells` pixels per side."
    ),
    example="picture: {kind: hog, drop: 0.3}",
)
EXAMPLES = (
    ("image", {"cells": 4, "drop": 0.0}),
    ("image", {"cells": 5, "orientations": 6, "colours": 0, "drop": 0.0}),
)

CELL = 4  # pixels of a cell's side
CLIP = 0.4  # largest number of a normalised block
FLAT = 1e-4  # added to a block's squared norm: in a flat region noise isn't magnified to edges
TINY = 1e-6  # keeps quotients and roots finite; the ONNX exporter takes anything near 1e-8 for zero


class Settings(PartSettings):
    """Numbers of cells and bins, and D."""

    kind: Literal["hog"] = "hog"
    cells: int = Setting(default=8, ge=2, le=32, description="Cells per side, of 4 x 4 pixels each.")
    orientations: int = Setting(
        default=8, ge=3, le=36, description="Bins of the gradients' orientations, from 0 to 180 degrees."
    )
    colours: int = Setting(
        default=8,
        ge=0,
        le=64,
        description="Bins of each colour channel, in each quarter of the picture; 0: no colours.",
    )
    drop: float = Setting(default=0.5, ge=0, lt=1, description="Share of the features that are dropped in training.")
    frozen: Literal[True] = Setting(default=True, description="Always: there is nothing to train.")


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the orientations of each block, and the colours of each quarter."""
    return 4 * (settings.cells - 1) ** 2 * settings.orientations + 12 * settings.colours


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The matrix that resizes one side of a picture, as a constant."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    size, side = field.statistics["size"], CELL * settings.cells
    resize = nn.Module()
    matrix = F.interpolate(torch.eye(size)[None, None], (side, size), mode="bilinear", antialias=True)[0, 0]
    resize.register_buffer("matrix", matrix)
    return nn.ModuleDict({"resize": resize})


def normalised(settings: Settings, layers: nn.ModuleDict) -> tuple[list[float], list[float]]:
    """Pixels stay in 0..1, the range of the colours' bins."""
    return [0.0] * 3, [1.0] * 3


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, 3, H, W) float in 0..1 -> vector (U, D)."""
    import torch

    matrix: Tensor = layers["resize"].matrix  # pyright: ignore[reportAssignmentType]
    x = matrix @ x @ matrix.T
    features = [_gradients(settings, x), *([_colours(settings, x)] if settings.colours else [])]
    return Encoded(torch.cat(features, dim=1))


def _gradients(settings: Settings, x: Tensor) -> Tensor:
    """(U, 3, S, S) -> (U, 4 (cells - 1)^2 orientations): each block's histograms, normalised."""
    import torch
    from torch.nn import functional as F

    dx = F.pad(x[..., 2:] - x[..., :-2], (1, 1, 0, 0))
    dy = F.pad(x[..., 2:, :] - x[..., :-2, :], (0, 0, 1, 1))
    squared = dx.square() + dy.square() + TINY
    # cosine and sine of twice the angle: a gradient and its opposite are one orientation
    cosine, sine = (dx.square() - dy.square()) / squared, 2 * dx * dy / squared
    nearest = math.cos(2 * math.pi / settings.orientations)
    histograms = []
    for number in range(settings.orientations):
        angle = 2 * math.pi * number / settings.orientations
        vote = F.relu(cosine * math.cos(angle) + sine * math.sin(angle) - nearest) / (1 - nearest)
        histograms.append((vote * squared.sqrt()).mean(1))
    cells = F.avg_pool2d(torch.stack(histograms, dim=1), CELL)
    energy = 4 * F.avg_pool2d(cells.square().sum(1, keepdim=True), 2, 1)
    last = settings.cells - 1
    corners = [cells[:, :, a : a + last, b : b + last] for a in (0, 1) for b in (0, 1)]
    return (torch.cat(corners, dim=1) / (energy + FLAT).sqrt()).clamp(max=CLIP).flatten(1)


def _colours(settings: Settings, x: Tensor) -> Tensor:
    """(U, 3, S, S) -> (U, 12 colours): square roots of the shares of each quarter's pixels in each bin."""
    import torch
    from torch.nn import functional as F

    bins = []
    for number in range(settings.colours):
        # a triangle, so that a little brighter or darker changes little
        distance = (settings.colours * x - (number + 0.5)).abs()
        bins.append(F.avg_pool2d(F.relu(1 - distance), x.shape[-1] // 2))
    return (torch.cat(bins, dim=1) + TINY).sqrt().flatten(1)

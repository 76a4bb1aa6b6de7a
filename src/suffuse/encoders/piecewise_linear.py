"""Piecewise linear encoding of numbers (Gorishniy, Rubachev & Babenko 2022): (U, n) -> (U, K).

    e[t] = clip((x - b[t-1]) / (b[t] - b[t-1]), 0, 1)

b are quantiles of the training rows, T + 1 of each number; intervals that quantiles leave empty fall away, so K is at
most n T. A network sees thresholds then, as trees do, where a standardised number gives it one slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class PiecewiseLinear(nn.Module):
    """The encoding of n numbers, ``bins`` intervals of each. Nothing is learned.

    Args:
        quantiles: Of each number, ascending, in the units of its standardised values.
        bins: Intervals of a number, at the most.
    """

    number: Tensor
    lower: Tensor
    scale: Tensor

    def __init__(self, quantiles: Sequence[np.ndarray], bins: int) -> None:
        super().__init__()
        edges = [_edges(one, bins) for one in quantiles]
        number = np.repeat(np.arange(len(edges)), [len(one) - 1 for one in edges])
        lower = np.concatenate([one[:-1] for one in edges])
        scale = np.concatenate([1 / np.diff(one) for one in edges])
        self.register_buffer("number", torch.from_numpy(number), persistent=False)
        self.register_buffer("lower", torch.tensor(lower, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    @property
    def width(self) -> int:
        """K."""
        return len(self.number)

    def forward(self, x: Tensor, missing: Tensor) -> Tensor:
        """(U, n) numbers and (U, n) indicators, 1 where one is missing -> (U, K), 0 where it is missing."""
        position = ((x[:, self.number] - self.lower) * self.scale).clamp(0, 1)
        return position * (1 - missing[:, self.number])


def quantiles_of(statistics: dict[str, Any]) -> list[np.ndarray]:
    """Standardised quantiles of each number of a tabular modality. Raises ValueError where there are none."""
    found: list[np.ndarray] = []
    for column in statistics.get("columns", ()):
        if column["type"] == "category":
            continue
        if not column.get("quantiles"):
            raise ValueError(
                "got data of an earlier version, without the quantiles that `bins` needs, expected data prepared again "
                "in a new run folder (--out FOLDER)"
            )
        found += map(np.array, column["quantiles"])
    if len(found) != statistics["numbers"]:
        raise ValueError(f"got quantiles of {len(found)} numbers, expected them of {statistics['numbers']}")
    return found


def _edges(quantiles: np.ndarray, bins: int) -> np.ndarray:
    """``bins`` + 1 of them at equal distances, those that float32 can't tell apart once; two at least."""
    positions = np.linspace(0, len(quantiles) - 1, bins + 1)
    edges = np.unique(np.interp(positions, np.arange(len(quantiles)), quantiles).astype(np.float32)).astype(np.float64)
    return edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1])

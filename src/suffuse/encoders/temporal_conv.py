"""Residual convolutions along time, and what becomes of their steps: what encoders of sequences share (TCN; Bai et al.
2018).

    x <- x + dropout(GELU(conv(LayerNorm(x))))     depth times
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def residual(width: int, depth: int, kernel: int, dilated: bool) -> dict[str, nn.Module]:
    """A norm and a convolution for each block; ``dilated``: the n-th one sees every 2^n-th step."""
    from torch import nn

    made: dict[str, nn.Module] = {}
    for number in range(depth):
        far = 2**number if dilated else 1
        made[f"norm{number}"] = nn.LayerNorm(width)
        made[f"conv{number}"] = nn.Conv1d(width, width, kernel, padding=far * (kernel // 2), dilation=far)
    return made


def through(layers: nn.ModuleDict, depth: int, x: Tensor, mask: Tensor) -> Tensor:
    """Steps (U, T, D), mask (U, T) -> the same after all blocks; zero where the mask is, and before every convolution.
    ``layers``: those of :func:`residual`, and ``dropout``."""
    from torch.nn import functional as F

    here = mask.unsqueeze(2)
    for number in range(depth):
        seen = (layers[f"norm{number}"](x) * here).transpose(1, 2)
        x = x + layers["dropout"](F.gelu(layers[f"conv{number}"](seen).transpose(1, 2)))
    return x * here


def pooled(x: Tensor, mask: Tensor, pool: str) -> Tensor:
    """Steps (U, T, D), zero where mask (U, T) is, -> their mean (U, D); of ``meanmax`` their maximum beside it."""
    import torch

    mean = x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    if pool != "meanmax":
        return mean
    top = x.masked_fill(~mask.unsqueeze(2), -torch.inf).amax(1)
    return torch.cat([mean, top.where(mask.any(1, keepdim=True), 0.0)], dim=1)

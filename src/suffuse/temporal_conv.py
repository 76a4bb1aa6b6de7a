"""Residual convolutions along time, and what becomes of their steps: what encoders of sequences share (TCN; Bai et al.
2018).

    x <- x + dropout(GELU(conv(LayerNorm(x))))     depth times
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .sync_batch_norm import total

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


def through(layers: nn.ModuleDict, depth: int, x: Tensor, mask: Tensor, look_ahead: int | None = None) -> Tensor:
    """Steps (U, T, D), mask (U, T) -> the same after all blocks; zero where the mask is, and before every convolution.
    ``layers``: those of :func:`residual`, and ``dropout``. With ``look_ahead`` a step depends on at most so many later
    ones."""
    from torch.nn import functional as F

    here, convolutions = mask.unsqueeze(2), [layers[f"conv{number}"] for number in range(depth)]
    reaches: list[int] = [conv.padding[0] for conv in convolutions]  # pyright: ignore
    shares = reaches if look_ahead is None else look_ahead_shares(look_ahead, reaches)
    for number, (conv, reach, share) in enumerate(zip(convolutions, reaches, shares, strict=True)):
        steps = (layers[f"norm{number}"](x) * here).transpose(1, 2)
        if share < reach:  # the same taps, each so much earlier; what that adds at the end is cut off
            found = conv(F.pad(steps, (reach - share, 0)))[:, :, : x.shape[1]].transpose(1, 2)
        else:
            found = conv(steps).transpose(1, 2)
        x = x + layers["dropout"](F.gelu(found))
    return x * here


def look_ahead_shares(steps: int, reaches: Sequence[int]) -> list[int]:
    """How far each layer may look ahead so that all of them together look at most ``steps`` ahead, and none farther
    than its reach: shares in proportion to ``reaches``, the rest to the first layers."""
    if steps >= sum(reaches):
        return list(reaches)
    shares = [steps * reach // sum(reaches) for reach in reaches]
    rest = steps - sum(shares)
    return [share + (number < rest) for number, share in enumerate(shares)]


def norm_of_steps(norm: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """LayerNorm or BatchNorm of (U, T, C). In training BatchNorm gets the real steps (U, T) alone; one step has no
    statistics of its own."""
    from torch import nn

    if not isinstance(norm, nn.BatchNorm1d):
        return norm(x)
    if not norm.training:
        return norm(x.transpose(1, 2)).transpose(1, 2)
    places, flat = mask.flatten().nonzero().squeeze(1), x.flatten(0, 1)
    if total(len(places)) < 2:
        return nn.functional.batch_norm(
            x.transpose(1, 2), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        ).transpose(1, 2)
    found = norm(flat.index_select(0, places))
    return flat.new_zeros(flat.shape).index_copy(0, places, found).unflatten(0, mask.shape)


def pooled(x: Tensor, mask: Tensor, pool: str) -> Tensor:
    """Steps (U, T, D), zero where mask (U, T) is, -> their mean (U, D); of ``meanmax`` their maximum beside it."""
    import torch

    mean = x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    if pool != "meanmax":
        return mean
    top = x.masked_fill(~mask.unsqueeze(2), -torch.inf).amax(1)
    return torch.cat([mean, top.where(mask.any(1, keepdim=True), 0.0)], dim=1)


def over_bands(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution over steps and bands: (U, C, L, F) -> (U, C', L', F'). In float32 where two bands or one are left:
    torch's kernel for bfloat16 on CPUs then reads memory beyond the entries, and may give NaN (seen with 2.14.1)."""
    import torch

    if x.device.type != "cpu" or x.shape[3] > 2 or not torch.is_autocast_enabled("cpu"):
        return conv(x)
    with torch.autocast("cpu", enabled=False):
        return conv(x.float())

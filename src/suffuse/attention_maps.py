"""Where an encoder's tokens are strong: a map of fixed size, whatever the encoder and the length of its input.

The energy of a token is the mean of its squared numbers (Zagoruyko & Komodakis 2017). A picture's square grid of tokens
is averaged over 4 x 4 cells, any other sequence over 16 stretches of its real tokens, by area: a token that lies in two
cells counts in both, by its share. Where a fusion's queries look is kept in the same way, over 32 stretches.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .types import LOOK, MAP, Encoded, Look

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 4
CELLS = SIDE * SIDE  # K
STRETCHES = 32  # of a look: finer, as it points at one place


def strengths(encoded: Encoded, grid: bool) -> Tensor:
    """Tokens (U, L, D) and their mask (U, L) -> energies (U, K) float32; ``grid``: they are a picture's, row by row."""
    import torch

    assert encoded.tokens is not None, "asked of encoders with tokens only"
    energy = encoded.tokens.float().square().mean(2)
    mask = encoded.token_mask if encoded.token_mask is not None else torch.ones_like(energy, dtype=torch.bool)
    side = math.isqrt(energy.shape[1])
    if grid and side * side == energy.shape[1]:
        cells = _cells(energy.new_full((1,), side), side, SIDE)[0]  # (4, side)
        return (cells @ energy.unflatten(1, (side, side)) @ cells.t()).flatten(1)
    energy = energy.where(mask, 0.0)
    return (_cells(mask.sum(1).to(energy.dtype), energy.shape[1], CELLS) @ energy.unsqueeze(2)).squeeze(2)


def named(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An output's maps by the names of their taps."""
    return {name if name.endswith(MAP) else name + MAP: strength for name, strength in maps.items()}


def looks(fused: Sequence[Look], names: Iterable[str], needed: Collection[str]) -> dict[str, Tensor]:
    """How a fusion attends to each modality -> tap -> (B, Q K), of the taps that are ``needed``."""
    return {name + LOOK: spread(*look) for name, look in zip(names, fused, strict=False) if name + LOOK in needed}


def spread(look: Tensor, real: Tensor) -> Tensor:
    """Attention (B, Q, L) over tokens, real (B, L) -> (B, Q * 32), the share of each query's that falls on each stretch
    of the real tokens; zeros where none is real."""
    import torch

    lengths = real.sum(1).to(look.dtype)
    wide = lengths.clamp(min=1).reshape(-1, 1, 1) / STRETCHES
    shares = look @ (_cells(lengths, look.shape[2], STRETCHES) * wide).transpose(1, 2)
    total = shares.sum(2, keepdim=True)
    return torch.where(total > 0, shares / total.where(total > 0, 1.0), 0.0).flatten(1)


def _cells(lengths: Tensor, longest: int, cells: int) -> Tensor:
    """(U,) numbers of tokens -> (U, cells, longest) share of each token in the mean of each cell."""
    import torch

    place = torch.arange(longest, dtype=lengths.dtype, device=lengths.device)
    cell = torch.arange(cells, dtype=lengths.dtype, device=lengths.device).unsqueeze(1)
    wide = lengths.clamp(min=1).reshape(-1, 1, 1) / cells  # of a cell, in tokens
    overlap = torch.minimum(place + 1, (cell + 1) * wide) - torch.maximum(place, cell * wide)
    return overlap.clamp(min=0) / wide

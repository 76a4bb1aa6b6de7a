"""Where an encoder's tokens are strong: a map of fixed size, whatever the encoder and the length of its input.

The energy of a token is the mean of its squared numbers (Zagoruyko & Komodakis 2017). A picture's square grid of tokens
is averaged over 4 x 4 cells, any other sequence over 16 stretches of its real tokens, by area: a token that lies in two
cells counts in both, by its share.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .types import Encoded

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 4
CELLS = SIDE * SIDE  # K


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


def _cells(lengths: Tensor, longest: int, cells: int) -> Tensor:
    """(U,) numbers of tokens -> (U, cells, longest) share of each token in the mean of each cell."""
    import torch

    place = torch.arange(longest, dtype=lengths.dtype, device=lengths.device)
    cell = torch.arange(cells, dtype=lengths.dtype, device=lengths.device).unsqueeze(1)
    wide = lengths.clamp(min=1).reshape(-1, 1, 1) / cells  # of a cell, in tokens
    overlap = torch.minimum(place + 1, (cell + 1) * wide) - torch.maximum(place, cell * wide)
    return overlap.clamp(min=0) / wide

"""A vector and tokens in one array of steps (U, 1 + T, W + 1), as the tokens of frozen encoders are cached.

The first step of an entry is its vector, the others are its real tokens; both are padded with zeros to W numbers, the
wider of the two. The last number of a step is 1 where it is real.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from .types import Encoded


def pack(encoded: Encoded) -> Tensor:
    """Vector (U, D), tokens (U, T, C) and token_mask (U, T) -> steps (U, 1 + T, max(D, C) + 1).

    The real tokens of an entry come first, in their order. Raises ValueError where there are no tokens.
    """
    vector, tokens, mask = encoded.vector, encoded.tokens, encoded.token_mask
    if tokens is None or mask is None:
        raise ValueError("got an encoder without tokens, expected tokens to keep")
    width = max(vector.shape[1], tokens.shape[2])
    order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
    tokens = tokens.gather(1, order.unsqueeze(2).expand_as(tokens))
    real = mask.gather(1, order).to(tokens.dtype).unsqueeze(2)
    first = pad(pad(vector, (0, width - vector.shape[1])), (0, 1), value=1.0).unsqueeze(1)
    return torch.cat([first, torch.cat([pad(tokens, (0, width - tokens.shape[2])) * real, real], 2)], 1)


def unpack(steps: Tensor, vector: int, token: int) -> tuple[Tensor, Tensor, Tensor]:
    """Steps (U, 1 + T, W + 1) -> vector (U, ``vector``), tokens (U, T, ``token``), token_mask (U, T) bool. An entry
    without tokens gets one that is masked."""
    rest = steps[:, 1:] if steps.shape[1] > 1 else torch.zeros_like(steps)
    return steps[:, 0, :vector], rest[:, :, :token], rest[:, :, -1] > 0


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Arrays (U_i, L_i, ...) of steps, or of vectors (U_i, D), one after the other, padded to the most steps."""
    if parts[0].ndim < 3:
        return torch.cat(list(parts))
    longest = max(part.shape[1] for part in parts)
    return torch.cat([pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])


def put_steps(target: np.ndarray, rows: np.ndarray | slice, values: np.ndarray) -> None:
    """Write vectors (N, D), or steps (N, L, F) into the first L of an array's."""
    if target.ndim < 3:
        target[rows] = values
    else:
        target[rows, : values.shape[1]] = values


def halved(steps: np.ndarray) -> np.ndarray:
    """Float16, whose largest number takes the place of larger ones."""
    largest = np.finfo(np.float16).max
    return steps.clip(-largest, largest).astype(np.float16)

"""Cepstra of log-mel power (Davis & Mermelstein 1980), each with mean 0 and deviation 1 over its recording (cepstral
mean and variance normalisation; Viikki & Laurila 1998).

    c[t, q] = sqrt(2 / F) sum_f cos(pi q (f + 1/2) / F) x[t, f]          c[t, q] <- (c[t, q] - mean_t) / deviation_t

The first of them are the envelope of the spectrum without the harmonics of a voice, and few numbers: what is learned
from few voices is then less about these voices.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 0.05  # deviation that a cepstrum is divided by at least: a steady tone has next to none


def cosine_matrix(cepstra: int, bands: int) -> Tensor:
    """(Q, F), without the factor. Raises ValueError where there are fewer bands than cepstra."""
    import torch

    if cepstra > bands:
        raise ValueError(f"got cepstra {cepstra}, expected at most {bands}, the number of bands")
    return (torch.arange(cepstra)[:, None] * (torch.arange(bands) + 0.5) * (math.pi / bands)).cos()


def clip_cepstra(bands: Tensor, real: Tensor, matrix: Tensor) -> Tensor:
    """Log-mel power (U, L, F), 1 where a step is real (U, L, 1), and :func:`cosine_matrix` -> (U, L, Q), 0 in steps
    that aren't."""
    count = real.sum(1, keepdim=True).clamp(min=1)
    bands = (bands - (bands * real).sum(1, keepdim=True) / count) * real  # before the product: it may be in bfloat16
    cepstra = (bands @ matrix.T).float() * math.sqrt(2 / matrix.shape[1])
    variance = cepstra.square().sum(1, keepdim=True) / count
    return cepstra / variance.clamp(min=LEAST**2).sqrt()

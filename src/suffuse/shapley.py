"""Exact Shapley values over modalities (Shapley 1953; for modalities Hu et al. 2022, "SHAPE").

phi_m = sum over the subsets S without m of |S|! (M - |S| - 1)! / M! * (v(S + m) - v(S)).

A subset is a bit mask: bit m is set where modality m is present. Values of all 2^M subsets are asked, so this is for
the few modalities of a fusion model, not for its pixels.
"""

from __future__ import annotations

from math import factorial

import numpy as np

MAX_MODALITIES = 8  # modalities: 256 subsets
EVERY = 5  # modalities of which every subset is asked; of more all, all but one, single ones and none


def masks(modalities: int) -> np.ndarray:
    """(2^M, M) bool: which modalities are present in subset s = 0, 1, ..., 2^M - 1. Raises ValueError beyond
    MAX_MODALITIES."""
    if not 1 <= modalities <= MAX_MODALITIES:
        raise ValueError(f"got {modalities} modalities, expected 1 to {MAX_MODALITIES}")
    return (np.arange(2**modalities)[:, None] >> np.arange(modalities)) % 2 == 1


def listed(modalities: int) -> np.ndarray:
    """(S, M) bool: every subset, nothing first and all last; of many modalities a choice of them."""
    if modalities <= EVERY:
        return masks(modalities)
    one, whole = np.eye(modalities, dtype=bool), np.ones((1, modalities), dtype=bool)
    return np.concatenate([~whole, one, ~one[::-1], whole])


def shapley(values: np.ndarray) -> np.ndarray:
    """(2^M, ...) the value of every subset, as :func:`masks` orders them -> (M, ...): each modality's share.

    The shares sum to the value of all less that of none; a modality that changes no subset's value has exactly 0.
    """
    count = int(values.shape[0]).bit_length() - 1
    there, size = masks(count), masks(count).sum(1)
    found = np.zeros((count, *values.shape[1:]), dtype=np.result_type(values, np.float64))
    for m in range(count):
        without = np.flatnonzero(~there[:, m])
        share = np.array([factorial(s) * factorial(count - s - 1) / factorial(count) for s in size[without]])
        found[m] = np.tensordot(share, values[without | 1 << m] - values[without], axes=1)
    return found

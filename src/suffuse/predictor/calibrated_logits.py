"""The temperatures that a signature holds, put to use: each row's logits are divided by those of its subset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..temperature_scaling import scaled
from ..types import NUMBER, Head
from .loader import Temperatures

NOTHING = "nothing"  # the subset without a modality


def subset(names: Sequence[str], present: Sequence[bool]) -> str:
    """Its name: the present modalities in the model's order, with a + between them."""
    return "+".join(n for n, there in zip(names, present, strict=True) if there) or NOTHING


def calibrated(
    heads: Sequence[Head], logits: np.ndarray, names: Sequence[str], present: np.ndarray, temperatures: Temperatures
) -> np.ndarray:
    """(B, C) logits of rows with present (B, M) -> logits / T; of a subset without temperatures they stay."""
    if not temperatures:
        return logits
    kept, made = logits, np.empty_like(logits)
    kinds, which = np.unique(present, axis=0, return_inverse=True)
    for number, one in enumerate(kinds.tolist()):
        rows = which.reshape(-1) == number
        found = temperatures.get(subset(names, one))
        made[rows] = scaled(heads, kept[rows], found) if found else kept[rows]
    return made


def calibrated_row(
    heads: Sequence[Head],
    logits: list[float],
    names: Sequence[str],
    present: Sequence[bool],
    temperatures: Temperatures,
) -> list[float]:
    """One row (C,) of :func:`calibrated`, in plain Python."""
    used = temperatures.get(subset(names, present)) if temperatures else None
    if not used:
        return logits
    found: list[float] = []
    for head in heads:
        part = logits[len(found) : len(found) + head.outputs]
        divisor = 1.0 if head.kind == NUMBER else used.get(head.name, 1.0)
        found += [z / divisor for z in part]
    return found

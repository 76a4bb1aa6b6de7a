"""How much of an answer each modality brought: exact Shapley values over the modalities that the record has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..activations import THRESHOLD
from ..errors import UsageError
from ..shapley import MOST, masks, shapley
from ..types import CLASSES, NUMBER, Head

Ask = Callable[[np.ndarray], np.ndarray]  # present (S, M) -> (S, C), what each subset of one record gives


def contributions(
    heads: Sequence[Head], names: Sequence[str], present: np.ndarray, ask: Ask
) -> dict[str, dict[str, float]]:
    """present (M,) -> target -> modality -> its share; exactly 0 of one that the record lacks.

    What is shared out is the answered class's probability; of labels the mean probability of what was decided about
    each; a number's value: all of them less that of nothing. Raises UsageError beyond 8 present modalities.
    """
    here = np.flatnonzero(present)
    if len(here) > MOST:
        raise UsageError("too many modalities to share an answer out", got=len(here), expected=f"at most {MOST}")
    if not len(here):
        return {head.name: dict.fromkeys(names, 0.0) for head in heads}
    there = masks(len(here))
    asked = np.zeros((len(there), len(names)), dtype=bool)
    asked[:, here] = there
    found = ask(asked)
    shares = shapley(_values(heads, found))
    given = np.zeros((len(names), len(heads)))
    given[here] = shares
    return {head.name: dict(zip(names, given[:, n].tolist(), strict=True)) for n, head in enumerate(heads)}


def _values(heads: Sequence[Head], found: np.ndarray) -> np.ndarray:
    """(S, C) of all subsets, the last of which is the whole record -> (S, targets), what is shared out."""
    parts, at = [], 0
    for head in heads:
        part = found[:, at : at + head.outputs].astype(np.float64)
        at += head.outputs
        if head.kind == NUMBER:
            parts.append(part[:, 0])
        elif head.kind == CLASSES:
            parts.append(part[:, part[-1].argmax()])
        else:
            parts.append(np.where(part[-1] > THRESHOLD, part, 1 - part).mean(1))
    return np.stack(parts, axis=1)

"""Which candidate is taken, and why, in a sentence.

Candidates are compared pair by pair on the same validation rows and fresh seeds. The recipe as it is stays unless
another one beats it by more than one standard error of the difference: a search that finds nothing changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .options import SMALL


@dataclass(frozen=True)
class Choice:
    """The candidate's place in the list, and the words."""

    number: int
    words: str


def choose(names: Sequence[str], measured: Sequence[np.ndarray], sizes: Sequence[int], prefer: str) -> Choice:
    """The first candidate is the recipe as it is. ``measured``: (S, R + 1) each, as
    :func:`suffuse.tuning.reruns.measured` gives them; ``prefer``: one of :data:`suffuse.tuning.options.PREFER`."""
    means = [float(m[:, 0].mean()) for m in measured]
    best = max(range(len(means)), key=lambda n: (means[n], -sizes[n], -n))
    if prefer == SMALL:
        return _small(names, measured, sizes, best)
    gain, error = paired(measured[best], measured[0])
    said = f"{means[best]:.4f} on validation against {means[0]:.4f}, {len(measured[0])} fresh seeds"
    if best == 0:
        return Choice(0, f"the recipe as it is stays: none of {len(names) - 1} candidates is better with fresh seeds")
    if gain <= error:
        why = f"the best candidate, {names[best]}, is better by {gain:+.4f}, within one standard error ({error:.4f})"
        return Choice(0, f"the recipe as it is stays: {why}")
    return Choice(best, f"{names[best]}: {said}; the gain {gain:+.4f} is more than one standard error ({error:.4f})")


def _small(names: Sequence[str], measured: Sequence[np.ndarray], sizes: Sequence[int], best: int) -> Choice:
    """The smallest of those that are not worse than the best by more than one standard error (Breiman et al. 1984), nor
    than the recipe as it is."""
    fine = []
    for number, one in enumerate(measured):
        pairs = [paired(other, one) for other in (measured[best], measured[0])]
        if all(gap <= error for gap, error in pairs):
            fine.append(number)
    pick = min(fine or [0], key=lambda n: (sizes[n], -float(measured[n][:, 0].mean()), n))
    if sizes[pick] >= sizes[0]:
        return Choice(0, "the recipe as it is stays: no smaller candidate is within one standard error of the best")
    lost = float(measured[best][:, 0].mean() - measured[pick][:, 0].mean())
    said = f"{sizes[pick]:,} parameters against {sizes[0]:,}, {lost:.4f} below the best on validation"
    return Choice(pick, f"{names[pick]}: the smallest within one standard error ({said})")


def paired(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Mean difference of (S, R + 1) arrays, seed by seed on the same resamples, and its standard error: over groups of
    rows and, with several seeds, over these."""
    gap = ours - theirs
    seeds, resamples = gap.shape[0], gap.shape[1] - 1
    times = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    drawn = (gap[:, 1:] * times.T).sum(0) / seeds
    return float(gap[:, 0].mean()), float(np.nanstd(drawn, ddof=1)) if resamples > 1 else 0.0

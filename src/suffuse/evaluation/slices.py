"""Scores of a part of the test rows: those that have one value in a column of the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..types import Spec
from .intervals import bounds, summary
from .metrics import Draws
from .target_metrics import measure

MOST = 20  # values that are told one by one
REST, EMPTY = "(all others)", "(empty)"


def parts(values: Sequence[str | None]) -> dict[str, np.ndarray]:
    """(N,) cells -> value -> (N,) bool, the commonest first; beyond the 20 commonest, the rest together."""
    named = [EMPTY if v is None else v for v in values]
    kept = [name for name, _ in Counter(named).most_common()]
    if len(kept) > MOST:
        kept = kept[: MOST - 1]
        named = [v if v in kept else REST for v in named]
        kept.append(REST)
    cells = np.array(named, dtype=object)
    return {name: cells == name for name in kept}


def by(
    spec: Spec, answers: Sequence[np.ndarray], target: np.ndarray, draws: Draws, values: Sequence[str | None]
) -> dict[str, dict]:
    """A model's answers (N, C), one array a seed -> value -> rows and metrics; a metric of which there is nothing to
    score is left out."""
    found = {}
    for name, mask in parts(values).items():
        some = draws.of(mask)
        measured = [measure(spec, a[mask], target[mask], some) for a in answers]
        known = [metric for metric, v in measured[0].items() if np.isfinite(v[0])]
        metrics = {
            metric: summary([m[metric] for m in measured], draws.confidence, bounds(metric), some.size)
            for metric in known
        }
        found[name] = {"rows": int(mask.sum()), "metrics": metrics}
    return found

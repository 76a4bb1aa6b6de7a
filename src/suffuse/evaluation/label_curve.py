"""Label efficiency: student and baseline by the share of the labels that they saw, and what the teacher saves of them.

The teacher is the same at every share: it saw all labels. The curve says how far its answers stand in for labels that
the student lacks, not what it takes to have such a teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .intervals import bounds, summary
from .metrics import Draws
from .target_metrics import Measured
from .verdict import compare


def label_curve(
    measured: Mapping[str, Sequence[Measured]], labels: Mapping[float, int], metric: str, draws: Draws
) -> dict[str, Any] | None:
    """A point for each share of ``labels`` (share -> labelled training rows; 1 is all) of which both models are there,
    the smallest first; None where there is one point alone."""
    points = []
    for share in sorted(labels):
        suffix = "" if share == 1 else f"-{share:g}"
        if f"student{suffix}" not in measured or f"baseline{suffix}" not in measured:
            continue
        ours, theirs = ([m[metric] for m in measured[f"{who}{suffix}"]] for who in ("student", "baseline"))
        cards = {
            who: summary(some, draws.confidence, bounds(metric), draws.size)
            for who, some in (("student", ours), ("baseline", theirs))
        }
        verdict = compare(ours, theirs, draws.confidence, bounds(metric), draws.size)
        points.append({"share": share, "labels": labels[share], **cards, "verdict": verdict})
    if len(points) < 2:
        return None
    at = [p["labels"] for p in points], [p["baseline"]["mean"] for p in points]
    for point in points:
        point["baseline_needs"] = needed(*at, point["student"]["mean"])
    return {"metric": metric, "teacher_saw": 1.0, "points": points}


def needed(labels: Sequence[int], scores: Sequence[float], wanted: float) -> int | None:
    """With how many labels the baseline first scores as well: between two points along the logarithm of the number.
    None where it never does, and where it does with the fewest already (nobody knows with how few)."""
    for n in range(1, len(labels)):
        before, after = scores[n - 1], scores[n]
        if before < wanted <= after:
            along = (wanted - before) / (after - before)
            return round(float(np.exp(np.interp(along, [0, 1], np.log([labels[n - 1], labels[n]])))))
    return None

"""Which models of a run are compared, and what is said of each pair, on the main metric.

distillation   every student against the same network trained on labels only
compute        the student against the compute-matched baseline (``distill.rival``)
fusion         what sees all modalities against the same network on each of them alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..types import Spec
from .intervals import bounds
from .mcnemar import mcnemar, right
from .metrics import Draws
from .target_metrics import Measured
from .verdict import compare

DISTILLATION, COMPUTE, FUSION = "distillation", "compute", "fusion"


def pairs(models: Sequence[str]) -> list[tuple[str, str, str]]:
    """(about, who, against) of the models that are there."""
    found = [(DISTILLATION, who, who.replace("student", "baseline")) for who in models if who.startswith("student")]
    found.append((COMPUTE, "student", "rival"))
    for who, floor in (("teacher", "teacher-only-"), ("baseline", "only-")):
        found.extend((FUSION, who, other) for other in models if other.startswith(floor))
    return [pair for pair in found if pair[1] in models and pair[2] in models]


def comparisons(
    measured: Mapping[str, Sequence[Measured]],
    answers: Mapping[str, Sequence[np.ndarray]],
    known: tuple[Spec, np.ndarray],
    metric: str,
    draws: Draws,
) -> list[dict[str, Any]]:
    """A verdict of each pair. ``answers``: who -> of each seed (N, C); ``known``: the spec, and the targets (N,).

    Of a single network against another ("fusion" with one seed) rows alone can speak; a claim on a recipe, as that
    distilling helps, needs two seeds at least.
    """
    found = []
    for about, who, against in pairs(list(measured)):
        ours, theirs = ([m[metric] for m in measured[name]] for name in (who, against))
        fixed = about == FUSION and len(ours) == 1
        facts = {"about": about, "who": who, "against": against, "metric": metric}
        facts |= compare(ours, theirs, draws.confidence, bounds(metric), draws.size, fixed)
        found.append(facts | paired_rows((answers[who][0], answers[against][0]), known, draws))
    return found


def paired_rows(answers: tuple[np.ndarray, np.ndarray], known: tuple[Spec, np.ndarray], draws: Draws) -> dict[str, Any]:
    """McNemar's test on the first seed of both, where rows are right or wrong: ``mcnemar``, and its ``p_mcnemar``: of
    groups where rows come in groups, else exact."""
    ours, theirs = (right(known[0], one, known[1]) for one in answers)
    if ours is None or theirs is None:
        return {}
    facts = mcnemar(ours, theirs, draws.group)
    return {"p_mcnemar": facts.get("p_groups", facts["p"]), "mcnemar": facts}

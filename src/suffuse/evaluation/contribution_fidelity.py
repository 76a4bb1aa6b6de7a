"""Contribution fidelity: does a student use the modalities as its teacher does, or is it right for other reasons?

For every row, exact Shapley values over modalities of one number, of both models: the probability of the class that the
teacher answers with everything (of labels: of each label; of a number: the number, in deviations of its target). They
sum to that number with everything less the prior's. Two models that agree on an answer may owe it to different
modalities, and then fail on different rows once one is missing. A modality that a model doesn't read counts 0; forms of
one input are one (:mod:`suffuse.evaluation.row_inputs`): a teacher's large photo and its student's small one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..shapley import shapley
from ..types import CLASSES, NUMBER, Spec
from .context import Context, Model
from .intervals import CORRELATION, ERROR, SHARE, Range, bounds, difference_bounds, summary
from .metrics import Draws, per_group, ratio
from .modality_subsets import rows_of, subsets
from .row_inputs import grouped

NOTHING = 1e-6  # a row's values that are all smaller say nothing about order


def fidelity(context: Context, model: Model, worth: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """The model beside its teacher; nothing where one of them was not asked on every subset, or is the teacher.

    ``worth``: who -> (S, R + 1) a seed, the metric of every subset."""
    teacher = context.models.get("teacher")
    if teacher is None or model.who == "teacher" or teacher.who not in worth:
        return {}
    theirs, ours = subsets(context, teacher), subsets(context, model)
    names = grouped(context.recipe, context.spec.names)[0]
    if not (theirs.exact and ours.exact) or len({*theirs.names, *ours.names}) < 2:
        return {}
    where = rows_of(context)
    taught = theirs.logits[teacher.reference]
    said = activate(context.spec.heads, taught[-1])
    wanted = placed(shares(context.spec, taught, said), theirs.names, names)
    found = [placed(shares(context.spec, z, said), ours.names, names) for z in ours.logits.values()]
    compared = [alike(one, wanted) for one in found]
    ranges = measures(context.spec)
    facts = {key: _mean([c[key] for c in compared], context.drawn(where), ranges[key]) for key in compared[0]}
    seed = list(theirs.logits).index(teacher.reference)
    metric = placed(shapley(worth["teacher"][seed]), theirs.names, names)
    most = difference_bounds(difference_bounds(bounds(main_metric(context.spec.heads))))[1]
    gaps = [np.abs(placed(shapley(v), ours.names, names) - metric).mean(0) for v in worth[model.who]]
    return {
        "rows": len(where),
        **{key: value for key, value in facts.items() if value},
        "metric_difference": summary(gaps, context.confidence, (0.0, most)),
        "model": _sizes(np.mean([np.abs(one).mean((1, 2)) for one in found], axis=0), names),
        "teacher": _sizes(np.abs(wanted).mean((1, 2)), names),
    }


def shares(spec: Spec, logits: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Logits (2^M, n, C) on every subset, and what the teacher says (n, C) -> Shapley values (M, n, K) of K numbers."""
    values = np.stack([numbers(spec, activate(spec.heads, one), said) for one in logits.astype(np.float64)])
    return shapley(values)


def numbers(spec: Spec, answers: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Answers (n, C) -> (n, K): the probability of the class in ``said``, of each label, a number in deviations."""
    found = []
    for (head, part), (_, theirs) in zip(spec.parts(answers), spec.parts(said), strict=True):
        if head.kind == CLASSES:
            found.append(np.take_along_axis(part, theirs.argmax(1)[:, None], axis=1))
        else:
            found.append((part - head.mean) / head.std if head.kind == NUMBER else part)
    return np.concatenate(found, axis=1)


def placed(values: np.ndarray, own: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """(M_own, ...) among all inputs (M, ...), 0 for those that a model doesn't read."""
    found = np.zeros((len(names), *values.shape[1:]))
    found[[names.index(name) for name in own]] = values
    return found


def measures(spec: Spec) -> dict[str, Range]:
    """The range of each measure of :func:`alike`. A Shapley value of a probability lies between -1 and 1, so two
    differ by 2 at most; those of a number have no end."""
    largest = ERROR if any(head.kind == NUMBER for head in spec.heads) else (0.0, 2.0)
    return {"difference": largest, "cosine": CORRELATION, "rank": CORRELATION, "same_first": SHARE}


def alike(ours: np.ndarray, theirs: np.ndarray) -> dict[str, np.ndarray]:
    """Shapley values (M, n, K) twice -> (n,) of each measure, the mean over the K numbers; NaN where a row says
    nothing."""
    sizes = np.minimum(np.abs(ours).max(0), np.abs(theirs).max(0))
    said = sizes > NOTHING
    lengths = np.sqrt((ours**2).sum(0) * (theirs**2).sum(0))
    cosine = np.divide((ours * theirs).sum(0), lengths, out=np.zeros_like(lengths), where=said).clip(-1, 1)
    first = np.abs(ours).argmax(0) == np.abs(theirs).argmax(0)
    return {
        "difference": np.abs(ours - theirs).mean((0, 2)),
        "cosine": _over(cosine, said),
        "rank": _over(spearman(ours, theirs), said),
        "same_first": _over(first.astype(float), said),
    }


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(M, ...) twice -> (...): the correlation of ranks along the first axis; equal values share a rank."""
    x, y = (_ranks(v) for v in (a, b))
    x, y = x - x.mean(0), y - y.mean(0)
    size = np.sqrt((x**2).sum(0) * (y**2).sum(0))
    return np.divide((x * y).sum(0), size, out=np.zeros_like(size), where=size > 0).clip(-1, 1)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean ranks along the first axis."""
    lower = (values[:, None] > values[None]).sum(1)
    return lower + 0.5 * ((values[:, None] == values[None]).sum(1) - 1)


def _over(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(n, K) -> (n,) means over what is known; NaN where nothing is."""
    count = known.sum(1)
    return np.divide(np.where(known, values, 0).sum(1), count, out=np.full(len(count), np.nan), where=count > 0)


def _mean(values: list[np.ndarray], draws: Draws, within: Range) -> dict:
    """Rows' values (n,), one array a seed -> their mean with an interval; rows of NaN are left out, and nothing is told
    where there are no others."""
    if any(not np.isfinite(one).any() for one in values):
        return {}
    means = []
    for one in values:
        known = np.isfinite(one)
        total = per_group(np.where(known, one, 0), draws) @ draws.weight.T
        means.append(ratio(total, per_group(known.astype(float), draws) @ draws.weight.T))
    return summary(means, draws.confidence, within)


def _sizes(values: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))

"""Contribution fidelity: does a student use the modalities as its teacher does, or is it right for other reasons?

For every row, exact Shapley values over inputs of both models, for one number: the probability of the class that the
teacher predicts on all inputs (of labels: each label's; of a number: the number, in standard deviations of its target).
They sum to that number on all inputs less the prior's. Two models that agree may owe their prediction to different
inputs, and then fail on different rows when one is missing. An input that a model doesn't read counts 0; forms of one
input are one (:mod:`suffuse.evaluation.modality_subsets`). Shapes: I inputs, n rows, K numbers, R resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..shapley import shapley
from ..transcripts.frame_predictions import agreeing_frames
from ..types import CLASSES, NUMBER, TOKENS, Spec
from .context import Context, Model
from .intervals import CORRELATION, ERROR, SHARE, Range, bounds, difference_bounds, summary
from .metrics import Draws, ratio
from .modality_subsets import group_inputs, subset_logits, subset_rows

NEGLIGIBLE = 1e-6  # a row whose values are all smaller has no order of inputs


def fidelity(context: Context, model: Model, values: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """The model compared with its teacher; empty for the teacher itself, and where not every subset is known of both.

    ``values``: model -> (S, R + 1) per seed, the metric of every subset."""
    teacher = context.models.get("teacher")
    if teacher is None or model.name == "teacher" or teacher.name not in values:
        return {}
    reference, subsets = subset_logits(context, teacher), subset_logits(context, model)
    inputs = group_inputs(context.recipe, context.spec.names)[0]
    if not (reference.exhaustive and subsets.exhaustive) or len({*reference.inputs, *subsets.inputs}) < 2:
        return {}
    rows, spec = subset_rows(context), context.spec
    teacher_logits = reference.logits[teacher.reference]
    predicted = activate(spec.heads, teacher_logits[-1])
    wanted = align(row_shapley(spec, teacher_logits, predicted), reference.inputs, inputs)
    seeds = [align(row_shapley(spec, z, predicted), subsets.inputs, inputs) for z in subsets.logits.values()]
    measures = [similarity(shares, wanted) for shares in seeds]
    ranges, draws = similarity_ranges(spec), context.draws.of(rows)
    facts = {key: _mean([m[key] for m in measures], draws, ranges[key]) for key in measures[0]}
    seed = list(reference.logits).index(teacher.reference)
    metric = align(shapley(values["teacher"][seed]), reference.inputs, inputs)
    widest = difference_bounds(difference_bounds(bounds(main_metric(spec.heads))))[1]
    gaps = [np.abs(align(shapley(v), subsets.inputs, inputs) - metric).mean(0) for v in values[model.name]]
    return {
        "rows": len(rows),
        **{key: value for key, value in facts.items() if value},
        "metric_difference": summary(gaps, context.confidence, (0.0, widest)),
        "model": _by_input(np.mean([np.abs(shares).mean((1, 2)) for shares in seeds], axis=0), inputs),
        "teacher": _by_input(np.abs(wanted).mean((1, 2)), inputs),
    }


def row_shapley(spec: Spec, logits: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Logits (2^I, n, C) on every subset, and the teacher's predictions (n, C) -> Shapley values (I, n, K)."""
    subsets = (activate(spec.heads, subset) for subset in logits.astype(np.float64))
    return shapley(np.stack([explained_numbers(spec, predictions, predicted) for predictions in subsets]))


def explained_numbers(spec: Spec, predictions: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Predictions (n, C) -> (n, K): the probability of the class in ``predicted``, of each label, each number in
    standard deviations, and of a sequence the mean probability of the units in ``predicted``."""
    columns = []
    for (head, part), (_, teacher) in zip(spec.parts(predictions), spec.parts(predicted), strict=True):
        if head.kind == CLASSES:
            columns.append(np.take_along_axis(part, teacher.argmax(1)[:, None], axis=1))
        elif head.kind == TOKENS:
            columns.append(agreeing_frames(head, part, teacher)[:, None])
        else:
            columns.append((part - head.mean) / head.std if head.kind == NUMBER else part)
    return np.concatenate(columns, axis=1)


def align(values: np.ndarray, own: tuple[str, ...], inputs: tuple[str, ...]) -> np.ndarray:
    """Values of a model's own inputs (I_own, ...) -> of all inputs (I, ...), 0 for those that it doesn't read."""
    aligned = np.zeros((len(inputs), *values.shape[1:]))
    aligned[[inputs.index(name) for name in own]] = values
    return aligned


def similarity_ranges(spec: Spec) -> dict[str, Range]:
    """The range of each measure of :func:`similarity`. A Shapley value of a probability lies between -1 and 1, so two
    differ by 2 at most; those of a number are unbounded."""
    largest = ERROR if any(head.kind == NUMBER for head in spec.heads) else (0.0, 2.0)
    return {"difference": largest, "cosine": CORRELATION, "rank": CORRELATION, "same_first": SHARE}


def similarity(student: np.ndarray, teacher: np.ndarray) -> dict[str, np.ndarray]:
    """Shapley values (I, n, K) of two models -> (n,) of each measure, the mean over the K numbers; NaN in a row whose
    values are negligible."""
    sizes = np.minimum(np.abs(student).max(0), np.abs(teacher).max(0))
    known = sizes > NEGLIGIBLE
    norms = np.sqrt((student**2).sum(0) * (teacher**2).sum(0))
    cosine = np.divide((student * teacher).sum(0), norms, out=np.zeros_like(norms), where=known).clip(-1, 1)
    first = np.abs(student).argmax(0) == np.abs(teacher).argmax(0)
    return {
        "difference": np.abs(student - teacher).mean((0, 2)),
        "cosine": _mean_over(cosine, known),
        "rank": _mean_over(spearman(student, teacher), known),
        "same_first": _mean_over(first.astype(float), known),
    }


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(I, ...) twice -> (...): rank correlation along the first axis; ties share their mean rank."""
    x, y = (_ranks(v) for v in (a, b))
    x, y = x - x.mean(0), y - y.mean(0)
    size = np.sqrt((x**2).sum(0) * (y**2).sum(0))
    return np.divide((x * y).sum(0), size, out=np.zeros_like(size), where=size > 0).clip(-1, 1)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean ranks along the first axis."""
    lower = (values[:, None] > values[None]).sum(1)
    return lower + 0.5 * ((values[:, None] == values[None]).sum(1) - 1)


def _mean_over(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(n, K) -> (n,) means over the known values; NaN where there are none."""
    count = known.sum(1)
    return np.divide(np.where(known, values, 0).sum(1), count, out=np.full(len(count), np.nan), where=count > 0)


def _mean(seeds: list[np.ndarray], draws: Draws, within: Range) -> dict:
    """Values of the rows (n,), one array per seed -> their mean with an interval, without rows of NaN; empty where a
    seed has no other rows."""
    if any(not np.isfinite(values).any() for values in seeds):
        return {}
    means = []
    for values in seeds:
        known = np.isfinite(values)
        means.append(ratio(draws.sums(np.where(known, values, 0)), draws.sums(known)))
    return summary(means, draws.confidence, within)


def _by_input(values: np.ndarray, inputs: tuple[str, ...]) -> dict[str, float]:
    return dict(zip(inputs, values.tolist(), strict=True))

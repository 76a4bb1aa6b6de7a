"""Intervals end where the quantity's range does: every metric and probe, on random predictions with few rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from probe_tools import NAMES, toy_columns, toy_context
from range_tools import METRICS, intervals, outside

from suffuse.evaluation import agreement, contribution, missing_modalities, ranking_metrics, robustness
from suffuse.evaluation.calibration import calibration_on_test, calibration_with_intervals
from suffuse.evaluation.comparisons import comparisons
from suffuse.evaluation.context import Context
from suffuse.evaluation.intervals import RANGES, bounds, difference_bounds, summary
from suffuse.evaluation.label_curve import label_curve
from suffuse.evaluation.slices import leak_free_metrics, metrics_by_value
from suffuse.report.metric_format import METRICS as SHOWN
from suffuse.types import Head

HEADS = {
    "accuracy": Head("y", "classes", tuple("pqrstu")),
    "micro_f1": Head("y", "labels", tuple("pqr")),
    "r2": Head("y", "number", (), 1.0, 2.0),
    "word_accuracy": Head("y", "tokens", ("a", "b"), units="words", frames=4, frame=0.04, length=3),
}
PROBES = (ranking_metrics, agreement, missing_modalities, contribution, robustness)


def targets(head: Head, rows: int, random: np.random.Generator) -> np.ndarray:
    if head.kind == "classes":
        return random.integers(0, head.outputs, rows)
    if head.kind == "labels":
        return random.integers(0, 2, (rows, head.outputs)).astype(np.float32)
    if head.kind == "tokens":
        codes = random.integers(1, head.frame_outputs + 1, (rows, head.length))
        return np.concatenate([random.integers(1, head.length + 1, (rows, 1)), codes], 1).astype(np.float32)
    return random.normal(size=(rows, 1)).astype(np.float32)


def random_context(head: Head, rows: int, seeds: int, seed: int) -> Context:
    """Models that answer with random linear functions of three modalities; two rows to a group."""
    random = np.random.default_rng(seed)

    def model():
        weights = random.normal(size=(len(NAMES), head.outputs)) * random.choice([0.1, 1, 30])
        return NAMES, lambda x, present: x @ weights

    columns = toy_columns(rows, targets(head, rows, random), random.normal(size=(rows, 3)), head)
    columns.group[:] = np.arange(rows) // 2
    who = {"teacher": 1, "student": seeds, "baseline": seeds, "student-0.5": seeds, "baseline-0.5": seeds}
    return toy_context(columns, {name: [model() for _ in range(count)] for name, count in who.items()})


def scorecards(context: Context, main: str) -> dict[str, Any]:
    """All that evaluate would say with an interval."""
    spec, target, draws, found = context.spec, context.target, context.draws, {}
    answers = {who: list(model.predictions(spec).values()) for who, model in context.models.items()}
    for who, measured in context.metrics.items():
        metrics = {m: summary([s[m] for s in measured], 0.95, bounds(m), draws.size) for m in measured[0]}
        cells = ["x", "y"] * len(target)
        found[who] = {
            "metrics": metrics,
            **calibration_with_intervals(spec, answers[who], target, draws),
            "by": metrics_by_value(spec, answers[who], target, draws, cells[: len(target)]),
            "clean": leak_free_metrics(
                context.columns, context.rows, answers[who], draws, {"contents": context.rows < 1}
            ),
        }
    for probe in PROBES:
        for who, facts in probe.probe(context).items():
            found[who][probe.__name__] = facts
    pairs = comparisons(context.metrics, answers, (spec, target), main, draws)
    curve = label_curve(context.metrics, {0.5: 10, 1: 20}, main, draws)
    return {**found, "verdict": pairs, "curve": curve}


@pytest.mark.parametrize(
    "main", ["accuracy", "r2", *(pytest.param(name, marks=pytest.mark.long) for name in ("micro_f1", "word_accuracy"))]
)
@budget(deadline=None, max_examples=8)
@given(st.integers(5, 12), st.integers(1, 3), st.integers(0, 2**16))
def test_every_interval_lies_in_its_range_and_holds_the_value(main, rows, seeds, seed):
    found = scorecards(random_context(HEADS[main], rows, seeds, seed), main)
    assert len(list(intervals(found))) > 50
    assert outside(found, main) == []


def test_every_metric_that_is_shown_has_a_range_and_the_ranges_are_right():
    assert {name: bounds(name) for name in SHOWN} == METRICS
    assert set(SHOWN) | {"ece", "brier", "kl"} == set(RANGES)
    assert bounds("price:rmse") == bounds("rmse")


@pytest.mark.parametrize(
    ("metric", "ends"),
    [("accuracy", (-1, 1)), ("rmse", (-np.inf, np.inf)), ("r2", (-np.inf, np.inf)), ("brier", (-2, 2))],
)
def test_a_difference_is_at_most_as_large_as_the_range(metric, ends):
    assert difference_bounds(bounds(metric)) == ends


def test_two_seeds_far_apart_would_reach_beyond_100_percent():
    """The t interval of two seeds of which one has all rows right and one few of them."""
    facts = summary([np.full(101, 0.99), np.full(101, 0.7)], 0.95, bounds("top_5_accuracy"))
    assert facts["low"] == 0.0 and facts["high"] == 1.0


def test_temperatures_intervals_lie_in_their_range():
    context = random_context(HEADS["accuracy"], 10, 2, 3)
    found = calibration_on_test(context, list(context.models["student"].logits.values()))
    assert outside(found, "accuracy") == []

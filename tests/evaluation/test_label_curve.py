"""Curves over the share of the labels, and how many labels alone need."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.engine.label_budget import label_budget
from suffuse.evaluation.comparisons import label_curve, labels_needed
from suffuse.evaluation.metrics import draw


def scores(*means: float) -> list[dict[str, np.ndarray]]:
    return [{"accuracy": np.full(101, mean)} for mean in means]


def test_a_point_for_each_share_that_was_trained():
    measured = {
        "student": scores(0.9, 0.92), "baseline": scores(0.9, 0.9),
        "student-0.1": scores(0.8, 0.8), "baseline-0.1": scores(0.6, 0.6), "student-0.5": scores(0.8, 0.8),
    }  # fmt: skip
    draws = draw(np.arange(40), 100, 0.95)
    found = label_curve(measured, {1.0: 1000, 0.1: 100, 0.5: 500}, "accuracy", draws)
    assert found and [(p["share"], p["labels"]) for p in found["points"]] == [(0.1, 100), (1.0, 1000)]
    few, whole = found["points"]
    assert few["verdict"]["verdict"] == "helps" and whole["verdict"]["verdict"] == "no evidence"
    assert few["baseline_needs"] == pytest.approx(100 * 10 ** (2 / 3), abs=1)
    assert whole["baseline_needs"] is None  # nobody knows beyond all labels
    assert label_curve({"student": scores(0.9), "baseline": scores(0.9)}, {1.0: 10}, "accuracy", draws) is None


@pytest.mark.parametrize(
    ("wanted", "labels"), [(0.5, 10), (0.6, 10 * 10**0.5), (0.7, 100), (0.8, 1000), (0.81, None), (0.4, None)]
)
def test_labels_are_read_along_their_logarithm(wanted, labels):
    found = labels_needed([1, 10, 100, 1000], [0.4, 0.5, 0.7, 0.8], wanted)
    assert found == (None if labels is None else round(labels))


def test_labels_of_a_smaller_share_are_among_those_of_a_larger(make_columns):
    columns = make_columns(80)
    few, many, all_ = (label_budget(columns, share, 3) for share in (0.2, 0.6, 1.0))
    assert (many | ~few).all() and few.sum() < many.sum() < all_.sum() == 80
    for group in np.unique(columns.group[columns.rows("train")]):
        rows = columns.rows("train")[columns.group[columns.rows("train")] == group]
        assert len(set(many[rows])) == 1

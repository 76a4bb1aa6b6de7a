"""Curves over the share of the labels, and how many labels alone need."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.engine.label_budget import label_budget
from suffuse.evaluation.label_curve import equivalent, isotonic, label_curve, labels_needed, positions, resampled
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


def test_the_curve_of_the_baseline_is_that_of_its_longest_training():
    measured = {
        "student": scores(0.99, 0.99), "baseline": scores(0.9, 0.9), "baseline-x2": scores(0.95, 0.95),
        "baseline-x8": scores(0.97, 0.97), "student-0.1": scores(0.9, 0.9), "baseline-0.1": scores(0.8, 0.8),
    }  # fmt: skip
    found = label_curve(measured, {1.0: 1000, 0.1: 100}, "accuracy", draw(np.arange(40), 100, 0.95))
    assert found
    few, whole = found["points"]
    assert (whole["longest"]["mean"], whole["baseline"]["mean"], few["longest"]["mean"]) == (0.97, 0.9, 0.8)
    assert few["equivalent"]["share"] == pytest.approx(0.1 * 10 ** (0.1 / 0.17)) and few["equivalent"]["beyond"] == {
        "below": [],
        "above": [],
    }
    assert whole["equivalent"] == {
        "share": 1.0, "low": 1.0, "high": 1.0, "beyond": {"below": [], "above": ["share", "low", "high"]},
    }  # fmt: skip


def test_isotonic_regression_pools_what_falls():
    curves = np.array([[0.1, 0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    expected = [[0.1, 0.25, 0.25, 0.4], [0.1, 0.2, 0.3, 0.4], [0.25] * 4]
    np.testing.assert_allclose(isotonic(curves), expected)


def test_where_a_curve_reaches_a_score():
    curve = np.tile([0.2, 0.4, 0.4, 0.8], (6, 1))
    found = positions(np.arange(4.0), curve, np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.9]))
    np.testing.assert_allclose(found, [-np.inf, 0.0, 0.5, 1.0, 2.5, np.inf])


def test_an_equivalent_share_has_an_interval_over_rows_and_seeds():
    """A curve that rises by 0.1 with each tenfold number of labels; rows and seeds move all models alike, or the
    student alone."""
    random, shares = np.random.default_rng(0), np.array([0.01, 0.1, 1.0])
    rows = np.concatenate([[0.0], 0.01 * random.standard_normal(2000)])
    curve = np.array([0.7, 0.8, 0.9]) + rows[:, None]
    alike = equivalent(shares, curve, 0.8 + rows, 0.95)
    assert (alike["low"], alike["high"]) == pytest.approx((0.1, 0.1)) == (alike["share"], alike["share"])
    alone = equivalent(shares, np.tile([0.7, 0.8, 0.9], (2001, 1)), 0.8 + rows, 0.95)
    assert np.log10([alone["low"], alone["high"]]) == pytest.approx([-1.196, -0.804], abs=0.02)


def test_seeds_that_differ_widen_it():
    draws = draw(np.arange(40), 400, 0.95)
    same, apart = ([np.full(401, v) for v in values] for values in ((0.8, 0.8, 0.8), (0.75, 0.8, 0.85)))
    assert np.ptp(resampled(same, draws)) < 1e-9
    drawn = resampled(apart, draws)
    assert drawn[0] == pytest.approx(0.8) and drawn[1:].std() > 0.05  # the t factor of three seeds
    assert resampled(apart[:1], draws).tolist() == apart[0].tolist()

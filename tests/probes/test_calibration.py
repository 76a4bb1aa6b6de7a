"""Calibration against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from suffuse.probes.calibration import BINS, calibration


def binary(confidence: list[float], right: list[bool]) -> dict:
    sure = np.array(confidence)
    return calibration(np.stack([sure, 1 - sure], axis=1), np.where(right, 0, 1))


def test_right_as_often_as_sure_is_no_error():
    found = binary([0.75] * 8, [True] * 6 + [False] * 2)
    assert found["ece"] == pytest.approx(0)
    assert found["brier"] == pytest.approx(2 * 0.75 * 0.25)


def test_always_sure_and_always_wrong():
    found = binary([1.0] * 5, [False] * 5)
    assert found["ece"] == 1 and found["brier"] == 2
    assert found["bins"][BINS - 1] == {"rows": 5, "confidence": 1.0, "accuracy": 0.0}


def test_bins_are_weighed_by_their_rows():
    found = binary([0.95] * 3 + [0.65], [True, True, False, True])
    assert found["ece"] == pytest.approx(0.75 * abs(0.95 - 2 / 3) + 0.25 * abs(0.65 - 1))
    assert sum(b["rows"] for b in found["bins"]) == 4
    assert found["bins"][6] == {"rows": 1, "confidence": pytest.approx(0.65), "accuracy": 1.0}
    assert found["bins"][0] == {"rows": 0, "confidence": 0.0, "accuracy": 0.0}


@budget(deadline=None, max_examples=40)
@given(st.integers(1, 80), st.integers(2, 5), st.integers(0, 99))
def test_the_brier_score_and_the_bounds(rows, classes, seed):
    random = np.random.default_rng(seed)
    probability, target = random.dirichlet(np.ones(classes), rows), random.integers(0, classes, rows)
    found = calibration(probability, target)
    expected = ((probability - np.eye(classes)[target]) ** 2).sum(1).mean()
    assert found["brier"] == pytest.approx(expected)
    assert 0 <= found["ece"] <= 1 and 0 <= found["brier"] <= 2
    if classes == 2 and len(set(target)) == 2:
        assert found["brier"] == pytest.approx(2 * brier_score_loss(target, probability[:, 1]))


def test_labels_that_training_never_saw_count_as_wrong():
    found = calibration(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 2]))
    assert found["ece"] == pytest.approx(0.4)
    assert found["brier"] == pytest.approx((0.02 + 0.82) / 2)

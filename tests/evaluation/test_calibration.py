"""Calibration against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from suffuse.evaluation.calibration import (
    BINS,
    calibrate,
    calibration_with_intervals,
    class_calibration,
    label_calibration,
)
from suffuse.evaluation.intervals import SHARE, UNBOUNDED, Size, summary
from suffuse.evaluation.metrics import Draws, draw
from suffuse.types import Head, Spec


def binary(confidence: list[float], right: list[bool]) -> dict:
    sure = np.array(confidence)
    return class_calibration(np.stack([sure, 1 - sure], axis=1), np.where(right, 0, 1))


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
    found = class_calibration(probability, target)
    expected = ((probability - np.eye(classes)[target]) ** 2).sum(1).mean()
    assert found["brier"] == pytest.approx(expected)
    assert 0 <= found["ece"] <= 1 and 0 <= found["brier"] <= 2
    if classes == 2 and len(set(target)) == 2:
        assert found["brier"] == pytest.approx(2 * brier_score_loss(target, probability[:, 1]))


def test_labels_that_training_never_saw_count_as_wrong():
    found = class_calibration(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 2]))
    assert found["ece"] == pytest.approx(0.4)
    assert found["brier"] == pytest.approx((0.02 + 0.82) / 2)


def test_labels_are_each_a_question_of_their_own():
    stated, there = np.array([[0.95, 0.15], [0.95, 0.15]]), np.array([[1, 0], [0, 0]])
    found = label_calibration(stated, there)
    assert found["bins"][9] == {"rows": 2, "confidence": pytest.approx(0.95), "accuracy": 0.5}
    assert found["bins"][1] == {"rows": 2, "confidence": pytest.approx(0.15), "accuracy": 0.0}
    assert found["ece"] == pytest.approx((0.45 + 0.15) / 2)
    assert found["brier"] == pytest.approx(brier_score_loss(there.ravel(), stated.ravel()))


CLASSES, LABELS, NUMBER = Head("c", "classes", ("a", "b")), Head("l", "labels", ("x", "y")), Head("n", "number")


def spec(*heads: Head) -> Spec:
    return Spec((), heads, (0.0,) * sum(h.outputs for h in heads))


def test_the_only_target_s_calibration_has_no_name_and_a_number_has_none():
    stated = np.array([[0.8, 0.2], [0.3, 0.7]])
    assert calibrate(spec(CLASSES), stated, np.array([0, 0])) == {
        "calibration": class_calibration(stated, np.array([0, 0]))
    }
    labels = np.array([[1.0, 0], [-1, -1]], dtype=np.float32)  # the second row's are not known
    assert calibrate(spec(LABELS), stated, labels) == {"calibration": label_calibration(stated[:1], labels[:1])}
    assert calibrate(spec(NUMBER), stated[:, :1], np.array([[0.5], [np.nan]])) == {}


def test_of_several_targets_each_is_measured_on_the_rows_that_have_it():
    stated = np.array([[0.8, 0.2, 0.1, 0.9, 5.0], [0.3, 0.7, 0.2, 0.8, 6.0], [0.6, 0.4, 0.5, 0.5, 7.0]])
    target = np.array([[0, 0, 1, 0.5], [-1, 1, 1, np.nan], [1, -1, -1, 0]], dtype=np.float32)
    found = calibrate(spec(CLASSES, LABELS, NUMBER), stated, target)
    assert list(found) == ["calibrations"]
    assert found["calibrations"] == {
        "c": class_calibration(stated[[0, 2], :2], np.array([0, 1])),
        "l": label_calibration(stated[:2, 2:4], target[:2, 1:3]),
    }


def test_a_target_that_no_row_has_is_left_out():
    found = calibrate(spec(CLASSES, LABELS), np.full((2, 4), 0.5), np.array([[-1, 0, 1], [-1, 1, 1]], dtype=np.float32))
    assert list(found["calibrations"]) == ["l"]


def test_intervals_are_of_the_very_resamples_of_rows_and_hold_the_value():
    random = np.random.default_rng(0)
    group, target = np.repeat(np.arange(20), 3), random.integers(0, 3, 60)
    seeds = [random.dirichlet(np.ones(3), 60).astype(np.float32) for _ in range(2)]
    draws, head = draw(group, 200, 0.9), Head("c", "classes", ("a", "b", "c"))
    found = calibration_with_intervals(spec(head), seeds, target, draws)["calibration"]
    assert {k: v for k, v in found.items() if k != "intervals"} == class_calibration(
        np.concatenate(seeds), np.tile(target, 2)
    )
    values: dict[str, list[list[float]]] = {"ece": [], "brier": []}
    for weight in draws.weight[:, group].astype(int):
        each = [class_calibration(np.repeat(s, weight, 0), np.repeat(target, weight)) for s in seeds]
        both = class_calibration(
            np.concatenate([np.repeat(s, weight, 0) for s in seeds]), np.tile(np.repeat(target, weight), 2)
        )
        for name, some in values.items():
            some.append([one[name] + both[name] - np.mean([e[name] for e in each]) for one in each])
    for name, some in values.items():
        wanted = summary(list(np.array(some).T), 0.9, UNBOUNDED, draws.size)
        assert wanted["mean"] == pytest.approx(found[name])
        assert found["intervals"][name] == {k: pytest.approx(max(wanted[k], 0.0), abs=1e-6) for k in ("low", "high")}
        assert found["intervals"][name]["low"] <= found[name] <= found["intervals"][name]["high"]


def test_intervals_of_labels_are_over_all_of_them_and_a_number_has_none():
    stated = np.array([[0.8, 0.2, 0.1, 0.9, 5.0], [0.3, 0.7, 0.2, 0.8, 6.0], [0.6, 0.4, 0.5, 0.5, 7.0]])
    target = np.array([[0, 0, 1, 0.5], [-1, 1, 1, np.nan], [1, -1, -1, 0]], dtype=np.float32)
    one = Draws(np.arange(3), np.array([[1.0, 1, 1], [2, 1, 0]]), 0.9)
    found = calibration_with_intervals(spec(CLASSES, LABELS, NUMBER), [stated], target, one)["calibrations"]
    assert list(found) == ["c", "l"]
    twice = label_calibration(stated[[0, 0, 1], 2:4], target[[0, 0, 1], 1:3])
    wanted = summary([np.array([found["l"]["brier"], twice["brier"]])], 0.9, SHARE, Size(2, 2))
    assert found["l"]["intervals"]["brier"] == {k: pytest.approx(wanted[k]) for k in ("low", "high")}
    alone = calibration_with_intervals(spec(NUMBER), [stated[:, :1]], np.array([[0.5], [np.nan], [1.0]]), one)
    assert alone == {}

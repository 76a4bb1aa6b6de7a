"""Answers of single rows, in words, and which rows are shown: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.report import confusion, examples, reliability, stored_predictions
from suffuse.report.stored_predictions import TargetPredictions
from suffuse.types import CLASSES, LABELS, NUMBER, Head

ROW = np.arange(4)


def predict(head: Head, target: np.ndarray, teacher: list, student: list) -> TargetPredictions:
    models = {"teacher": np.array(teacher), "export": np.array(student)}
    return TargetPredictions(head, ROW[: len(target)], target, head.known(target), models)


@pytest.fixture
def colour() -> TargetPredictions:
    """Right, wrong, unknown, never seen in training."""
    head = Head("colour", CLASSES, ("red", "blue"))
    sure = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]]
    return predict(head, np.array([0, 1, -1, 2]), sure, [[0.7, 0.3], [0.3, 0.7], [0.4, 0.6], [0.1, 0.9]])


@pytest.fixture
def tags() -> TargetPredictions:
    """Both, none of them, unknown, one."""
    head = Head("tags", LABELS, ("big", "warm"))
    target = np.array([[1, 1], [0, 0], [-1, -1], [1, 0]])
    teacher = [[0.9, 0.8], [0.1, 0.3], [0.9, 0.9], [0.9, 0.6]]
    return predict(head, target, teacher, [[0.9, 0.4], [0.1, 0.3], [0.9, 0.9], [0.9, 0.4]])


@pytest.fixture
def price() -> TargetPredictions:
    """Numbers in their own unit; one isn't known."""
    head = Head("price", NUMBER, (), 100.0, 20.0)
    return predict(
        head, np.array([100.0, 120.0, np.nan, 90.0]), [101.0, 118.0, 95.0, 90.5], [97.54321, 160.0, 70.0, 90.00001]
    )


def test_right_is_the_class_or_every_single_label(
    colour: TargetPredictions, tags: TargetPredictions, price: TargetPredictions
):
    assert colour.correct("teacher").tolist() == [True, False, False, False]
    assert colour.correct("export").tolist() == [True, True, False, False]
    assert tags.correct("teacher").tolist() == [True, True, False, False]
    assert tags.correct("export").tolist() == [False, True, False, True]
    assert not price.correct("export").any()


def test_a_class_is_said_with_how_sure_it_is(colour: TargetPredictions):
    found = stored_predictions.describe_row(colour, 1)
    assert (found["true"], found["note"]) == ("blue", "")
    assert [(a["model"], a["text"], a["detail"], a["correct"]) for a in found["predictions"]] == [
        ("teacher", "red", "80.0\u00a0%", False),
        ("student", "blue", "70.0\u00a0%", True),
    ]
    assert stored_predictions.describe_row(colour, 2)["true"] == ""
    assert [a["correct"] for a in stored_predictions.describe_row(colour, 2)["predictions"]] == [None, None]
    assert stored_predictions.describe_row(colour, 3)["true"] == "another class"
    assert "never in training" in stored_predictions.describe_row(colour, 3)["note"]
    assert stored_predictions.describe_row(colour, 3, "green")["true"] == "green"


def test_labels_are_said_as_a_list_as_sure_as_the_least_sure_of_them(tags: TargetPredictions):
    found = stored_predictions.describe_row(tags, 0)
    assert found["true"] == "big, warm"
    assert [(a["text"], a["detail"], a["correct"]) for a in found["predictions"]] == [
        ("big, warm", "80.0\u00a0%", True),
        ("big", "60.0\u00a0%", False),
    ]
    assert stored_predictions.describe_row(tags, 1)["true"] == "no label"
    assert stored_predictions.describe_row(tags, 1)["predictions"][0]["text"] == "no label"


def test_a_number_is_said_with_how_far_off_it_is_and_never_right_or_wrong(price: TargetPredictions):
    found = stored_predictions.describe_row(price, 0)
    assert found["true"] == "100"
    assert [(a["text"], a["detail"], a["correct"]) for a in found["predictions"]] == [
        ("101", "1 too high", None),
        ("97.5", "2.5 too low", None),
    ]
    unknown = stored_predictions.describe_row(price, 2)
    assert (unknown["true"], unknown["predictions"][1]["detail"]) == ("", "")


def test_an_almost_exact_number_is_neither_too_high_nor_too_low(price: TargetPredictions):
    assert stored_predictions.describe_row(price, 3)["predictions"][1]["detail"] == "hardly off"


def test_rows_are_chosen_by_what_their_targets_can_get_wrong(
    colour: TargetPredictions, tags: TargetPredictions, price: TargetPredictions
):
    (_, rule, differ), (_, _, wrong) = examples.rules([colour])
    assert (differ.tolist(), wrong.tolist()) == ([1], [3])
    assert rule.endswith("different answers")
    (_, _, differ), (_, rule, wrong) = examples.rules([colour, tags])
    assert (differ.tolist(), wrong.tolist()) == ([0, 1, 3], [0, 3])
    assert rule.endswith("in any target")
    assert examples.rules([colour, price])[0][1].endswith("in a target of classes or labels")


def test_of_numbers_alone_those_that_lie_furthest_apart_and_furthest_off(price: TargetPredictions):
    (_, _, apart), (_, _, off) = examples.rules([price])
    assert apart.tolist() == [1, 2, 0, 3]
    assert off.tolist() == [1, 0, 3]  # an unknown one is not off


def test_a_label_that_nobody_has_or_says_has_no_score():
    true, given = np.array([[1, 0, 0], [1, 0, 1]], bool), np.array([[1, 0, 1], [0, 0, 0]], bool)
    precision, recall, f1 = confusion.label_scores(true, given)
    assert precision.tolist() == pytest.approx([1.0, np.nan, 0.0], nan_ok=True)
    assert recall.tolist() == pytest.approx([0.5, np.nan, 0.0], nan_ok=True)
    assert f1.tolist() == pytest.approx([2 / 3, np.nan, 0.0], nan_ok=True)


def test_of_many_labels_the_most_frequent_are_shown():
    classes = tuple(f"l{n}" for n in range(confusion.MAX_LABELS + 5))
    true = (np.arange(len(classes))[None] <= np.arange(len(classes))[:, None]).astype(float)
    head = Head("tags", LABELS, classes)
    many = TargetPredictions(
        head, np.arange(len(true)), true, head.known(true), dict.fromkeys(("teacher", "export"), true * 0.9)
    )
    found = confusion._of_labels(many)
    assert found["all"] == len(classes)
    assert [line["name"] for line in found["lines"]] == list(classes[: confusion.MAX_LABELS])
    assert {p for line in found["lines"] for p in line["scores"]} == {"1.00"}


def test_a_picture_of_numbers_reaches_over_all_but_a_few():
    values = np.concatenate([np.linspace(0, 100, 999), [1e9]])
    low, high = reliability.axis_limits([values])
    assert -10 < low <= 0
    assert 100 <= high < 110
    assert reliability.axis_limits([np.full(5, 3.0)]) == (2.0, 4.0)
    assert len(reliability.subsample(np.arange(10_000))) <= reliability.MAX_POINTS
    assert len(reliability.subsample(np.arange(7))) == 7


def test_numbers_come_with_how_far_off_half_and_most_of_them_are(price: TargetPredictions):
    (found,) = reliability.numbers([price])
    teacher, student = found["charts"]
    assert (teacher["half"], teacher["bias"]) == ("1", "0.2 too low")
    assert student["most"] == "32.5"
    assert found["rows"] == 3
    assert "<script" not in str(teacher["chart"]) and "clip" in str(teacher["chart"])


def test_of_many_targets_only_some_are_drawn(price: TargetPredictions):
    found = reliability.numbers([price] * (reliability.MAX_CHARTS + 1))
    assert [f["drawn"] for f in found] == [True] * reliability.MAX_CHARTS + [False]
    assert found[-1]["charts"][0]["chart"] is None
    assert found[-1]["charts"][0]["half"] == "1"

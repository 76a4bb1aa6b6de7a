"""Answers of single rows, in words, and which rows are shown: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.report import confusion, examples, reliability, row_predictions
from suffuse.report.test_predictions import Told
from suffuse.types import CLASSES, LABELS, NUMBER, Head

ROW = np.arange(4)


def told(head: Head, target: np.ndarray, teacher: list, student: list) -> Told:
    models = {"teacher": np.array(teacher), "export": np.array(student)}
    return Told(head, ROW[: len(target)], target, head.known(target), models)


@pytest.fixture
def colour() -> Told:
    """Right, wrong, unknown, never seen in training."""
    head = Head("colour", CLASSES, ("red", "blue"))
    sure = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]]
    return told(head, np.array([0, 1, -1, 2]), sure, [[0.7, 0.3], [0.3, 0.7], [0.4, 0.6], [0.1, 0.9]])


@pytest.fixture
def tags() -> Told:
    """Both, none of them, unknown, one."""
    head = Head("tags", LABELS, ("big", "warm"))
    target = np.array([[1, 1], [0, 0], [-1, -1], [1, 0]])
    teacher = [[0.9, 0.8], [0.1, 0.3], [0.9, 0.9], [0.9, 0.6]]
    return told(head, target, teacher, [[0.9, 0.4], [0.1, 0.3], [0.9, 0.9], [0.9, 0.4]])


@pytest.fixture
def price() -> Told:
    """Numbers in their own unit; one isn't known."""
    head = Head("price", NUMBER, (), 100.0, 20.0)
    return told(
        head, np.array([100.0, 120.0, np.nan, 90.0]), [101.0, 118.0, 95.0, 90.5], [97.54321, 160.0, 70.0, 90.00001]
    )


def test_right_is_the_class_or_every_single_label(colour: Told, tags: Told, price: Told):
    assert colour.right("teacher").tolist() == [True, False, False, False]
    assert colour.right("export").tolist() == [True, True, False, False]
    assert tags.right("teacher").tolist() == [True, True, False, False]
    assert tags.right("export").tolist() == [False, True, False, True]
    assert not price.right("export").any()


def test_a_class_is_said_with_how_sure_it_is(colour: Told):
    found = row_predictions.answers(colour, 1)
    assert (found["true"], found["note"]) == ("blue", "")
    assert [(a["who"], a["said"], a["more"], a["right"]) for a in found["answers"]] == [
        ("teacher", "red", "80.0\u00a0%", False),
        ("student", "blue", "70.0\u00a0%", True),
    ]
    assert row_predictions.answers(colour, 2)["true"] == ""
    assert [a["right"] for a in row_predictions.answers(colour, 2)["answers"]] == [None, None]
    assert row_predictions.answers(colour, 3)["true"] == "another class"
    assert "never in training" in row_predictions.answers(colour, 3)["note"]
    assert row_predictions.answers(colour, 3, "green")["true"] == "green"


def test_labels_are_said_as_a_list_as_sure_as_the_least_sure_of_them(tags: Told):
    found = row_predictions.answers(tags, 0)
    assert found["true"] == "big, warm"
    assert [(a["said"], a["more"], a["right"]) for a in found["answers"]] == [
        ("big, warm", "80.0\u00a0%", True),
        ("big", "60.0\u00a0%", False),
    ]
    assert row_predictions.answers(tags, 1)["true"] == "no label"
    assert row_predictions.answers(tags, 1)["answers"][0]["said"] == "no label"


def test_a_number_is_said_with_how_far_off_it_is_and_never_right_or_wrong(price: Told):
    found = row_predictions.answers(price, 0)
    assert found["true"] == "100"
    assert [(a["said"], a["more"], a["right"]) for a in found["answers"]] == [
        ("101", "1 too high", None),
        ("97.5", "2.5 too low", None),
    ]
    unknown = row_predictions.answers(price, 2)
    assert (unknown["true"], unknown["answers"][1]["more"]) == ("", "")


def test_an_almost_exact_number_is_neither_too_high_nor_too_low(price: Told):
    assert row_predictions.answers(price, 3)["answers"][1]["more"] == "hardly off"


def test_rows_are_chosen_by_what_their_targets_can_get_wrong(colour: Told, tags: Told, price: Told):
    (_, rule, differ), (_, _, wrong) = examples.chosen([colour])
    assert (differ.tolist(), wrong.tolist()) == ([1], [3])
    assert rule.endswith("different answers")
    (_, _, differ), (_, rule, wrong) = examples.chosen([colour, tags])
    assert (differ.tolist(), wrong.tolist()) == ([0, 1, 3], [0, 3])
    assert rule.endswith("in any target")
    assert examples.chosen([colour, price])[0][1].endswith("in a target of classes or labels")


def test_of_numbers_alone_those_that_lie_furthest_apart_and_furthest_off(price: Told):
    (_, _, apart), (_, _, off) = examples.chosen([price])
    assert apart.tolist() == [1, 2, 0, 3]
    assert off.tolist() == [1, 0, 3]  # an unknown one is not off


def test_a_label_that_nobody_has_or_says_has_no_score():
    true, given = np.array([[1, 0, 0], [1, 0, 1]], bool), np.array([[1, 0, 1], [0, 0, 0]], bool)
    precision, recall, f1 = confusion.found_labels(true, given)
    assert precision.tolist() == pytest.approx([1.0, np.nan, 0.0], nan_ok=True)
    assert recall.tolist() == pytest.approx([0.5, np.nan, 0.0], nan_ok=True)
    assert f1.tolist() == pytest.approx([2 / 3, np.nan, 0.0], nan_ok=True)


def test_of_many_labels_the_most_frequent_are_shown():
    classes = tuple(f"l{n}" for n in range(confusion.MOST_LABELS + 5))
    true = (np.arange(len(classes))[None] <= np.arange(len(classes))[:, None]).astype(float)
    head = Head("tags", LABELS, classes)
    many = Told(head, np.arange(len(true)), true, head.known(true), dict.fromkeys(("teacher", "export"), true * 0.9))
    found = confusion.of_labels(many)
    assert found["all"] == len(classes)
    assert [line["name"] for line in found["lines"]] == list(classes[: confusion.MOST_LABELS])
    assert {p for line in found["lines"] for p in line["parts"]} == {"1.00"}


def test_a_picture_of_numbers_reaches_over_all_but_a_few():
    values = np.concatenate([np.linspace(0, 100, 999), [1e9]])
    low, high = reliability.span([values])
    assert -10 < low <= 0
    assert 100 <= high < 110
    assert reliability.span([np.full(5, 3.0)]) == (2.0, 4.0)
    assert len(reliability.some(np.arange(10_000))) <= reliability.MOST_POINTS
    assert len(reliability.some(np.arange(7))) == 7


def test_numbers_come_with_how_far_off_half_and_most_of_them_are(price: Told):
    (found,) = reliability.numbers([price])
    teacher, student = found["charts"]
    assert (teacher["half"], teacher["bias"]) == ("1", "0.2 too low")
    assert student["most"] == "32.5"
    assert found["rows"] == 3
    assert "<script" not in str(teacher["chart"]) and "clip" in str(teacher["chart"])


def test_of_many_targets_only_some_are_drawn(price: Told):
    found = reliability.numbers([price] * (reliability.DRAWN + 1))
    assert [f["drawn"] for f in found] == [True] * reliability.DRAWN + [False]
    assert found[-1]["charts"][0]["chart"] is None
    assert found[-1]["charts"][0]["half"] == "1"

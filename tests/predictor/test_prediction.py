"""What is said of a record: the most probable ones, and who abstains."""

from __future__ import annotations

import math

import numpy as np
import pytest

from suffuse.activations import activate, activate_row
from suffuse.errors import UsageError
from suffuse.predictor.prediction import answers
from suffuse.types import Head

HEADS = (Head("colour", "classes", ("a", "b", "c")), Head("tags", "labels", ("x", "y")), Head("price", "number"))
ROW = [0.25, 0.5, 0.25, 0.875, 0.25, 7.5]


def test_a_row_by_hand():
    colour, tags, price = answers(HEADS, ROW).values()
    assert (colour.value, colour.confidence, colour.probabilities) == ("b", 0.5, {"a": 0.25, "b": 0.5, "c": 0.25})
    assert (tags.value, tags.confidence) == (("x",), 0.75)
    assert (price.value, price.confidence, price.probabilities) == (7.5, None, {})
    assert colour.top(2) == [("b", 0.5), ("a", 0.25)]  # of equal ones the model's order
    assert colour.top(9) == [("b", 0.5), ("a", 0.25), ("c", 0.25)] and colour.top(0) == []
    assert tags.top(1) == [("x", 0.875)] and price.top(3) == []


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        (None, [False, False, False]),
        (0.5, [False, False, False]),
        (0.51, [True, False, False]),
        (1, [True, True, False]),
    ],
)
def test_who_is_less_sure_abstains_and_still_says_what_it_would(threshold, said):
    found = answers(HEADS, ROW, threshold)
    assert [a.abstained for a in found.values()] == said
    assert [a.value for a in found.values()] == ["b", ("x",), 7.5]


def test_abstention_through_the_predictor(predictor, records, root):
    plain = predictor.predict(records, root)
    middle = sorted(p.confidence for p in plain)[len(plain) // 2]
    found = predictor.predict(records, root, threshold=middle)
    assert [p.first.abstained for p in found] == [p.confidence < middle for p in plain]
    assert {p.first.abstained for p in found} == {True, False}
    assert [p.label for p in found] == [p.label for p in plain]
    assert not any(p.first.abstained for p in plain)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), "0.5"])
def test_a_threshold_that_is_no_probability(predictor, threshold):
    with pytest.raises(UsageError, match="threshold"):
        predictor.predict({}, threshold=threshold)


@pytest.mark.parametrize("size", [0.1, 30.0, 1e4])
def test_a_row_alone_is_the_row_of_many(size):
    heads = (*HEADS[:2], Head("price", "number", mean=5.0, std=2.0))
    logits = size * np.random.default_rng(2).normal(size=(50, 6))
    logits[0, 3:5] = 0.0
    found = [activate_row(heads, row) for row in logits.tolist()]
    np.testing.assert_allclose(found, activate(heads, logits), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(found, activate(heads, logits.astype(np.float32)), rtol=0, atol=2e-6 * max(size, 1))
    assert np.isfinite(found).all()


def test_a_row_alone_by_hand():
    heads = (Head("tags", "labels", ("x", "y")), Head("colour", "classes", ("a", "b")))
    third = math.log(3)
    assert activate_row(heads, [third, -third, third, 0.0]) == pytest.approx([0.75, 0.25, 0.75, 0.25], abs=1e-15)

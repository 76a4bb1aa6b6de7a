"""Targets of every kind: cells in, heads and numbers out; what can't be read leaves its row out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from suffuse.errors import SuffuseError
from suffuse.prepare import targets
from suffuse.prepare.quarantine import Quarantine
from suffuse.recipe import Task
from suffuse.types import Head, Spec


def cells(values: list, **task) -> targets.Cells:
    return targets.read("y", Task(**task), pa.chunked_array([pa.array(values)]))


def split(*codes: int) -> np.ndarray:
    return np.array(codes, dtype=np.int8)


def test_an_empty_cell_may_be_an_answer():
    found = cells(["milk", "", None, "none"], empty="none")
    assert found.values == ["milk", "none", "none", "none"]
    assert cells(["milk", " "]).values == ["milk", None]


def test_numbers_are_standardised_on_training_rows():
    found = cells(["1", "3", None, "100"], kind="number")
    head = targets.head(found, split(0, 0, 0, 2))
    assert (head.mean, head.std) == (2, 1)
    np.testing.assert_array_equal(targets.encode(head, found, split(0, 0, 0, 2)), np.float32([-1, 1, np.nan, 98]))
    assert head.known(targets.encode(head, found, split(0, 0, 0, 2))).tolist() == [True, True, False, True]


@pytest.mark.parametrize("text", ["cheap", "1,5", "inf", "nan?", "1e999", "-inf", "0x10"])
def test_what_is_no_number_is_told_and_shifts_no_other_row(text):
    found = cells(["1", text, "3"], kind="number")
    assert found.values == [1.0, None, 3.0]
    assert list(found.broken) == [1] and text in found.broken[1]


@pytest.mark.parametrize("text", ["1e308", "-1e300", "1e31", "9" * 40])
def test_a_number_that_overflows_in_32_bits_costs_its_own_row(text):
    found = cells(["1", text, "3", "1e30", "-1e30"], kind="number")
    assert found.values == [1.0, None, 3.0, 1e30, -1e30]
    assert list(found.broken) == [1]
    assert found.broken[1].startswith("a number beyond ±1e+30, too large for 32 bits: ") and text in found.broken[1]


@pytest.mark.filterwarnings("error")
def test_the_largest_and_smallest_numbers_are_standardised_without_overflow():
    for size in (1e30, 1e-29):
        found = cells([str(n * size) for n in (-1.0, 1.0, -1.0, 1.0)], kind="number")
        head = targets.head(found, split(0, 0, 0, 0))
        target = targets.encode(head, found, split(0, 0, 0, 0))
        np.testing.assert_allclose(target, [-1, 1, -1, 1], rtol=1e-6)
        back = target * head.std + head.mean
        assert np.isfinite(back).all() and back[1] == pytest.approx(size)


@pytest.mark.filterwarnings("error")
def test_numbers_that_hardly_differ_or_lie_too_far_apart_are_one_error():
    found = cells(["1e-300", "2e-300", "3e-300"], kind="number")
    with pytest.raises(SuffuseError, match=r"nothing to learn \(column 'y'\): got a standard deviation of"):
        targets.head(found, split(0, 0, 0))
    found = cells(["1e-20", "2e-20", "3e-20", "1e30"], kind="number")
    head = targets.head(found, split(0, 0, 0, 2))
    with pytest.raises(SuffuseError, match=r"a number overflows \(column 'y'\): got 1e\+30"):
        targets.encode(head, found, split(0, 0, 0, 2))


@pytest.mark.parametrize("values", [["a;b", "b", ""], [["a", "b"], ["b"], None], ['["a", "b"]', '["b"]', ""]])
def test_labels_come_as_lists_or_texts(values):
    found = cells(values, kind="labels")
    assert found.values == [("a", "b"), ("b",), None]
    head = targets.head(found, split(0, 0, 0))
    assert head.classes == ("a", "b")
    assert targets.encode(head, found, split(0, 0, 0)).tolist() == [[1, 1], [0, 1], [-1, -1]]
    assert cells(values, kind="labels", empty="none").values[2] == ()


def test_the_most_frequent_classes_and_other():
    found = cells(["a", "a", "b", "b", "c", "d", "c", "new"], max_classes=2)
    where = split(0, 0, 0, 0, 0, 0, 2, 2)
    head = targets.head(found, where)
    assert head.classes == ("a", "b", "other")
    assert targets.encode(head, found, where).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]  # held-out: never right


def test_class_weights_have_mean_one_over_training_rows():
    found = cells(["a", "a", "a", "b"], balance=True)
    head = targets.head(found, split(0, 0, 0, 0))
    assert head.balance == pytest.approx((4 / 6, 2.0))
    assert np.mean([head.balance[c] for c in targets.encode(head, found, split(0, 0, 0, 0))]) == pytest.approx(1)
    found = cells(["a;b", "b", "b", "b"], kind="labels", balance=True)
    assert targets.head(found, split(0, 0, 0, 0)).balance == pytest.approx((3.0, 0.0))


@pytest.mark.parametrize(("kind", "values"), [("number", ["5", "5"]), ("labels", ["", ""]), ("classes", ["a", "a"])])
def test_nothing_to_learn_is_said(kind, values):
    with pytest.raises(SuffuseError, match="nothing to learn"):
        targets.head(cells(values, kind=kind), split(0, 0))


def test_the_prior_is_what_training_rows_say():
    head = Head("y", "classes", ("a", "b"))
    assert np.exp(targets.prior(head, np.array([0, 0, 0, 1, -1]))) == pytest.approx([0.75, 0.25])
    head = Head("y", "labels", ("a", "b"))
    odds = np.array(targets.prior(head, np.array([[1, 0], [1, 0], [-1, -1]], dtype=np.float32)))
    assert 1 / (1 + np.exp(-odds)) == pytest.approx([2.5 / 3, 0.5 / 3])
    assert targets.prior(Head("y", "number"), np.zeros(3)) == [0.0]


def test_what_is_unlabelled_or_unseen_is_written_down():
    notes = Quarantine()
    found = cells(["a", "b;z", ""], kind="labels")
    head = targets.head(found, split(0, 2, 2))
    targets.note(head, targets.encode(head, found, split(0, 2, 2)), found, ([1, 2, 3], ["x", "y", "z"]), notes)
    assert [(n[0], n[3]) for n in notes.notes] == [(3, "unlabelled"), (2, "other")]
    assert "'b'" in notes.notes[1][4]


def test_all_targets_stand_side_by_side_and_come_apart_again():
    heads = (Head("a", "classes", ("x", "y")), Head("b", "labels", ("p", "q")), Head("c", "number"))
    parts = [np.array([1, -1]), np.float32([[1, 0], [-1, -1]]), np.float32([0.5, np.nan])]
    spec, joined = Spec((), heads, ()), targets.join(heads, parts)
    assert joined.shape == (2, 4) and joined.dtype == np.float32
    for (_, back), part in zip(spec.targets(joined), parts, strict=True):
        np.testing.assert_array_equal(back, part)
    assert spec.known(joined).tolist() == [True, False]
    assert spec.classes == ("a=x", "a=y", "b=p", "b=q", "c") and spec.outputs == 5


def test_a_split_is_stratified_by_tenths_of_a_number():
    found = cells([str(n) for n in range(100)], kind="number")
    assert np.bincount(found.strata()).tolist() == [10] * 10


def test_a_label_called_other_beside_a_vocabulary_is_refused():
    with pytest.raises(SuffuseError, match="name of the rest"):
        targets.head(cells(["a", "a", "other", "b"], max_classes=1), split(0, 0, 0, 0))
    assert targets.head(cells(["a", "other"]), split(0, 0)).classes == ("a", "other")

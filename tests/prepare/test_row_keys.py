"""Labels and ids."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import md5

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.errors import SuffuseError
from suffuse.prepare import row_keys, targets
from suffuse.prepare.quarantine import Quarantine
from suffuse.recipe import Task

TRAIN = np.zeros(100, dtype=np.int8)


def test_classes_are_those_of_training_and_unseen_labels_are_other():
    found = targets.classes_of(["b", "a", None, "c", "b"], np.array([0, 0, 0, 2, 1]), "answer")
    assert found == ("a", "b")
    notes = Quarantine()
    targets._note_classes(
        np.array([1, 2, -1, 0]), ["b", "c", None, "a"], ([2, 3, 4, 5], list("wxyz")), "answer", 2, notes
    )
    assert notes.notes == [
        (3, "x", "answer", "other", "label not in training: 'c'"),
        (4, "y", "answer", "unlabelled", "no label"),
    ]


def test_numbers_are_sorted_by_value_before_words():
    found = targets.classes_of(["10", "9", "-1", "b", "1e1", "2.5", "A"], TRAIN[:7], "n")
    assert found == ("-1", "2.5", "9", "10", "1e1", "A", "b")


ORDER = """
import numpy as np
from suffuse.prepare.targets import classes_of
values = ["nan", "3", "1", "NaN", "2", "inf", "-nan", "x", "0"]
print(classes_of(values, np.zeros(9), "n"))
"""


def test_the_order_is_the_same_in_every_process():
    """A label that reads as 'not a number' compares with nothing: it must not unsettle the others."""
    said = set()
    for seed in range(4):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        run = subprocess.run([sys.executable, "-c", ORDER], env=environment, capture_output=True, text=True, check=True)
        said.add(run.stdout)
    assert len(said) == 1
    assert said.pop().startswith("('0', '1', '2', '3', ")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["a"] * 5, "only 'a'"),
        ([None] * 5, "no label at all"),
        ([str(n) for n in range(60)], "60 different values in 60 training rows"),
    ],
)
def test_targets_without_classes_are_refused(values, said):
    with pytest.raises(SuffuseError, match=said) as caught:
        targets.classes_of(values, TRAIN[: len(values)], "price")
    assert "column 'price'" in caught.value.line()


def test_a_few_classes_with_few_rows_are_classes():
    assert len(targets.classes_of([str(n) for n in range(15)], TRAIN[:15], "n")) == 15


def test_listed_classes_need_no_training_label():
    cells = targets.Cells("n", Task(classes=("10", "9", "b")), [None, None, "b"], {})
    head = targets.head(cells, np.array([0, 0, 1]))
    assert head.classes == ("9", "10", "b")
    np.testing.assert_array_equal(targets.encode(head, cells, np.array([0, 0, 1])), [-1, -1, 2])
    np.testing.assert_allclose(targets.prior(head, np.array([-1, -1])), np.log([1 / 3] * 3))


def test_a_training_row_of_an_unlisted_class_is_an_error():
    cells = targets.Cells("n", Task(classes=("blue", "red")), ["blue", "reed"], {})
    assert targets.head(cells, np.array([0, 1])).classes == ("blue", "red")  # of a held-out row it is one never seen
    with pytest.raises(SuffuseError, match="'reed'") as caught:
        targets.head(cells, np.array([0, 0]))
    assert caught.value.hint == "did you mean 'red'?"


@pytest.mark.parametrize("more", [{"kind": "labels"}, {"max_classes": 3}, {"empty": "c"}, {"classes": ("a", "a")}])
def test_a_list_of_classes_that_contradicts_the_task_is_refused(more):
    with pytest.raises(ValueError, match="got"):
        Task(**{"classes": ("a", "b"), **more})


def test_repeated():
    assert row_keys.first_occurrences(["a", None, "b", "a", None, "a"]) == {3: 0, 5: 0}


texts = st.text(max_size=4)


@budget(deadline=None, max_examples=60)
@given(st.lists(st.tuples(texts, st.tuples(st.none() | texts, st.none() | texts)), unique=True, max_size=12))
def test_keys_tell_rows_apart_and_don_t_depend_on_the_order(rows):
    ids = [row[0] for row in rows]
    contents = [b"".join(bytes(17) if c is None else b"\1" + md5(c.encode()).digest() for c in row[1]) for row in rows]
    as_array = [np.frombuffer(b"".join(some), np.uint8).reshape(-1, 34) for some in (contents, contents[::-1])]
    found = row_keys.row_keys(ids, as_array[0])
    assert (row_keys.row_keys(ids[::-1], as_array[1])[::-1] == found).all()
    assert len(set(found.tolist())) == len(rows)
    assert found.dtype == np.uint64 and found.flags.writeable


@budget(deadline=None, max_examples=60)
@given(st.lists(texts, max_size=12))
def test_codes_are_equal_where_values_are(values):
    same = [[a == b for b in values] for a in values]
    for found in (row_keys.codes(values), row_keys.ordered_codes(values)):
        assert (found[:, None] == found[None]).tolist() == same
    assert (
        row_keys.ordered_codes(values).tolist()
        == np.unique(np.array(values, dtype=object), return_inverse=True)[1].tolist()
    )

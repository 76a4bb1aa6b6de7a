"""Confusion, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.report import confusion

CLASSES = ("a", "b", "c")


def test_counts_by_true_class_and_answer():
    found = confusion.count_matrix(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 2]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_a_label_that_training_never_saw_has_a_row_of_its_own():
    found = confusion.count_matrix(np.array([0, 3]), np.array([0, 1]), 3)
    assert found.shape == (4, 3)
    assert found[3].tolist() == [0, 1, 0]
    assert confusion.row_names(CLASSES, found)[3] == confusion.UNSEEN


def test_pairs_are_mistakes_only_the_most_frequent_first():
    teacher = np.array([[9, 1, 0], [0, 9, 0], [0, 0, 9]])
    student = np.array([[5, 1, 4], [3, 7, 0], [0, 0, 9]])
    found = [
        (p["true"], p["predicted"], p["teacher"], p["export"])
        for p in confusion.confused_pairs(teacher, student, CLASSES)
    ]
    assert found == [("a", "c", 0, 4), ("b", "a", 0, 3), ("a", "b", 1, 1)]


@pytest.mark.parametrize(
    ("value", "sign", "expected"),
    [(0, "", ""), (1, "", "100"), (0.004, "", "<1"), (0.016, "", "2"), (0.25, "+", "+25"), (-0.002, "+", "−0.2")],
)
def test_a_cell_says_its_share(value: float, sign: str, expected: str):
    assert confusion.cell_text(value, sign) == expected


def test_shades_run_with_the_largest_value_and_know_their_sign():
    made = confusion.shaded_matrix("", CLASSES, CLASSES, np.diag([0.5, -1.0, 0.0]), lambda r, c: "words", "+")
    cells = [row["cells"][n] for n, row in enumerate(made["rows"])]
    assert [c["depth"] for c in cells] == ["0.50", "1.00", "0.00"]
    assert [c["tone"] for c in cells] == ["more", "less", "more"]
    assert all(c["diagonal"] for c in cells)


def test_a_soft_matrix_shades_what_stands_beside_the_diagonal():
    means = np.array([[0.9, 0.08, 0.02], [0.0, 1.0, 0.0], [0.05, 0.05, 0.9]])
    made = confusion.soft_label_matrix(means, CLASSES, np.array([10, 10, 10]))
    assert [c["depth"] for c in made["rows"][0]["cells"]] == ["0.00", "1.00", "0.25"]
    assert [c["text"] for c in made["rows"][0]["cells"]] == ["90", "8.0", "2.0"]

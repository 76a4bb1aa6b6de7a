"""Which rows are explained, by the rule that the page states, and what is told where a model can't be looked into."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from probe_tools import Toy, toy_columns, toy_context

from suffuse.evaluation import explained_rows
from suffuse.evaluation.explained_rows import pick_rows, probe
from suffuse.types import Head

CLASSES = Head("y", "classes", ("p", "q"))
LABELS = Head("y", "labels", ("p", "q"))
NUMBER = Head("y", "number", (), 5.0, 2.0)


def context_of(head: Head, theirs: list, ours: list, target: list, present: np.ndarray | None = None):
    """Each row's logits (N, C) of teacher and student, looked up by the number in its only modality."""
    columns = toy_columns(len(theirs), np.array(target), np.arange(len(theirs), dtype=float)[:, None], head, present)

    def looked_up(logits: list):
        return lambda values, there: np.array(logits, dtype=float)[values[:, 0].astype(int)]

    return toy_context(
        columns, {"teacher": [(("a",), looked_up(theirs))], "student": [(("a",), looked_up(ours))]}, resamples=100
    )


def test_of_classes_one_that_both_know_one_that_the_student_loses_and_one_it_is_unsure_of():
    theirs = [[9, 0], [2, 0], [3, 0], [4, 0], [1, 0], [0, 5]]
    ours = [[1, 0], [2, 0], [0, 3], [0, 2], [0.1, 0], [0.2, 0]]
    found = pick_rows(context_of(CLASSES, theirs, ours, [0, 0, 0, 0, 0, 0]))
    assert found == [("agreed", 1), ("lost", 2), ("unsure", 4)]


def test_no_row_comes_twice_and_a_kind_without_a_row_is_left_out():
    found = pick_rows(context_of(CLASSES, [[2, 0], [3, 0]], [[2, 0], [3, 0]], [0, 0]))
    assert found == [("agreed", 1), ("unsure", 0)]
    assert pick_rows(context_of(CLASSES, [[2, 0]], [[2, 0]], [1])) == [("unsure", 0)]


def test_labels_are_right_where_all_are_and_as_sure_as_the_least_sure_one():
    theirs, ours = [[5, -5], [5, -5], [5, -5]], [[9, -1], [4, -4], [9, 8]]
    found = pick_rows(context_of(LABELS, theirs, ours, [[1, 0], [1, 0], [1, 0]]))
    assert found == [("agreed", 1), ("lost", 2), ("unsure", 0)]


def test_of_numbers_near_further_and_apart():
    theirs, ours = [[0.5], [0.1], [0.0], [-3.0]], [[0.5], [0.2], [2.0], [0.0]]
    found = pick_rows(context_of(NUMBER, theirs, ours, [[0.0]] * 4))
    assert found == [("close", 1), ("further", 2), ("apart", 3)]
    assert pick_rows(context_of(NUMBER, theirs, ours, [[np.nan], [np.nan], [0.0], [np.nan]])) == [("close", 2)]


def test_rows_that_lack_least_are_taken_and_of_rows_that_the_teacher_answers():
    columns = toy_columns(
        4, np.zeros(4, dtype=int), np.ones((4, 2)), CLASSES, np.array([[1, 0], [1, 1], [1, 1], [0, 1]]) > 0
    )
    both = [(("a", "b"), lambda values, there: np.tile([2.0, 0.0], (len(values), 1)))]
    context = toy_context(columns, {"teacher": both, "student": both}, resamples=100)
    assert [row for _, row in pick_rows(context)] == [1, 2]
    context = replace(context, abstained=np.array([False, True, False, False]))
    assert pick_rows(context) == [("agreed", 2)]


def test_a_teacher_that_can_t_be_asked_gives_its_answer_and_says_why():
    context = context_of(CLASSES, [[2, 0], [3, 0]], [[2, 0], [3, 0]], [0, 0])
    model = context.models["teacher"]
    shut = {s: replace(m, limitation="each answer costs") for s, m in model.members.items() if isinstance(m, Toy)}
    context.models["teacher"] = replace(model, members=shut)
    found = probe(context)
    first = found["teacher"]["explained"][0]
    assert (first["answer"], first["note"], first["modalities"]) == ("p", "each answer costs", [])
    assert found["student"]["explained"][0]["modalities"][0]["name"] == "a"
    assert [one["number"] for one in found["teacher"]["explained"]] == [2, 1]


def test_of_a_network_that_is_too_large_only_the_modalities_are_told(looked_at, monkeypatch: pytest.MonkeyPatch):
    _, context = looked_at
    whole = probe(replace(context, cache={}))
    assert all(one["parts"]["question"]["how"] == "occlusion" for one in whole["student"]["explained"])
    monkeypatch.setattr(explained_rows, "BUDGET", 1)
    less = probe(replace(context, cache={}))
    for who in ("teacher", "student"):
        for one, full in zip(less[who]["explained"], whole[who]["explained"], strict=True):
            assert one["parts"] == {} and "large" in one["note"]
            assert one["modalities"] == full["modalities"] and one["number"] == full["number"]

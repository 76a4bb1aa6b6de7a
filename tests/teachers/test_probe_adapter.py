"""A teacher from outside as probes ask it: rarely, and never about what is stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suffuse.evaluation import contribution, missing_modalities, robustness
from suffuse.evaluation.context import Context, Model
from suffuse.evaluation.metrics import draw
from suffuse.recipe import make_recipe
from suffuse.teachers.batch_query import FEW, LOOKED_UP, ProbeTeacher

SILENT = 3  # of row r it says nothing where r % 5 is this


class Teacher:
    """It says class 0 where it sees a picture, else class 1; and keeps what it was asked."""

    def __init__(self, *modalities: str):
        self.modalities, self.asked = modalities, []

    def pieces(self, rows, size):
        order = np.arange(len(rows))[::-1]  # an order of its own
        return [order[start : start + 7] for start in range(0, len(rows), 7)]

    def answer(self, question):
        seen = question.modalities or self.modalities
        self.asked.append((tuple(question.rows), seen))
        found = np.tile(
            np.array([4.0, 0, 0] if "picture" in seen else [0, 4.0, 0], dtype=np.float32), (len(question.rows), 1)
        )
        found[:, 2] = question.rows / 100
        found[question.rows % 5 == SILENT] = np.nan
        return {"logits": found}


@pytest.fixture
def columns(make_columns):
    found = make_columns(rows=40, absent=0.0)
    return replace(found, split=(np.arange(40) % 2 * 2).astype(np.int8))  # odd rows are test rows


def test_rows_come_in_their_order_and_where_it_is_silent_the_prior_answers(columns, tmp_path):
    teacher = Teacher("picture", "question")
    asked = ProbeTeacher(teacher, columns, tmp_path, True)  # type: ignore[arg-type]
    rows = columns.rows("test")
    found = asked.logits(rows)
    silent = rows % 5 == SILENT
    np.testing.assert_allclose(found[~silent, 2], rows[~silent] / 100)
    np.testing.assert_allclose(found[silent], np.tile(columns.spec.log_prior, (silent.sum(), 1)), rtol=1e-6)
    assert (np.isnan(asked.outputs["test"]).any(1) == silent).all()


def test_a_row_is_asked_once_for_each_set_that_it_is_left_with(columns, tmp_path):
    teacher = Teacher("picture", "question")
    asked = ProbeTeacher(teacher, columns, tmp_path, True)  # type: ignore[arg-type]
    rows = columns.rows("test")
    kept = np.ones((1, len(rows), 2), dtype=bool)
    kept[0, ::3] = [False, True]
    kept[0, 1::3] = [False, False]
    found = asked.masked_logits(rows, kept)[0]
    known = rows % 5 != SILENT
    assert (found[known & kept[0, :, 0]].argmax(1) == 0).all()
    assert (found[known & ~kept[0, :, 0] & kept[0, :, 1]].argmax(1) == 1).all()
    np.testing.assert_allclose(found[~kept[0].any(1)][0], columns.spec.log_prior, rtol=1e-6)
    told = [row for rows_, _ in teacher.asked for row in rows_]
    assert sorted(told) == sorted(rows[kept[0].any(1)])  # of a row without anything there is nothing to ask
    assert {seen for _, seen in teacher.asked} == {("picture", "question"), ("question",)}


def test_without_subsets_in_the_recipe_it_is_not_asked_about_them(columns, tmp_path):
    assert ProbeTeacher(Teacher("picture"), columns, tmp_path, False).limitation == FEW  # type: ignore[arg-type]
    assert ProbeTeacher(Teacher("picture"), columns, tmp_path, True).limitation == ""  # type: ignore[arg-type]
    looked_up = ProbeTeacher(Teacher(), columns, tmp_path, True)  # type: ignore[arg-type]
    assert looked_up.limitation == LOOKED_UP and looked_up.names == ("picture", "question")


def test_what_can_t_be_measured_of_it_is_said_and_costs_no_question(columns, tmp_path):
    teacher = Teacher("picture", "question")
    asked = ProbeTeacher(teacher, columns, tmp_path, False)  # type: ignore[arg-type]
    rows = columns.rows("test")
    network = {"encoders": {"picture": {"kind": "conv"}, "question": {"kind": "bag"}}}
    recipe = make_recipe(
        {
            "data": {"source": "x.csv", "target": "answer"},
            "modalities": {
                "picture": {"kind": "image", "column": "p", "size": 16},
                "question": {"kind": "text", "column": "q"},
            },
            "teacher": network,
            "student": network,
        }
    )
    model = Model("teacher", {"": asked.logits(rows)}, {"": asked})
    once, draws = len(teacher.asked), draw(columns.group[rows], 10, 0.95)
    context = Context(recipe, columns.of(["picture"]), rows, draws, {"teacher": model})
    said = [part.probe(context)["teacher"] for part in (missing_modalities, contribution, robustness)]
    assert [set(one["not_measured"]) for one in said] == [{"missing"}, {"contribution"}, {"robustness"}]
    assert len(teacher.asked) == once

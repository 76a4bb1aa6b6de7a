"""Retention: the student's scores beside those of the teacher that was distilled, in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from probe_tools import toy_columns, toy_context

from suffuse.evaluation.context import Context, Model
from suffuse.evaluation.retention import retention, target_metrics
from suffuse.types import Head, Spec

CLASSES = Head("y", "classes", ("p", "q"))


def flipped(rows: int) -> tuple[tuple[str, ...], object]:
    """A model that is right except where the second number says so."""

    def answer(x, _):
        wrong = x[:, 1] < rows
        sign = np.where(wrong, -1, 1) * np.where(x[:, 0] > 0, 1, -1)
        return np.stack([-sign, sign], 1) * 3.0

    return ("a", "b"), answer


def context(**wrong: int | list[int]) -> Context:
    """20 rows; of each model so many of the first rows are wrong, for each seed."""
    target = np.arange(20) % 2
    values = np.stack([target * 2.0 - 1, np.arange(20) + 0.5], 1)
    columns = toy_columns(20, target, values, CLASSES)
    seeds = {who: [n] if isinstance(n, int) else n for who, n in wrong.items()}
    return toy_context(columns, {who: [flipped(n) for n in found] for who, found in seeds.items()})


def test_the_difference_is_paired_and_has_an_interval():
    found = retention(context(teacher=2, student=[3, 5], export=2, baseline=9, **{"export-int8": 4}))
    assert set(found) == {"student", "export", "export-int8"}
    same = found["export"]["retention"]
    assert (same["against"], same["rows"], same["of"]) == ("teacher", 20, 20)
    assert same["targets"] == [{"target": "y", "metric": "accuracy", "score": 0.9, "teacher": 0.9,
                                "difference": 0.0, "low": 0.0, "high": 0.0}]  # fmt: skip
    (int8,) = found["export-int8"]["retention"]["targets"]
    assert int8["difference"] == pytest.approx(-0.1) and -0.4 < int8["low"] < -0.1 < int8["high"] < 0.05
    (student,) = found["student"]["retention"]["targets"]
    assert student["score"] == pytest.approx(0.8) and student["low"] < int8["low"]  # of other trainings too


def test_only_rows_that_the_teacher_answers_count():
    """It answers the last 12, on which it and the student are right."""
    all_rows = context(teacher=8, student=8, export=10)
    found = retention(replace(all_rows, abstained=np.arange(20) < 8))["export"]["retention"]
    assert (found["rows"], found["of"]) == (12, 20)
    assert found["targets"][0]["teacher"] == 1.0 and found["targets"][0]["score"] == pytest.approx(10 / 12)
    assert retention(replace(all_rows, abstained=np.ones(20, dtype=bool))) == {}


def test_the_seed_that_was_distilled_is_the_teacher():
    two = context(teacher=[9, 1], export=1)
    models = {**two.models, "teacher": replace(two.models["teacher"], reference="seed-2")}
    assert retention(replace(two, models=models))["export"]["retention"]["targets"][0]["teacher"] == pytest.approx(0.95)


def test_of_several_members_their_joint_prediction_is_the_teacher():
    one = context(teacher=5, export=2)
    joint = Model("ensemble", {"": context(teacher=0).models["teacher"].logits["seed-1"]})
    metrics = {**one.metrics, "ensemble": context(teacher=0).metrics["teacher"]}
    found = retention(replace(one, models={**one.models, "ensemble": joint}, metrics=metrics))["export"]["retention"]
    assert found["against"] == "ensemble" and found["targets"][0]["teacher"] == 1.0


def test_without_a_teacher_there_is_none():
    assert retention(context(student=1, export=1)) == {}


def test_with_several_targets_the_mean_comes_first():
    spec = Spec((), (CLASSES, Head("price", "number")), (0.0, 0.0, 0.0))
    assert target_metrics(spec) == {"": "score", "y": "y:accuracy", "price": "price:r2"}
    assert target_metrics(Spec((), (CLASSES,), (0.0, 0.0))) == {"y": "accuracy"}

"""Agreement with the teacher in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from probe_tools import toy_columns, toy_context
from scipy.stats import entropy

from suffuse.evaluation.agreement import head_agreement, kl_divergence, probe
from suffuse.evaluation.metrics import draw
from suffuse.types import Head

CLASSES = Head("y", "classes", ("p", "q"))


def test_who_is_right_where_the_other_is_wrong_is_counted():
    ours = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    theirs = np.array([[0.8, 0.2], [0.2, 0.8], [0.1, 0.9], [0.6, 0.4]])
    target = np.array([0, 0, 0, 0])
    found = head_agreement(CLASSES, [ours], theirs, target, draw(np.arange(4), 20, 0.9))
    assert found["counts"] == {"both_right": 1, "only_model": 1, "only_teacher": 1, "both_wrong": 1}
    assert found["same"]["mean"] == 0.5
    assert found["right_where_wrong"]["mean"] == found["wrong_where_right"]["mean"] == 0.25
    assert found["per_class"] == {"p": {"rows": 2, "same": 0.5}, "q": {"rows": 2, "same": 0.5}}


def test_kl_is_scipy_s_and_of_labels_the_sum_of_binary_ones():
    random = np.random.default_rng(0)
    p, q = random.dirichlet(np.ones(5), 30), random.dirichlet(np.ones(5), 30)
    np.testing.assert_allclose(kl_divergence(Head("y", "classes", tuple("pqrst")), q, p), entropy(p, q, axis=1))
    a, b = random.random((30, 2)), random.random((30, 2))
    both = sum(entropy([a[:, c], 1 - a[:, c]], [b[:, c], 1 - b[:, c]], axis=0) for c in range(2))
    np.testing.assert_allclose(kl_divergence(Head("y", "labels", ("p", "q")), b, a), both)
    sure = np.array([[1.0, 0.0]])
    assert kl_divergence(CLASSES, sure, sure)[0] == 0 and np.isfinite(kl_divergence(CLASSES, sure, sure[:, ::-1])[0])


def test_numbers_agree_within_a_tenth_of_their_deviation():
    head = Head("y", "number", (), 0.0, 10.0)
    ours, theirs = np.array([[5.0], [5.0], [5.0]]), np.array([[5.9], [6.1], [-5.0]])
    found = head_agreement(head, [ours], theirs, np.zeros(3), draw(np.arange(3), 20, 0.9))
    assert found["same"]["mean"] == pytest.approx(1 / 3) and "kl" not in found


def test_the_teacher_s_own_copy_agrees_on_every_row():
    random = np.random.default_rng(1)
    columns = toy_columns(50, random.integers(0, 2, 50), random.normal(size=(50, 2)), CLASSES)

    def answer(x, present):
        return np.stack([x.sum(1), -x.sum(1)], 1)

    other = (("a", "b"), lambda x, present: -answer(x, present))
    names = ("a", "b")
    context = toy_context(columns, {"teacher": [(names, answer)], "student": [(names, answer)], "export": [other]})
    found = probe(context)
    assert set(found) == {"student", "export"}
    same, opposite = found["student"]["agreement"], found["export"]["agreement"]
    assert same["same"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "per_seed": [1.0]} and same["kl"]["mean"] == 0
    assert opposite["same"]["mean"] == 0 and opposite["kl"]["mean"] > 0.1
    assert sum(opposite["counts"].values()) == 50 and opposite["counts"]["both_right"] == 0


def test_rows_on_which_the_teacher_says_nothing_are_left_out():
    random = np.random.default_rng(2)
    columns = toy_columns(20, random.integers(0, 2, 20), random.normal(size=(20, 1)), CLASSES)
    models = {who: [(("a",), lambda x, _: np.concatenate([x, -x], 1))] for who in ("teacher", "student")}
    context = toy_context(columns, models)
    assert probe(replace(context, abstained=np.arange(20) >= 7))["student"]["agreement"]["rows"] == 7

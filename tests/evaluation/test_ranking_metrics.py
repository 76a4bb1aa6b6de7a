"""AUROC and average precision against scikit-learn, also in resamples and with equal scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from probe_tools import toy_columns, toy_context
from sklearn.metrics import average_precision_score, roc_auc_score

from suffuse.evaluation.metrics import draw
from suffuse.evaluation.ranking_metrics import MAX_CLASSES, curve_areas, head_ranking, probe
from suffuse.types import Head


@budget(deadline=None, max_examples=60)
@given(st.integers(2, 50), st.integers(1, 6), st.integers(0, 999))
def test_both_are_scikit_learn_s_with_ties_and_in_resamples(rows, levels, seed):
    random = np.random.default_rng(seed)
    score, true = random.integers(0, levels, rows) / levels, random.random(rows) < 0.4
    true[:2] = [True, False]
    weight = np.concatenate([np.ones((rows, 1)), random.integers(0, 4, (rows, 3))], axis=1)
    areas, precisions = curve_areas(score, true, weight)
    for number in range(4):
        some = np.repeat(np.arange(rows), weight[:, number].astype(int))
        if 0 < true[some].sum() < len(some):
            assert areas[number] == pytest.approx(roc_auc_score(true[some], score[some]))
            assert precisions[number] == pytest.approx(average_precision_score(true[some], score[some]))
        else:
            assert np.isnan(areas[number])


def test_of_several_classes_it_is_one_against_the_rest():
    random = np.random.default_rng(0)
    p, target = random.dirichlet(np.ones(4), 200), random.integers(0, 4, 200)
    found = head_ranking(Head("y", "classes", tuple("pqrs")), p, target, draw(np.arange(200), 10, 0.9))
    assert found["auroc"][0] == pytest.approx(roc_auc_score(target, p, multi_class="ovr"))
    each = [average_precision_score(target == c, p[:, c]) for c in range(4)]
    assert found["average_precision"][0] == pytest.approx(np.mean(each))
    assert found["auroc"].shape == (11,)


def test_of_labels_it_is_the_mean_over_those_that_some_rows_have():
    random = np.random.default_rng(1)
    p, target = random.random((60, 3)), (random.random((60, 3)) < 0.3).astype(float)
    target[:, 2] = 0  # no row has it: there is nothing to rank
    found = head_ranking(Head("y", "labels", tuple("pqr")), p, target, draw(np.arange(60) // 3, 10, 0.9))
    assert found["auroc"][0] == pytest.approx(roc_auc_score(target[:, :2], p[:, :2], average="macro"))
    assert head_ranking(Head("y", "labels", tuple("pqr")), p, np.zeros((60, 3)), draw(np.arange(60), 10, 0.9)) == {}


def test_a_class_that_training_never_saw_is_no_row_s_own():
    random = np.random.default_rng(2)
    p, target = random.dirichlet(np.ones(2), 40), random.integers(0, 3, 40)
    found = head_ranking(Head("y", "classes", ("p", "q")), p, target, draw(np.arange(40), 5, 0.9))
    assert found["auroc"][0] == pytest.approx(np.mean([roc_auc_score(target == c, p[:, c]) for c in range(2)]))


def test_many_classes_have_no_interval():
    random, classes = np.random.default_rng(3), MAX_CLASSES + 1
    target = random.integers(0, classes, 300)
    columns = toy_columns(
        300, target, random.normal(size=(300, 1)), Head("y", "classes", tuple(map(str, range(classes))))
    )
    found = probe(toy_context(columns, {"student": [(("a",), lambda x, _: x * np.arange(classes))]}))
    value = found["student"]["metrics"]["auroc"]
    assert value["low"] is None and value["high"] is None and 0 < value["mean"] < 1

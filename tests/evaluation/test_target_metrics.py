"""Metrics of labels and numbers against scikit-learn, over the data and over every resample."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, mean_absolute_error, r2_score, root_mean_squared_error

from suffuse.activations import activate, main_metric
from suffuse.evaluation.metrics import class_metrics, draw, label_metrics, measure, number_metrics
from suffuse.types import Head, Spec

CLASSES, LABELS, NUMBER = (
    Head("a", "classes", ("x", "y")),
    Head("b", "labels", ("p", "q", "r")),
    Head("c", "number", (), 7, 3),
)


@pytest.fixture
def mixed() -> tuple[Spec, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    heads = (CLASSES, LABELS, NUMBER)
    target = np.concatenate(
        [random.integers(0, 2, (60, 1)), random.integers(0, 2, (60, 3)), random.normal(size=(60, 1))], axis=1
    ).astype(np.float32)
    target[:5, 0], target[5:9, 1:4], target[9:12, 4] = -1, -1, np.nan
    logits = random.normal(size=(60, 6)).astype(np.float32) + np.concatenate([target[:, :1], target], 1).clip(
        -1, 1
    ).astype(np.float32) * np.where(np.isnan(target[:, -1:]), 0, 1)
    return Spec((), heads, ()), activate(heads, np.nan_to_num(logits)), target


def test_every_resample_s_metric_is_scikit_learn_s_on_its_rows():
    random, draws = np.random.default_rng(1), draw(np.arange(50) // 2, 20, 0.9)
    p, t = random.random((50, 3)), random.integers(0, 2, (50, 3)).astype(np.float32)
    value, y = random.normal(size=50) * 3 + 7, random.normal(size=50).astype(np.float32)
    labels, number = label_metrics(p, t, draws), number_metrics(value, y, NUMBER, draws)
    for r in range(21):
        rows = np.repeat(np.arange(50), draws.weight[r].astype(int)[draws.group])
        for average in ("micro", "macro"):
            wanted = f1_score(t[rows], p[rows] > 0.5, average=average, zero_division=0)  # type: ignore[arg-type]
            assert labels[f"{average}_f1"][r] == pytest.approx(wanted)
        true = y[rows].astype(float) * 3 + 7
        assert number["r2"][r] == pytest.approx(r2_score(true, value[rows]))
        assert number["rmse"][r] == pytest.approx(root_mean_squared_error(true, value[rows]))
        assert number["mae"][r] == pytest.approx(mean_absolute_error(true, value[rows]))


def test_several_targets_have_each_its_own_and_the_mean_comes_first(mixed):
    spec, answers, target = mixed
    draws = draw(np.arange(60), 5, 0.9)
    found = measure(spec, answers, target, draws)
    assert next(iter(found)) == "score" == main_metric(spec.heads)
    main = [found["a:accuracy"], found["b:micro_f1"], found["c:r2"]]
    np.testing.assert_allclose(found["score"], np.mean(main, axis=0))
    np.testing.assert_allclose(found["macro_f1"], np.mean([found["a:macro_f1"], found["b:macro_f1"]], axis=0))
    known = target[:, 0] >= 0  # a row without this target isn't scored for it
    assert found["a:accuracy"][0] == pytest.approx((answers[known, :2].argmax(1) == target[known, 0]).mean())


def test_one_target_of_classes_is_measured_as_before():
    random = np.random.default_rng(2)
    p, t, draws = random.dirichlet(np.ones(2), 40), random.integers(0, 2, 40), draw(np.arange(40), 4, 0.9)
    found, wanted = measure(Spec((), (CLASSES,), ()), p, t, draws), class_metrics(p, t, draws)
    assert list(found)[: len(wanted)] == list(wanted) and all((found[n] == wanted[n]).all() for n in wanted)
    assert list(found)[len(wanted) :] == ["balanced_accuracy"]  # two classes have no top 3


def test_answers_are_probabilities_and_numbers_in_their_unit():
    z = np.array([[0.0, np.log(3), 0, 100, -100, 2]])
    found = activate((CLASSES, LABELS, NUMBER), z)
    np.testing.assert_allclose(found, [[0.25, 0.75, 0.5, 1, 0, 13]], atol=1e-9)
    assert np.isfinite(activate((LABELS,), np.array([[1e4, -1e4, 0]]))).all()

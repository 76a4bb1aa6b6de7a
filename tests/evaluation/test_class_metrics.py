"""Balanced accuracy, top k and the numbers of each class against scikit-learn; the main metric alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from suffuse.evaluation.metrics import (
    draw,
    label_metrics,
    main_score,
    measure,
    per_class_metrics,
    ranked_class_metrics,
)
from suffuse.types import Head, Spec


@budget(deadline=None, max_examples=40)
@given(st.integers(2, 60), st.integers(2, 7), st.integers(0, 99))
@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn tells of classes that nobody has
def test_they_are_scikit_learn_s(rows, classes, seed):
    random = np.random.default_rng(seed)
    p, target = random.dirichlet(np.ones(classes), rows), random.integers(0, classes, rows)
    found, said = ranked_class_metrics(p, target, draw(np.arange(rows), 3, 0.9)), p.argmax(1)
    assert found["balanced_accuracy"][0] == pytest.approx(balanced_accuracy_score(target, said))
    assert f1_score(target, said, average="micro") == pytest.approx(accuracy_score(target, said))  # as the page says
    assert {f"top_{k}_accuracy" for k in (3, 5) if k < classes} == set(found) - {"balanced_accuracy"}
    for k in (k for k in (3, 5) if k < classes):
        expected = top_k_accuracy_score(target, p, k=k, labels=range(classes))
        assert found[f"top_{k}_accuracy"][0] == pytest.approx(expected)


def test_a_resample_is_the_metric_of_its_rows():
    random = np.random.default_rng(1)
    p, target, group = random.dirichlet(np.ones(5), 40), random.integers(0, 5, 40), np.arange(40) // 4
    draws = draw(group, 20, 0.9)
    found = ranked_class_metrics(p, target, draws)
    for number in range(1, 21):
        rows = np.repeat(np.arange(40), draws.weight[number].astype(int)[draws.group])
        recalls = [(p[rows].argmax(1) == c)[target[rows] == c].mean() for c in np.unique(target[rows])]
        assert found["balanced_accuracy"][number] == pytest.approx(np.mean(recalls))
        top = top_k_accuracy_score(target[rows], p[rows], k=3, labels=range(5))
        assert found["top_3_accuracy"][number] == pytest.approx(top)


def test_a_class_that_training_never_saw_is_always_wrong():
    p, target = np.array([[0.5, 0.3, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]]), np.array([0, 4])
    found = ranked_class_metrics(p, target, draw(np.arange(2), 2, 0.9))
    assert found["balanced_accuracy"][0] == 0.5 and found["top_3_accuracy"][0] == 0.5


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_each_class_is_scikit_learn_s_and_seeds_are_averaged(kind):
    random = np.random.default_rng(4)
    head = Head("y", kind, ("p", "q", "r"))
    said = [random.dirichlet(np.ones(3), 50) for _ in range(2)]
    target = random.integers(0, 3, 50) if kind == "classes" else (random.random((50, 3)) < 0.4).astype(float)
    found = per_class_metrics(head, said, target)
    answers = [s.argmax(1) if kind == "classes" else s > 0.5 for s in said]
    tables = [precision_recall_fscore_support(target, a, zero_division=0) for a in answers]  # type: ignore[arg-type]
    for place, name in enumerate(("precision", "recall", "f1")):
        expected = np.mean([np.asarray(t[place]) for t in tables], axis=0)
        np.testing.assert_allclose([found[c][name] for c in "pqr"], expected)
    assert [found[c]["support"] for c in "pqr"] == np.asarray(tables[0][3]).tolist()
    assert per_class_metrics(Head("y", "number"), [np.zeros((3, 1))], np.zeros(3)) == {}


def test_exact_match_is_scikit_learn_s_accuracy_of_label_sets():
    random = np.random.default_rng(5)
    p, target = random.random((40, 2)), (random.random((40, 2)) < 0.5).astype(float)
    found = label_metrics(p, target, draw(np.arange(40), 3, 0.9))
    assert found["exact_match"][0] == pytest.approx(accuracy_score(target, p > 0.5))


@pytest.mark.parametrize("kinds", [("classes",), ("labels",), ("number",), ("classes", "labels", "number")])
def test_the_main_metric_alone_has_the_same_bits(kinds):
    random = np.random.default_rng(6)
    heads = tuple(Head(k, k, ("p", "q") if k != "number" else (), 2.0, 3.0) for k in kinds)
    spec = Spec((), heads, (0.0,) * sum(h.outputs for h in heads))
    parts = {"classes": random.integers(0, 2, (30, 1)), "labels": random.random((30, 2)) < 0.5,
             "number": random.normal(size=(30, 1))}  # fmt: skip
    target = np.concatenate([parts[k] for k in kinds], axis=1).astype(np.float32)
    target = target[:, 0].astype(np.int64) if kinds == ("classes",) else target
    answers, draws = random.random((30, spec.outputs)), draw(np.arange(30) // 2, 8, 0.9)
    full = measure(spec, answers, target, draws)
    assert (main_score(spec, answers, target, draws) == next(iter(full.values()))).all()

"""Metrics against scikit-learn, and intervals against what they claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss

from suffuse.evaluation.intervals import SHARE, bounds, summary
from suffuse.evaluation.metrics import class_metrics, draw
from suffuse.evaluation.verdict import compare


def answers(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.dirichlet(np.ones(classes), rows), random.integers(0, classes, rows)


@budget(deadline=None, max_examples=40)
@given(st.integers(2, 60), st.integers(2, 5), st.integers(0, 99))
def test_metrics_are_scikit_learn_s(rows, classes, seed):
    probability, target = answers(rows, classes, seed)
    found = class_metrics(probability, target, draw(np.arange(rows), 3, 0.9))
    said = probability.argmax(1)
    assert found["accuracy"][0] == pytest.approx(accuracy_score(target, said))
    assert found["macro_f1"][0] == pytest.approx(f1_score(target, said, average="macro", zero_division=0))  # type: ignore[arg-type]
    assert found["log_loss"][0] == pytest.approx(log_loss(target, probability, labels=range(classes)))


@pytest.mark.parametrize("grouped", [True, False])
def test_a_resample_is_the_metric_of_its_rows(grouped):
    probability, target = answers(40, 3, 1)
    group = np.arange(40) // 4 + 100 if grouped else np.arange(40)
    draws = draw(group, 25, 0.9)
    found = class_metrics(probability, target, draws)
    said = probability.argmax(1)
    for number in range(1, 26):
        rows = np.repeat(np.arange(40), draws.weight[number].astype(int)[draws.group])
        assert found["accuracy"][number] == pytest.approx(accuracy_score(target[rows], said[rows]))
        assert found["macro_f1"][number] == pytest.approx(
            f1_score(target[rows], said[rows], average="macro", zero_division=0)  # type: ignore[arg-type]
        )
        assert found["log_loss"][number] == pytest.approx(log_loss(target[rows], probability[rows], labels=range(3)))


def test_draws_are_of_whole_groups_and_seeded():
    group = np.array([7, 7, 3, 3, 3, 9])
    one, again, other = (draw(group, 50, 0.9, seed) for seed in (0, 0, 1))
    assert (one.weight == again.weight).all() and (one.weight != other.weight).any()
    assert one.weight.shape == (51, 3) and (one.weight.sum(1) == 3).all() and (one.weight[0] == 1).all()
    assert one.group.tolist() == [1, 1, 0, 0, 0, 2]


def test_a_label_that_training_never_saw_is_an_error_without_a_log_loss():
    probability, target = answers(30, 3, 2)
    target[:6] = 3
    target[6:] = probability[6:].argmax(1)
    found = class_metrics(probability, target, draw(np.arange(30), 5, 0.9))
    assert found["accuracy"][0] == pytest.approx(24 / 30)
    assert found["log_loss"][0] == pytest.approx(-np.log(probability[6:].max(1)).mean())
    expected = f1_score(target, probability.argmax(1), average="macro", labels=range(4), zero_division=0)  # type: ignore[arg-type]
    assert found["macro_f1"][0] == pytest.approx(expected)


def test_rows_with_only_unseen_labels_stop_nothing():
    probability, _ = answers(12, 3, 2)
    group = np.arange(12) // 6  # some resamples hold the second group alone
    target = np.where(group, 3, 0)
    found = class_metrics(probability, target, draw(group, 60, 0.9))
    assert np.isfinite(found["accuracy"]).all() and np.isfinite(found["macro_f1"]).all()
    facts = summary([found["log_loss"]], 0.9, bounds("log_loss"))
    assert np.isfinite([facts["mean"], facts["low"], facts["high"]]).all()


def test_certain_answers_have_finite_log_loss():
    probability = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = class_metrics(probability, np.array([1, 1]), draw(np.arange(2), 3, 0.9))
    assert np.isfinite(found["log_loss"]).all() and found["log_loss"][0] > 10


def test_the_interval_holds_the_truth_about_as_often_as_it_claims():
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        right = np.repeat(random.random(60) < 0.7, 2)  # both questions of a picture stand or fall together
        probability = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
        draws = draw(np.arange(120) // 2, 300, 0.9, seed)
        facts = summary([class_metrics(probability, np.zeros(120, dtype=int), draws)["accuracy"]], 0.9, SHARE)
        held += facts["low"] <= 0.7 <= facts["high"]
    assert 165 <= held <= 195  # 180, and three deviations


def test_groups_that_stand_or_fall_together_widen_the_interval():
    random = np.random.default_rng(0)
    right = np.repeat(random.random(40) < 0.6, 6)
    probability = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
    wide, narrow = (
        summary([class_metrics(probability, np.zeros(240, dtype=int), draw(g, 800, 0.9))["accuracy"]], 0.9, SHARE)
        for g in (np.arange(240) // 6, np.arange(240))
    )
    assert (wide["high"] - wide["low"]) > 1.8 * (narrow["high"] - narrow["low"])


@pytest.mark.parametrize("right", [True, False])
def test_where_all_is_right_or_wrong_the_interval_is_a_point(right):
    probability = np.tile([0.9, 0.1], (20, 1))
    found = class_metrics(probability, np.full(20, 0 if right else 1), draw(np.arange(20), 50, 0.9))
    facts = summary([found["accuracy"]] * 3, 0.9, SHARE)
    assert facts == {"mean": float(right), "low": float(right), "high": float(right), "per_seed": [float(right)] * 3}


def test_seeds_are_drawn_too():
    """Three seeds that differ widen the interval beyond that of the rows."""
    flat = np.full(400, 0.8)
    facts = summary([flat, flat - 0.1, flat + 0.1], 0.9, SHARE)
    assert facts["mean"] == pytest.approx(0.8)
    assert facts["per_seed"] == pytest.approx([0.8, 0.7, 0.9])
    assert facts["low"] < 0.76 and facts["high"] > 0.84


def scores(mean: float, spread: float = 0.0, seed: int = 0) -> np.ndarray:
    return mean + spread * np.random.default_rng(seed).standard_normal(1001)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [(0.9, 0.8, "helps"), (0.8, 0.9, "hurts"), (0.85, 0.85, "no evidence"), (0.851, 0.85, "no evidence")],
)
def test_verdicts(ours, theirs, verdict):
    facts = compare(
        [scores(ours, 0.01, s) for s in (1, 2, 3)], [scores(theirs, 0.01, s) for s in (4, 5, 6)], 0.95, SHARE
    )
    assert facts["verdict"] == verdict
    assert facts["low"] <= facts["difference"] + 0.02 and facts["low"] < facts["high"]


def test_a_difference_is_paired():
    """Both models find the same resample hard: a small difference is seen through a large common spread."""
    common = scores(0.8, 0.05)
    facts = compare([common + 0.01] * 3, [common] * 3, 0.95, SHARE)
    assert facts["verdict"] == "helps" and facts["low"] == pytest.approx(0.01) and facts["high"] == pytest.approx(0.01)


def test_models_of_different_numbers_of_seeds_are_not_paired():
    with pytest.raises(ValueError, match="zip"):
        compare([scores(0.9)] * 2, [scores(0.8)] * 3, 0.95, SHARE)


def test_equal_models_are_never_said_to_differ_much_more_often_than_claimed():
    said = 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        draws = draw(np.arange(150), 300, 0.95, seed)
        ours, theirs = (
            [
                class_metrics(np.eye(2)[(random.random(150) < 0.3).astype(int)], np.zeros(150, dtype=int), draws)[
                    "accuracy"
                ]
            ]
            for _ in range(2)
        )
        said += compare(ours, theirs, 0.95, SHARE)["verdict"] != "no evidence"
    assert said <= 16  # 7.5, and three deviations

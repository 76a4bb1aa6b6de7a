"""Temperature scaling against a generator whose temperature is known, and its limits."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from suffuse.activations import softmax
from suffuse.temperature_scaling import HIGH, LOW, fit, scaled
from suffuse.types import CLASSES, LABELS, NUMBER, Head, Spec


def spec(*heads):
    return Spec((), heads, (0.0,) * sum(h.outputs for h in heads))


THREE = spec(Head("answer", CLASSES, ("a", "b", "c")))


def drawn(rows, heat, seed=0):
    """Logits that are ``heat`` times as sure as they should be."""
    random = np.random.default_rng(seed)
    honest = random.normal(size=(rows, 3)) * 2
    target = (softmax(honest).cumsum(1) < random.random((rows, 1))).sum(1)
    return (heat * honest).astype(np.float32), target


@pytest.mark.parametrize("heat", [0.5, 1.0, 4.0])
def test_the_temperature_of_a_generator_is_found(heat):
    logits, target = drawn(40_000, heat)
    assert fit(THREE, logits, target)["answer"] == pytest.approx(heat, rel=0.03)


def test_it_is_where_the_smoothed_log_loss_is_least():
    logits, target = drawn(200, 3.0)
    wanted = np.eye(3)[target] * (1 - 1 / 202) + 1 / 202 / 3

    def loss(log_heat):
        return -(wanted * np.log(softmax(logits / np.exp(log_heat)))).sum(1).mean()

    best = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}).x)
    assert fit(THREE, logits, target)["answer"] == pytest.approx(best, rel=1e-4)


def test_a_model_that_is_always_right_gets_a_finite_confidence_and_no_answer_changes():
    target = np.arange(60) % 3
    logits = (np.eye(3)[target] * 5).astype(np.float32)
    heat = fit(THREE, logits, target)
    assert LOW < heat["answer"] < HIGH
    after = softmax(scaled(THREE.heads, logits, heat))
    assert (after.argmax(1) == target).all() and after.max() < 1 - 1 / 200


def test_labels_are_scaled_and_numbers_are_not():
    both = spec(Head("tags", LABELS, ("x", "y")), Head("price", NUMBER, mean=3.0, std=2.0))
    random = np.random.default_rng(1)
    honest = random.normal(size=(20_000, 2))
    there = (random.random((20_000, 2)) < 1 / (1 + np.exp(-honest))).astype(np.float32)
    logits = np.concatenate([honest * 2, random.normal(size=(20_000, 1))], 1).astype(np.float32)
    heat = fit(both, logits, np.concatenate([there, np.zeros((20_000, 1), np.float32)], 1))
    assert heat["tags"] == pytest.approx(2, rel=0.05) and heat["price"] == 1.0
    changed = scaled(both.heads, logits, heat)
    assert (changed[:, 2] == logits[:, 2]).all() and np.allclose(changed[:, :2] * heat["tags"], logits[:, :2])


def test_rows_without_a_target_and_classes_that_training_never_saw_are_left_out():
    logits, target = drawn(500, 2.0)
    more = np.concatenate([logits, 50 * np.ones((2, 3), np.float32)])
    assert fit(THREE, more, np.append(target, [-1, 3])) == fit(THREE, logits, target)
    assert fit(THREE, logits, np.full(500, -1)) == {"answer": 1.0}

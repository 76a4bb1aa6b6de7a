"""Soft labels, by hand and against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.recipe import Recipe
from suffuse.report import soft_labels
from suffuse.run import Run


def test_soften_is_a_softmax_at_a_temperature_also_for_large_logits():
    logits = np.array([[0, np.log(3)], [60000, -60000]], dtype=np.float16)
    assert soft_labels.soften(logits, 1.0) == pytest.approx(np.array([[0.25, 0.75], [1, 0]]), abs=1e-3)
    assert soft_labels.soften(logits, 1e6)[1] == pytest.approx([0.53, 0.47], abs=5e-3)


def test_entropy_and_means_by_class_leave_out_rows_without_a_known_label():
    logits = np.array([[0, 0], [0, 0], [9, -9], [0, 0]], dtype=np.float16)
    found = soft_labels.read_soft_labels(logits, np.array([0, -1, 1, 2]), 1.0)
    assert found.entropy == pytest.approx([1, 1, 0, 1], abs=1e-5)
    assert found.rows.tolist() == [1, 1]
    assert found.means == pytest.approx(np.array([[0.5, 0.5], [1, 0]]), abs=1e-5)


def test_many_chunks_are_as_good_as_one(monkeypatch):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(50, 4)).astype(np.float16), random.integers(-1, 5, 50)
    whole = soft_labels.read_soft_labels(logits, labels, 2.0)
    monkeypatch.setattr(soft_labels, "CHUNK", 28)
    parts = soft_labels.read_soft_labels(logits, labels, 2.0)
    assert parts.means == pytest.approx(whole.means)
    assert (parts.entropy == whole.entropy).all()


def test_of_a_large_store_evenly_spaced_rows_are_read(monkeypatch):
    monkeypatch.setattr(soft_labels, "MAX_LOGITS", 100)
    found = soft_labels.read_soft_labels(np.zeros((103, 4), dtype=np.float16), np.zeros(103, dtype=int), 1.0)
    assert found.index.tolist() == [102 * n // 24 for n in range(25)]


def test_the_softest_classes_are_listed_with_what_they_are_close_to():
    logits = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.05, 0.05, 0.9]])).astype(np.float16)
    found = soft_labels.softest_classes(soft_labels.read_soft_labels(logits, np.arange(3), 1.0), ["a", "b", "c"])
    assert [line["name"] for line in found] == ["a", "b", "c"]
    assert [near["name"] for near in found[0]["near"]] == ["b", "c"]


@pytest.mark.parametrize(
    ("losses", "heat"),
    [
        ({"a": {"kind": "multilabel_kd", "temperature": 5}, "b": {"kind": "kd", "temperature": 3}}, 3.0),
        ({"a": {"kind": "multilabel_kd", "temperature": 5}}, 1.0),
        ({"a": {"kind": "task"}, "b": {"kind": "regression_kd"}}, 1.0),
    ],
)
def test_the_temperature_is_that_of_the_classes(tiny_recipe, tmp_path, losses: dict, heat: float):
    made = tiny_recipe(tmp_path / "rows.csv")
    made["distill"]["losses"] = losses
    run = Run(tmp_path, Recipe.model_validate(made))
    assert soft_labels.soft_label_temperature(run) == heat

"""Calibration: its error vanishes for a calibrated generator, and one temperature mends an overconfident model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from probe_tools import toy_columns, toy_context

from suffuse.evaluation import missing_modalities
from suffuse.evaluation.calibration import class_calibration, label_calibration, probe, validation_rows
from suffuse.types import Head

HEAD = Head("y", "classes", ("p", "q", "r"))


def drawn(p: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Classes that come as often as (N, C) says."""
    return (random.random((len(p), 1)) > p.cumsum(1)).sum(1)


def test_the_error_of_a_perfectly_calibrated_generator_goes_to_zero_as_rows_grow():
    def error(rows: int, labels: bool) -> float:
        found = []
        for seed in range(8):
            random = np.random.default_rng([seed, rows])
            p = random.dirichlet(np.ones(3), rows)
            if labels:
                found.append(label_calibration(p, (random.random(p.shape) < p).astype(int))["ece"])
            else:
                found.append(class_calibration(p, drawn(p, random))["ece"])
        return float(np.mean(found))

    for labels in (False, True):
        errors = [error(rows, labels) for rows in (100, 1600, 25600)]
        # noise shrinks with the root of the rows: 16 times as many, a quarter of it
        assert errors[1] < errors[0] / 2.5 and errors[2] < errors[1] / 2.5 and errors[2] < 0.006


def overconfident(factor: float, rows: int = 6000):
    """Rows whose classes come as softmax(z) says, and a model that says factor * z; half of them validation."""
    random = np.random.default_rng(0)
    z = random.normal(size=(rows, 3))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    columns = toy_columns(rows, drawn(p, random), z[:, :2] - z[:, 2:], HEAD)
    columns = replace(columns, split=(1 + np.arange(rows) % 2).astype(np.int8))
    answer = (("a", "b"), lambda x, present: factor * np.concatenate([x, np.zeros((len(x), 1))], 1))
    context = toy_context(columns, {"student": [answer, answer]})
    where = columns.labelled("test")
    model = context.models["student"]
    said = replace(model, logits={s: v[where] for s, v in model.logits.items()})
    return replace(context, rows=where, models={"student": said}, draws=context.draws.of(where))


def test_a_model_that_is_too_sure_by_three_gets_a_temperature_of_three():
    context = overconfident(3.0)
    found = probe(context)["student"]["temperature"]
    one = found["targets"]["y"]
    assert found["fitted_on"] == 2000 and one["temperature"] == pytest.approx([3.0, 3.0], rel=0.08)
    assert one["before"]["ece"] > 0.15 > 0.03 > one["after"]["ece"]
    assert one["after"]["brier"] < one["before"]["brier"] and one["after"]["log_loss"] < one["before"]["log_loss"]
    assert sum(b["rows"] for b in one["after"]["bins"]) == 2 * 3000
    assert "subsets" not in found


def test_test_rows_decide_nothing_about_the_temperature():
    context = overconfident(2.0)
    before = probe(context)["student"]["temperature"]["targets"]["y"]["temperature"]
    target = context.columns.target.copy()
    target[context.rows] = 0
    changed = replace(context, columns=replace(context.columns, target=target))
    assert probe(changed)["student"]["temperature"]["targets"]["y"]["temperature"] == before
    assert not set(validation_rows(context)) & set(context.rows)


def test_every_subset_has_its_errors_once_missing_was_measured():
    context = overconfident(3.0)
    missing_modalities.probe(context)
    found = probe(context)["student"]["temperature"]["subsets"]
    assert list(found) == ["nothing", "a", "b", "a+b"]
    assert found["a+b"]["y"]["after"]["ece"] < found["a+b"]["y"]["before"]["ece"]
    # without b the model sees half of what it was made for, and is still too sure
    assert found["a"]["y"]["before"]["ece"] > found["a+b"]["y"]["after"]["ece"]
    assert set(found["a"]["y"]["before"]) == {"ece", "brier"}
    after = found["a"]["y"]["after"]
    assert all(ends["low"] <= after[key] <= ends["high"] for key, ends in after["intervals"].items())
    assert set(after["intervals"]) == {"ece", "brier"}

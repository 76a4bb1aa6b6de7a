"""The same student on labels alone may have settings of its own, and never another budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_tools import make_recipe as raw_recipe

from suffuse.engine.students import Job, network_of, training_of
from suffuse.errors import UsageError
from suffuse.pipeline import inputs
from suffuse.recipe import make_recipe
from suffuse.run import Run
from suffuse.stages import STAGES

TAUGHT, UNTAUGHT = (Job(who, 1, taught, 1.0, None) for who, taught in (("student", True), ("baseline", False)))
OWN = {"train": {"learning_rate": 5e-4, "weight_decay": 0.1, "ema": 0.9}, "dropout": 0.4}


def test_only_the_baseline_has_the_baseline_s_settings() -> None:
    recipe = make_recipe(raw_recipe(distill__baseline=OWN))
    taught, alone = (training_of(recipe.distill, one) for one in (True, False))
    assert taught == recipe.distill.train
    assert (alone.learning_rate, alone.weight_decay, alone.ema) == (5e-4, 0.1, 0.9)
    changed = {"learning_rate", "weight_decay", "ema"}
    assert {k for k in type(taught).model_fields if getattr(taught, k) != getattr(alone, k)} == changed
    assert network_of(recipe, TAUGHT).dropout == 0.0
    assert network_of(recipe, UNTAUGHT).dropout == 0.4
    assert network_of(recipe, Job("only-picture", 1, False, 1.0, "picture")).dropout == 0.4


def test_dropout_goes_to_the_encoders_where_the_fusion_has_heads() -> None:
    student = {"encoders": {"question": {"kind": "gru", "embedding": 4, "width": 8}}, "fusion": {"kind": "queries"}}
    recipe = make_recipe(raw_recipe(student=student, distill__baseline={"dropout": 0.3}))
    network = network_of(recipe, UNTAUGHT)
    assert network.dropout == 0.0
    assert network.encoders["question"].dropout == 0.3  # pyright: ignore
    type(network).model_validate(network.model_dump())


@pytest.mark.parametrize("key", ["epochs", "batch", "patience"])
def test_its_budget_can_not_be_another(key: str) -> None:
    with pytest.raises(UsageError, match="unknown key"):
        make_recipe(raw_recipe(distill__baseline={"train": {key: 3}}))
    with pytest.raises(UsageError, match="unknown key"):
        make_recipe(raw_recipe(distill__baseline={key: 3}))


def test_without_it_nothing_that_was_made_is_stale(tmp_path: Path) -> None:
    run = Run(tmp_path, make_recipe(raw_recipe()))
    assert inputs(run, STAGES["distill"])["distill.baseline"] is None  # as in a stamp that doesn't name it
    apart = Run(tmp_path, make_recipe(raw_recipe(distill__baseline=OWN)))
    assert inputs(apart, STAGES["distill"]) != inputs(run, STAGES["distill"])

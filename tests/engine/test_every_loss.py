"""A training with every loss for classes: deterministic, resumable, and steady in the size of its batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from losses_tools import minimal

from suffuse import losses
from suffuse.data.training_views import Viewer
from suffuse.engine import loop
from suffuse.engine.loop import fit
from suffuse.engine.objective import Objective
from suffuse.engine.runtime import seed, settle
from suffuse.model import FusionModel
from suffuse.recipe import Training
from suffuse.types import CLASSES

WIDTHS = {"logits": 3, "fused": 7, "picture": 6, "question": 6, "gates": 2, "picture.map": 16, "picture.look.map": 32}
KINDS = [k for k in losses.KINDS if CLASSES in (losses.load_loss(k).HEADS or (CLASSES,))]


class Killed(Exception):
    """What ends a training in these tests."""


def train(trainer, place: str, stop: int = 1000, precision: str = "fp32", seen: Any = None) -> tuple[Objective, Any]:
    """Three short epochs with views and second answers; killed before step ``stop``."""
    settle(1)
    seed(0)
    columns, random = trainer.columns, torch.Generator().manual_seed(8)
    chosen = {kind: minimal(kind) for kind in KINDS}
    facts = trainer.network.model_dump() | {"fusion": {"kind": "queries"}, "hidden": 0, "dropout": 0.0}
    network = trainer.network.model_validate(facts)
    objective = Objective(FusionModel(network, columns.spec), chosen, WIDTHS)
    taught = {n: torch.randn(len(columns.target), w, generator=random) for n, w in WIDTHS.items()}
    taught["gates"], taught["picture.map"] = taught["gates"].softmax(1), taught["picture.map"].square()
    taught["picture.look.map"] = taught["picture.look.map"].square()
    taught["logits"][::5] = torch.nan  # a teacher that abstains now and then
    begun: list[int] = []

    def gather(picked: np.ndarray, number: int) -> tuple:
        if len(begun) == stop:
            raise Killed
        begun.append(number)
        batch = columns.batch(picked, None, (Viewer(3, 0.7), number), objective.needs_full_input)
        return batch, {n: taught[n].index_select(0, batch.rows) for n in objective.needs()}

    training = Training(epochs=3, batch=8, learning_rate=0.02, precision=precision)
    plan = trainer.plan(training=training, gather=gather, folder=trainer.folder / place, calibrate=True)
    return objective, fit(objective, plan)


@pytest.mark.slow
@pytest.mark.long  # quicker: test_loop.py
@pytest.mark.parametrize("stop", [6, 9])
def test_killed_and_called_again_it_ends_with_the_same_bits(trainer, monkeypatch, stop):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    expected, state = train(trainer, "whole")
    with pytest.raises(Killed):
        train(trainer, "killed", stop)
    resumed, again = train(trainer, "killed")
    assert state == again
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in expected.state_dict().items())


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.long)])
def test_every_loss_pulls_and_stays_a_number(trainer, precision):
    _, state = train(trainer, precision, precision=precision)
    for epoch in state.history:
        assert list(epoch["shares"]) == KINDS
        assert all(np.isfinite(list(epoch["terms"].values())))
    assert all(max(epoch["shares"][kind] for epoch in state.history) > 1e-3 for kind in KINDS)

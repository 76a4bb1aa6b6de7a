"""How hard each loss pulls: measured without a trace, calibrated, kept in checkpoints, told where it is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from suffuse.engine import loop
from suffuse.engine.gradient_norms import calibrate, dead, norms, shares
from suffuse.engine.runtime import settle
from suffuse.engine.training_record import alerts, save_trained
from suffuse.files import read_json


class Killed(Exception):
    """What ends a training in these tests."""


@pytest.fixture
def ready(trainer):
    """An objective in training and the arguments of its first batch."""
    settle(1)
    objective, plan = trainer.objective().train(), trainer.plan()
    return objective, plan, plan.gather(plan.sampler.order(0)[:8], 0)


def by_hand(objective, gathered, number: int) -> torch.Tensor:
    """The gradient of one weighed term on the student's weights."""
    objective.zero_grad()
    torch.manual_seed(9)
    (objective.terms(*gathered)[number] * objective.weights[number]).backward()
    found = [p.grad.flatten() for p in objective.model.parameters() if p.grad is not None]
    objective.zero_grad()
    return torch.cat(found).double()


def test_a_share_is_the_norm_of_a_gradient(ready):
    objective, _, gathered = ready
    expected = torch.stack([by_hand(objective, gathered, k).norm() for k in range(3)])
    torch.manual_seed(9)
    found = shares(objective, gathered)
    assert list(found) == list(objective.names)
    np.testing.assert_allclose(list(found.values()), expected / expected.sum(), rtol=1e-5)
    assert sum(found.values()) == pytest.approx(1)


def test_measuring_leaves_no_trace(ready):
    objective, _, gathered = ready
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    torch.manual_seed(4)
    random = torch.get_rng_state()
    norms(objective, gathered)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, before[k]) for k, v in objective.state_dict().items())
    assert all(p.grad is None for p in objective.parameters())
    assert objective.training


def test_calibrated_weights_are_shares_of_the_gradient(ready):
    objective, _, gathered = ready
    objective.model.eval()  # no dropout: the same batch gives the same gradient
    asked = objective.weights / objective.weights.sum()
    total = (norms(objective, gathered) * objective.weights).sum()
    calibrate(objective, [gathered])
    torch.testing.assert_close(torch.tensor(list(shares(objective, gathered).values())), asked)
    torch.testing.assert_close((norms(objective, gathered) * objective.weights).sum(), total)


def test_a_term_without_a_gradient_keeps_its_weight(ready):
    objective, _, (batch, teacher) = ready
    silent = (batch, {**teacher, "logits": teacher["logits"] * torch.nan})  # the teacher abstains from all
    before = objective.weights.clone()
    calibrate(objective, [silent])
    assert objective.weights[0] == before[0] and (objective.weights[1:] != before[1:]).all()
    assert objective.weights.isfinite().all()


def test_every_epoch_says_how_hard_each_loss_pulled(trainer):
    history = trainer.fit().state.history
    assert len(history) == 4
    for epoch in history:
        assert list(epoch["shares"]) == list(epoch["terms"]) == ["soft", "labels", "near"]
        assert sum(epoch["shares"].values()) == pytest.approx(1)
        assert all(0 < share < 1 for share in epoch["shares"].values())
        assert "weights" not in epoch


def test_measuring_changes_no_bit_of_a_training(trainer, monkeypatch):
    one = trainer.fit(folder=trainer.folder / "one")
    monkeypatch.setattr(loop, "shares", lambda objective, gathered: dict.fromkeys(objective.names, 0.0))
    other = trainer.fit(folder=trainer.folder / "other")
    assert all(torch.equal(v, other.weights()[k]) for k, v in one.weights().items())


@pytest.mark.parametrize("step", [1, 2, 5])
def test_killed_and_called_again_calibrated_weights_are_the_same(trainer, same, monkeypatch, step):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    expected = trainer.fit(calibrate=True, folder=trainer.folder / "whole")
    weights = expected.state.history[0]["weights"]
    assert [w != pytest.approx(asked) for w, asked in zip(weights.values(), (0.9, 0.1, 0.5), strict=True)] == [True] * 3
    plan, begun = trainer.plan(calibrate=True), []

    def gather(rows: np.ndarray, number: int) -> tuple:
        if len(begun) == step + 3:  # four batches are calibrated on
            raise Killed
        begun.append(rows)
        return plan.gather(rows, number)

    with pytest.raises(Killed):
        trainer.fit(calibrate=True, gather=gather)
    resumed = trainer.fit(calibrate=True)
    same(expected, resumed)
    assert all(epoch["weights"] == weights for epoch in resumed.state.history)


def test_a_loss_that_teaches_nothing_is_an_alert(trainer, tmp_path):
    plan = trainer.plan()

    def gather(rows: np.ndarray, number: int) -> tuple:
        batch, teacher = plan.gather(rows, number)
        return batch, {**teacher, "logits": teacher["logits"] * torch.nan}

    found = trainer.fit(gather=gather)
    assert [epoch["shares"]["soft"] for epoch in found.state.history] == [0] * 4
    assert dead(found.state.history) == ["soft"]
    save_trained(found.objective.model, found.state, trainer.plan(), tmp_path / "out")
    facts = read_json(tmp_path / "out" / "training.json")
    assert len(facts["alerts"]) == 1 and "'soft'" in facts["alerts"][0]
    assert facts["shares"]["soft"] == 0 and facts["shares"]["labels"] > 0
    assert alerts(trainer.fit(folder=trainer.folder / "sound").state.history) == []


def test_a_loss_that_pulls_once_is_not_dead():
    history = [{"shares": {"a": 0.0, "b": 1.0}}, {"shares": {"a": 0.01, "b": 0.99}}]
    assert dead(history) == [] == dead([])
    assert dead(history[:1]) == ["a"]


def test_labels_alone_are_not_measured(trainer, monkeypatch):
    """A teacher's or a baseline's only loss has all of the gradient; an epoch costs no step more."""
    settle(1)
    objective = trainer.objective()
    single = type(objective)(objective.model, {"labels": objective.settings[1]}, {})
    monkeypatch.setattr(loop, "shares", lambda *_: pytest.fail("measured"))
    state = loop.fit(single, replace(trainer.plan(), folder=trainer.folder / "single"))
    assert all(epoch["shares"] == {"labels": 1.0} for epoch in state.history)


def test_a_checkpoint_from_before_weights_were_kept_still_loads(trainer, same, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    expected = trainer.fit()
    file = next(trainer.folder.rglob("last.safetensors"))
    with safe_open(file, framework="pt") as opened:
        tensors = {n: opened.get_tensor(n) for n in opened.keys() if n != "objective.weights"}  # noqa: SIM118
        facts = opened.metadata()
    save_file(tensors, file, metadata=facts)
    same(expected, trainer.fit())

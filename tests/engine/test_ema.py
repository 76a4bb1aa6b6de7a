"""Averaged weights and steps of several batches: closed forms, and the same bits after a kill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from suffuse import losses
from suffuse.data.sampler import Sampler
from suffuse.engine import loop
from suffuse.engine.ema import Average
from suffuse.engine.loop import Batches, accumulated, optimizer_step
from suffuse.engine.objective import Objective
from suffuse.engine.runtime import seed
from suffuse.model import FusionModel
from suffuse.recipe import Training
from suffuse.registry import settings


def test_an_average_is_its_formula():
    torch.manual_seed(0)
    model = nn.BatchNorm1d(3)
    average, expected = Average(model, 0.6), model.weight.detach().clone().double()
    for n in range(20):
        with torch.no_grad():
            model.weight.normal_()
            model.num_batches_tracked += 1  # type: ignore[operator]
        decay = min(0.6, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
        average.update()
    torch.testing.assert_close(average.tensors["weight"].double(), expected, rtol=1e-5, atol=1e-6)
    assert average.tensors["num_batches_tracked"] == 20  # a count is no average
    own = model.weight.detach().clone()
    with average.applied():
        assert torch.equal(model.weight, average.tensors["weight"])
    assert torch.equal(model.weight, own)


def test_what_is_fixed_is_not_averaged():
    model = nn.Linear(2, 2)
    average = Average(model, 0.9, frozenset({"bias"}))
    assert set(average.tensors) == {"weight"}


def test_the_averaged_weights_are_judged_and_kept(trainer):
    training = Training(epochs=3, batch=8, learning_rate=0.02, ema=0.9)
    seen: list[dict] = []

    def validate(model: nn.Module) -> dict[str, float]:
        seen.append({n: v.clone() for n, v in model.state_dict().items()})
        return {"accuracy": len(seen) / 10, "log_loss": 1.0}

    found = trainer.fit(training=training, validate=validate)
    judged = seen[-1]
    plain = trainer.fit(
        training=training.model_copy(update={"ema": 0.0}), validate=validate, folder=trainer.folder / "plain"
    )  # the last epoch is the best of both
    kept, raw = found.objective.model.state_dict(), plain.objective.model.state_dict()
    assert all(torch.equal(kept[n], v) for n, v in judged.items())
    assert not all(torch.equal(kept[n], v) for n, v in raw.items())
    losses = [[h["loss"] for h in t.state.history] for t in (found, plain)]
    assert losses[0] == losses[1]  # the training itself is the same


def plan_of(trainer, rows: int, batch: int, accumulate: int, epochs: int, every: int):
    sampler = Sampler(np.arange(rows), np.arange(rows), batch, 0)
    return trainer.plan(
        sampler=sampler, every=every, training=Training(epochs=epochs, batch=batch, accumulate=accumulate)
    )


@pytest.mark.parametrize("accumulate", [1, 2, 3, 4, 9])
@pytest.mark.parametrize(("epochs", "every"), [(2, 4), (1, 3), (3, 5), (2, 11)])
def test_every_step_of_several_batches_has_shares_that_make_one(trainer, accumulate, epochs, every):
    """27 rows in batches of 8: 8, 8, 8, 3. An epoch's end closes a step, a pass's end doesn't."""
    plan, total, count = plan_of(trainer, 27, 8, accumulate, epochs, every), 0.0, 0
    for step in range(epochs * every):
        share, whole = accumulated(plan, step)
        total, count = total + (share.rows if share else 1.0), count + 1
        assert whole == (count == accumulate or (step + 1) % every == 0)
        if whole:
            assert total == pytest.approx(1.0)
            total, count = 0.0, 0
    assert count == 0


@pytest.mark.parametrize("accumulate", [2, 3, 7])
def test_a_step_over_several_passes_counts_the_rows_and_labels_of_its_batches(trainer, accumulate):
    """27 rows in batches of 8, eleven batches an epoch: of every step, what its batches are drawn from."""
    plan = plan_of(trainer, 27, 8, accumulate, 2, 11)
    plan = replace(plan, labels=lambda rows: (int((rows % 3 == 0).sum()),))
    batches, orders = Batches(plan), [plan.sampler.order(turn) for turn in range(6)]
    drawn = [order[start : start + 8] for order in orders for start in range(0, 27, 8)]
    for step in range(22):
        rows = np.concatenate([drawn[number] for number in optimizer_step(plan, step)])
        share, _ = accumulated(plan, step, batches.labels(step))
        assert share is not None and batches.rows(step).tolist() == drawn[step].tolist()
        assert share.rows == pytest.approx(len(drawn[step]) / len(rows))
        assert share.labels == ((rows % 3 == 0).sum(),)


def test_several_batches_have_the_gradient_of_one(trainer, monkeypatch):
    """By rows, so a last batch that isn't full counts for less."""
    rows = trainer.columns.labelled("train")
    found: list[list[torch.Tensor]] = []

    def note(objective, optimizer, plan, step: int) -> None:
        found.append([p.grad.clone() for p in objective.parameters() if p.grad is not None])

    monkeypatch.setattr(loop, "update", note)
    for batch, accumulate in ((len(rows), 1), (8, 4)):
        objective = trainer.objective().eval()  # no dropout, no statistics of a batch
        objective.weights[2] = 0.0  # a hint counts the rows that have the modality
        sampler = Sampler(rows, rows, batch, 3)
        plan = trainer.plan(sampler=sampler, training=Training(epochs=1, batch=batch, accumulate=accumulate))
        order = sampler.order(0)
        for step in range(sampler.steps):
            picked = order[step * batch : (step + 1) * batch]
            loop.train_step(objective, None, plan, plan.gather(picked, 0), step)  # type: ignore[arg-type]
    assert len(found) == 2
    for one, several in zip(*found, strict=True):
        torch.testing.assert_close(several, one, rtol=1e-4, atol=1e-6)


CHOSEN = {
    "labels": {"kind": "task", "weight": 0.4, "label_smoothing": 0.1},
    "soft": {"kind": "kd", "weight": 0.9},
    "near": {"kind": "hint", "tap": "fused", "weight": 0.5},
}


@pytest.mark.parametrize("targets", ["plain", "mixed"])
@pytest.mark.parametrize(("batch", "accumulate"), [(8, 4), (9, 4), (16, 2)])
def test_a_step_in_several_batches_ends_with_the_weights_of_one(
    targets, batch, accumulate, make_columns, make_network, tmp_path, monkeypatch
):
    """With labels on random rows: cross-entropy counts a batch by its labels, the others by its rows."""
    columns = make_columns(rows=42, absent=0.0, targets=targets)
    rows, random = columns.rows("train"), np.random.default_rng(2)
    target = columns.hidden(random.random(len(columns.target)) < 0.4)
    target = target if columns.spec.plain else target.double()
    counts = [columns.counts(part, target) for part in np.split(Sampler(rows, rows, 32, 3).order(0), 4)]
    assert len(rows) == 32 and len(set(counts)) > 1
    taught = {"logits": torch.randn(42, columns.spec.outputs).double(), "fused": torch.randn(42, 6).double()}

    def weights(batch: int, accumulate: int) -> dict[str, torch.Tensor]:
        seed(1)
        model = FusionModel(make_network(norm="none"), columns.spec)
        chosen = {name: settings(losses.TABLE, facts) for name, facts in CHOSEN.items()}
        objective = Objective(model, chosen, {"fused": 6}).double()

        def gather(picked: np.ndarray, turn: int) -> tuple:
            found = columns.batch(picked, target)
            return found, {name: tap.index_select(0, found.rows) for name, tap in taught.items()}

        training = Training(epochs=1, batch=batch, accumulate=accumulate, learning_rate=0.02, warmup=0.0)
        sampler = Sampler(rows, rows, batch, 3)
        plan = loop.Plan(
            training, sampler, every=sampler.steps, gather=gather,
            validate=lambda model: {"accuracy": 0.0, "log_loss": 1.0},
            folder=tmp_path / str(batch), tell=lambda share, words: None,
            labels=lambda picked: columns.counts(picked, target),
        )  # fmt: skip
        monkeypatch.setattr(loop, "schedule", lambda step, total, warmup: 1.0)
        loop.fit(objective, plan)
        return objective.state_dict()

    several, one = weights(batch, accumulate), weights(32, 1)
    for name, value in one.items():
        torch.testing.assert_close(several[name], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("every", [4, pytest.param(7, marks=pytest.mark.long)])
@pytest.mark.parametrize("step", [2, 5, *(pytest.param(step, marks=pytest.mark.long) for step in (1, 7, 14))])
def test_killed_in_the_middle_of_a_step_it_ends_with_the_same_bits(trainer, same, monkeypatch, step, every):
    """Also where a step goes on over the end of a pass."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    training = Training(epochs=4, batch=8, learning_rate=0.02, accumulate=3, ema=0.8)
    how: dict[str, Any] = {"training": training, "every": every, "labels": trainer.columns.counts}
    expected = trainer.fit(**how, folder=trainer.folder / "whole")
    plan, begun = trainer.plan(), []
    assert expected.state.optimizer_steps == 4 * -(-every // 3)

    def gather(rows: np.ndarray, number: int) -> tuple:
        if len(begun) == step:
            raise KeyboardInterrupt
        begun.append(rows)
        return plan.gather(rows, number)

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(**how, gather=gather)
    same(expected, trainer.fit(**how))

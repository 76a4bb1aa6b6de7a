"""Mixup over stored answers, and weights and temperatures that follow a schedule."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from suffuse import losses
from suffuse.engine import loop, objective
from suffuse.engine.mixup import Mixed, mix_batch
from suffuse.engine.objective import Objective
from suffuse.errors import UsageError
from suffuse.recipe import Schedule, Training, make_recipe
from suffuse.registry import settings


@pytest.fixture
def gathered(trainer) -> tuple:
    rows = trainer.columns.labelled("train")[:12]
    return trainer.plan().gather(rows, 0)


def mixing(trainer, chosen: dict, **more) -> Objective:
    """In training, but without dropout and statistics of a batch."""
    model = trainer.objective().model
    made = {name: settings(losses.TABLE, each) for name, each in chosen.items()}
    found = Objective(model, made, {"picture": 6}, mixup=0.7, **more).train()
    found.model.eval()
    return found


def test_a_mixture_is_of_joint_vectors_of_rows_that_have_something(trainer, gathered):
    batch = gathered[0]
    empty = batch.present & (torch.arange(len(batch.present)) % 4 != 0).unsqueeze(1)
    batch = dataclasses.replace(batch, present=empty)
    model = trainer.objective().model.eval()
    output = model(batch)
    found, there = mix_batch(model, output, empty, 0.7), empty.any(1)
    assert not there.all() and 0 < found.share < 1
    assert (found.partner != torch.arange(len(there))).any()
    for row, partner in enumerate(found.partner.tolist()):
        if not there[row]:
            assert partner == row and torch.equal(found.logits[row], model.log_prior)
            continue
        assert there[partner]
        vector = found.share * output.fused[row] + (1 - found.share) * output.fused[partner]
        torch.testing.assert_close(found.logits[row], model.head(vector))


def test_it_is_the_loss_against_mixed_labels_and_probabilities(trainer, gathered, monkeypatch):
    """Cross-entropy against the mixture of labels; of kd the gradient of KL against the mixture of probabilities."""
    batch, teacher = gathered
    drawn: list[Mixed] = []
    monkeypatch.setattr(objective, "mix_batch", lambda *a: drawn.append(mix_batch(*a)) or drawn[-1])
    made = mixing(trainer, {"labels": {"kind": "task"}, "soft": {"kind": "kd", "temperature": 3.0}})
    terms = made.terms(batch, teacher)
    (found,) = drawn
    one_hot = F.one_hot(batch.target, 3).float()
    labels = found.share * one_hot + (1 - found.share) * one_hot[found.partner]
    p = (teacher["logits"] / 3).softmax(1)
    p = found.share * p + (1 - found.share) * p[found.partner]
    torch.testing.assert_close(terms[0], F.cross_entropy(found.logits, labels))
    expected = F.kl_div((found.logits / 3).log_softmax(1), p, reduction="batchmean") * 9
    one, other = (torch.autograd.grad(t, found.logits, retain_graph=True)[0] for t in (terms[1], expected))
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_features_stay_unmixed_and_so_does_everything_outside_of_training(trainer, gathered):
    chosen = {"near": {"kind": "hint", "tap": "picture"}, "soft": {"kind": "kd"}}
    made = mixing(trainer, chosen)
    plain = made.eval().terms(*gathered)
    assert torch.equal(plain, made.terms(*gathered))
    made.training = True
    torch.manual_seed(0)
    mixed = made.terms(*gathered)
    assert mixed[0] == plain[0] and mixed[1] != plain[1]


@pytest.mark.parametrize("step", [2, 9])
def test_killed_and_called_again_it_ends_with_the_same_bits(trainer, same, monkeypatch, step):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    first = trainer.objective

    def scheduled(number: int = 0) -> Objective:
        base = first(number)
        plans = {"soft": Schedule(weight=0.1, temperature=1.0), "labels": Schedule(weight=1.0, shape="cosine")}
        chosen = dict(zip(base.names, base.settings, strict=True))
        return Objective(base.model, chosen, {"picture": 6}, schedules=plans, mixup=0.4)

    monkeypatch.setattr(trainer, "objective", scheduled)
    expected, plan, begun = trainer.fit(folder=trainer.folder / "whole"), trainer.plan(), []

    def gather(rows: np.ndarray, number: int) -> tuple:
        if len(begun) == step:
            raise KeyboardInterrupt
        begun.append(rows)
        return plan.gather(rows, number)

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(gather=gather)
    same(expected, trainer.fit())


def test_weights_and_temperatures_reach_what_the_schedule_says(trainer, gathered):
    plans = {"soft": Schedule(weight=0.0, temperature=1.0), "labels": Schedule(weight=1.0, shape="cosine")}
    chosen = {"labels": {"kind": "task", "weight": 0.5}, "soft": {"kind": "kd", "temperature": 4.0, "weight": 0.8}}
    made = mixing(trainer, chosen, schedules=plans)
    made.mixup = 0.0
    for share, weights, heat in ((0.0, (0.5, 0.8), 4.0), (0.5, (0.75, 0.4), 2.5), (1.0, (1.0, 0.0), 1.0)):
        made.at(share)
        total, terms = made(*gathered)
        assert made.now[1].temperature == pytest.approx(heat)
        raw = mixing(trainer, {**chosen, "soft": {**chosen["soft"], "temperature": heat}})
        raw.mixup = 0.0
        expected = raw.terms(*gathered).detach() * torch.tensor(weights)
        torch.testing.assert_close(terms, expected)
        torch.testing.assert_close(total.detach(), expected.sum())


RAW = {
    "data": {"source": "rows.csv", "target": "label"},
    "modalities": {"text": {"kind": "text", "column": "a"}, "more": {"kind": "text", "column": "b"}},
    "teacher": {"encoders": {"text": {"kind": "gru"}, "more": {"kind": "gru"}}, "fusion": {"kind": "late"}},
    "student": {"encoders": {"text": {"kind": "bag"}, "more": {"kind": "bag"}}},
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"teacher": {**RAW["teacher"], "train": {"mixup": 0.2}}}, "teacher.train.mixup"),  # type: ignore[dict-item]
        ({"distill": {"schedules": {"sofd": {"weight": 0.1}}}}, "distill.schedules: got 'sofd', expected some of"),
        ({"distill": {"schedules": {"labels": {"temperature": 1}}}}, "got a temperature for a loss that has none"),
    ],
)
def test_what_can_t_be_mixed_or_scheduled_is_refused_with_the_recipe(change, says):
    with pytest.raises(UsageError, match=says):
        make_recipe({**RAW, **change})
    assert Training(mixup=0.2).mixup == 0.2


def test_a_loss_that_reads_features_beside_answers_stays_unmixed_too(trainer, gathered):
    """A row's relations beside those of the row that it is mixed with would be two things."""
    batch, teacher = gathered
    chosen = {"doubt": {"kind": "entropy_relations", "tap": "picture"}, "soft": {"kind": "kd"}}
    mixed = mixing(trainer, chosen)
    plain = Objective(mixed.model, dict(zip(mixed.names, mixed.settings, strict=True)), {"picture": 6})
    torch.manual_seed(3)
    found, expected = mixed.terms(batch, teacher), plain.terms(batch, teacher)
    assert torch.equal(found[0], expected[0]) and found[1] != expected[1]

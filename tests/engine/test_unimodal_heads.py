"""Heads of each modality beside the joint head: how they learn, and how all of them are pooled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from suffuse import losses
from suffuse.data.columns import Columns
from suffuse.data.sampler import Sampler
from suffuse.engine import pool_fitting
from suffuse.engine.inference import logits, score, subset_logits
from suffuse.engine.loop import Plan, fit
from suffuse.engine.objective import Objective
from suffuse.engine.runtime import seed
from suffuse.engine.validation import finisher, scorer
from suffuse.model import FusionModel, open_model, save
from suffuse.opinion_pool import pool, pool_weights
from suffuse.recipe import Network, Training
from suffuse.registry import settings
from suffuse.types import Field, Head, Spec
from suffuse.unimodal_heads import UnimodalHeads


@pytest.fixture
def columns(make_columns) -> Columns:
    return make_columns(rows=60)


@pytest.fixture
def model(columns, make_network) -> FusionModel:
    torch.manual_seed(0)
    return FusionModel(make_network(unimodal_weight=1.0), columns.spec)


def test_they_are_there_where_there_is_something_to_choose(columns, make_network):
    assert FusionModel(make_network(), columns.spec).unimodal is None
    alone = make_network(unimodal_weight=1.0).only("question")
    assert FusionModel(alone, columns.of(("question",)).spec).unimodal is None
    widths = FusionModel(make_network(), columns.spec).widths().values()
    more = (
        FusionModel(make_network(unimodal_weight=1.0), columns.spec).size()
        - FusionModel(make_network(), columns.spec).size()
    )
    assert more == sum(widths) * 3 + 2 * 3  # D C + M C


def test_in_training_the_logits_are_those_of_the_joint_head(model, columns, make_network):
    plain = FusionModel(make_network(), columns.spec)
    plain.load_state_dict(model.state_dict(), strict=False)
    batch = columns.batch(columns.rows("train"))
    model.unimodal.weights.uniform_(0.5, 1.5)
    got = model.train()(batch)
    assert torch.equal(got.logits, plain.train()(batch).logits)
    assert [z.shape for z in got.unimodal_logits] == [got.logits.shape] * 2
    assert not torch.allclose(model.eval()(batch).logits, plain.eval()(batch).logits)


def test_the_pool_is_a_logarithmic_opinion_pool(model, columns):
    batch = columns.batch(columns.rows("train"))
    heads = model.eval().unimodal
    joint = model(batch).logits.detach()  # with the first weights, which are those of the joint head alone
    draw = np.random.default_rng(0)
    chosen = {number: draw.uniform(0, 2, (1, 3)) for number, _ in heads.sets()}
    for number, weights in chosen.items():
        heads.set_weights(number, weights)
    output = model(batch)
    members = [z.detach().numpy() for z in (joint, *output.unimodal_logits)]
    for row, present in enumerate(batch.present.numpy()):
        weights = chosen[int(present @ [1, 2])]
        expected = pool(columns.spec, weights, [z[row : row + 1] for z in members])
        np.testing.assert_allclose(output.logits[row].detach().numpy(), expected[0], atol=1e-5)


def test_an_absent_modality_s_head_says_the_prior_and_learns_nothing(model, columns):
    batch = columns.batch(columns.rows("train"))
    encoded = model.encode(batch)
    spoilt = [
        replace(e, vector=e.vector.where(here, torch.nan))
        for e, here in zip(encoded, batch.present.split(1, 1), strict=True)
    ]
    got = model.train().fuse(spoilt, batch.present).unimodal_logits
    for m, logits_of in enumerate(got):
        absent = ~batch.present[:, m]
        assert absent.any() and (logits_of[absent] == model.log_prior).all()
        assert logits_of.isfinite().all()
    torch.stack(got).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.unimodal.parameters())


def test_a_set_s_weights_are_those_of_its_rows(model, columns):
    rows = columns.rows("train")
    returned = pool_fitting.fit_pool(model, columns, rows, all_sets=True)
    np.testing.assert_allclose(returned, logits(model, columns, rows), atol=1e-5)
    fitted = model.unimodal.weights.clone()
    model.unimodal.reset()
    joint, unimodal = pool_fitting.head_logits(
        model, columns, rows, np.array([[True, False], [False, True], [True, True]])
    )
    prior = np.tile(np.float32(columns.spec.log_prior), (len(rows), 1))
    for number, kept in ((1, [True, False]), (2, [False, True]), (3, [True, True])):
        complete = columns.present[rows][:, kept].all(1)
        members = [joint[number - 1].numpy(), *(z.numpy() if k else prior for z, k in zip(unimodal, kept, strict=True))]
        (weights,) = pool_weights(columns.spec, [z[complete] for z in members], columns.target[rows][complete])
        np.testing.assert_allclose(fitted[number, :, 0], weights, atol=1e-4)
        assert (fitted[number] == fitted[number, :, :1]).all()  # of one target all outputs have the same
    assert (fitted[0] == torch.tensor([[1.0], [0.0], [0.0]])).all()


def test_without_a_row_the_weights_are_equal_and_without_labels_nothing_breaks(model, columns):
    present = columns.present.copy()
    present[:, 0] = False  # nobody has a picture
    bare = replace(columns, present=present)
    pool_fitting.fit_pool(model, bare, bare.rows("train"), all_sets=True)
    assert torch.allclose(model.unimodal.weights[3], torch.tensor(1 / 3))
    pool_fitting.fit_pool(model, columns, columns.rows("train")[:0], all_sets=True)
    assert torch.allclose(model.unimodal.weights[1:], torch.tensor(1 / 3))


def test_beyond_four_modalities_all_sets_share_their_weights():
    fields = tuple(Field(f"m{n}", "tabular", {}) for n in range(5))
    spec = Spec(fields, (Head("y", "classes", ("a", "b")), Head("z", "number")), (0.0, 0.0, 0.0))
    heads = UnimodalHeads(spec, [2] * 5, 0.0)
    assert [(number, mask.tolist()) for number, mask in heads.sets()] == [(0, [True] * 5)]
    heads.set_weights(0, np.arange(12.0).reshape(2, 6))
    assert heads.weights.shape == (1, 6, 3)
    assert heads.weights[0, 2].tolist() == [2, 2, 8]  # of both classes, of the number
    z = torch.zeros(2, 3)
    present = torch.tensor([[True] * 5, [True, False, False, False, False]])
    assert heads.pool(z, [z] * 5, present, z[0]).shape == (2, 3)


def test_a_saved_model_keeps_its_weights(model, columns, tmp_path):
    pool_fitting.fit_pool(model, columns, columns.rows("train"), all_sets=True)
    save(model, tmp_path)
    opened = open_model(tmp_path)
    assert torch.equal(opened.unimodal.weights, model.unimodal.weights)
    rows = columns.rows("validation")
    assert np.array_equal(logits(opened, columns, rows), logits(model.eval(), columns, rows))


@pytest.mark.parametrize("targets", ["plain", "mixed"])
def test_losses_on_logits_apply_to_each_head_with_their_weight(make_columns, make_network, targets):
    columns = make_columns(targets=targets)
    task = {"labels": settings(losses.TABLE, {"kind": "task"})}
    batch = columns.batch(columns.rows("train"))
    totals = []
    for weight in (0.0, 0.5, 1.0):
        torch.manual_seed(0)
        model = FusionModel(make_network(norm="none", unimodal_weight=weight), columns.spec)
        totals.append(Objective(model, task, {}).train()(batch, {})[0].item())
    joint, half, whole = totals
    assert whole - half == pytest.approx(half - joint, rel=1e-4) and whole > half > joint


def decided_by_one_modality() -> Columns:
    """200 random numbers, which tell training rows apart, and 4 numbers that decide the class nearly always."""
    draw = np.random.default_rng(0)
    count = 240
    target = draw.integers(0, 3, count)
    said = np.where(draw.random(count) < 0.9, target, draw.integers(0, 3, count))
    clue = np.eye(4, dtype=np.float32)[said] + 0.3 * draw.normal(size=(count, 4)).astype(np.float32)
    noise = 3 * draw.normal(size=(count, 200)).astype(np.float32)
    fields = tuple(
        Field(name, "sequence", {"features": width, "length": 1, "mean": [0.0] * width, "std": [1.0] * width})
        for name, width in (("noise", 200), ("clue", 4))
    )
    entries = {
        name: np.concatenate([x, np.ones((count, 1), np.float32)], 1)[:, None]
        for name, x in (("noise", noise), ("clue", clue))
    }
    spec = Spec(fields, (Head("y", "classes", ("a", "b", "c")),), tuple(np.log([1 / 3] * 3).tolist()))
    return Columns(
        spec, entries, np.stack([np.arange(count)] * 2, 1), np.ones((count, 2), bool), target,
        split=np.repeat([0, 1, 2], 80).astype(np.int8), group=np.arange(count),
        key=np.arange(1, count + 1, dtype=np.uint64),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.long
def test_they_keep_a_network_from_losing_to_its_best_modality(tmp_path):
    """Without them the network learns training rows by their noise, and the clue hardly at all."""
    columns, scores, weights = decided_by_one_modality(), {}, {}
    names = columns.spec.names
    for name, weight, only in (("joint", 0.0, None), ("heads", 1.0, None), ("clue", 0.0, "clue")):
        seed(0)
        encoders = {n: {"kind": "conv1d", "widths": [16], "kernel": 1, "stride": 1, "norm": "none"} for n in names}
        network = Network.model_validate(
            {"encoders": encoders, "fusion": {"kind": "concat"}, "unimodal_weight": weight}
        )
        network = network.only(only) if only else network
        own = columns.of(tuple(network.encoders))
        model = FusionModel(network, own.spec)
        objective = Objective(model, {"labels": settings(losses.TABLE, {"kind": "task"})}, {})
        rows = own.rows("train")
        training = Training(epochs=40, batch=16, learning_rate=0.01)
        sampler = Sampler(rows, own.shared()[rows], 16, 0)
        validation = own.labelled("validation")
        plan = Plan(
            training, sampler, sampler.steps, lambda picked, number, own=own: (own.batch(picked), {}),
            scorer(own, validation), tmp_path / name, lambda share, words: None, finish=finisher(own, validation),
        )  # fmt: skip
        fit(objective, plan)
        test = own.labelled("test")
        scores[name] = score(own.spec, logits(model, own, test), own.target[test])["accuracy"]
        if weight:
            weights = dict(zip(["joint", *names], model.unimodal.weights[3, :, 0].tolist(), strict=True))
            (alone,) = subset_logits(model, own, test, np.array([[[False, True]]]))
            scores["noise hidden"] = score(own.spec, alone, own.target[test])["accuracy"]
    assert scores["heads"] >= scores["clue"] - 0.04 > scores["joint"] + 0.1
    assert scores["noise hidden"] >= scores["clue"] - 0.04
    assert weights["clue"] > 2 * max(weights["noise"], 0.0)

"""A student's answer on fewer modalities beside its own on all, and maps of where tokens are strong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from suffuse import losses
from suffuse.attention_maps import CELLS, STRETCHES, named, spread, strengths
from suffuse.data.training_views import Viewer
from suffuse.engine.objective import Objective
from suffuse.model import FusionModel
from suffuse.registry import settings
from suffuse.types import Encoded

VIEW = (Viewer(7, 1.0), 3)


def consistency(model: FusionModel, **more) -> Objective:
    return Objective(model, {"own": settings(losses.TABLE, {"kind": "subset_consistency"}), **more}, {})


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_whole_answer_is_that_on_all_modalities(make_columns, make_network, norm):
    columns = make_columns(absent=0.3)
    rows, model = columns.rows("train"), FusionModel(make_network(norm=norm), columns.spec).eval()
    batch = columns.batch(rows, None, VIEW, with_full=True)
    assert batch.full_present is not None and (batch.full_present.numpy() == columns.present[rows]).all()
    assert (batch.present & ~batch.full_present).sum() == 0 and (batch.present != batch.full_present).any()
    output = model(batch)
    torch.testing.assert_close(output.full_logits, model(columns.batch(rows)).logits.detach())
    torch.testing.assert_close(output.logits, model(columns.batch(rows, None, VIEW)).logits)
    assert torch.equal(output.is_partial, (batch.present != batch.full_present).any(1))
    assert not output.full_logits.requires_grad


def test_without_a_loss_that_asks_there_is_no_second_answer(make_columns, make_network):
    columns = make_columns()
    model = FusionModel(make_network(), columns.spec)
    assert model(columns.batch(columns.rows("train"), None, VIEW)).full_logits is None
    assert consistency(model).needs_full_input
    assert not Objective(model, {"labels": settings(losses.TABLE, {"kind": "task"})}, {}).needs_full_input


def test_the_loss_is_the_divergence_between_both_answers(make_columns, make_network):
    columns = make_columns(absent=0.3)
    model = FusionModel(make_network(norm="none"), columns.spec)
    rows = columns.rows("train")
    batch, objective = columns.batch(rows, None, VIEW, with_full=True), consistency(model)
    found, _ = objective(batch, {})
    full, fewer = model(columns.batch(rows)).logits, model(columns.batch(rows, None, VIEW)).logits
    lost = (batch.present != batch.full_present).any(1)
    assert 0 < lost.sum() < len(rows)
    torch.testing.assert_close(found, losses.kd(fewer[lost], full[lost], 1.0))
    found.backward()
    assert all(p.grad is not None for p in model.head.parameters())


def test_dropout_is_off_in_the_answer_on_all(make_columns, make_network):
    """And on again in the training that goes on."""
    columns = make_columns(absent=0)
    model = FusionModel(make_network(norm="none", hidden=6, dropout=0.9), columns.spec).train()
    rows = columns.rows("train")
    output = model(columns.batch(rows, None, VIEW, with_full=True))
    torch.testing.assert_close(output.full_logits, model.eval()(columns.batch(rows)).logits.detach())
    model.train()
    model(columns.batch(rows, None, VIEW, with_full=True))
    assert all(part.training for part in model.modules())


def test_over_several_targets_each_has_its_own_divergence(make_columns, make_network):
    columns = make_columns(rows=16, targets="mixed", absent=0.2)
    model = FusionModel(make_network(norm="none"), columns.spec)
    batch = columns.batch(np.arange(16), None, VIEW, with_full=True)
    _, terms = consistency(model)(batch, {})
    output = model(batch)
    expected, weights = 0.0, 0.0
    parts = zip(columns.spec.parts(output.logits), columns.spec.parts(output.full_logits), strict=True)
    for (head, mine), (_, whole) in parts:
        expected += head.weight * losses.subset_consistency(mine, whole, 1.0, output.is_partial, head.kind).item()
        weights += head.weight
    assert terms[0].item() == pytest.approx(expected / weights, rel=1e-5)


def test_where_nothing_was_dropped_there_is_nothing_to_agree_on(make_columns, make_network):
    columns = make_columns()
    model = FusionModel(make_network(norm="none"), columns.spec)
    batch = columns.batch(columns.rows("train"), None, None, with_full=True)
    value, _ = consistency(model)(batch, {})
    value.backward()
    assert value.item() == 0
    assert all(p.grad is None or (p.grad == 0).all() for p in model.parameters())


def test_a_map_of_a_picture_is_the_mean_energy_of_its_cells():
    torch.manual_seed(1)
    grid = torch.randn(2, 8, 8, 3)
    energy = grid.square().mean(3)
    expected = energy.reshape(2, 4, 2, 4, 2).mean((2, 4)).flatten(1)
    torch.testing.assert_close(strengths(Encoded(torch.zeros(2, 1), grid.flatten(1, 2)), True), expected)
    coarse = grid[:, :2, :2]
    found = strengths(Encoded(torch.zeros(2, 1), coarse.flatten(1, 2)), True)
    expected = coarse.square().mean(3).repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1)
    torch.testing.assert_close(found, expected)


def test_a_map_of_a_sequence_is_over_its_real_tokens():
    torch.manual_seed(2)
    tokens = torch.randn(3, 40, 5)
    lengths = torch.tensor([32, 40, 8])
    mask = torch.arange(40) < lengths.unsqueeze(1)
    found = strengths(Encoded(torch.zeros(3, 1), tokens.where(mask.unsqueeze(2), torch.nan), mask), False)
    energy = tokens.square().mean(2)
    torch.testing.assert_close(found[0], energy[0, :32].reshape(16, 2).mean(1))
    torch.testing.assert_close(found[2], energy[2, :8].repeat_interleave(2))
    torch.testing.assert_close(found[1].mean(), energy[1].mean())  # by area, nothing is lost
    nothing = strengths(Encoded(torch.zeros(1, 1), tokens[:1], torch.zeros(1, 40, dtype=torch.bool)), False)
    assert (nothing == 0).all()


def test_maps_of_student_and_teacher_meet(make_columns, make_network):
    """Through the model: rows, not entries; absent rows leave nothing behind."""
    columns = make_columns(absent=0.3)
    rows, model = columns.rows("train"), FusionModel(make_network(norm="none"), columns.spec)
    loss = {"near": settings(losses.TABLE, {"kind": "attention_transfer", "map": "picture"})}
    objective = Objective(model, loss, {"picture.map": CELLS})
    assert objective.needs() == ("picture.map",)
    taught = torch.rand(len(rows), CELLS)
    value, _ = objective(columns.batch(rows), {"picture.map": taught})
    value.backward()
    assert model.encoder("picture").layers["conv0"].weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    here = torch.from_numpy(columns.present[rows, 0]).unsqueeze(1)
    other, _ = objective(columns.batch(rows), {"picture.map": taught.where(here, torch.nan)})
    assert torch.equal(value, other)
    output = model(columns.batch(rows), ("picture",))
    assert set(output.maps) == {"picture"} and output.maps["picture"].shape == (len(rows), CELLS)
    assert model(columns.batch(rows)).maps == {}
    lonely = replace(columns, present=np.where([True, False], False, columns.present))
    gone = model(lonely.batch(rows), ("picture",))
    assert gone.maps["picture"].shape == (len(rows), CELLS)


def test_a_look_is_over_its_real_tokens():
    torch.manual_seed(3)
    real = torch.arange(64) < torch.tensor([64, 16, 0]).unsqueeze(1)
    look = torch.rand(3, 2, 64) * real.unsqueeze(1)
    found = spread(look, real).unflatten(1, (2, STRETCHES))
    whole = look / look.sum(2, keepdim=True)
    torch.testing.assert_close(found[0], whole[0].unflatten(1, (STRETCHES, 2)).sum(2))
    torch.testing.assert_close(found[1], whole[1, :, :16].repeat_interleave(2, 1) / 2)
    assert (found[2] == 0).all()


@pytest.mark.parametrize("attention", ["joint", "each"])
def test_looks_of_student_and_teacher_meet(attention, make_columns, make_network):
    """Through the model: the teacher's of another modality, rows that lack one are left out."""
    columns = make_columns(absent=0.3)
    rows, batch = columns.rows("train"), columns.batch(columns.rows("train"))
    network = make_network("queries", norm="none")
    network = network.model_validate(network.model_dump() | {"fusion": {"kind": "queries", "attention": attention}})
    model, teacher = FusionModel(network, columns.spec), FusionModel(network, columns.spec).eval()
    loss = {
        "near": settings(losses.TABLE, {"kind": "query_attention_transfer", "map": "picture", "teacher": "question"})
    }
    objective = Objective(model, loss, {"question.look.map": STRETCHES})
    assert objective.needs() == ("question.look.map",)
    told = named(teacher(batch, teacher.mapped(objective.needs())).maps)
    assert set(told) == {"question.look.map"} and model(batch).maps == {}
    present = torch.from_numpy(columns.present[rows])
    sums = told["question.look.map"].sum(1)
    torch.testing.assert_close(sums, present[:, 1].float())
    value, _ = objective(batch, {n: t.detach() for n, t in told.items()})
    value.backward()
    assert value > 0
    assert model.encoder("picture").layers["conv0"].weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    both = present.all(1).unsqueeze(1)
    assert 0 < both.sum() < len(both)
    again, _ = objective(batch, {n: t.detach().where(both, torch.nan) for n, t in told.items()})
    assert torch.equal(value, again)

"""What every loss keeps to, against closed forms in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from loss_part_tools import ANSWERS, COUNT, Built, rows
from safetensors import safe_open
from scipy.special import log_softmax
from torch import Tensor

from suffuse import losses
from suffuse.engine.checkpoint import Checkpoint, State
from suffuse.engine.loop import make_optimizer
from suffuse.engine.objective import Objective
from suffuse.errors import UsageError
from suffuse.model import FusionModel, save
from suffuse.recipe import Training
from suffuse.registry import settings
from suffuse.testing.loss_checks import CHECKS
from suffuse.types import CLASSES, LABELS, NUMBER, Output


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("asked", "kind"), ANSWERS)
def test_a_loss_keeps_to_its_contract(asked, kind, check):
    check(Built(asked), kind)


numbers = st.floats(-30, 30, width=32)


@st.composite
def two_logits(draw) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 5)), draw(st.integers(2, 6)))
    flat = st.lists(numbers, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    return np.array(draw(flat)).reshape(shape), np.array(draw(flat)).reshape(shape)


@budget(deadline=None, max_examples=60)
@given(two_logits(), st.sampled_from([0.5, 1.0, 2.0, 4.0, 8.0]))
def test_kd_is_its_closed_form_and_so_is_its_gradient(logits, heat):
    mine, theirs = logits
    log_p, log_q = log_softmax(theirs / heat, axis=1), log_softmax(mine / heat, axis=1)
    expected = heat**2 * (np.exp(log_p) * (log_p - log_q)).sum() / len(mine)
    z = torch.tensor(mine, dtype=torch.float32, requires_grad=True)
    teacher = {"logits": torch.tensor(theirs, dtype=torch.float32)}
    value = Built({"kind": "kd", "temperature": heat})(Output(z), teacher, torch.zeros(len(mine), dtype=torch.int64))
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    gradient = heat * (np.exp(log_q) - np.exp(log_p)) / len(mine)
    np.testing.assert_allclose(z.grad, gradient, atol=1e-5 * heat)  # type: ignore[arg-type]


def test_t_squared_keeps_the_gradient_s_size_at_high_temperatures():
    """With T^2 the gradient tends to (z_s - z_t) / (C B), centred, as T grows; without, it would vanish."""
    student, teacher, target = rows(scale=1.0)
    norms = []
    for heat in (1.0, 10.0, 100.0):
        student.logits.grad = None
        Built({"kind": "kd", "temperature": heat})(student, teacher, target).backward()
        norms.append(student.logits.grad.norm().item())  # type: ignore[union-attr]
    centred = [z - z.mean(1, keepdim=True) for z in (student.logits.detach(), teacher["logits"].detach())]
    limit = ((centred[0] - centred[1]) / (4 * COUNT)).norm().item()
    assert norms[2] == pytest.approx(limit, rel=0.02)
    assert 0.5 < norms[0] / norms[2] < 2


def test_kd_between_equals_is_zero_and_flat():
    student, _, target = rows()
    value = Built({"kind": "kd"})(student, {"logits": student.logits.detach() + 3}, target)  # a shift is no difference
    value.backward()
    assert abs(value.item()) < 1e-6
    assert student.logits.grad.abs().max() < 1e-6  # type: ignore[union-attr]


@budget(deadline=None, max_examples=60)
@given(two_logits(), st.sampled_from([0.0, 0.05, 0.3]), st.data())
def test_task_is_its_closed_form(logits, smoothing, data):
    mine, _ = logits
    classes = mine.shape[1]
    target = np.array(data.draw(st.lists(st.integers(-1, classes - 1), min_size=len(mine), max_size=len(mine))))
    wanted = (1 - smoothing) * np.eye(classes)[target] + smoothing / classes
    known = target >= 0
    expected = -(wanted * log_softmax(mine, axis=1)).sum(1)[known].sum() / max(1, known.sum())
    z = torch.tensor(mine, dtype=torch.float32, requires_grad=True)
    value = Built({"kind": "task", "label_smoothing": smoothing})(Output(z), {}, torch.from_numpy(target))
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert (z.grad[torch.from_numpy(~known)] == 0).all()  # type: ignore[index]


def test_without_any_label_task_is_zero_with_a_zero_gradient():
    student, _, target = rows()
    value = Built({"kind": "task", "label_smoothing": 0.1})(student, {}, torch.full_like(target, -1))
    value.backward()
    assert value.item() == 0
    assert (student.logits.grad == 0).all()


@pytest.mark.parametrize("tap", ["fused", "picture"])
def test_hint_is_its_closed_form(tap):
    student, teacher, target = rows()
    mine = student.fused if tap == "fused" else student.features[tap]
    here = np.ones(COUNT, dtype=bool) if tap == "fused" else student.present[tap].numpy()
    for metric in ("mse", "cosine"):
        loss = Built({"kind": "hint", "tap": tap, "metric": metric})
        weight, bias = (p.detach().double().numpy() for p in loss.layers["project"].parameters())
        made = mine.detach().double().numpy() @ weight.T + bias  # type: ignore[union-attr]
        wanted = teacher[tap].detach().double().numpy()
        cosine = (made * wanted).sum(1) / np.linalg.norm(made, axis=1) / np.linalg.norm(wanted, axis=1)
        per_row = ((made - wanted) ** 2).mean(1) if metric == "mse" else 1 - cosine
        assert loss(student, teacher, target).item() == pytest.approx(per_row[here].mean(), rel=1e-5)


@pytest.mark.parametrize("metric", ["mse", "cosine"])
@pytest.mark.parametrize("filler", [7.0, torch.nan, torch.inf])
def test_features_of_absent_rows_don_t_enter_a_hint(metric, filler):
    loss, (student, teacher, target) = Built({"kind": "hint", "tap": "picture", "metric": metric}), rows()
    here = student.present["picture"].unsqueeze(1)
    plain = loss(student, teacher, target)
    plain.backward()
    kept = [p.grad.clone() for p in loss.layers.parameters()]
    loss.layers.zero_grad()
    feature = student.features["picture"].detach().where(here, filler).requires_grad_()
    spoilt = {**teacher, "picture": teacher["picture"].detach().where(here, filler)}
    other = loss(Output(student.logits, None, {"picture": feature}, None, student.present), spoilt, target)
    other.backward()
    assert torch.equal(plain, other)
    assert all(torch.equal(a, p.grad) for a, p in zip(kept, loss.layers.parameters(), strict=True))
    assert torch.equal(feature.grad, student.features["picture"].grad)  # type: ignore[arg-type]
    assert (feature.grad[~here.squeeze(1)] == 0).all()  # type: ignore[index]


def test_where_a_modality_is_in_no_row_its_hint_is_zero():
    loss, (student, teacher, target) = Built({"kind": "hint", "tap": "picture"}), rows()
    nowhere = Output(
        student.logits, student.fused, student.features, None, {"picture": torch.zeros(COUNT, dtype=torch.bool)}
    )
    value = loss(nowhere, teacher, target)
    value.backward()
    assert value.item() == 0
    assert all((p.grad == 0).all() for p in loss.layers.parameters())


def test_a_hint_on_a_modality_sees_what_the_batch_lacks(make_columns, make_network):
    """From prepared columns through the model: rows without a picture add nothing to a hint on pictures."""
    columns = make_columns(absent=0.4)
    part = columns.rows("train")
    model = FusionModel(make_network(norm="none"), columns.spec)
    objective = Objective(model, {"hint": settings(losses.TABLE, {"kind": "hint", "tap": "picture"})}, {"picture": 6})
    torch.manual_seed(5)
    taught = torch.randn(len(part), 6)
    here = columns.present[part, 0]
    assert 0 < here.sum() < len(part)
    whole = objective(columns.batch(part), {"picture": taught})[0]
    only = objective(columns.batch(part[here]), {"picture": taught[torch.from_numpy(here)]})[0]
    torch.testing.assert_close(whole, only)
    other = taught.where(torch.from_numpy(here).unsqueeze(1), 1e9)
    assert torch.equal(objective(columns.batch(part), {"picture": other})[0], whole)


@pytest.fixture
def with_hint(make_columns, make_network) -> Objective:
    model = FusionModel(make_network(), make_columns().spec)
    chosen = {"near": {"kind": "hint", "tap": "question"}, "labels": {"kind": "task"}}
    return Objective(model, {n: settings(losses.TABLE, s) for n, s in chosen.items()}, {"question": 13})


def test_a_projector_is_trained_and_kept_in_the_checkpoint(with_hint, tmp_path):
    projector = list(with_hint.projectors.parameters())
    assert [p.shape for p in projector] == [(13, 5), (13,)]
    optimizer = make_optimizer(with_hint, Training())
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in with_hint.parameters()} >= {id(p) for p in projector}
    keep = Checkpoint(tmp_path, with_hint, optimizer)
    keep.save(State())
    before = [p.detach().clone() for p in projector]
    with torch.no_grad():
        for p in projector:
            p.zero_()
    keep.load()
    assert all(torch.equal(a, b) for a, b in zip(before, projector, strict=True))


def test_a_projector_is_no_part_of_the_saved_model(with_hint, tmp_path):
    save(with_hint.model, tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        assert set(file.keys()) == set(with_hint.model.state_dict())
        assert not any("project" in name or 13 in file.get_slice(name).get_shape() for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize("tap", ["fusd", "logits", "gates"])
def test_an_unknown_tap_is_told_by_its_key(tap, make_columns, make_network):
    model = FusionModel(make_network(), make_columns().spec)
    with pytest.raises(UsageError) as caught:
        Objective(model, {"near": settings(losses.TABLE, {"kind": "hint", "tap": tap})}, {"fused": 6, "logits": 3})
    assert "distill.losses.near" in caught.value.line() and tap in caught.value.line()
    assert "fused, picture, question" in caught.value.line()


def test_a_tap_that_the_teacher_lacks_is_told_too(make_columns, make_network):
    model = FusionModel(make_network(), make_columns().spec)
    with pytest.raises(UsageError, match=r"the teacher has no tap 'picture', there is: fused"):
        Objective(model, {"near": settings(losses.TABLE, {"kind": "hint", "tap": "picture"})}, {"fused": 6})


TAPPED = [kind for kind in losses.TABLE if "teacher_tap" in losses.load_loss(kind).Settings.model_fields]


@pytest.mark.parametrize("kind", TAPPED)
def test_the_teacher_s_feature_may_have_another_name(kind):
    """It may read another form of what the student reads: a larger photo, an embedding of the sound."""
    student, teacher, target = rows()
    other, same = (
        Built({"kind": kind, "tap": "question", "teacher_tap": "picture"}),
        Built({"kind": kind, "tap": "question"}),
    )
    assert other.part.needs(other.chosen)[0] == "picture"
    wanted = same(student, {**teacher, "question": teacher["picture"]}, target)
    assert torch.equal(other(student, teacher, target), wanted)
    assert not torch.equal(other(student, teacher, target), same(student, teacher, target))
    with pytest.raises(ValueError, match="the teacher has no tap 'sound', there is: fused, picture, question"):
        Built({"kind": kind, "tap": "question", "teacher_tap": "sound"})


def test_every_loss_on_one_tap_can_name_the_teacher_s():
    tapped = {kind for kind in losses.TABLE if "tap" in losses.load_loss(kind).Settings.model_fields}
    assert tapped == set(TAPPED) and len(TAPPED) == 7


def test_terms_are_weighted_and_add_up(make_columns, make_network):
    columns = make_columns()
    batch = columns.batch(columns.rows("train"))
    model = FusionModel(make_network(norm="none"), columns.spec)
    teacher = {"logits": torch.randn(len(batch.rows), 3)}

    def value(**weights: float) -> tuple[Tensor, Tensor]:
        return Objective(model, {k: settings(losses.TABLE, {"kind": k, "weight": w}) for k, w in weights.items()}, {})(
            batch, teacher
        )

    task, kd, both = value(task=1.0), value(kd=1.0), value(task=0.25, kd=3.0)
    torch.testing.assert_close(both[0], 0.25 * task[0] + 3 * kd[0])
    torch.testing.assert_close(both[1], torch.stack([0.25 * task[0], 3 * kd[0]]).detach())
    assert task[1].shape == (1,)


def test_task_on_labels_and_on_a_number_is_its_closed_form():
    student, _, target = rows(kind=LABELS)
    known = target[:, 0] >= 0
    z, y = student.logits.detach().double().numpy(), target.double().numpy()
    p = 1 / (1 + np.exp(-z))
    smooth = 0.9 * y + 0.05
    each = -(smooth * np.log(p) + (1 - smooth) * np.log(1 - p)).mean(1)
    value = Built({"kind": "task", "label_smoothing": 0.1})(student, {}, target)
    assert value.item() == pytest.approx(each[known.numpy()].mean(), rel=1e-5)
    value.backward()
    assert (student.logits.grad[~known] == 0).all()  # type: ignore[index]
    student, _, target = rows(kind=NUMBER)
    gap = student.logits.detach().double().numpy()[:, 0] - target.double().numpy()
    assert Built({"kind": "task"})(student, {}, target).item() == pytest.approx(np.nanmean(gap**2), rel=1e-5)
    huber = np.where(abs(gap) <= 0.5, gap**2 / 2, 0.5 * (abs(gap) - 0.25))
    value = Built({"kind": "task", "delta": 0.5})(student, {}, target)
    assert value.item() == pytest.approx(np.nanmean(np.where(np.isnan(gap), np.nan, huber)), rel=1e-5)
    value.backward()
    assert (student.logits.grad[target.isnan()] == 0).all()  # type: ignore[index]


@pytest.mark.parametrize("kind", [CLASSES, LABELS])
def test_class_weights_weigh(kind):
    student, _, target = rows(kind=kind)
    balanced = replace(student, head=replace(student.head, balance=(1.0, 2.0, 0.5, 4.0)))
    value = Built({"kind": "task"})(balanced, {}, target).item()
    z, w = student.logits.detach().double().numpy(), np.array([1, 2, 0.5, 4])
    y = target.numpy()
    if kind == CLASSES:
        known = y >= 0
        each = -(log_softmax(z, axis=1)[known, y[known]]) * w[y[known]]
        assert value == pytest.approx(each.mean(), rel=1e-5)
    else:
        p = 1 / (1 + np.exp(-z))
        each = -(w * y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1)
        assert value == pytest.approx(each[y[:, 0] >= 0].mean(), rel=1e-5)


def test_kd_on_labels_and_on_numbers_is_its_closed_form():
    student, teacher, target = rows(kind=LABELS)
    p, q = (1 / (1 + np.exp(-z.detach().double().numpy() / 3)) for z in (teacher["logits"], student.logits))
    expected = 9 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert Built({"kind": "multilabel_kd", "temperature": 3})(student, teacher, target).item() == pytest.approx(
        expected, rel=1e-4
    )
    student, teacher, target = rows(kind=NUMBER)
    z, t = (x.detach().double().numpy()[:, 0] for x in (student.logits, teacher["logits"]))
    y = np.where(np.isnan(target), t, target)
    assert Built({"kind": "regression_kd"})(student, teacher, target).item() == pytest.approx(((z - t) ** 2).mean())
    behind = np.isnan(target.numpy()) | ((z - y) ** 2 + 0.2 > (t - y) ** 2)
    bounded = Built({"kind": "regression_kd", "form": "bounded", "margin": 0.2})(student, teacher, target)
    assert bounded.item() == pytest.approx(np.where(behind, (z - y) ** 2, 0).mean(), rel=1e-5)


def test_a_loss_for_other_targets_is_told_by_its_key(make_columns, make_network):
    model = FusionModel(make_network(), make_columns().spec)
    with pytest.raises(UsageError, match=r"distill.losses.soft.*got targets of kind classes, expected labels"):
        Objective(model, {"soft": settings(losses.TABLE, {"kind": "multilabel_kd"})}, {})


def test_over_several_targets_a_loss_is_the_weighed_mean_of_each(make_columns, make_network):
    """Objective on a classes, a labels and a number head against the parts called one by one."""
    columns = make_columns(rows=12, targets="mixed")
    model = FusionModel(make_network(), columns.spec).eval()
    chosen = {"labels": {"kind": "task"}, "soft": {"kind": "kd"}, "many": {"kind": "multilabel_kd"}}
    objective = Objective(model, {n: settings(losses.TABLE, s) for n, s in chosen.items()}, {})
    batch = columns.batch(np.arange(12))
    output, taught = model(batch), torch.randn(12, columns.spec.outputs)
    _, terms = objective(batch, {"logits": taught})
    found = [
        Built({"kind": "task"})(Output(z, head=head), {}, t).item()
        for (head, z), (_, t) in zip(columns.spec.parts(output.logits), columns.spec.targets(batch.target), strict=True)
    ]
    weights = np.array([head.weight for head in columns.spec.heads])
    assert len(set(weights)) > 1
    assert terms[0].item() == pytest.approx((np.array(found) * weights).sum() / weights.sum(), rel=1e-5)
    first, second = columns.spec.parts(taught)[:2]
    mine = columns.spec.parts(output.logits)
    kd = Built({"kind": "kd"})(Output(mine[0][1]), {"logits": first[1]}, batch.target)
    many = Built({"kind": "multilabel_kd"})(Output(mine[1][1]), {"logits": second[1]}, batch.target)
    torch.testing.assert_close(terms[1:], torch.stack([kd, many]).detach())

"""What the parts of a recipe keep to: who is left out, what is trained, kept and exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from losses_tools import minimal
from safetensors import safe_open
from torch import Tensor

from suffuse import losses
from suffuse.engine.checkpoint import Checkpoint, State
from suffuse.engine.loop import make_optimizer
from suffuse.engine.objective import Objective
from suffuse.model import FusionModel, save
from suffuse.recipe import Training
from suffuse.registry import settings
from suffuse.testing.loss_checks import head_of, sequences, with_ends
from suffuse.transcripts.units import certain_blank
from suffuse.types import CLASSES, LABELS, NUMBER, TOKENS, Output

MINE = {"fused": 5, "picture": 4, "question": 3, "gates": 2, "picture.map": 6, "picture.look.map": 64}
THEIRS = {"fused": 6, "picture": 3, "question": 3, "gates": 2, "picture.map": 6, "picture.look.map": 64}
COUNT = 12
NEEDS = {kind: losses.load_loss(kind).needs(minimal(kind)) for kind in losses.KINDS}
ON_ANSWERS = [kind for kind, needs in NEEDS.items() if "logits" in needs]
ON_FEATURES = [kind for kind, needs in NEEDS.items() if set(needs) - {"logits"}]


def made(kind: str, **asked):
    """A part, its settings and layers."""
    chosen = minimal(kind, **asked)
    part = losses.load_loss(kind)
    torch.manual_seed(0)
    return part, chosen, part.layers(chosen, MINE, THEIRS)


def target_kind(kind: str) -> str:
    return (losses.load_loss(kind).HEADS or (CLASSES,))[0]


def batch(kind: str = CLASSES, seed: int = 1, absent: bool = False) -> tuple[Output, dict[str, Tensor], Tensor]:
    """Student, teacher and target of some rows; a third has no label."""
    torch.manual_seed(seed)
    head = head_of(kind)
    outputs = head.outputs
    student = {n: torch.randn(COUNT, MINE[n]) for n in ("fused", "picture", "question")}
    teacher = {n: torch.randn(COUNT, THEIRS[n]) for n in ("fused", "picture", "question")}
    student["logits"], teacher["logits"] = (with_ends(z, head) for z in torch.randn(2, COUNT, outputs))
    gates, maps, looks = torch.randn(2, COUNT, 2).softmax(2), torch.rand(2, COUNT, 6), torch.rand(2, COUNT, 64)
    here = {"picture": torch.arange(COUNT) % 4 != 2, "question": torch.arange(COUNT) != 5} if absent else {}
    known = torch.arange(COUNT) % 3 != 0
    target = (torch.arange(COUNT) % 4).where(known, -1)
    if kind == NUMBER:
        target = torch.randn(COUNT).where(known, torch.nan)
    elif kind == LABELS:
        target = (torch.rand(COUNT, 4) < 0.5).float().where(known.unsqueeze(1), -1.0)
    elif kind == TOKENS:
        target = sequences(COUNT).where(known.unsqueeze(1), -1)
    output = Output(
        student["logits"], student["fused"], {n: student[n] for n in ("picture", "question")}, gates[0], here, head,
        {"picture": maps[0], "picture.look.map": looks[0]}, torch.randn(COUNT, outputs), torch.arange(COUNT) % 2 == 0,
    )  # fmt: skip
    return output, {**teacher, "gates": gates[1], "picture.map": maps[1], "picture.look.map": looks[1]}, target


def of_each(output: Output, change: Callable[[Tensor], Tensor]) -> Output:
    """An output with all its tensors changed."""
    found = {f.name: getattr(output, f.name) for f in fields(output)}
    for name, value in found.items():
        if isinstance(value, dict):
            found[name] = {key: change(part) for key, part in value.items()}
        elif isinstance(value, Tensor):
            found[name] = change(value)
    return Output(**found)


def some(given: tuple, which: Tensor) -> tuple:
    """Some rows of student, teacher and target."""
    output, teacher, target = given
    return of_each(output, lambda t: t[which]), {n: t[which] for n, t in teacher.items()}, target[which]


def on_pictures(kind: str) -> dict:
    """Settings with which a loss on features reads a modality that some rows lack."""
    if kind == "affinity":
        return {"taps": ("picture", "question")}
    return {"tap": "picture"} if "tap" in losses.load_loss(kind).Settings.model_fields else {}


def evaluated(kind: str, given: tuple, **asked) -> tuple[Tensor, list[Tensor]]:
    """Value, and the gradients of logits, features, gates and projectors."""
    part, chosen, layers = made(kind, **asked)
    output, teacher, target = given
    output = of_each(output, lambda t: t.detach().clone())
    tensors = [output.logits, output.fused, output.gates, *output.features.values(), *output.maps.values()]
    for tensor in tensors:
        tensor.requires_grad_()
    value = part.loss(chosen, layers, output, teacher, target)
    if value.requires_grad:
        value.backward()
    found = [t.grad if t.grad is not None else torch.zeros_like(t) for t in (*tensors, *layers.parameters())]
    return value.detach(), found


def same_bits(one: tuple, other: tuple) -> None:
    assert torch.equal(one[0], other[0])
    assert all(torch.equal(a, b) for a, b in zip(one[1], other[1], strict=True))


@pytest.mark.parametrize("kind", losses.KINDS)
def test_the_order_of_rows_changes_nothing(kind):
    given = batch(target_kind(kind), absent=True)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(2))
    asked = {"most": COUNT} if kind == "rkd_angle" else {}
    value, gradients = evaluated(kind, given, **asked)
    other, moved = evaluated(kind, some(given, order), **asked)
    torch.testing.assert_close(value, other)
    torch.testing.assert_close(gradients[0][order], moved[0])


@pytest.mark.parametrize("kind", ON_ANSWERS)
def test_a_teacher_that_abstains_is_left_out_exactly(kind):
    """Rows whose logits are NaN: the loss is that of the others alone, and they get no gradient."""
    given = batch(target_kind(kind))
    silent = torch.arange(COUNT) % 4 == 1
    output, teacher, target = given
    given = output, {**teacher, "logits": teacher["logits"].where(~silent.unsqueeze(1), torch.nan)}, target
    value, gradients = evaluated(kind, given)
    kept = (~silent).nonzero().squeeze(1)
    torch.testing.assert_close(value, evaluated(kind, some((output, teacher, target), kept))[0])
    assert value.isfinite() and value > 0
    assert all((g[silent] == 0).all() for g in gradients[:2])
    half = teacher["logits"].clone()
    half[silent, 0] = torch.nan  # a part of an answer is none
    same_bits((value, gradients), evaluated(kind, (output, {**teacher, "logits": half}, target)))


@pytest.mark.parametrize("kind", ON_ANSWERS)
def test_a_teacher_that_abstains_from_all_teaches_nothing(kind):
    output, teacher, target = batch(target_kind(kind))
    value, gradients = evaluated(kind, (output, {**teacher, "logits": teacher["logits"] * torch.nan}, target))
    assert value == 0
    assert all((g == 0).all() for g in gradients)


@pytest.mark.parametrize("kind", ON_FEATURES)
@pytest.mark.parametrize("filler", [0.0, 1e9, torch.nan])
def test_what_stands_in_an_absent_slot_changes_no_bit(kind, filler):
    asked = on_pictures(kind)
    output, teacher, target = batch(absent=True)
    expected = evaluated(kind, (output, teacher, target), **asked)
    assert expected[0] > 0
    here = output.present
    features = {n: f.detach().where(here[n].unsqueeze(1), filler) for n, f in output.features.items()}
    maps = {n: m.detach().where(here["picture"].unsqueeze(1), filler) for n, m in output.maps.items()}
    gates = output.gates.detach().where(torch.stack(list(here.values()), 1), filler)  # type: ignore[union-attr]
    spoilt = {
        **teacher,
        **{n: teacher[n].where(here[n].unsqueeze(1), filler) for n in here},
        **{n: teacher[n].where(here["picture"].unsqueeze(1), filler) for n in ("picture.map", "picture.look.map")},
        "gates": teacher["gates"].where(torch.stack(list(here.values()), 1), filler),
    }
    fresh = replace(output, features=features, maps=maps, gates=gates)
    found = evaluated(kind, (fresh, spoilt, target), **asked)
    same_bits(expected, found)
    picture = found[1][3]
    assert (picture[~here["picture"]] == 0).all()


@pytest.mark.parametrize("kind", ON_FEATURES)
def test_where_no_row_has_what_is_compared_there_is_nothing(kind):
    asked = on_pictures(kind)
    output, teacher, target = batch()
    nowhere = {n: torch.zeros(COUNT, dtype=torch.bool) for n in output.features}
    value, gradients = evaluated(kind, (replace(output, present=nowhere), teacher, target), **asked)
    assert value == 0
    assert all((g == 0).all() for g in gradients)


@pytest.mark.parametrize("kind", [k for k in losses.KINDS if losses.load_loss(k).MIN_ROWS > 1])
def test_the_last_batch_of_a_pass_may_be_too_small_to_compare(kind):
    """It gives 0 there, and stops no training."""
    output, teacher, target = batch()
    for count in range(1, losses.load_loss(kind).MIN_ROWS):
        few = torch.arange(count)
        value, gradients = evaluated(kind, some((output, teacher, target), few))
        assert value == 0 and all((g == 0).all() for g in gradients)


FILTERS = [k for k in losses.KINDS if "confidence" in losses.load_loss(k).Settings.model_fields]


def test_which_losses_filter_by_confidence():
    assert [k for k in losses.KINDS if k in ON_ANSWERS and k not in ("regression_kd", "entropy_relations")] == FILTERS


@pytest.mark.parametrize("kind", FILTERS)
def test_rows_without_a_label_are_left_out_where_the_teacher_is_unsure(kind):
    given = batch(target_kind(kind))
    _, teacher, target = given
    p = teacher["logits"].softmax(1).amax(1)
    known = target != -1
    if target_kind(kind) == LABELS:
        q, known = teacher["logits"].sigmoid(), target[:, 0] >= 0
        p = torch.maximum(q, 1 - q).mean(1)
    if target_kind(kind) == TOKENS:
        frames, known = teacher["logits"].unflatten(1, (5, 4)), target[:, 0] >= 0
        real = ~certain_blank(frames)
        p = (frames.softmax(2).amax(2) * real).sum(1) / real.sum(1).clamp(min=1)
    level = p[~known].median().item()
    kept = (known | (p >= level)).nonzero().squeeze(1)
    assert known.sum() < len(kept) < COUNT
    value, gradients = evaluated(kind, given, confidence=level)
    torch.testing.assert_close(value, evaluated(kind, some(given, kept))[0])
    left = torch.ones(COUNT, dtype=torch.bool)
    left[kept] = False
    assert (gradients[0][left] == 0).all()
    same_bits(evaluated(kind, given), evaluated(kind, given, confidence=0.0))


@pytest.mark.parametrize("kind", ["dkd", "nkd"])
def test_without_a_label_the_teacher_s_answer_stands_in(kind):
    output, teacher, target = batch()
    filled = target.where(target >= 0, teacher["logits"].argmax(1))
    same_bits(evaluated(kind, (output, teacher, target)), evaluated(kind, (output, teacher, filled)))


def test_consistency_counts_the_rows_that_lost_something():
    output, teacher, target = batch()
    value, gradients = evaluated("subset_consistency", (output, teacher, target))
    few = output.is_partial
    expected = losses.kd(output.logits[few], output.full_logits[few], 1.0)  # type: ignore[index]
    torch.testing.assert_close(value, expected.detach())
    assert (gradients[0][~few] == 0).all()  # type: ignore[operator]


def test_rkd_angle_compares_the_first_rows_of_a_batch():
    output, teacher, target = batch()
    first = torch.arange(5)
    alone = some((output, teacher, target), first)
    assert torch.equal(evaluated("rkd_angle", (output, teacher, target), most=5)[0], evaluated("rkd_angle", alone)[0])


WITH_LAYERS = [("hint", {}), ("crd", {}), ("modality_hints", {}), ("affinity", {"taps": ("picture", "question")})]


def test_which_losses_have_layers():
    found = [k for k in losses.KINDS if list(made(k)[2].parameters())]
    assert found == [k for k in losses.KINDS if losses.load_loss(k).DOCS.projector == "yes"]
    assert found == ["hint", "modality_hints", "crd"]  # and affinity between two modalities
    assert list(made("affinity", taps=("picture", "question"))[2].parameters())


@pytest.mark.parametrize(("kind", "asked"), WITH_LAYERS, ids=lambda x: x if isinstance(x, str) else "")
def test_projectors_are_trained_and_kept_and_never_exported(kind, asked, make_columns, make_network, tmp_path):
    columns = make_columns(absent=0)
    model, teacher = FusionModel(make_network(), columns.spec), {"fused": 13, "picture": 17, "question": 17}
    chosen = {"near": settings(losses.TABLE, {"kind": kind, **asked})}
    objective = Objective(model, chosen, teacher)
    own = list(objective.projectors.parameters())
    assert own
    optimizer = make_optimizer(objective, Training())
    assert {id(p) for p in own} <= {id(p) for group in optimizer.param_groups for p in group["params"]}
    before = [p.detach().clone() for p in own]
    rows = columns.rows("train")
    objective(columns.batch(rows), {n: torch.randn(len(rows), w) for n, w in teacher.items()})[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in own)
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, own, strict=True))
    keep, after = Checkpoint(tmp_path, objective, optimizer), [p.detach().clone() for p in own]
    keep.save(State())
    with torch.no_grad():
        for p in own:
            p.zero_()
    keep.load()
    assert all(torch.equal(a, b) for a, b in zip(after, own, strict=True))
    save(model, tmp_path / "model")
    with safe_open(tmp_path / "model" / "model.safetensors", framework="np") as file:
        assert set(file.keys()) == set(model.state_dict())
        assert not any("project" in name and "near" in name for name in file.keys())  # noqa: SIM118
        assert sum(int(np.prod(file.get_slice(n).get_shape())) for n in file.keys()) == sum(  # noqa: SIM118
            v.numel() for v in model.state_dict().values()
        )

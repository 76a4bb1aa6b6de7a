"""What every pure function keeps to: gradients, weights, rows, precision."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from losses_tools import CASES, PRESENT, WEIGHED, B, C, frames, logits, minimal

from suffuse import losses
from suffuse.errors import UsageError


# a beam search takes seconds; it is compared with another one in test_sequence_losses.py
@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.long if name == "sequence_kd-beam" else ()) for name in CASES]
)
def case(request):
    return CASES[request.param]


def test_every_kind_is_tried():
    assert {name.split("-")[0] for name in CASES} == set(losses.KINDS) == set(losses.TABLE)


def test_every_file_is_a_kind_that_stands_alone():
    files = {p.stem: p.read_text() for p in Path(losses.__file__).parent.joinpath("kinds").glob("*.py")}
    assert set(files) - {"__init__"} == set(losses.KINDS)
    assert all(not re.search(r"^\s*from \.(\w| import)|losses\.kinds", text, re.M) for text in files.values())


@pytest.mark.parametrize("kind", losses.KINDS)
def test_a_name_is_a_function_whatever_was_imported(kind):
    module = importlib.import_module(losses.TABLE[kind])
    assert inspect.unwrap(getattr(losses, kind)) is getattr(module, kind)
    assert callable(getattr(losses, kind)) and kind in dir(losses)


def test_an_unknown_name_is_no_function():
    with pytest.raises(AttributeError, match="kdd"):
        losses.kdd  # noqa: B018


def test_reading_settings_loads_no_torch():
    code = (
        "import sys; from suffuse import losses; from suffuse.losses import compatibility\n"
        "from suffuse.registry import settings\n"
        "keys = {k: losses.load_loss(k).Settings.model_fields for k in losses.KINDS}\n"
        "[settings(losses.TABLE, {'kind': k, **({'map': 'a'} if 'map' in keys[k] else {})}) for k in losses.KINDS]\n"
        "losses.kd; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_gradient_is_the_derivative(case):
    student, teacher = case.inputs()
    assert torch.autograd.gradcheck(lambda s: case.call(s, teacher, None), student.requires_grad_(), atol=1e-6)


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)], ids=["projected", "whole"])
def test_the_gradient_is_the_derivative_with_weights(whole):
    weight = torch.tensor([0.5, 0, 1, 2, 0.1, 0, 3]).double()
    for name in WEIGHED:
        student, teacher = CASES[name].inputs()
        call = lambda s, c=CASES[name], t=teacher: c.call(s, t, weight)  # noqa: E731
        assert torch.autograd.gradcheck(call, student.requires_grad_(), atol=1e-6, fast_mode=not whole), name


def test_no_gradient_reaches_the_teacher(case):
    student, teacher = case.inputs()
    case.call(student.requires_grad_(), teacher.requires_grad_(), None).backward()
    assert teacher.grad is None
    assert student.grad is not None and student.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.equal])  # others' minimum is elsewhere
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(name):
    case = CASES[name]
    _, teacher = case.inputs()
    student = teacher.clone().requires_grad_()
    value = case.call(student, teacher, None)
    value.backward()
    assert abs(value.item()) < 1e-6
    assert student.grad is not None and student.grad.abs().max() < 1e-6


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.ordered])
def test_the_order_of_rows_changes_nothing(name):
    """The others read more of a row than student and teacher; their order is tested through the parts."""
    case, order = CASES[name], torch.tensor([3, 1, 6, 0, 2, 5, 4])
    student, teacher = case.inputs()
    torch.testing.assert_close(case.call(student, teacher, None), case.call(student[order], teacher[order], None))


@pytest.mark.parametrize("name", WEIGHED)
@pytest.mark.parametrize("filler", [0.0, 1e6, torch.nan, torch.inf])
def test_rows_of_weight_0_change_no_bit(name, filler):
    case, weight = CASES[name], torch.tensor([1.0, 0.0, 2.0, 1.0, 0.0, 0.5, 1.0])
    student, teacher = (x.float() for x in case.inputs())
    spoilt = [x.clone() for x in (student, teacher)]
    for x in spoilt:
        x[weight == 0] = filler
    student.requires_grad_(), spoilt[0].requires_grad_()
    one, other = case.call(student, teacher, weight), case.call(spoilt[0], spoilt[1], weight)
    one.backward(), other.backward()
    assert torch.equal(one, other)
    assert torch.equal(student.grad, spoilt[0].grad)  # type: ignore[arg-type]
    assert (student.grad[weight == 0] == 0).all()  # type: ignore[index]


@pytest.mark.parametrize("name", WEIGHED)
def test_equal_weights_are_no_weights(name):
    student, teacher = CASES[name].inputs()
    plain = CASES[name].call(student, teacher, None)
    for weight in (torch.ones(B), torch.full((B,), 0.3).double(), torch.ones(B, dtype=torch.bool)):
        torch.testing.assert_close(CASES[name].call(student, teacher, weight), plain)


@pytest.mark.parametrize("name", WEIGHED)
def test_where_all_weights_are_0_so_is_the_loss(name):
    student, teacher = CASES[name].inputs()
    value = CASES[name].call(student.requires_grad_(), teacher * torch.nan, torch.zeros(B))
    value.backward()
    assert value.item() == 0
    assert (student.grad == 0).all()


BY_ROW = [n for n in WEIGHED if not CASES[n].ordered and losses.load_loss(n.partition("-")[0]).MIN_ROWS == 1]


@pytest.mark.parametrize("name", BY_ROW)
def test_a_weighted_mean_is_sum_w_l_over_sum_w(name):
    case, weight = CASES[name], torch.rand(B).double()
    student, teacher = case.inputs()
    each = torch.stack([case.call(student[b : b + 1], teacher[b : b + 1], None) for b in range(B)])
    torch.testing.assert_close(case.call(student, teacher, weight), (weight * each).sum() / weight.sum())
    torch.testing.assert_close(case.call(student, teacher, None), each.mean())


@pytest.mark.parametrize("name", ["kd", "hard_label", "js", "reverse_kd", "multilabel_kd", "nkd", "dkd"])
def test_classes_that_nobody_believes_in_change_nothing(name):
    """A sum over classes: a hundred more whose probability is 0 add 0, where a mean over classes would shrink."""
    student, teacher = logits()
    wide = [torch.cat([x, torch.full((B, 100), -1e4).double()], dim=1) for x in (student, teacher)]
    torch.testing.assert_close(CASES[name].call(wide[0], wide[1], None), CASES[name].call(student, teacher, None))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_at_logits_of_ten_thousand(case, dtype):
    student, teacher = case.inputs()
    if case.inputs is logits:
        signs = torch.tensor([1.0, -1.0, 0.5, -0.5, 0.0])
        student, teacher = 1e4 * torch.stack([signs.roll(b) for b in range(B)]), 1e4 * signs.expand(B, C)
    if case.inputs is frames:
        student, teacher = 1e4 * student.sign(), 1e4 * teacher.sign()
    student = student.to(dtype).requires_grad_()
    value = case.call(student, teacher.to(dtype), None)
    value.backward()
    assert value.isfinite() and value.dtype == torch.float32
    assert student.grad is not None and student.grad.isfinite().all()


@pytest.mark.parametrize("seed", range(3))
def test_bf16_around_it_rounds_nothing(case, seed):
    """Autocast would take the matrix products of relations to 8 bits."""
    student, teacher = (x.float() for x in case.inputs())
    exact = case.call(student, teacher, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(case.call(student, teacher, None), exact)


@pytest.mark.parametrize(
    "name",
    [
        "similarity",
        "rkd_distance",
        "rkd_angle",
        "cka",
        "crd",
        "affinity",
        "affinity-pair",
        "cross_modal_relation",
        "entropy_relations",
        "hint-cosine",
        "attention_transfer",
        "lskd",
        "dist",
    ],
)
@pytest.mark.parametrize("fault", ["equal rows", "rows of zeros", "one row is zeros"])
def test_rows_without_a_direction_give_finite_gradients(name, fault):
    case = CASES[name]
    student, teacher = (x.float() for x in case.inputs())
    if fault == "equal rows":
        student[1:] = student[0]
    elif fault == "rows of zeros":
        student.zero_()
    else:
        student[2] = 0
    student.requires_grad_()
    value = case.call(student, teacher, None)
    value.backward()
    assert value.isfinite()
    assert student.grad is not None and student.grad.isfinite().all() and student.grad.abs().max() < 1e4


def test_two_rows_of_a_picture_are_no_negatives_of_each_other():
    """crd: with a shared teacher feature the plain formula would push equal rows apart."""
    teacher = torch.eye(4)[[0, 0, 1, 2]]
    apart = losses.crd(5 * teacher, teacher, 0.05)
    assert apart.item() < 1e-6


@pytest.mark.parametrize(("call", "told"), [
    (lambda z: losses.dkd(z[:, :2], z[:, :2], torch.zeros(B).long(), 1.0, 1.0, 1.0), "2 classes"),
    (lambda z: losses.nkd(z[:, :2], z[:, :2], torch.zeros(B).long(), 1.0, 1.0), "2 classes"),
    (lambda z: losses.lskd(z[:, :2], z[:, :2], 1.0), "2 classes"),
    (lambda z: losses.dist(z[:1], z[:1], 1.0, 1.0, 1.0), "1 rows"),
    (lambda z: losses.similarity(z[:1], z[:1]), "1 rows"),
    (lambda z: losses.rkd_distance(z[:2], z[:2]), "2 rows"),
    (lambda z: losses.rkd_angle(z[:2], z[:2]), "2 rows"),
    (lambda z: losses.cka(z[:3], z[:3]), "3 rows"),
    (lambda z: losses.crd(z[:1], z[:1], 1.0), "1 rows"),
    (lambda z: losses.affinity(z[:2], z[:2], 1.0), "2 rows"),
    (lambda z: losses.cross_modal_relation([z[:2]], [z[:2]]), "2 rows"),
    (lambda z: losses.entropy_relations(z[:1], z[:1], z[:1]), "1 rows"),
])  # fmt: skip
def test_what_says_nothing_is_refused_with_what_to_use(call, told):
    with pytest.raises(UsageError, match=told) as caught:
        call(logits()[0])
    assert "use" in caught.value.hint and "kind" in caught.value.hint


def test_a_gate_of_an_absent_modality_doesn_t_count():
    student, teacher = (x.float() for x in CASES["gate_transfer"].inputs())
    plain = losses.gate_transfer(student, teacher, PRESENT)
    spoilt = teacher.where(PRESENT, torch.nan), student.where(PRESENT, torch.nan)
    assert torch.equal(losses.gate_transfer(spoilt[1], spoilt[0], PRESENT), plain)


PAGE = Path(__file__).parents[2] / "docs" / "losses.md"


@pytest.mark.parametrize("kind", losses.KINDS)
def test_the_page_says_of_each_loss_what_its_module_says(kind):
    """Paper, valid targets or projector, and least number of rows."""
    part = losses.load_loss(kind)
    (row,) = re.findall(rf"^\| `{kind}` \|.*$", PAGE.read_text(encoding="utf-8"), re.M)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    paper, said = cells[1], part.__doc__ or ""
    assert all(year in said for year in re.findall(r"\d{4}", paper)) and re.search(r"\d{4}", paper)
    on_answers = PAGE.read_text(encoding="utf-8").partition("## On features")[0]
    assert (row in on_answers) == bool(part.HEADS)
    if part.HEADS:
        assert set(re.findall("classes|labels|number|tokens", cells[3])) == set(part.HEADS)
        assert ("3 or more" in cells[3]) == (part.MIN_CLASSES == 3)
    else:
        chosen = minimal(kind, **({"map": "a"} if "map" in part.Settings.model_fields else {}))
        taps = {"fused": 2, "a": 2, "b": 2, "gates": 2, "a.map": 4, "a.look.map": 64}
        assert (cells[3] == "yes") == bool(list(part.layers(chosen, taps, taps).parameters()))


def test_the_page_s_example_runs():
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[0]
    student, teacher = logits()
    scope = {"student": student, "teacher": teacher, "features": student, "teacher_features": teacher}
    exec(code, scope)
    expected = losses.kd(student, teacher, 2.0) + 0.5 * losses.rkd_distance(student, teacher)
    torch.testing.assert_close(scope["loss"], expected)

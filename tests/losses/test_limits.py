"""Every loss where a probability is 0, a batch is empty, or weights are small: a number, with finite gradients."""

from __future__ import annotations

import math

import pytest
import torch
from loss_part_tools import ANSWERS, Built, output_tensors, rows
from losses_tools import CASES, WEIGHED, B, C, logits
from torch import Tensor

from suffuse import losses
from suffuse.types import CLASSES, LABELS, NUMBER

OUT = 1  # the class that is ruled out; no label and no answer of a teacher
LIMIT = -500.0  # of float64, its probability is 0 to the last bit that counts
ON_LOGITS = [
    n
    for n, c in CASES.items()
    if c.inputs is logits and not c.ordered and n not in ("subset_consistency-labels", "task-labels")
]
LABEL_LOSSES = ("multilabel_kd", "subset_consistency-labels")


def ruled_out(who: str, instead: float = -math.inf) -> tuple[Tensor, Tensor]:
    """Logits of both, of which one class is ruled out in every row by the student, the teacher or both."""
    student, teacher = logits()
    for name, x in (("student", student), ("teacher", teacher)):
        if who in (name, "both"):
            x[:, OUT] = instead
    return student.requires_grad_(), teacher


@pytest.mark.parametrize("name", ON_LOGITS)
@pytest.mark.parametrize("who", ["teacher", "both"])
@pytest.mark.parametrize("weight", [None, torch.ones(B)], ids=["plain", "weighed"])
def test_a_class_of_probability_0_adds_0(name, who, weight):
    student, teacher = ruled_out(who)
    value = CASES[name].call(student, teacher, weight)
    value.backward()
    assert value.isfinite() and student.grad is not None and student.grad.isfinite().all()
    if not losses.load_loss(name).CONTINUOUS_AT_0 and (name, who) != ("reverse_kd", "both"):
        return  # their limits are infinite, or others: each has a test of its own
    near, far = ruled_out(who, LIMIT)
    limit = CASES[name].call(near, far, weight)
    limit.backward()
    torch.testing.assert_close(value, limit)
    torch.testing.assert_close(student.grad, near.grad)


@pytest.mark.parametrize("name", ["task", "dkd", "nkd"])
@pytest.mark.parametrize("who", ["teacher", "both"])
def test_a_class_that_is_no_label_may_be_ruled_out(name, who):
    target = torch.tensor([0, 2, 2, 3, 4, 0, 0])
    call = {
        "task": lambda s, t: losses.task(s, target),
        "dkd": lambda s, t: losses.dkd(s, t, target, 4.0, 1.0, 8.0),
        "nkd": lambda s, t: losses.nkd(s, t, target, 2.0, 1.5),
    }[name]
    (student, teacher), (near, far) = ruled_out(who), ruled_out(who, LIMIT)
    value, limit = call(student, teacher), call(near, far)
    value.backward(), limit.backward()
    torch.testing.assert_close(value, limit)
    torch.testing.assert_close(student.grad, near.grad)
    assert student.grad is not None and student.grad.isfinite().all()


@pytest.mark.parametrize("name", ["dkd", "nkd"])
def test_where_the_teacher_rules_out_all_but_the_label(name):
    student, teacher = logits()
    teacher, target = torch.full_like(teacher, -math.inf), torch.full((B,), 2)
    teacher[:, 2] = 0.0
    student.requires_grad_()
    if name == "dkd":
        value, expected = losses.dkd(student, teacher, target, 1.0, 1.0, 8.0), losses.task(student, target)
    else:
        value, expected = losses.nkd(student, teacher, target, 1.0, 1.5), losses.task(student, target)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert student.grad is not None and student.grad.isfinite().all()


def test_a_class_that_the_student_alone_rules_out_is_infinitely_wrong_or_costs_log_2():
    student, teacher = ruled_out("student")
    target = torch.tensor([0, 2, 2, 3, 4, 0, 0])
    assert losses.dkd(student, teacher, target, 4.0, 1.0, 8.0).item() == math.inf
    assert losses.nkd(student, teacher, target, 2.0, 1.5).item() == math.inf
    for name in ("kd", "lskd"):
        assert CASES[name].call(student, teacher, None).item() == math.inf, name
    value = CASES["js"].call(student, teacher, None)
    value.backward()
    assert 0 < value.item() < 4 * math.log(2)
    assert student.grad is not None and student.grad.isfinite().all()
    torch.testing.assert_close(value, CASES["js"].call(*ruled_out("student", LIMIT), None))
    torch.testing.assert_close(
        CASES["reverse_kd"].call(student, teacher, None),
        CASES["reverse_kd"].call(*ruled_out("student", LIMIT), None),
    )


def test_reverse_kd_compares_the_classes_that_the_teacher_allows():
    student, teacher = ruled_out("teacher")
    kept = [c for c in range(C) if c != OUT]
    value = losses.reverse_kd(student, teacher, 2.0)
    torch.testing.assert_close(value, losses.reverse_kd(student[:, kept], teacher[:, kept], 2.0))


def test_lskd_standardises_the_classes_that_are_allowed():
    student, teacher = ruled_out("both")
    kept = [c for c in range(C) if c != OUT]
    value = losses.lskd(student, teacher, 2.0)
    torch.testing.assert_close(value, losses.lskd(student[:, kept], teacher[:, kept], 2.0))


@pytest.mark.parametrize("name", LABEL_LOSSES)
@pytest.mark.parametrize("who", ["teacher", "both"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_label_that_is_sure_is_its_limit(name, who, sign):
    (student, teacher), (near, far) = ruled_out(who, sign * math.inf), ruled_out(who, sign * 500)
    value, limit = CASES[name].call(student, teacher, None), CASES[name].call(near, far, None)
    value.backward(), limit.backward()
    torch.testing.assert_close(value, limit)
    torch.testing.assert_close(student.grad, near.grad)
    assert student.grad is not None and student.grad.isfinite().all()


def test_an_answer_of_probability_0_has_no_entropy():
    torch.manual_seed(0)
    student, teacher = torch.randn(B, 4), torch.randn(B, 6)
    (_, masked), (_, limit) = ruled_out("teacher"), ruled_out("teacher", LIMIT)
    value = losses.entropy_relations(student, teacher, masked)
    torch.testing.assert_close(value, losses.entropy_relations(student, teacher, limit))


@pytest.mark.parametrize(("asked", "kind"), ANSWERS)
def test_every_part_is_finite_where_the_teacher_rules_out_a_class(asked, kind):
    """As a recipe's part: what says which rows count reads the logits too."""
    if kind == NUMBER:
        return
    loss, (student, teacher, target) = Built(asked), rows(kind=kind)
    theirs = teacher["logits"].detach().clone()
    theirs[:, 3] = -math.inf
    value = loss(student, {**teacher, "logits": theirs}, target.clamp(max=2) if kind == CLASSES else target)
    value.backward()
    assert value.isfinite()
    assert all(t.grad.isfinite().all() for t in output_tensors(student) if t.grad is not None)


@pytest.mark.parametrize(("asked", "kind"), ANSWERS)
def test_an_empty_batch_is_0_with_a_gradient_of_0(asked, kind):
    loss, (student, teacher, target) = Built(asked), rows(count=0, kind=kind)
    value = loss(student, teacher, target)
    assert value.shape == () and value.item() == 0
    assert value.requires_grad
    value.backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in loss.layers.parameters())


@pytest.mark.parametrize("name", WEIGHED)
@pytest.mark.parametrize("factor", [1e-30, 1e-8, 1e8])
def test_only_the_ratios_of_weights_matter(name, factor):
    student, teacher = CASES[name].inputs()
    weight = torch.tensor([1.0, 0.0, 2.0, 1.0, 0.0, 0.5, 1.0])
    value = CASES[name].call(student, teacher, weight * factor)
    torch.testing.assert_close(value, CASES[name].call(student, teacher, weight), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", [CLASSES, LABELS, NUMBER])
def test_task_is_0_on_an_empty_batch(kind):
    student, _, target = rows(count=0, kind=kind)
    value = losses.task(student.logits, target, head=student.head, weight=torch.ones(0))
    assert value.item() == 0

"""Derivatives of every loss beyond the first, and through ``torch.func``; autograd functions that have none raise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from losses_tools import CASES, B, C, D, E
from torch import Tensor
from torch.func import grad, hessian, jvp, vmap

import suffuse
from suffuse import UsageError, losses
from suffuse.engine import distributed_forward
from suffuse.registry import settings
from suffuse.sync_batch_norm import batch_norm
from suffuse.types import Output

NO_FORWARD_MODE = {"rkd_distance": "_cdist_forward"}  # torch has no forward-mode derivative of it


NO_SECOND = {"rkd_distance": "_cdist_backward"}  # nor a second one before 2.14
TORCH = tuple(map(int, torch.__version__.split(".")[:2]))


# a beam search takes seconds; it is compared with another one in test_sequence_losses.py
@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.long if name == "sequence_kd-beam" else ()) for name in CASES]
)
def case(request):
    """A loss as a function of the student's tensor, and a point."""
    found = CASES[request.param]
    student, teacher = found.inputs()
    if request.param == "entropy_relations":
        logits = torch.randn(B, C, dtype=torch.float64)
        return request.param, lambda x: losses.entropy_relations(x, teacher, logits), student
    return request.param, lambda x: found.call(x, teacher, None), student


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)], ids=["projected", "whole"])
def test_second_derivatives_are_those_of_the_formula(case, whole):
    """``projected``: along one direction that is drawn, which takes a tenth of the time of the whole matrix."""
    name, loss, student = case
    if name in NO_SECOND and TORCH < (2, 14):
        with pytest.raises(NotImplementedError, match=NO_SECOND[name]):
            torch.autograd.gradgradcheck(loss, (student.requires_grad_(),), fast_mode=not whole)
        return
    assert torch.autograd.gradgradcheck(loss, (student.requires_grad_(),), fast_mode=not whole)


def test_a_loss_can_be_differentiated_by_torch_func(case):
    name, loss, student = case
    if name == "sequence_kd-beam":
        with pytest.raises(UsageError, match="a beam search reads numbers"):
            grad(loss)(student)
        return
    x = student.clone().requires_grad_()
    value = loss(x)
    (gradient,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(grad(loss)(student), gradient)
    two = torch.stack([student, 2 * student])
    torch.testing.assert_close(vmap(loss)(two), torch.stack([loss(student), loss(2 * student)]))
    torch.testing.assert_close(vmap(grad(loss))(two)[0], gradient)
    step = torch.ones_like(student)
    if name in NO_FORWARD_MODE:
        with pytest.raises(NotImplementedError, match=NO_FORWARD_MODE[name]):
            jvp(loss, (student,), (step,))
        return
    torch.testing.assert_close(jvp(loss, (student,), (step,))[1], (gradient * step).sum())
    expected = torch.autograd.functional.hessian(loss, student)
    torch.testing.assert_close(hessian(loss)(student), expected)


def kd_formula(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_q, log_p = (student / temperature).log_softmax(1), (teacher / temperature).log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1).mean() * temperature**2


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_gradient_penalty_on_kd_is_that_of_the_formula(temperature):
    torch.manual_seed(0)
    x, teacher = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    weight = torch.randn(4, 3, dtype=torch.float64)
    found = []
    for loss in (losses.kd, kd_formula):
        w, inputs = weight.clone().requires_grad_(), x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(inputs @ w, teacher, temperature), inputs, create_graph=True)
        penalty = slope.square().sum()
        found.append((penalty, *torch.autograd.grad(penalty, (w, inputs))))
    for closed, formula in zip(*found, strict=True):
        torch.testing.assert_close(closed, formula)
    assert found[1][1].abs().max() > 1e-4


def hint_on(mine: Tensor, theirs: Tensor):
    """The loss as a recipe's part, with its projector."""
    part, chosen = losses.load_loss("hint"), settings(losses.TABLE, {"kind": "hint", "tap": "fused"})
    layers = part.layers(chosen, {"fused": D}, {"fused": E}).to(mine.dtype)
    nobody = torch.zeros(len(mine), 2)
    return layers, lambda x: part.loss(chosen, layers, Output(nobody, x), {"fused": theirs}, nobody)


@pytest.mark.parametrize("bits", [torch.float32, torch.float64])
def test_a_gradient_penalty_on_a_hint_is_that_of_the_formula(bits):
    torch.manual_seed(1)
    mine, theirs = torch.randn(B, D, dtype=bits), torch.randn(B, E, dtype=bits)
    layers, loss = hint_on(mine, theirs)
    wanted, found = [mine.requires_grad_(), *layers.parameters()], []
    for value in (loss(mine), (layers["project"](mine) - theirs).square().mean()):
        gradients = torch.autograd.grad(value, wanted, create_graph=True)
        penalty = torch.stack([g.square().sum() for g in gradients]).sum()
        found.append((value, *gradients, penalty, *torch.autograd.grad(penalty, wanted)))
    for closed, formula in zip(*found, strict=True):
        torch.testing.assert_close(closed, formula)
    if bits == torch.float64:
        assert torch.autograd.gradgradcheck(loss, (mine,))


@pytest.mark.parametrize("bits", [torch.float32, torch.float64])
def test_a_hint_can_be_differentiated_by_torch_func(bits):
    torch.manual_seed(1)
    mine, theirs = torch.randn(B, D, dtype=bits), torch.randn(B, E, dtype=bits)
    layers, loss = hint_on(mine, theirs)

    def formula(x: Tensor) -> Tensor:
        return (layers["project"](x) - theirs).square().mean()

    torch.testing.assert_close(grad(loss)(mine), grad(formula)(mine))
    torch.testing.assert_close(vmap(grad(loss))(mine.repeat(2, 1, 1)), vmap(grad(formula))(mine.repeat(2, 1, 1)))
    torch.testing.assert_close(hessian(loss)(mine), hessian(formula)(mine))
    with torch.no_grad():
        torch.testing.assert_close(loss(mine), formula(mine))


@pytest.mark.parametrize("bits", [torch.float32, torch.bfloat16])
def test_the_closed_forms_are_the_formulas_to_first_order(bits):
    torch.manual_seed(2)
    student, teacher = torch.randn(B, C).to(bits), torch.randn(B, C).to(bits)
    one, other = student.clone().requires_grad_(), student.clone().requires_grad_()
    closed, formula = losses.kd(one, teacher, 2.0), kd_formula(other.float(), teacher.float(), 2.0)
    assert closed.grad_fn is not None and "Divergence" in closed.grad_fn.name()
    closed.backward()
    formula.backward()
    torch.testing.assert_close(closed, formula)
    torch.testing.assert_close(one.grad, other.grad)


def test_what_several_processes_share_has_no_second_derivative(monkeypatch):
    """Its first one holds sums over processes that autograd doesn't record: an error, not a wrong number."""
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)

    def normalised() -> Tensor:
        return batch_norm(
            lambda s: s, input=x, training=True, momentum=0.1, eps=1e-5, running_mean=None, running_var=None,
            weight=weight, bias=torch.zeros(3, dtype=torch.float64, requires_grad=True),
        )  # fmt: skip

    monkeypatch.setattr(distributed_forward, "summed", lambda numbers: numbers)
    monkeypatch.setattr(distributed_forward, "gather_ragged", lambda numbers, sizes: [numbers])
    shared = (
        normalised,
        lambda: distributed_forward._AllGather.apply(0, [(4,)], x)[0],
        lambda: distributed_forward._SumGradients.apply(x)[0],
    )
    for make in shared:
        (slope,) = torch.autograd.grad(make().pow(3).sum(), x, create_graph=True)
        assert torch.isfinite(slope).all()
        with pytest.raises(RuntimeError, match="once_differentiable"):
            slope.square().sum().backward()


def test_every_autograd_function_is_tried_here():
    named = []
    for file in Path(suffuse.__file__).parent.rglob("*.py"):
        named += re.findall(r"class (\w+)\(torch\.autograd\.Function\)", file.read_text(encoding="utf-8"))
    assert sorted(named) == [
        "Divergence", "Normalised", "Projected", "SequenceProbability", "_AllGather", "_SumGradients"
    ]  # fmt: skip

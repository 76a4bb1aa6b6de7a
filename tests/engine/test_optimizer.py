"""The optimiser: AdamW for most parameters, one second moment for a matrix of embeddings of sparse inputs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from suffuse import losses
from suffuse.engine.objective import Objective
from suffuse.engine.optimizer import SPARSE, AdamW, make_optimizer
from suffuse.model import FusionModel
from suffuse.recipe import Network, Training
from suffuse.registry import settings
from suffuse.types import Field, Head, Spec

RATE, DECAY = 0.01, 0.1


def steps(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, gradients: list[torch.Tensor]) -> torch.Tensor:
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def matrix() -> nn.Parameter:
    return nn.Parameter(torch.linspace(-1, 1, 12).reshape(4, 3))


def gradients(count: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, generator=generator) for _ in range(count)]


def group(parameter: nn.Parameter, sparse: bool, decay: float = DECAY) -> dict:
    return {"params": [parameter], "weight_decay": decay, SPARSE: sparse}


def test_other_groups_are_stepped_as_by_adamw() -> None:
    ours, theirs, beside = matrix(), matrix(), matrix()
    optimizer = AdamW([group(ours, sparse=False), group(beside, sparse=True)], lr=RATE, fused=True)
    reference = torch.optim.AdamW([theirs], lr=RATE, weight_decay=DECAY, fused=True)
    assert torch.equal(steps(ours, optimizer, gradients()), steps(theirs, reference, gradients()))
    assert torch.equal(beside, matrix())  # it has no gradient


def test_a_sparse_matrix_has_one_second_moment() -> None:
    parameter, first, second = matrix(), torch.zeros(4, 3), 0.0
    found = steps(parameter, AdamW([group(parameter, sparse=True)], lr=RATE, fused=True), gradients())
    wanted = matrix().detach()
    for number, gradient in enumerate(gradients(), 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * float(gradient.square().mean())
        scale = (second / (1 - 0.999**number)) ** 0.5 + 1e-8
        wanted = wanted * (1 - RATE * DECAY) - RATE * first / (1 - 0.9**number) / scale
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_rare_row_moves_less_than_a_frequent_one(sparse: bool) -> None:
    """Row 0 has a gradient in every step, row 1 in one of 20."""
    parameter = nn.Parameter(torch.zeros(2, 1))
    rare, both = torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [1.0]])
    optimizer = AdamW([group(parameter, sparse, decay=0.0)], lr=RATE, fused=True)
    frequent, seldom = steps(parameter, optimizer, [both if n % 20 == 0 else rare for n in range(40)]).abs()[:, 0]
    share = float(seldom / frequent)
    assert share < 0.1 if sparse else share > 0.15  # it has a twentieth of the gradients


def test_its_state_can_be_saved_and_loaded() -> None:
    whole, resumed = matrix(), matrix()
    steps(whole, AdamW([group(whole, sparse=True)], lr=RATE, fused=True), gradients(6))
    optimizer = AdamW([group(resumed, sparse=True)], lr=RATE, fused=True)
    steps(resumed, optimizer, gradients(6)[:3])
    state = optimizer.state_dict()
    optimizer = AdamW([group(resumed, sparse=True)], lr=RATE, fused=True)
    optimizer.load_state_dict(state)
    assert torch.equal(steps(resumed, optimizer, gradients(6)[3:]), whole.detach())


def test_the_embeddings_of_ngrams_are_sparse() -> None:
    statistics = {"vocabulary": 8, "idf": [0.0, 0.0, *[1.0] * 6]}
    field = Field("title", "text", statistics)
    spec = Spec((field,), (Head("answer", "classes", ("a", "b")),), (-0.7, -0.7))
    network = Network.model_validate({"encoders": {"title": {"kind": "ngrams"}}, "fusion": {"kind": "concat"}})
    objective = Objective(FusionModel(network, spec), {"labels": settings(losses.TABLE, {"kind": "task"})}, {})
    sparse = {id(p) for g in make_optimizer(objective, Training()).param_groups if g[SPARSE] for p in g["params"]}
    embedding = objective.model.encoder("title").layers["embedding"]
    assert sparse == {id(p) for p in embedding.parameters()}


def test_hooks_run_once_a_step() -> None:
    """Also where torch's own AdamW, whose step gets hooks too, was made before."""
    parameter = matrix()
    torch.optim.AdamW([parameter])
    optimizer, calls = AdamW([group(parameter, False)], lr=RATE), []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    steps(parameter, optimizer, gradients(3))
    assert len(calls) == 3


IMPORTS = """
import sys, torch
from suffuse.engine.optimizer import AdamW
parameter = torch.nn.Parameter(torch.ones(3))
optimizer = AdamW([{"params": [parameter], "sparse": False}], lr=0.1, fused=True)
parameter.sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_no_step_imports_the_compiler() -> None:
    """It takes a process seconds."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"

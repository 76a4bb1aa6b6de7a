"""The optimiser of all trainings: AdamW (Loshchilov & Hutter 2019), for embeddings of sparse inputs with one second
moment for a whole matrix.

    m = b1 m + (1 - b1) g            v = b2 v + (1 - b2) g^2      AdamW: a moment v for each number
    m as above                       v = b2 v + (1 - b2) mean(g^2)     sparse: one for the matrix (V, D)
    w = w (1 - r d) - r m' / (sqrt(v') + e)       m', v' divided by 1 - b1^t, 1 - b2^t

Few texts have any one n-gram. With a moment for each number the vector of a rare one moves as far as that of a frequent
one, however little speaks for it; with a shared one it moves as far as its gradients say, as in logistic regression.
Shared second moments by blocks are those of Adam-mini (Zhang et al. 2024).
"""

# pyright: reportUnknownMemberType=false
# (torch annotates optimisers in part)

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn

from ..recipe import Training
from .finetuning import learning_rates
from .objective import Objective
from .runtime import gradient_scaler

RATE = "rate"  # of a group of parameters: its learning rate before the schedule
SPARSE = "sparse"  # of a group of parameters: its matrices have one second moment each


def _plain(method: Any) -> Any:
    """A method of torch's optimisers without its decorators. They keep torch's compiler away, and import it for that,
    which takes each process seconds; nothing here is compiled. :meth:`AdamW.step` runs hooks and stops gradients."""
    return inspect.unwrap(method)


class AdamW(torch.optim.AdamW):
    """AdamW whose groups with ``sparse: True`` have one second moment for each matrix. Their state has the names that
    AdamW's has: ``step`` (), ``exp_avg`` as the parameter, ``exp_avg_sq`` (). ``scaler`` scales the loss of a training
    in fp16; None: none does."""

    scaler: torch.amp.GradScaler | None = None
    state_dict = _plain(torch.optim.Optimizer.state_dict)
    load_state_dict = _plain(torch.optim.Optimizer.load_state_dict)
    zero_grad = _plain(torch.optim.Optimizer.zero_grad)
    add_param_group = _plain(torch.optim.Optimizer.add_param_group)

    def scale_by(self, scaler: torch.amp.GradScaler | None) -> None:
        """Use a scaler of the loss. The fused kernel leaves out an infinite gradient by itself; :func:`_step` doesn't,
        so with sparse groups the scaler has to look, and the processor to wait, before each step."""
        self.scaler = scaler
        self._step_supports_amp_scaling = not any(group[SPARSE] for group in self.param_groups)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step on the parameters' gradients."""
        groups: list[dict[str, Any]] = self.param_groups
        self.param_groups = [group for group in groups if not group[SPARSE]]
        try:
            loss = _plain(torch.optim.AdamW.step)(self, closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group[SPARSE]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        _step(group, self.state[parameter], parameter, parameter.grad)
        return loss


def _step(group: dict[str, Any], state: dict[str, Tensor], parameter: Tensor, gradient: Tensor) -> None:
    if not state:
        zero = parameter.new_zeros(())
        state |= {"step": zero, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": zero.clone()}
    state["step"] += 1
    beta1, beta2 = group["betas"]
    state["exp_avg"].lerp_(gradient, 1 - beta1)
    state["exp_avg_sq"].lerp_(gradient.square().mean(), 1 - beta2)
    first, second = (_bias_correction(state["step"], beta) for beta in (beta1, beta2))
    scale = (state["exp_avg_sq"] / second).sqrt() + group["eps"]
    if group["weight_decay"]:
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.sub_(state["exp_avg"] * (group["lr"] / first / scale))


def _bias_correction(step: Tensor, beta: float) -> Any:
    """1 - b^t: a number, or on a device a tensor (), for which the processor doesn't wait."""
    return 1 - beta ** step.item() if step.device.type == "cpu" else -torch.expm1(step * math.log(beta))


def make_optimizer(objective: Objective, training: Training) -> AdamW:
    """The optimiser of what an objective learns. What decays is what :func:`decaying` says; ``SPARSE`` of an encoder's
    part names the layers whose matrices have one second moment each. Parameters of fine-tuned encoders stand in groups
    by rate."""
    decay, sparse, rates = decaying(objective), _sparse(objective), learning_rates(objective.model)
    by_rate: dict[float, list[nn.Parameter]] = {training.learning_rate: []}
    for parameter in objective.parameters():
        if parameter.requires_grad:
            by_rate.setdefault(rates.get(id(parameter), training.learning_rate), []).append(parameter)
    groups: list[dict[str, Any]] = []
    for rate, learned in by_rate.items():
        groups += [
            {"params": [p for p in learned if id(p) in decay], "weight_decay": training.weight_decay, SPARSE: False},
            {"params": [p for p in learned if id(p) not in decay | sparse], "weight_decay": 0.0, SPARSE: False},
            {"params": [p for p in learned if id(p) in sparse - decay], "weight_decay": 0.0, SPARSE: True},
        ]
        for group in groups[-3:]:
            group |= {RATE: rate, "lr": rate}
    groups = [group for group in groups if group["params"]]
    optimizer = AdamW(groups, lr=training.learning_rate, fused=True)
    optimizer.scale_by(gradient_scaler(training.precision, objective.weights.device))
    return optimizer


def _sparse(objective: Objective) -> set[int]:
    """Ids of the parameters of the encoders' layers that read sparse inputs."""
    encoders = map(objective.model.encoder, objective.model.spec.names)
    layers = [encoder.layers[name] for encoder in encoders for name in encoder.part.SPARSE]
    return {id(parameter) for layer in layers for parameter in layer.parameters()}


def decaying(objective: Objective) -> set[int]:
    """Ids of the parameters that decay: the weights of maps (linear, convolution, recurrent), which multiply what they
    read. Learned vectors don't: biases, norms, embeddings of words, categories and positions, class tokens, types,
    bottlenecks, vectors of what is absent, and what a part calls its ``QUERIES``."""
    model = objective.model
    parts = [(model.part, model.fusion), *((e.part, e.layers) for e in map(model.encoder, model.spec.names))]
    queries = {
        id(p) for part, layers in parts for name in part.QUERIES if name in layers for p in layers[name].parameters()
    }
    tables = (nn.Embedding, nn.EmbeddingBag)
    rows = {id(p) for m in objective.modules() if isinstance(m, tables) for p in m.parameters()}
    return {
        id(p)
        for name, p in objective.named_parameters()
        if p.ndim > 1 and any("weight" in word for word in name.split(".")[-2:]) and id(p) not in queries | rows
    }

"""The norm of each loss's gradient on the student's weights, and its share of all of them.

Measured on some rows at the end of every epoch, and before the first step where the recipe balances the losses.
Measuring changes nothing: dropout's random state and the running statistics of norms are restored.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Sequence
from typing import Any, cast

import torch

from .objective import Objective
from .process_group import summed
from .runtime import same_random_state

DEAD = 1e-4  # share of the gradient that a loss stays below over a whole training
CALIBRATED_ON = 8  # batches, the first of the training, at the most
MEASURED_ON = 64  # rows at every epoch's end, at the most: few, as each loss costs a backward pass


def norms(objective: Objective, gathered: tuple[Any, ...]) -> torch.Tensor:
    """The objective's arguments -> (K,) float64, norm of each unweighted term's gradient on the student's weights."""
    weights = [p for p in objective.model.parameters() if p.requires_grad]
    gradient_norms = torch.zeros(len(objective.names), dtype=torch.float64)
    with _unchanged(objective):
        terms = objective.terms(*gathered)
        for number, term in enumerate(terms.unbind()):
            if term.requires_grad:
                gradients = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
                gradients = _sum_over_processes(objective, gathered, gradients)
                squares = [g.to(_widest(g)).square().sum() for g in gradients if g is not None]
                gradient_norms[number] = torch.stack(squares).sum().sqrt() if squares else 0.0
    return gradient_norms


def shares(objective: Objective, gathered: tuple[Any, ...]) -> dict[str, float]:
    """Name -> share of the weighted terms' gradient norms; all 0 where every gradient is 0."""
    pulls = norms(objective, gathered) * (objective.weights * objective.factors).cpu().double()
    total = pulls.sum()
    gradient_shares = cast("list[float]", (pulls / total.where(total > 0, 1.0)).tolist())
    return dict(zip(objective.names, gradient_shares, strict=True))


def calibrate(objective: Objective, batches: Iterable[tuple[Any, ...]]) -> None:
    """Turn the recipe's weights into shares of the gradient: w_k' = w_k c / g_k, g_k the mean norm over the batches, c
    = sum w g / sum w, so that their sum is unchanged. A term without a gradient keeps its weight."""
    pulls = torch.stack([norms(objective, gathered) for gathered in batches]).mean(0)
    weights, live = objective.weights.cpu().double(), pulls > 0
    if live.any():
        mean_pull = (weights * pulls)[live].sum() / weights[live].sum()
        balanced = torch.where(live, weights * mean_pull / pulls.where(live, 1.0), weights)
        objective.weights.copy_(balanced.to(objective.weights.dtype))


def dead(history: Sequence[dict[str, Any]]) -> list[str]:
    """Names of losses whose share of the gradient stayed below ``DEAD`` in every epoch, in the recipe's order."""
    epochs = [epoch["shares"] for epoch in history if "shares" in epoch]
    return [name for name in (epochs[0] if epochs else ()) if max(shares[name] for shares in epochs) < DEAD]


def _widest(x: torch.Tensor) -> torch.dtype:
    """The type in which squares are summed: Metal has no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _sum_over_processes(objective: Objective, gathered: tuple[Any, ...], gradients: Sequence[Any]) -> Sequence[Any]:
    """Gradients of a batch that several processes share, summed over them."""
    if gathered[0].split is None:
        return gradients
    weights = [p for p in objective.model.parameters() if p.requires_grad]
    flat = [torch.zeros_like(p) if g is None else g for p, g in zip(weights, gradients, strict=True)]
    return torch.split(summed(torch.cat([g.flatten() for g in flat])), [p.numel() for p in weights])


@contextlib.contextmanager
def _unchanged(objective: Objective) -> Generator[None]:
    held = [(b, b.clone()) for b in objective.model.buffers()]
    with same_random_state(objective.weights.device):
        yield
    with torch.no_grad():
        for buffer, before in held:
            buffer.copy_(before)

"""fit(): the only training loop, for teachers and students.

    for step in steps:
        rows = order(seed, epoch)[step]        no state but the step
        loss = objective(*gather(rows, epoch))
        loss.backward()
        after `accumulate` batches, or the last of a pass: clip; AdamW; cosine with warm-up; average
        after each pass: validate, keep the best, maybe stop

Killed at any step and started again, it ends with the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..data import Sampler
from ..errors import SuffuseError
from ..model import FusionModel
from ..recipe import Training
from .checkpoint import Checkpoint, State
from .objective import Objective
from .runtime import autocast

CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class Plan:
    """What fit() needs besides the objective."""

    training: Training
    sampler: Sampler
    every: int  # steps between validations; epochs x every is the budget, whatever the number of rows
    gather: Callable[[np.ndarray, int], tuple]  # rows, number of the pass -> the objective's arguments
    validate: Callable[[FusionModel], dict[str, float]]  # the first number decides: higher is better, later wins a tie
    folder: Path  # for the checkpoint
    tell: Callable[[float, str], None]  # (share done, a few words)


def fit(objective: Objective, plan: Plan) -> State:
    """Train; afterwards the objective's model holds the weights that were best on validation.

    Raises SuffuseError where the loss stops being a number.
    """
    optimizer = make_optimizer(objective, plan.training)
    keep = Checkpoint(plan.folder, objective, optimizer, plan.training.ema)
    state = keep.load() or State()
    total, saved = plan.training.epochs * plan.every, time.perf_counter()
    order, epoch = np.empty(0, dtype=np.int64), -1
    objective.train()
    while state.step < total and not state.stopped:
        if state.step // plan.sampler.steps != epoch:
            epoch = state.step // plan.sampler.steps
            order = plan.sampler.order(epoch)
        start = state.step % plan.sampler.steps * plan.training.batch
        gathered = plan.gather(order[start : start + plan.training.batch], epoch)
        terms, whole = train_step(objective, optimizer, plan, gathered, state.step)
        keep.sums += terms
        if whole and keep.average:
            keep.average.update()
        state.step += 1
        if state.step % plan.every == 0:
            with keep.judged():
                end_epoch(objective, keep, plan, state)
            objective.train()
        if whole and time.perf_counter() - saved > CHECKPOINT_SECONDS:
            keep.save(state)
            saved = time.perf_counter()
    keep.restore_best()
    objective.eval()
    return state


def accumulated(plan: Plan, step: int) -> tuple[float, bool]:
    """A batch's share of its step of the optimiser, by rows, and whether the step is whole with it.

    Steps take ``accumulate`` batches; what is left over at the end of a pass, or of a training, is a step too.
    """
    many, number = plan.training.accumulate, step % plan.sampler.steps
    if many == 1:
        return 1.0, True
    first, size, rows = number // many * many, plan.training.batch, len(plan.sampler.rows)
    start = step - number + first
    last = min(first + many, plan.sampler.steps, first + plan.training.epochs * plan.every - start)
    here = min(size, rows - number * size)
    return here / (min(last * size, rows) - first * size), number + 1 == last


def train_step(
    objective: Objective, optimizer: torch.optim.Optimizer, plan: Plan, gathered: tuple, step: int
) -> tuple[torch.Tensor, bool]:
    """One batch, and a step of the optimiser where it is the last of one; returns the weighted terms of the loss (K,)
    and whether it was."""
    share, whole = accumulated(plan, step)
    with autocast(plan.training.precision):
        loss, terms = objective(*gathered)
    (loss if share == 1.0 else loss * share).backward()
    if whole:
        update(objective, optimizer, plan, step)
    return terms, whole


def update(objective: Objective, optimizer: torch.optim.Optimizer, plan: Plan, step: int) -> None:
    """One step of the optimiser."""
    rate = plan.training.learning_rate * schedule(step, plan.training.epochs * plan.every, plan.training.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate
    nn.utils.clip_grad_norm_(objective.parameters(), plan.training.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def end_epoch(objective: Objective, keep: Checkpoint, plan: Plan, state: State) -> None:
    """Validate, note, keep the best, decide whether to stop."""
    terms = dict(zip(objective.names, (keep.sums / plan.every).tolist(), strict=True))
    scores = plan.validate(objective.model)
    if not all(math.isfinite(t) for t in (*terms.values(), *scores.values())):
        raise SuffuseError(
            "training diverged: the loss is not a number any more",
            where=f"step {state.step}",
            got={**terms, **scores},
            hint="lower learning_rate",
        )
    keep.sums.zero_()
    number = state.step // plan.every
    state.history.append({"epoch": number, "loss": sum(terms.values()), "terms": terms, "validation": scores})
    first = next(iter(scores.values()))
    if first >= state.best:
        state.best, state.best_epoch = first, number
        keep.note_best()
    patience = plan.training.patience
    state.stopped = bool(patience) and number - state.best_epoch >= patience
    words = f"epoch {number}/{plan.training.epochs}, validation {first:.4f}"
    plan.tell(1.0 if state.stopped else number / plan.training.epochs, words)


def schedule(step: int, total: int, warmup: float) -> float:
    """Linear warm-up, then half a cosine to 0 (Loshchilov & Hutter 2017): share of the learning rate."""
    warm = max(1, round(warmup * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def make_optimizer(objective: nn.Module, training: Training) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); biases, norms and absent vectors don't decay."""
    weights = [p for p in objective.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in objective.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=training.learning_rate, fused=True)

"""fit(): the only training loop, for teachers and students.

    for step in steps:
        rows = order(seed, pass)[step]         no state but the step
        loss = objective(*gather(rows, pass))
        loss.backward()
        after `accumulate` batches, or the last of an epoch: clip; AdamW; cosine with warm-up; average
        after each epoch: validate, keep the best, maybe stop

A pass goes over the training's own rows. An epoch is as many batches as all training rows make, and may be several
passes over few labelled ones: so trainings on more and on fewer rows have as many steps of the optimiser.

Killed at any step and started again, it ends with the same bits. Several processes that share it (:mod:`.group`) come
to the numbers that one would, up to the order in which floats are added and to what each drops out.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from ..data.sampler import Sampler
from ..errors import SuffuseError
from ..model import FusionModel
from ..progress import say
from ..recipe import Training
from .checkpoint import Checkpoint, State
from .finetuning import Finetuning
from .gradient_norms import CALIBRATED_ON, MEASURED_ON, calibrate, shares
from .objective import Objective, Share
from .optimizer import RATE, make_optimizer
from .process_group import current
from .row_usage import RowUsage
from .runtime import autocast, explained, kernels, release_memory
from .seed_selection import selection_score

CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class Plan:
    """What fit() needs besides the objective."""

    training: Training
    sampler: Sampler
    every: int  # batches of an epoch; epochs x every is the budget, whatever the number of rows
    gather: Callable[[np.ndarray, int], tuple[Any, ...]]  # rows, number of the pass -> the objective's arguments
    validate: Callable[[FusionModel], dict[str, float]]  # the main metric, and `log_loss`, which decides ties
    folder: Path  # for the checkpoint
    tell: Callable[[float, str], None]  # (share done, a few words)
    calibrate: bool = False  # the losses' weights are shares of the gradient, found before the first step
    note: Callable[[dict[str, Any]], None] | None = None  # is given each epoch's line of the history
    usage: RowUsage | None = None  # the rows that ``gather`` and ``validate`` read; part of the checkpoint
    finish: Callable[[FusionModel], None] | None = None  # with the best weights, at the end
    labels: Callable[[np.ndarray], tuple[int, ...]] | None = None  # rows -> how many labels of each target they have
    score_training: Callable[[FusionModel], dict[str, float]] | None = None  # on labelled training rows, in eval mode


def fit(objective: Objective, plan: Plan) -> State:
    """Train on the objective's device; afterwards its model holds the weights that were best on validation. Where the
    device's memory is too small for a batch, it is computed in two parts, four, and so on: a step of the optimiser
    stays one of all rows, and losses that compare rows compare those of a part.

    Raises SuffuseError where the loss stops being a number, or the memory is too small for two rows.
    """
    with explained(objective.weights.device):
        return _fit(objective, plan)


def _fit(objective: Objective, plan: Plan) -> State:
    finetuning = Finetuning(objective.model)  # before each process is seeded for itself: adapters are drawn
    current().start()
    optimizer = make_optimizer(objective, plan.training)
    keep = Checkpoint(plan.folder, objective, optimizer, plan.training.ema, plan.usage)
    state = keep.load() or State()
    total, saved = plan.training.epochs * plan.every, time.perf_counter()
    batches, parts, sums = Batches(plan), 1, keep.sums
    finetuning.start_epoch(state.step // plan.every)
    objective.train()
    if plan.calibrate and state.step == 0:
        set_weights(objective, plan)
    while state.step < total and not state.stopped:
        turn = state.step // plan.sampler.steps
        due = time.perf_counter() - saved > CHECKPOINT_SECONDS
        if plan.training.accumulate > 1 and state.step == optimizer_step(plan, state.step).start:
            sums = keep.sums.clone()
        done = attempt(objective, optimizer, plan, batches, (state.step, parts), due)
        if done is None:
            parts = halved(objective, optimizer, plan, parts)
            state.step = optimizer_step(plan, state.step).start
            if plan.training.accumulate > 1:
                keep.sums.copy_(sums)
            continue
        terms, whole, due = done
        keep.sums += terms
        if whole and keep.average:
            keep.average.update()
        state.step, state.optimizer_steps = state.step + 1, state.optimizer_steps + whole
        if state.step % plan.every == 0:
            pulls = pulled(objective, plan, batches.order(turn), turn)
            with keep.judged():
                end_epoch(objective, keep, plan, state, pulls)
            finetuning.start_epoch(state.step // plan.every)
            objective.train()
        if due:
            keep.save(state)
            saved = time.perf_counter()
    keep.restore_best()
    finetuning.finish()
    objective.eval()
    if plan.finish and current().first:
        plan.finish(objective.model)
    return state


class Batches:
    """The rows of each batch of a training. Keeps the orders of two passes, and the labels of one step."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.order = lru_cache(maxsize=2)(plan.sampler.order)
        self._counted = lru_cache(maxsize=1)(self._count)

    def rows(self, step: int) -> np.ndarray:
        """Positions of the rows of batch number ``step``."""
        turn, number = divmod(step, self.plan.sampler.steps)
        return self.order(turn)[number * self.plan.sampler.batch : (number + 1) * self.plan.sampler.batch]

    def labels(self, step: int) -> tuple[int, ...] | None:
        """How many labels of each target the batch's step of the optimiser has; None where that is this batch alone,
        or where the plan counts none."""
        return None if self.plan.training.accumulate == 1 else self.counted(step)

    def counted(self, step: int) -> tuple[int, ...] | None:
        """As :meth:`labels`, also where the step of the optimiser has one batch."""
        return self._counted(optimizer_step(self.plan, step))

    def _count(self, steps: range) -> tuple[int, ...] | None:
        return self.plan.labels(np.concatenate([self.rows(step) for step in steps])) if self.plan.labels else None


def optimizer_step(plan: Plan, step: int) -> range:
    """The batches that make one step of the optimiser with batch number ``step``: ``accumulate`` of them, whatever
    passes they belong to; what is left over at the end of an epoch is a step too."""
    epoch, many = step // plan.every * plan.every, plan.training.accumulate
    first = step - (step - epoch) % many
    return range(first, min(first + many, epoch + plan.every))


def accumulated(plan: Plan, step: int, labels: tuple[int, ...] | None = None) -> tuple[Share | None, bool]:
    """A batch's share of its step of the optimiser, None where it is all of it, and whether the step is whole with it.

    ``labels``: of each target, in the whole step; None: all losses count rows.
    """
    if plan.training.accumulate == 1:
        return None, True
    batches, drawn = optimizer_step(plan, step), plan.sampler.drawn
    rows = drawn(batches.stop) - drawn(batches.start)
    return Share((drawn(step + 1) - drawn(step)) / rows, labels), step + 1 == batches.stop


def train_step(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    gathered: tuple[Any, ...],
    step: int,
    due: bool = False,
    labels: tuple[int, ...] | None = None,
) -> tuple[torch.Tensor, bool, bool]:
    """One batch, and a step of the optimiser where it is the last of one. Returns the weighted terms of the loss (K,),
    whether the step was whole, and whether a checkpoint is to be written now: it is ``due``, and the step was whole.
    ``labels`` as :func:`accumulated` takes it."""
    share, whole = accumulated(plan, step, labels)
    if objective.schedules:
        objective.at(step / (plan.training.epochs * plan.every))
    terms = differentiate(objective, optimizer, plan, gathered, share)
    return _end_step(objective, optimizer, plan, step, (terms, whole, due))


def attempt(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    batches: Batches,
    place: tuple[int, int],
    due: bool = False,
) -> tuple[torch.Tensor, bool, bool] | None:
    """As :func:`train_step`, of the batch with this number, in so many parts (``place``). None where the memory of the
    device is too small for them."""
    step, parts = place
    try:
        if parts > 1:
            return train_in_parts(objective, optimizer, plan, batches, place, due)
        gathered = plan.gather(batches.rows(step), step // plan.sampler.steps)
        return train_step(objective, optimizer, plan, gathered, step, due, batches.labels(step))
    except torch.OutOfMemoryError:
        return None


def train_in_parts(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    batches: Batches,
    place: tuple[int, int],
    due: bool = False,
) -> tuple[torch.Tensor, bool, bool]:
    """As :func:`train_step`, one part of the batch after the other. ``place``: the batch's number, and the number of
    parts."""
    (step, parts), terms = place, torch.zeros_like(objective.weights)
    share, whole = accumulated(plan, step, None)
    if objective.schedules:
        objective.at(step / (plan.training.epochs * plan.every))
    rows, labels = batches.rows(step), batches.counted(step)
    for part in np.array_split(rows, min(parts, len(rows))):
        portion = len(part) / len(rows)
        part_share = Share(portion * (share.rows if share else 1.0), labels)
        gathered = plan.gather(part, step // plan.sampler.steps)
        terms += portion * differentiate(objective, optimizer, plan, gathered, part_share)
    return _end_step(objective, optimizer, plan, step, (terms, whole, due))


def halved(objective: Objective, optimizer: torch.optim.Optimizer, plan: Plan, parts: int) -> int:
    """Twice as many parts of a batch. What was computed of the step is dropped. Raises SuffuseError where a part would
    have one row."""
    device, rows = objective.weights.device, -(-plan.training.batch // (2 * parts))
    if rows < 2:
        raise SuffuseError(
            "the memory of the device is too small", where=device, got=f"{-(-plan.training.batch // parts)} rows",
            hint="smaller networks, fewer trainings side by side (compute.threads), or compute.device: cpu",
        )  # fmt: skip
    optimizer.zero_grad(set_to_none=True)
    release_memory(device)
    say(
        f"notice: the memory of {device} is too small for {-(-plan.training.batch // parts):,} rows at a time: "
        f"{rows:,} from here on, with as many rows in each step of the optimiser as before"
    )
    return 2 * parts


def _end_step(
    objective: Objective, optimizer: torch.optim.Optimizer, plan: Plan, step: int, done: tuple[torch.Tensor, bool, bool]
) -> tuple[torch.Tensor, bool, bool]:
    terms, whole, due = done
    if whole:
        due = current().sum_gradients(objective.model.parameters(), objective.projectors.parameters(), due)
        with explained(objective.weights.device):  # of half a step of the optimiser nothing can be dropped
            update(objective, optimizer, plan, step)
    return terms, whole, whole and due


def differentiate(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    gathered: tuple[Any, ...],
    share: Share | None,
) -> torch.Tensor:
    """Add the gradient of a batch, or of a part of one, to what is there. Returns the weighted terms of the loss."""
    precision, scaler = plan.training.precision, getattr(optimizer, "scaler", None)
    with kernels(precision):
        with autocast(precision, objective.weights.device):
            loss, terms = objective(*gathered, share)
        (scaler.scale(loss) if scaler else loss).backward()
    return terms


def update(objective: Objective, optimizer: torch.optim.Optimizer, plan: Plan, step: int) -> None:
    """One step of the optimiser; the schedule scales the rates of all groups alike. With gradients in fp16 that are
    infinite the weights stay, and the loss's scale is halved."""
    factor = schedule(step, plan.training.epochs * plan.every, plan.training.warmup)
    for group in optimizer.param_groups:
        group["lr"] = group[RATE] * factor
    scaler = getattr(optimizer, "scaler", None)
    if scaler:
        scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(objective.parameters(), plan.training.clip)
    if scaler:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def set_weights(objective: Objective, plan: Plan) -> None:
    """Calibrate on the first batches of the first pass; the weights are part of the checkpoint."""
    order, size = plan.sampler.order(0), plan.training.batch
    starts = range(0, len(order), size)[:CALIBRATED_ON]
    with autocast(plan.training.precision, objective.weights.device):
        calibrate(objective, (plan.gather(order[start : start + size], 0) for start in starts))


def pulled(objective: Objective, plan: Plan, order: np.ndarray, turn: int) -> dict[str, float]:
    """Each loss's share of the gradient on the pass's first rows: its last batch may be too small for some.

    The task loss alone needs no measuring.
    """
    if len(objective.names) == 1 and objective.settings[0].kind == "task":
        return {objective.names[0]: 1.0}
    with autocast(plan.training.precision, objective.weights.device):
        return shares(objective, plan.gather(order[: min(plan.training.batch, MEASURED_ON)], turn))


def end_epoch(objective: Objective, keep: Checkpoint, plan: Plan, state: State, pulls: dict[str, float]) -> None:
    """Validate, note, keep the best (of equal ones that with the lower loss: few validation rows soon are all right,
    long before the training is at its best), decide whether to stop."""
    means = cast("list[float]", (keep.sums / plan.every).tolist())
    terms = dict(zip(objective.names, means, strict=True))
    scores = plan.validate(objective.model) if current().first else {}
    terms, scores = current().broadcast([terms, scores])
    if not all(math.isfinite(t) for t in (*terms.values(), *scores.values())):
        raise SuffuseError(
            "training diverged: the loss is not a number any more",
            where=f"step {state.step}",
            got={**terms, **scores},
            hint="lower learning_rate",
        )
    keep.sums.zero_()
    number = state.step // plan.every
    line = {"epoch": number, "loss": sum(terms.values()), "terms": terms, "shares": pulls, "validation": scores}
    if plan.calibrate:
        weights = cast("list[float]", objective.weights.tolist())
        line["weights"] = dict(zip(objective.names, weights, strict=True))
    state.history.append(line)
    first, loss = selection_score(scores), scores["log_loss"]
    if first > state.best:
        state.improved_epoch = number
    if (first, -loss) > (state.best, -state.best_loss):
        state.best, state.best_loss, state.best_epoch = first, loss, number
        keep.note_best()
    patience = plan.training.patience
    state.stopped = bool(patience) and number - state.improved_epoch >= patience
    words = f"epoch {number}/{plan.training.epochs}, validation {first:.4f}"
    if current().first and plan.note:
        plan.note(line)
    if current().first:
        plan.tell(1.0 if state.stopped else number / plan.training.epochs, words)


def schedule(step: int, total: int, warmup: float) -> float:
    """Linear warm-up, then half a cosine to 0 (Loshchilov & Hutter 2017): share of the learning rate."""
    warm = max(1, round(warmup * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

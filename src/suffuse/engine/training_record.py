"""What is kept of a training besides its weights, and its curves in TensorBoard. No times: the same training writes the
same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..epoch_events import Epoch, tell_epoch
from ..files import write_json, write_text
from ..model import FusionModel, save
from ..registry import optional
from ..run import Run
from .checkpoint import State
from .gradient_norms import DEAD, dead
from .loop import Plan
from .runtime import describe
from .seed_selection import late_validation

VERSION = 5  # of training.json; 2: record of rows and steps; 3: late validation; 4: training score; 5: device


def save_trained(model: FusionModel, state: State, plan: Plan, folder: Path) -> None:
    """The model, ``metrics.jsonl`` (a line per validation) and, last, ``training.json``: which epoch was best, the
    score on (a sample of) labelled training rows, which rows the training used (:mod:`.row_usage`), its budget of
    steps, the device, and the weights of unimodal heads."""
    save(model, folder)
    write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in state.history))
    facts = {
        "parameters": model.size(),
        "epochs": len(state.history),
        "best_epoch": state.best_epoch,
        "validation": next(h["validation"] for h in state.history if h["epoch"] == state.best_epoch),
    }
    if plan.score_training:
        facts["training"] = plan.score_training(model)
    facts["late_validation"] = late_validation([line["validation"] for line in state.history])
    facts |= {"shares": mean_shares(state.history), "alerts": alerts(state.history)}
    facts |= {"version": VERSION, "steps": steps(plan, state), "device": describe(model.log_prior.device)}
    if model.unimodal:
        facts["heads"] = model.unimodal.facts()
    if plan.usage:
        facts["rows"] = plan.usage.facts()
    write_json(folder / "training.json", facts)


def steps(plan: Plan, state: State) -> dict[str, int | bool]:
    """Batches taken and their budget, the batch size, batches for each step of the optimiser, and its steps."""
    return {
        "taken": state.step,
        "budget": plan.training.epochs * plan.every,
        "batch": plan.training.batch,
        "accumulate": plan.training.accumulate,
        "optimizer_steps": state.optimizer_steps,
        "stopped": state.stopped,
    }


def mean_shares(history: list[dict[str, Any]]) -> dict[str, float]:
    """Each loss's share of the gradient, the mean over epochs."""
    epochs = [epoch["shares"] for epoch in history if "shares" in epoch]
    return {name: sum(shares[name] for shares in epochs) / len(epochs) for name in (epochs[0] if epochs else ())}


def alerts(history: list[dict[str, Any]]) -> list[str]:
    """Warnings about a training."""
    why = f"less than {DEAD:g} of the gradient in every epoch"
    return [f"the loss '{name}' had no effect: {why}; raise its weight, or leave it out" for name in dead(history)]


def weights_hash(model: torch.nn.Module) -> str:
    """Hash of a module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def training_name(scratch: Path) -> str:
    """``student/seed-1``: what a training is called whose checkpoint is kept in ``scratch``."""
    return scratch.as_posix().rpartition("/.work/")[2] or scratch.name


def noter(run: Run, scratch: Path, epochs: int) -> Callable[[dict[str, Any]], None]:
    """A function that tells each line of a training's history to callbacks, and to TensorBoard where that is asked
    for."""
    name, write = training_name(scratch), follower(run, scratch)

    def note(line: dict[str, Any]) -> None:
        tell_epoch(Epoch(name, line["epoch"], epochs, line["loss"], line["terms"], line["validation"]))
        if write:
            write(line)

    return note


def follower(run: Run, scratch: Path) -> Callable[[dict[str, Any]], None] | None:
    """A function that writes each line of a training's history to ``RUN/tensorboard/WHO/seed-N``; None where the recipe
    doesn't ask for TensorBoard. ``scratch``: the folder of the checkpoint, whose last parts name the training.

    Raises UsageError where TensorBoard isn't installed.
    """
    if not run.recipe.compute.tensorboard:
        return None
    optional("tensorboard", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    folder = run.path("tensorboard", training_name(scratch))
    writers: list[Any] = []

    def note(line: dict[str, Any]) -> None:
        if not writers:  # an epoch that was told before a kill is told again: what came after it is dropped
            writers.append(SummaryWriter(str(folder), purge_step=line["epoch"]))
        writers[0].add_scalar("loss", line["loss"], line["epoch"])
        for group in ("terms", "shares", "validation"):
            for key, value in line[group].items():
                writers[0].add_scalar(f"{group}/{key}", value, line["epoch"])
        writers[0].flush()

    return note

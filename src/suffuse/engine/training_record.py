"""What is kept of a training besides its weights. No times: the same training writes the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch

from ..files import read_json, write_json, write_text
from ..model import FusionModel, save
from ..registry import optional
from ..run import Run
from .checkpoint import State
from .gradient_norms import DEAD, dead
from .inference import deciding
from .loop import Plan

VERSION = 2  # of training.json; before 2 it has no record of rows and steps


def save_trained(model: FusionModel, state: State, plan: Plan, folder: Path) -> None:
    """The model, ``metrics.jsonl`` (a line per validation) and, last, ``training.json``: which epoch was best, which
    rows the training used (:mod:`.row_usage`) and its budget of steps."""
    save(model, folder)
    write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in state.history))
    facts = {
        "parameters": model.size(),
        "epochs": len(state.history),
        "best_epoch": state.best_epoch,
        "validation": next(h["validation"] for h in state.history if h["epoch"] == state.best_epoch),
    }
    facts |= {"shares": mean_shares(state.history), "alerts": alerts(state.history)}
    facts |= {"version": VERSION, "steps": steps(plan, state)}
    if plan.usage:
        facts["rows"] = plan.usage.facts()
    write_json(folder / "training.json", facts)


def steps(plan: Plan, state: State) -> dict[str, int | bool]:
    """How many batches were trained on, of how many at the most, how many make a step of the optimiser, and how many
    of those there were."""
    return {
        "taken": state.step,
        "budget": plan.training.epochs * plan.every,
        "batch": plan.training.batch,
        "accumulate": plan.training.accumulate,
        "optimizer_steps": state.optimizer_steps,
        "stopped": state.stopped,
    }


def mean_shares(history: list[dict]) -> dict[str, float]:
    """Each loss's share of the gradient, the mean over epochs."""
    found = [epoch["shares"] for epoch in history if "shares" in epoch]
    return {name: sum(f[name] for f in found) / len(found) for name in (found[0] if found else ())}


def alerts(history: list[dict]) -> list[str]:
    """What people should know of a training."""
    why = f"less than {DEAD:g} of the gradient in every epoch"
    return [f"the loss '{name}' had no effect: {why}; raise its weight, or leave it out" for name in dead(history)]


def weights_hash(model: torch.nn.Module) -> str:
    """Hash of a module's parameters and buffers."""
    made = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        made.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        made.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return made.hexdigest()


def best_seed(folder: Path) -> str:
    """The seed that was best on validation; the lower log loss decides a tie."""
    found = {p.parent.name: read_json(p)["validation"] for p in sorted(folder.glob("seed-*/training.json"))}
    return max(found, key=lambda seed: (deciding(found[seed]), -found[seed]["log_loss"]))


def follower(run: Run, scratch: Path) -> Callable[[dict], None] | None:
    """Called with every line of a training's history; None where nobody looks. ``scratch`` is where the training keeps
    its checkpoint: its last parts name it.

    Raises UsageError where TensorBoard isn't installed.
    """
    if not run.recipe.compute.tensorboard:
        return None
    optional("tensorboard", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    _, _, name = scratch.as_posix().rpartition("/.work/")
    folder, made = run.path("tensorboard", name or scratch.name), []

    def note(line: dict) -> None:
        if not made:  # an epoch that was told before a kill is told again: what came after it is dropped
            made.append(SummaryWriter(str(folder), purge_step=line["epoch"]))
        made[0].add_scalar("loss", line["loss"], line["epoch"])
        for group in ("terms", "shares", "validation"):
            for key, value in line[group].items():
                made[0].add_scalar(f"{group}/{key}", value, line["epoch"])
        made[0].flush()

    return note

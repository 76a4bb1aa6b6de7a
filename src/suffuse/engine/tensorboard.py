"""Curves in TensorBoard, where the recipe asks for them: ``RUN/tensorboard/WHO/seed-N`` (extra `tensorboard`).

They are a copy for looking at while a training goes on. What the run itself keeps is ``metrics.jsonl``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..registry import optional
from ..run import Run


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

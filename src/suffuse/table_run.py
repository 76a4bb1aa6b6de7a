"""A run of a table: a recipe is proposed, written beside the run's folder, and run, on request in some minutes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import pipeline
from .epoch_events import Callback
from .errors import UsageError, visible
from .files import write_json, write_text
from .finetuning_proposal import finetuned_on_accelerator
from .prepare.installed_encoders import suggestions
from .prepare.recipe_proposal import Choices, Proposal, propose
from .progress import say
from .recipe import Recipe, recipe_of_text
from .report.run_warnings import BUDGET
from .run import Run
from .sources import name_of
from .stages import STAGES
from .time_budget import Costs, TimeBudget

RUNS = "runs"  # the folder in which runs stand whose folder isn't named
BEFORE_STUDENTS = ("prepare", "teach", "extract")


@dataclass(frozen=True)
class TableRun:
    """What is run on a table, and where."""

    source: str
    target: str
    folder: Path  # of the run
    preset: str = "good"
    choices: Choices = field(default_factory=Choices)
    overrides: tuple[str, ...] = ()  # as ``--set`` takes them
    root: str | None = None  # where file paths start; None: the table's folder

    @property
    def recipe(self) -> Path:
        """The file of the proposed recipe: beside the folder, so that ``suffuse run`` on it continues this run."""
        return recipe_file(self.folder)

    def open(self) -> Run:
        """The run of the recipe as it is written now."""
        return Run.open(self.recipe, self.overrides, self.folder)

    def read(self, text: str) -> Recipe:
        """A recipe's text with the overrides."""
        return recipe_of_text(text, self.overrides, str(self.recipe))


def recipe_file(folder: Path) -> Path:
    """The proposed recipe of a run in this folder."""
    return folder.with_name(f"{folder.name}.yaml")


def choose_folder(name: str, folder: str | Path | None = None) -> Path:
    """The folder of a new run, which is made: the given one, or ``runs/NAME``, ``runs/NAME-2``, ... that is free.

    Raises UsageError where the given one holds anything, or has a recipe beside it.
    """
    if folder is not None:
        chosen = Path(folder).resolve()
        if recipe_file(chosen).exists() or (chosen.exists() and any(chosen.iterdir())):
            hint = f"`suffuse run {recipe_file(chosen) if recipe_file(chosen).exists() else chosen}` continues it; or "
            raise UsageError("there is a run already", where=chosen, hint=hint + "name another folder")
        chosen.mkdir(parents=True, exist_ok=True)
        return chosen
    plain, number = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "rows", 1
    while True:
        chosen = (Path(RUNS) / (plain if number == 1 else f"{plain}-{number}")).resolve()
        number += 1
        chosen.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not recipe_file(chosen).exists():
                chosen.mkdir()
                return chosen
        except FileExistsError:
            continue


def table_name(source: str) -> str:
    """What a table's run is called: the file's name without its ending."""
    return name_of(source)


def run_table(order: TableRun, budget: TimeBudget | None = None, callbacks: Sequence[Callback] = ()) -> Run:
    """Propose, write the recipe, and run every stage.

    Raises UsageError where there is nothing to predict, or nothing to predict it from; the folder is then removed.
    """
    try:
        proposal = propose(
            order.source, order.target, order.root, order.recipe.parent, None, order.preset, order.choices
        )
        proposal = finetuned_on_accelerator(proposal, order.choices.teacher, order.read)
        for line in _column_lines(proposal):
            say(visible(line))
        write_text(order.recipe, proposal.text)
        run = order.open()
    except BaseException:
        order.recipe.unlink(missing_ok=True)
        shutil.rmtree(order.folder, ignore_errors=True)  # :func:`choose_folder` made it; nothing ran in it yet
        raise
    say(f"recipe    {order.recipe}")
    if budget is not None:
        run = _within(order, proposal, budget, run, callbacks)
    pipeline.run_all(run, callbacks=callbacks)
    for line in budget.lines(run, list(STAGES)) if budget else ():
        say(line)
    return run


def _within(order: TableRun, proposal: Proposal, budget: TimeBudget, run: Run, callbacks: Sequence[Callback]) -> Run:
    """Train the teacher of a recipe that fits the budget; returns the run with the students that fit what is left."""
    costs = Costs.measure(run)
    if costs is None:  # the run says what stops it
        return run
    proposal = _written(order, budget.fit(proposal, costs, order.read))
    run = order.open()
    for verb in BEFORE_STUDENTS:
        pipeline.run_stage(run, verb, callbacks)
    teach = (run.stamp("teach") or {})["seconds"]
    proposal = _written(order, budget.fit_students(proposal, costs, order.read, teach))
    write_json(run.path(BUDGET), {"minutes": budget.minutes, "shortened": list(proposal.draft.shortened)})
    return order.open()


def _written(order: TableRun, proposal: Proposal) -> Proposal:
    write_text(order.recipe, proposal.text)
    return proposal


def _column_lines(proposal: Proposal) -> list[str]:
    lines = [f"{column.name:<20} {column.role:<10} {column.reason}" for column in proposal.columns]
    return [*proposal.reading, *lines, *suggestions(proposal.draft.encoders.missing)]

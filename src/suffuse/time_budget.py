"""A time budget of a proposed run: as many epochs, seeds and baselines as fit into it on this machine.

The networks are built and some of their steps are timed (``check --measure``); trainings are left out or shortened in
the order of :func:`candidates` until the estimate fits. After the teacher is trained its real duration corrects the
estimate, and the students are chosen again. What was chosen is written into the recipe: the run itself knows no clock,
so a killed one continues and ends with the same bits. Export, evaluation and report are never shortened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .evaluation.convergence import FACTORS
from .prepare.check.cost_estimate import list_trainings, num_entries
from .prepare.check.table_check import check
from .prepare.recipe_proposal import TRAIN, Proposal
from .prepare.recipe_writer import Draft
from .progress import duration, say
from .recipe import Recipe
from .run import Run

RESERVE, RESERVE_SHARE = 30.0, 0.2  # seconds, and share of the budget, for start-up, export, evaluation and report
SLACK = 1.5  # factor of an estimate: processes start, and side by side each is slower
SHARES = (1.0, 0.75, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05, 0.03, 0.02, 0.01, 0.005, 0.0)  # of the proposed epochs
FEWEST_STEPS = 100  # of a training, below which a network learns next to nothing
SEEDS = 2  # students that a verdict about distillation needs
TEACHER, STUDENT = "teacher", "student"


@dataclass(frozen=True)
class Costs:
    """What the parts of a run cost on this machine."""

    prepare: float  # seconds
    steps: dict[str, float]  # seconds of a training step of the teacher and of the student
    frozen: float  # seconds in which frozen encoders read all entries
    train: int  # rows
    labelled: int  # training rows
    validation: float  # factor of a training's duration, for validation

    @classmethod
    def measure(cls, run: Run) -> Costs | None:
        """Read the table, build the networks and time some steps. None where something would stop the run."""
        table_check = check(run)
        if not table_check.sample:
            return None
        from .evaluation.training_time import estimate_training

        facts = estimate_training(run.recipe, table_check.sample)
        rows = table_check.splits["rows"]
        labelled = max((t["labelled"]["train"] for t in table_check.targets), default=0) or rows["train"]
        cells = num_entries(table_check, run.recipe)
        frozen = sum(s * cells[name] for network in facts.values() for name, s in network["frozen"].items())
        return cls(
            table_check.costs["time"]["prepare"],
            {who: network.get("step", 0.0) for who, network in facts.items()},
            frozen,
            rows["train"],
            labelled,
            1 + rows["validation"] / max(rows["train"], 1) / 3,
        )

    def seconds(self, recipe: Recipe, who: str) -> float:
        """Seconds of all trainings of the teacher, or of students and baselines with the longest that may follow."""
        trainings = list_trainings(recipe, self.train, self.labelled)
        total = sum(self._side_by_side(recipe, t["trainings"], t["steps"]) for t in trainings if t["who"] == who)
        if who == STUDENT and recipe.distill.longer_baselines:
            steps = next(t["steps"] for t in trainings if t["who"] == STUDENT)
            seeds = recipe.distill.num_seeds * (1 + len(recipe.fractions))
            total += sum(self._side_by_side(recipe, seeds, factor * steps) for factor in FACTORS)
        return total * self.steps[who] * self.validation

    def _side_by_side(self, recipe: Recipe, trainings: int, steps: int) -> float:
        """Steps that follow each other."""
        return -(-trainings // max(recipe.compute.threads // recipe.compute.processes, 1)) * steps


@dataclass
class TimeBudget:
    """Minutes of a run, counted from when this is made."""

    minutes: float
    start: float = field(default_factory=time.monotonic)
    slack: float = SLACK

    @property
    def used(self) -> float:
        """Seconds that passed."""
        return time.monotonic() - self.start

    @property
    def for_trainings(self) -> float:
        """Seconds that are left for trainings."""
        return 60 * self.minutes * (1 - RESERVE_SHARE) - RESERVE - self.used

    def fit(self, proposal: Proposal, costs: Costs, read: Callable[[str], Recipe]) -> Proposal:
        """The proposal with the trainings that fit. ``read`` makes a recipe of its text."""

        def seconds(recipe: Recipe) -> float:
            both = costs.seconds(recipe, TEACHER) + costs.seconds(recipe, STUDENT)
            return costs.prepare + self.slack * (costs.frozen + both)

        return self._first_that_fits(proposal, seconds, read, teacher=True)

    def fit_students(self, proposal: Proposal, costs: Costs, read: Callable[[str], Recipe], teach: float) -> Proposal:
        """The same for the students alone, after a teacher whose stage took ``teach`` seconds."""
        estimate = costs.seconds(read(proposal.text), TEACHER)
        self.slack = max(self.slack, min(teach / estimate, 10 * SLACK)) if estimate else self.slack
        return self._first_that_fits(
            proposal, lambda recipe: self.slack * costs.seconds(recipe, STUDENT), read, teacher=False
        )

    def _first_that_fits(
        self, proposal: Proposal, seconds: Callable[[Recipe], float], read: Callable[[str], Recipe], teacher: bool
    ) -> Proposal:
        chosen, needed = proposal, 0.0
        for draft in candidates(proposal.draft, teacher):
            chosen = proposal.redrafted(replace(draft, minutes=self.minutes))
            needed = seconds(read(chosen.text))
            if needed <= self.for_trainings:
                break
        else:
            say(
                f"WARNING: the time budget of {duration(60 * self.minutes)} is too short: the shortest trainings take "
                f"about {duration(needed)}, and {duration(max(self.for_trainings, 0))} are left; they are run even so"
            )
        whose = "trainings" if teacher else "students"
        say(f"budget    {whose}: about {duration(needed)}; {'; '.join(chosen.draft.shortened) or 'as proposed'}")
        return chosen

    def lines(self, run: Run, verbs: list[str]) -> list[str]:
        """How long the run took, with its longest stages where that is over the budget."""
        took = f"took {duration(self.used)} of {duration(60 * self.minutes)}"
        if self.used <= 60 * self.minutes:
            return [f"budget    {took}"]
        stages = {verb: stamp["seconds"] for verb in verbs if (stamp := run.stamp(verb))}
        longest = sorted(stages, key=stages.__getitem__, reverse=True)[:3]
        return [f"WARNING: over the time budget: {took} ({', '.join(f'{v} {duration(stages[v])}' for v in longest)})"]


def candidates(draft: Draft, teacher: bool) -> Iterator[Draft]:
    """The draft, and ever shorter ones: without longer baselines, without unimodal ones, with two students, with fewer
    epochs, at last with one student. ``teacher``: whether the teacher's epochs are shortened too."""
    training = draft.teacher_training
    yield draft
    changes: dict[str, Any] = {"longer_baselines": False}
    yield _shortened(draft, changes)
    changes["unimodal_baselines"] = False
    yield _shortened(draft, changes)
    for students in (SEEDS, 1):
        changes["students"] = min(students, draft.students)
        for share in SHARES:
            changes["epochs"] = _epochs(draft.epochs, share, draft.rows, draft.batch)
            if teacher:
                epochs = _epochs(training.epochs, share, draft.rows, training.batch)
                changes["teacher_training"] = replace(training, epochs=epochs)
            if students == SEEDS or share == SHARES[-1]:
                yield _shortened(draft, changes)


def _epochs(proposed: int, share: float, rows: int, batch: int) -> int:
    """A share of the proposed epochs, with as many steps as a network needs to learn at all."""
    fewest = math.ceil(FEWEST_STEPS / math.ceil(TRAIN * rows / batch))
    return min(max(round(share * proposed), fewest), proposed)


def _shortened(draft: Draft, changes: dict[str, Any]) -> Draft:
    short = replace(draft, **changes)
    texts = [t for t in draft.shortened if not t.startswith(("students", "epochs"))]
    texts += ["no longer baselines"] if draft.longer_baselines and not short.longer_baselines else []
    texts += ["no unimodal baselines"] if draft.unimodal_baselines and not short.unimodal_baselines else []
    texts += [f"students {short.students}"] if short.students < draft.students or _has(draft, "students") else []
    if short.teacher_training.epochs < draft.teacher_training.epochs or short.epochs < draft.epochs:
        texts.append(f"epochs {short.teacher_training.epochs} (teacher) and {short.epochs} (students)")
    else:
        texts += [t for t in draft.shortened if t.startswith("epochs")]
    return replace(short, shortened=tuple(texts))


def _has(draft: Draft, word: str) -> bool:
    return any(text.startswith(word) for text in draft.shortened)

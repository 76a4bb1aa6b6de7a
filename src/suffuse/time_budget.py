"""A time budget of a proposed run: as many epochs, seeds and baselines as fit into it on this machine.

The networks are built and some of their steps are timed (``check --measure``); trainings are left out or shortened in
the order of :func:`candidates` until the estimate fits. After the teacher is trained its real duration corrects the
estimate, and the students are chosen again. What was chosen is written into the recipe: the run itself knows no clock,
so a killed one continues and ends with the same bits.

What isn't training (frozen encoders, classical models, export, evaluation, report) gets two thirds of the budget at the
most: before trainings are chosen, extras are left out in the order of :func:`without_extras` until its estimate fits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .classical.fit_seconds import cross_fit_seconds, portfolio_seconds
from .evaluation.convergence import FACTORS
from .prepare.check.cost_estimate import FROZEN_TEACHER, list_trainings, num_entries
from .prepare.check.table_check import check
from .prepare.recipe_draft import Draft
from .prepare.recipe_proposal import TRAIN, Proposal
from .progress import duration, say
from .recipe import Recipe
from .run import Run

MARGIN = 0.1  # share of the budget that no estimate may use
ROOM = 2 / 3  # share of what is left that may go into other things than trainings
TOGETHER = 1.5  # times as fast as on one thread, on which they are timed, do several read a frozen encoder's entries
FEW_FOLDS = 3  # of the portfolio
# Seconds on one core of a server, measured on tables of 150 to 9,000 rows. They decide what is left out, no result.
EXPORT, EXPORT_EACH = 5.0, 1e-6  # a network's export and its comparison with torch; for each parameter of a teacher
INT8, INT8_ROW = 2.0, 2e-3  # search of an int8 form, for each set of modalities, and for each validation row of a set
EVALUATE, EVALUATE_EACH, EVALUATE_ROW = 5.0, 8.0, 2e-3  # evaluation, for each modality, and each test row of one
REPORT = 8.0
INT8_ROWS = 4096  # validation rows of a set that are counted, at most
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
    frozen: dict[str, float]  # modality -> seconds in which frozen encoders read all of its entries
    train: int  # rows
    labelled: int  # training rows
    validation: float  # factor of a training's duration, for validation
    entries: dict[str, int] = field(default_factory=dict)  # of each modality
    outputs: int = 1  # of a network
    rows: dict[str, int] = field(default_factory=dict)  # of each split
    parameters: int = 0  # of the teacher

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
        frozen: dict[str, float] = {}
        for network in facts.values():
            for name, seconds in network["frozen"].items():
                frozen[name] = frozen.get(name, 0.0) + seconds * cells[name]
        return cls(
            table_check.costs["time"]["prepare"],
            {who: network.get("step", 0.0) for who, network in facts.items()},
            frozen,
            rows["train"],
            labelled,
            1 + rows["validation"] / max(rows["train"], 1) / 3,
            cells,
            sum(head.outputs for head in table_check.sample.heads),
            dict(rows),
            facts["teacher"]["parameters"] or 0,
        )

    def before_students(self, recipe: Recipe) -> float:
        """Seconds of frozen encoders and of the teacher's classical models."""
        frozen = sum(seconds for name, seconds in self.frozen.items() if name in recipe.modalities)
        frozen /= TOGETHER if recipe.compute.threads > 1 else 1
        teacher = recipe.trained
        if teacher is None or teacher.portfolio is None:
            return frozen
        fits = portfolio_seconds(recipe, self._read(recipe), self.labelled, self.outputs)
        return frozen + max(sum(fits.values()) / recipe.compute.threads, max(fits.values(), default=0.0))

    def after_students(self, recipe: Recipe) -> float:
        """Seconds of export, evaluation and report."""
        student = 2 ** len(recipe.student.encoders) - 1
        seconds = REPORT + EXPORT + EVALUATE
        if recipe.trained and recipe.export.teacher:
            seconds += EXPORT + EXPORT_EACH * self.parameters
        if recipe.export.int8 != "off":
            seconds += student * (INT8 + INT8_ROW * min(self.rows.get("validation", 0), INT8_ROWS))
        entries = self._read(recipe)
        seconds += len(entries) * (EVALUATE_EACH + EVALUATE_ROW * self.rows.get("test", 0))
        if recipe.evaluate.classical_baselines:
            fits = cross_fit_seconds(recipe, entries, self.labelled, self.outputs, 1)
            seconds += sum(fits.values()) * (1 + len(recipe.fractions))
        return seconds

    def _read(self, recipe: Recipe) -> dict[str, int]:
        return {name: count for name, count in self.entries.items() if name in recipe.modalities}

    def seconds(self, recipe: Recipe, who: str) -> float:
        """Seconds of all trainings of the teacher, or of students and baselines with the longest that may follow."""
        trainings = list_trainings(recipe, self.train, self.labelled)
        own = (who, FROZEN_TEACHER) if who == TEACHER else (who,)
        total = sum(
            self._side_by_side(recipe, t["trainings"], t["steps"]) * self.steps.get(t["who"], self.steps[who])
            for t in trainings
            if t["who"] in own
        )
        if who == STUDENT and recipe.distill.longer_baselines:
            steps = next(t["steps"] for t in trainings if t["who"] == STUDENT)
            seeds = recipe.distill.num_seeds * (1 + len(recipe.fractions))
            total += sum(self._side_by_side(recipe, seeds, factor * steps) * self.steps[who] for factor in FACTORS)
        return total * self.validation

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
    def left(self) -> float:
        """Seconds that are left for everything."""
        return 60 * self.minutes * (1 - MARGIN) - self.used

    def fit(self, proposal: Proposal, costs: Costs, read: Callable[[str], Recipe]) -> Proposal:
        """The proposal with the extras and trainings that fit. ``read`` makes a recipe of its text."""

        def other(recipe: Recipe) -> float:
            return costs.prepare + costs.before_students(recipe) + costs.after_students(recipe)

        def seconds(recipe: Recipe) -> float:
            return self.slack * (costs.seconds(recipe, TEACHER) + costs.seconds(recipe, STUDENT))

        chosen = proposal
        for draft in without_extras(proposal.draft):
            chosen = proposal.redrafted(replace(draft, minutes=self.minutes))
            if other(read(chosen.text)) <= ROOM * self.left:
                break
        return self._first_that_fits(chosen, seconds, read, (True, other(read(chosen.text))))

    def fit_students(self, proposal: Proposal, costs: Costs, read: Callable[[str], Recipe], teach: float) -> Proposal:
        """The same for the students alone, after a teacher whose stage took ``teach`` seconds."""
        recipe = read(proposal.text)
        estimate = costs.seconds(recipe, TEACHER) + costs.before_students(recipe)
        self.slack = max(self.slack, min(teach / estimate, 10 * SLACK)) if estimate else self.slack
        return self._first_that_fits(
            proposal,
            lambda recipe: self.slack * costs.seconds(recipe, STUDENT),
            read,
            (False, costs.after_students(recipe)),
        )

    def _first_that_fits(
        self,
        proposal: Proposal,
        seconds: Callable[[Recipe], float],
        read: Callable[[str], Recipe],
        what: tuple[bool, float],
    ) -> Proposal:
        """``what``: whether the teacher's training is chosen too, and the seconds that aren't for trainings."""
        (teacher, other), chosen, needed = what, proposal, 0.0
        for draft in candidates(proposal.draft, teacher):
            chosen = proposal.redrafted(replace(draft, minutes=self.minutes))
            needed = seconds(read(chosen.text))
            if needed <= self.left - other:
                break
        else:
            say(
                f"WARNING: the time budget of {duration(60 * self.minutes)} is too short: the shortest trainings take "
                f"about {duration(needed)}, and {duration(max(self.left - other, 0))} are left for them beside "
                f"{duration(other)} of everything else; they are run even so"
            )
        whose = "trainings" if teacher else "students"
        shortened = "; ".join(chosen.draft.shortened) or "as proposed"
        say(f"budget    {whose}: about {duration(needed)}; everything else: about {duration(other)}; {shortened}")
        return chosen

    def lines(self, run: Run, verbs: list[str]) -> list[str]:
        """How long the run took, with its longest stages where that is over the budget."""
        took = f"took {duration(self.used)} of {duration(60 * self.minutes)}"
        if self.used <= 60 * self.minutes:
            return [f"budget    {took}"]
        stages = {verb: stamp["seconds"] for verb in verbs if (stamp := run.stamp(verb))}
        longest = sorted(stages, key=stages.__getitem__, reverse=True)[:3]
        return [f"WARNING: over the time budget: {took} ({', '.join(f'{v} {duration(stages[v])}' for v in longest)})"]


def without_extras(draft: Draft) -> Iterator[Draft]:
    """The draft, and drafts with ever fewer things that aren't trainings: without the exports that are there to be
    compared, with fewer folds, without sentence encoders, with one classical model of a table in the teacher, without
    classical models."""
    yield draft
    changes: dict[str, Any] = {"compared_exports": False}
    texts = [*draft.shortened, "no export of the teacher, no int8 form"]
    folds: list[str] = []
    yield replace(draft, **changes, shortened=tuple(texts))
    if draft.folds > FEW_FOLDS:
        changes["folds"], folds = FEW_FOLDS, [f"portfolio folds {FEW_FOLDS}"]
        yield replace(draft, **changes, shortened=(*texts, *folds))
    if draft.encoders.sentences:
        changes["encoders"] = replace(draft.encoders, sentences={})
        texts.append("no sentence encoder")
        yield replace(draft, **changes, shortened=(*texts, *folds))
    if draft.folds and any(settings["kind"] == "tabular" for settings in draft.modalities.values()):
        cheapest = "only the cheapest scikit-learn model of a table in the teacher"
        yield replace(draft, **changes, member_seconds=0.0, shortened=(*texts, *folds, cheapest))
    changes["folds"] = 0
    yield replace(draft, **changes, shortened=(*texts, "no scikit-learn models in the teacher"))


def candidates(draft: Draft, teacher: bool) -> Iterator[Draft]:
    """The draft, and ever shorter ones: without fine-tuning, without longer baselines, without candidates for the
    student, without unimodal baselines, with two students, with fewer epochs, at last with one student. ``teacher``:
    whether the teacher's epochs are shortened too."""
    training = draft.teacher_training
    yield draft
    changes: dict[str, Any] = {}
    if teacher and draft.finetuned:
        changes["finetuned"] = False
        yield _shortened(draft, changes)
    changes["longer_baselines"] = False
    yield _shortened(draft, changes)
    changes["candidates"] = False
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
    texts += ["no fine-tuning"] if draft.finetuned and not short.finetuned else []
    texts += ["no longer baselines"] if draft.longer_baselines and not short.longer_baselines else []
    texts += ["no candidates for the student"] if draft.candidates and not short.candidates else []
    texts += ["no unimodal baselines"] if draft.unimodal_baselines and not short.unimodal_baselines else []
    texts += [f"students {short.students}"] if short.students < draft.students or _has(draft, "students") else []
    if short.teacher_training.epochs < draft.teacher_training.epochs or short.epochs < draft.epochs:
        texts.append(f"epochs {short.teacher_training.epochs} (teacher) and {short.epochs} (students)")
    else:
        texts += [t for t in draft.shortened if t.startswith("epochs")]
    return replace(short, shortened=tuple(texts))


def _has(draft: Draft, word: str) -> bool:
    return any(text.startswith(word) for text in draft.shortened)

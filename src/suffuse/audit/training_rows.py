"""Checks of what trainings recorded of themselves: which rows chose the epoch, which labels they saw, which rows they
standardise by, and their budgets of steps (:mod:`suffuse.engine.row_usage`).

The records are compared with the splits in ``data/rows.parquet``. A share of the labels is counted here, by groups of
rows, beside the rows that :func:`suffuse.engine.labels.label_budget` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from ..engine.jobs import jobs
from ..engine.labels import label_budget
from ..errors import SuffuseError
from ..files import read_json
from ..tables.row_summary import summarise
from ..tables.splits import CODE
from ..tables.targets import prior
from ..types import NUMBER
from .evidence import Absent, Evidence
from .items import BROKEN, KEPT, WARNING

Verdict = tuple[str, str]
TRAIN, VALIDATION = "train", "validation"
NEAR = 1e-3  # of a deviation, or of a logit: float32 rounds
SHOWN = 3  # problems that a fact names
TEACHERS = ("teacher", "teachers/*", "teacher-only-*/*", "folds/*")


class Counted(BaseModel):
    """The rows of one split (:class:`suffuse.tables.row_summary.Summary`)."""

    rows: int
    groups: int
    hash: str


class Used(BaseModel):
    """``rows`` of a ``training.json``: what for -> split -> rows."""

    labels: dict[str, Counted]
    epoch: dict[str, Counted]
    standardised: dict[str, Counted]


class Steps(BaseModel):
    """``steps`` of a ``training.json``."""

    taken: int
    budget: int
    batch: int
    accumulate: int
    stopped: bool


class Record(BaseModel):
    """What a training says of itself."""

    rows: Used
    steps: Steps


@dataclass(frozen=True)
class Training:
    """A training of the run: its name, its record, its share of the labels."""

    name: str
    record: Record | None  # None: it has none, or none that can be read
    old: bool  # no record is to be expected: an earlier version trained it, or began to
    fraction: float = 1.0
    fold: bool = False  # it leaves some training rows out

    @classmethod
    def read(cls, name: str, file: Path, fraction: float = 1.0) -> Training:
        """From its ``training.json``. One that can't be read isn't an earlier version's."""
        facts, fold = read_json(file), name.startswith("folds/")
        if not isinstance(facts, dict):
            return cls(name, None, False, fraction, fold)
        rows = facts.get("rows")
        if facts.get("version") is None or (isinstance(rows, dict) and rows.get("complete") is False):
            return cls(name, None, True, fraction, fold)
        try:
            return cls(name, Record.model_validate(facts), False, fraction, fold)
        except ValidationError:
            return cls(name, None, False, fraction, fold)


@dataclass(frozen=True)
class Rows:
    """The run's rows as ``rows.parquet`` has them: (N,) each."""

    split: np.ndarray
    group: np.ndarray
    key: np.ndarray
    labelled: np.ndarray  # (N,) bool

    @classmethod
    def of(cls, e: Evidence) -> Rows:
        """Raises Absent where the file isn't there."""
        table = pq.read_table(e.need("data", "rows.parquet"), columns=["split", "group", "key"])
        split = np.array([CODE[name] for name in table["split"].to_pylist()])
        labelled = np.asarray(e.columns.spec.known(e.columns.target))
        if len(labelled) != len(split):
            where, got = e.run.path("data"), f"{len(split):,} rows in rows.parquet, {len(labelled):,} in target.npy"
            raise SuffuseError("the prepared files have different rows", where=where, got=got)
        return cls(split, table["group"].to_numpy(), table["key"].to_numpy(), labelled)

    def summary(self, mask: np.ndarray) -> dict[str, Counted]:
        """Split -> how many rows, and which."""
        found = summarise(mask, self.split, self.group, self.key)
        return {split: Counted(**facts) for split, facts in found.items()}

    def allowed(self, e: Evidence, fraction: float) -> dict[str, Counted]:
        """Split -> the rows with labels of such a share."""
        return self.summary(self.labelled & label_budget(e.columns, fraction, e.run.recipe.seed))

    def groups(self, split: str, fraction: float) -> int:
        """How many groups of a split such a share is."""
        return max(1, round(fraction * len(np.unique(self.group[self.split == CODE[split]]))))


def chosen(e: Evidence) -> Verdict:
    """The rows whose labels chose the epoch."""
    rows = Rows.of(e)

    def problem(one: Training, used: Used) -> str:
        if set(used.epoch) != {VALIDATION}:
            return f"its epoch was chosen on {said(used.epoch)}"
        here = rows.allowed(e, one.fraction).get(VALIDATION)
        return (
            "" if used.epoch[VALIDATION] == here else "the rows that chose its epoch aren't the run's validation rows"
        )

    return judged(trainings(e), problem, "epoch chosen on validation rows alone")


def labels(e: Evidence) -> Verdict:
    """The labels that each training saw, and those that its validation saw."""
    rows = Rows.of(e)

    def problem(one: Training, used: Used) -> str:
        if set(used.labels) != {TRAIN}:
            return f"it was trained on labels of {said(used.labels)}"
        for split, seen in ((TRAIN, used.labels), (VALIDATION, used.epoch)):
            most = rows.groups(split, one.fraction)
            if split in seen and seen[split].groups > most:
                return f"it saw {split} labels of {seen[split].groups:,} groups, {most:,} are {one.fraction:g} of them"
        here = rows.allowed(e, one.fraction).get(TRAIN)
        return "" if one.fold or used.labels[TRAIN] == here else "the labels that it saw aren't those of its share"

    shares = sorted({one.fraction for one in trainings(e)})
    return judged(trainings(e), problem, f"no label beyond the share ({', '.join(f'{s:g}' for s in shares)})")


def pairs(e: Evidence) -> Verdict:
    """Labels and steps of each student against the same seed's baseline."""
    e.need("student")
    found = {one.name: one for one in students(e)}
    both = [
        (one, found.get(name.replace("student", "baseline", 1))) for name, one in found.items() if "student" in name
    ]
    problems, old = [], 0
    for taught, alone in both:
        if alone is None:
            problems.append(f"{taught.name}: no baseline with this seed")
        elif taught.old or alone.old:
            old += 1
        else:
            problems += [f"{taught.name}: {what}" for what in differences(taught.record, alone.record)]
    return verdict(problems, old, len(both), "same labels, same budget of steps", "pairs")


def differences(taught: Record | None, alone: Record | None) -> Iterator[str]:
    """What a student had otherwise than its baseline; and where one didn't take the steps of its budget."""
    if taught is None or alone is None:
        yield "no record of rows and steps"
        return
    if taught.rows.labels != alone.rows.labels:
        yield "other labels than its baseline"
    if taught.rows.epoch != alone.rows.epoch:
        yield "other validation labels than its baseline"
    ours, theirs = taught.steps, alone.steps
    for name, words in (("budget", "steps"), ("batch", "rows a batch"), ("accumulate", "batches a step")):
        if getattr(ours, name) != getattr(theirs, name):
            yield f"{getattr(ours, name):,} {words}, its baseline {getattr(theirs, name):,}"
    for who, steps in (("it", ours), ("its baseline", theirs)):
        if steps.taken > steps.budget or (steps.taken < steps.budget and not steps.stopped):
            yield f"{who} took {steps.taken:,} steps of {steps.budget:,}"


def standardised(e: Evidence) -> Verdict:
    """The rows that statistics of inputs and targets come from."""
    rows = Rows.of(e)
    here = rows.summary(rows.split == CODE[TRAIN])
    fitted = (read_json(e.need("data", "schema.json")) or {}).get("fitted_on")
    problems = list(targets(e, rows))
    if fitted is not None and fitted != {split: counted.model_dump() for split, counted in here.items()}:
        problems.append(f"inputs were fitted on rows of {' and '.join(fitted)}, not on the training rows")

    def problem(one: Training, used: Used) -> str:
        return "" if used.standardised == here else f"standardised by {said(used.standardised)}, not by training rows"

    try:
        state, fact = judged(trainings(e), problem, "standardised by training rows alone")
    except Absent:
        state, fact = KEPT, "targets standardised by training rows alone"
    if problems:
        return BROKEN, "; ".join([*problems, *([fact] if state == BROKEN else [])])
    return (WARNING, f"inputs not recorded; {fact}") if fitted is None and state == KEPT else (state, fact)


def targets(e: Evidence, rows: Rows) -> Iterator[str]:
    """Targets whose mean, deviation or prior isn't that of the labelled training rows, computed again."""
    spec, at = e.columns.spec, 0
    train = e.columns.target[rows.split == CODE[TRAIN]]
    for head, target in spec.targets(train):
        stated = np.array(spec.log_prior[at : at + head.outputs])
        at += head.outputs
        known = target[head.known(target)]
        if head.kind == NUMBER:
            mean, deviation = float(known.mean(dtype=np.float64)), float(known.std(dtype=np.float64))
            if abs(mean) > NEAR or abs(deviation - 1) > NEAR:
                yield f"{head.name} has mean {mean:.3g} and deviation {deviation:.3g} over the training rows"
        elif not np.allclose(stated, prior(head, target), atol=NEAR):
            yield f"the prior of {head.name} isn't that of the training rows"


def trainings(e: Evidence) -> list[Training]:
    """All that the run trained. Raises Absent where there is none."""
    found = students(e)
    if e.run.recipe.trained is not None:
        for pattern in TEACHERS:
            for file in sorted(e.run.folder.glob(f"{pattern}/training.json")):
                found.append(Training.read(file.parent.relative_to(e.run.folder).as_posix(), file))
    if not found:
        raise Absent("student")
    return found


def students(e: Evidence) -> list[Training]:
    """What distill trained, with the share of the labels that the recipe gives each."""
    places = [(job, e.run.path(job.who, f"seed-{job.seed}", "training.json")) for job in jobs(e.run)]
    return [Training.read(f"{job.who}/seed-{job.seed}", place, job.fraction) for job, place in places if place.exists()]


def judged(some: Sequence[Training], problem: Callable[[Training, Used], str], kept: str) -> Verdict:
    """The verdict on trainings, each of which has a problem or none (""); one without its record has one."""
    problems = []
    for one in some:
        if not one.old:
            what = problem(one, one.record.rows) if one.record else "no record of the rows that it used"
            problems += [f"{one.name}: {what}"] if what else []
    return verdict(problems, sum(one.old for one in some), len(some), kept, "trainings")


def verdict(problems: Sequence[str], old: int, count: int, kept: str, what: str) -> Verdict:
    """Broken with its problems; a warning where an earlier version recorded nothing."""
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        return BROKEN, "; ".join(problems[:SHOWN]) + more
    if old:
        return WARNING, f"not recorded for {old} of {count} {what}: trained by an earlier version"
    return KEPT, f"{count} {what}: {kept}"


def said(used: dict[str, Counted]) -> str:
    """Rows by split."""
    return " and ".join(f"{counted.rows:,} {split} rows" for split, counted in used.items()) or "no row"

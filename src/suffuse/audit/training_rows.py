"""Checks of the rows that trainings recorded: for the choice of the epoch, as labels, for standardisation; and of their
budgets of steps (:mod:`suffuse.engine.row_usage`).

The records are compared with the splits in ``data/rows.parquet``. A label fraction is counted here, by groups of rows,
independently of :func:`suffuse.engine.label_budget.label_budget`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from ..engine.label_budget import label_budget
from ..engine.student_training import has_labels, jobs, training_of
from ..errors import SuffuseError
from ..evaluation.convergence import FILE as CONVERGENCE
from ..evaluation.convergence import longer_trainings
from ..files import read_json
from ..prepare.row_keys import summarise
from ..prepare.splits import CODE
from ..prepare.targets import prior
from ..types import NUMBER
from .evidence import Absent, Evidence
from .items import BROKEN, KEPT, WARNING, Verdict

TRAIN, VALIDATION = "train", "validation"
TOLERANCE = 1e-3  # of a standard deviation, or of a logit: float32 rounds
MAX_PROBLEMS = 3  # that a fact names
TEACHERS = ("teacher", "teachers/*", "teacher-only-*/*", "folds/*")


class Counted(BaseModel):
    """The rows of one split (:class:`suffuse.prepare.row_keys.Summary`)."""

    rows: int
    groups: int
    hash: str


class Used(BaseModel):
    """``rows`` of a ``training.json``: purpose -> split -> rows."""

    labels: dict[str, Counted]
    epoch: dict[str, Counted]
    standardised: dict[str, Counted]


class Steps(BaseModel):
    """``steps`` of a ``training.json``."""

    taken: int
    budget: int
    batch: int
    accumulate: int
    optimizer_steps: int
    stopped: bool


class Record(BaseModel):
    """The record of a training."""

    rows: Used
    steps: Steps


@dataclass(frozen=True)
class Training:
    """A training of the run: its name, its record, its share of the labels."""

    name: str
    record: Record | None  # None: it has none, or none that can be read
    earlier: bool  # no record is to be expected: an earlier version trained it, or began to
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
        """Raises Absent where the file isn't there, SuffuseError where it can't be read."""
        file = e.need("data", "rows.parquet")
        try:
            table = pq.read_table(file, columns=["split", "group", "key"])
            split, group, key = (table[name].to_numpy() for name in table.column_names)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            hint = "`suffuse prepare` writes it again"
            raise SuffuseError("can't read the prepared rows", where=file, got=error, hint=hint) from None
        split = np.array([CODE.get(name, -1) for name in split])
        labelled = np.asarray(e.columns.spec.known(e.columns.target))
        if len(labelled) != len(split):
            where, got = e.run.path("data"), f"{len(split):,} rows in rows.parquet, {len(labelled):,} in target.npy"
            raise SuffuseError("the prepared files have different rows", where=where, got=got)
        return cls(split, group, key, labelled)

    def count(self, mask: np.ndarray) -> dict[str, Counted]:
        """Split -> number and hash of the rows."""
        summary = summarise(mask, self.split, self.group, self.key)
        return {split: Counted(**facts) for split, facts in summary.items()}

    def allowed(self, e: Evidence, fraction: float) -> dict[str, Counted]:
        """Split -> the labelled rows of a label fraction."""
        return self.count(self.labelled & label_budget(e.columns, fraction, e.run.recipe.seed))

    def groups(self, split: str, fraction: float) -> int:
        """The number of a split's groups in a label fraction."""
        return max(1, round(fraction * len(np.unique(self.group[self.split == CODE[split]]))))


def chosen(e: Evidence) -> Verdict:
    """The rows whose labels chose the epoch."""
    rows = Rows.of(e)

    def problem(training: Training, used: Used) -> str:
        if set(used.epoch) != {VALIDATION}:
            return f"its epoch was chosen on {by_split(used.epoch)}"
        expected = rows.allowed(e, training.fraction).get(VALIDATION)
        same = used.epoch[VALIDATION] == expected
        return "" if same else "the rows that chose its epoch aren't the run's validation rows"

    return judge(trainings(e), problem, "epoch chosen on validation rows alone")


def labels(e: Evidence) -> Verdict:
    """Labels used by each training and by its validation."""
    rows = Rows.of(e)

    def problem(training: Training, used: Used) -> str:
        fraction = training.fraction
        if not used.labels and not rows.labelled[rows.split == CODE[TRAIN]].any():
            return ""  # the teacher needs no labels
        if set(used.labels) != {TRAIN}:
            return f"it was trained on labels of {by_split(used.labels)}"
        for split, counts in ((TRAIN, used.labels), (VALIDATION, used.epoch)):
            limit = rows.groups(split, fraction)
            if split in counts and counts[split].groups > limit:
                return f"it saw {split} labels of {counts[split].groups:,} groups, {limit:,} are {fraction:g} of them"
        same = training.fold or used.labels[TRAIN] == rows.allowed(e, fraction).get(TRAIN)
        return "" if same else "the labels that it saw aren't those of its share"

    fractions = sorted({training.fraction for training in trainings(e)})
    return judge(trainings(e), problem, f"no label beyond the share ({', '.join(f'{f:g}' for f in fractions)})")


def pairs(e: Evidence) -> Verdict:
    """Labels and steps of each student against the same seed's baseline."""
    e.need("student")
    if not has_labels(e.run):
        raise Absent("no training row has a label: there is no baseline")
    by_name = {training.name: training for training in students(e)}
    distilled = [training for name, training in by_name.items() if name.startswith("student")]
    problems, earlier = [], 0
    distill = e.run.recipe.distill
    times = Fraction(training_of(distill, False).epochs, distill.train.epochs)
    for student in distilled:
        baseline = by_name.get(student.name.replace("student", "baseline", 1))
        if baseline is None:
            problems.append(f"{student.name}: no baseline with this seed")
        elif student.earlier or baseline.earlier:
            earlier += 1
        else:
            problems += [
                f"{student.name}: {problem}" for problem in differences(student.record, baseline.record, times)
            ]
    for longer in (training for name, training in by_name.items() if "-x" in name):
        factor, baseline = longer_and_baseline(longer, by_name)
        if baseline is not None and not baseline.earlier:
            problems += [f"{longer.name}: {problem}" for problem in differences(baseline.record, longer.record, factor)]
    return verdict(problems, earlier, len(distilled), "same labels, same budget of steps", "pairs")


def longer_and_baseline(longer: Training, by_name: Mapping[str, Training]) -> tuple[Fraction, Training | None]:
    """How many times the epochs a longer baseline has, and the baseline that it is a longer training of."""
    model, _, seed = longer.name.partition("/")
    name, _, factor = model.rpartition("-x")
    return Fraction(int(factor)), by_name.get(f"{name}/{seed}")


def differences(student: Record | None, baseline: Record | None, times: Fraction = Fraction(1)) -> Iterator[str]:
    """Differences between a student's record and its baseline's, and steps beyond or short of a budget. ``times``: the
    student's budget that the baseline has."""
    if student is None or baseline is None:
        yield "no record of rows and steps"
        return
    if student.rows.labels != baseline.rows.labels:
        yield "other labels than its baseline"
    if student.rows.epoch != baseline.rows.epoch:
        yield "other validation labels than its baseline"
    for name, words in (("budget", "batches"), ("batch", "rows a batch"), ("accumulate", "batches a step")):
        values = [getattr(record.steps, name) for record in (student, baseline)]
        values[0] *= times if name == "budget" else 1
        if values[0] != values[1]:
            yield f"{int(values[0]):,} {words}, its baseline {values[1]:,}"
    a, b = student.steps, baseline.steps
    if a.optimizer_steps * b.taken != b.optimizer_steps * a.taken:  # either may have stopped early, after some epoch
        yield (
            f"{a.optimizer_steps:,} steps of the optimiser in {a.taken:,} batches, "
            f"its baseline {b.optimizer_steps:,} in {b.taken:,}"
        )
    for name, steps in (("it", a), ("its baseline", b)):
        if steps.taken > steps.budget or (steps.taken < steps.budget and not steps.stopped):
            yield f"{name} took {steps.taken:,} batches of {steps.budget:,}"


def standardised(e: Evidence) -> Verdict:
    """Rows of the statistics of inputs and targets."""
    rows = Rows.of(e)
    expected = rows.count(rows.split == CODE[TRAIN])
    fitted = (read_json(e.need("data", "schema.json")) or {}).get("fitted_on")
    problems = list(targets(e, rows))
    if fitted is not None and fitted != {split: counted.model_dump() for split, counted in expected.items()}:
        splits = " and ".join(fitted) if isinstance(fitted, dict) else "no split"
        problems.append(f"inputs were fitted on rows of {splits}, which aren't the training rows")

    def problem(training: Training, used: Used) -> str:
        rows_used = by_split(used.standardised)
        return "" if used.standardised == expected else f"standardised by {rows_used}, which aren't the training rows"

    try:
        state, fact = judge(trainings(e), problem, "standardised by training rows alone")
    except Absent:
        state, fact = KEPT, "targets standardised by training rows alone"
    if problems:
        return BROKEN, "; ".join([*problems, *([fact] if state == BROKEN else [])])
    return (WARNING, f"inputs not recorded; {fact}") if fitted is None and state == KEPT else (state, fact)


def targets(e: Evidence, rows: Rows) -> Iterator[str]:
    """Targets whose mean, standard deviation or prior differs from that of the labelled training rows."""
    spec, start = e.columns.spec, 0  # start: of the head's outputs
    train = e.columns.target[rows.split == CODE[TRAIN]]
    for head, target in spec.targets(train):
        stated = np.array(spec.log_prior[start : start + head.outputs])
        start += head.outputs
        known = target[head.known(target)]
        if head.kind == NUMBER:
            mean, deviation = float(known.mean(dtype=np.float64)), float(known.std(dtype=np.float64))
            if abs(mean) > TOLERANCE or abs(deviation - 1) > TOLERANCE:
                yield f"{head.name} has mean {mean:.3g} and deviation {deviation:.3g} over the training rows"
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            same = np.allclose(stated, prior(head, target), atol=TOLERANCE)
        if not same:
            yield f"the prior of {head.name} isn't that of the training rows"


def trainings(e: Evidence) -> list[Training]:
    """All trainings of the run. Raises Absent where there is none."""
    listed = students(e)
    if e.run.recipe.trained is not None:
        files = [file for pattern in TEACHERS for file in sorted(e.run.folder.glob(f"{pattern}/training.json"))]
        listed += [Training.read(file.parent.relative_to(e.run.folder).as_posix(), file) for file in files]
    if not listed:
        raise Absent("student")
    return listed


def students(e: Evidence) -> list[Training]:
    """Trainings of distill with their label fractions."""
    longer = longer_trainings(e.run, read_json(e.run.path(CONVERGENCE)) or {"comparisons": {}})
    wanted = [*jobs(e.run), *longer]
    files = {(job.model, job.seed, job.fraction): e.run.path(job.model, f"seed-{job.seed}") for job in wanted}
    return [
        Training.read(f"{who}/seed-{seed}", folder / "training.json", fraction)
        for (who, seed, fraction), folder in files.items()
        if (folder / "training.json").exists()
    ]


def judge(checked: Sequence[Training], problem: Callable[[Training, Used], str], kept: str) -> Verdict:
    """The verdict on trainings. ``problem``: a training's problem, or an empty text; a missing record is one."""
    problems = []
    for training in checked:
        record = training.record
        text = problem(training, record.rows) if record else "no record of the rows that it used"
        if text and not training.earlier:
            problems.append(f"{training.name}: {text}")
    return verdict(problems, sum(training.earlier for training in checked), len(checked), kept, "trainings")


def verdict(problems: Sequence[str], earlier: int, count: int, kept: str, noun: str) -> Verdict:
    """Broken with the problems; a warning where an earlier version recorded nothing; else kept. ``noun``: counted."""
    if problems:
        further = f"; and {len(problems) - MAX_PROBLEMS} others" if len(problems) > MAX_PROBLEMS else ""
        return BROKEN, "; ".join(problems[:MAX_PROBLEMS]) + further
    if earlier:
        return WARNING, f"not recorded for {earlier} of {count} {noun}: trained by an earlier version"
    return KEPT, f"{count} {noun}: {kept}"


def by_split(used: dict[str, Counted]) -> str:
    """``1,000 train rows and 200 validation rows``."""
    return " and ".join(f"{counted.rows:,} {split} rows" for split, counted in used.items()) or "no row"

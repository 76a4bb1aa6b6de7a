"""The recipe: everything that decides a run. Equals its YAML; an unknown key is an error with a suggestion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from . import derive, encoders, fusions, losses, modalities, teachers
from .errors import UsageError, did_you_mean
from .losses import matrix
from .parts import DeriveSettings, ModalitySettings, PartSettings, Settings, TeacherSettings, load, settings

PARTS = {
    "derive": derive.TABLE,
    "modalities": modalities.TABLE,
    "encoders": encoders.TABLE,
    "fusion": fusions.TABLE,
    "losses": losses.TABLE,
    "members": teachers.TABLE,
}
RESERVED = (
    "fused",
    "present",
    "logits",
    "gates",
    "key",
    "label",
    "content",
    "drawn",
    "error",
    "same",
)  # names of other arrays

if TYPE_CHECKING:
    Modality = ModalitySettings
    Derive = DeriveSettings
    Encoder = Fusion = Loss = PartSettings
else:  # the settings of a part, read by the part that its ``kind`` names

    def _part(table: dict[str, str]) -> Any:
        return Annotated[SerializeAsAny[PartSettings], BeforeValidator(lambda value: settings(table, value))]

    Modality, Encoder, Derive = _part(modalities.TABLE), _part(encoders.TABLE), _part(derive.TABLE)
    Fusion, Loss = _part(fusions.TABLE), _part(losses.TABLE)


Share = Annotated[float, Field(ge=0, le=1)]


def _listed(value: Any) -> Any:
    """One name, or several."""
    return (value,) if isinstance(value, str) else value


class Split(Settings):
    """Where the splits come from: a column, and fractions for those that it doesn't give."""

    column: str | None = None
    validation: float = Field(default=0.1, gt=0, lt=0.5)  # share of the training rows (groups, if grouped)
    test: float = Field(default=0.15, gt=0, lt=0.5)  # share of the rows no other split has; not used where it is given
    stratify: bool = True
    folds: int | None = Field(default=None, ge=2, le=100)  # cross-validation: the test rows are one of so many parts
    fold: int = Field(default=0, ge=0)  # which one; together the runs of all folds score every row once

    @model_validator(mode="after")
    def _folded(self) -> Split:
        if self.folds is not None and self.column is not None:
            raise ValueError("got folds and a column, expected one of them: folds are cut from all rows")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"got fold {self.fold}, expected 0 to {self.folds - 1}")
        return self


class Task(Settings):
    """What one target is: one of several classes, any number of labels, or a number."""

    kind: Literal["classes", "labels", "number"] = "classes"
    empty: str | None = None  # the class that an empty cell stands for; without it the row is unlabelled
    most: int | None = Field(
        default=None, ge=1
    )  # the most frequent classes of the training rows; others become `other`
    separator: str = Field(default=";", min_length=1)  # between the labels of a cell that is a text
    balance: bool = False  # weigh classes by the inverse of their frequency (labels: positives against negatives)
    weight: float = Field(default=1.0, gt=0)  # share of the loss, relative to the other targets


class Data(Settings):
    """The table, and what its columns are."""

    source: str  # a .csv, .parquet, .jsonl or .json file, a saved dataset, a folder of questions, or a known set
    target: str | tuple[str, ...]  # one column, or several targets that are learned at once
    tasks: dict[str, Task] = Field(default_factory=dict)  # what a target is; one of classes where nothing is said
    id: str | None = None  # row number where there is none
    group: str | None = None  # rows with an equal value never stand in two splits
    root: str | None = None  # folder that file paths start from; the source's own folder where there is none
    within: str | None = None  # folder that no file may lie outside of, whatever its path says; the root where none
    split: Split = Split()
    derive: dict[str, Derive] = Field(default_factory=dict)  # columns that are made from others

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets' columns, in order."""
        return (self.target,) if isinstance(self.target, str) else self.target

    def task(self, target: str) -> Task:
        """What a target is."""
        return self.tasks.get(target, Task())

    @model_validator(mode="after")
    def _named(self) -> Data:
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise ValueError(f"got target {list(self.targets)}, expected one column, or several different ones")
        for name in self.tasks:
            if name not in self.targets:
                raise ValueError(f"got tasks.{name}, expected a target: {', '.join(self.targets)}")
        for name in self.targets:
            if self.task(name).empty is not None and self.task(name).kind == "number":
                raise ValueError(f"got tasks.{name}.empty, expected none: an empty cell is no number")
        return self


class Network(Settings):
    """One network: an encoder per modality, a fusion, a head."""

    encoders: dict[str, Encoder]
    fusion: Fusion  # without one: `gated` for one or two modalities, `transformer` for more
    hidden: int = Field(default=0, ge=0)  # width of the head's hidden layer; 0: none
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, raw: Any) -> Any:
        """Where no fusion is named, the one that fits the number of modalities; so a resolved recipe names it."""
        if not isinstance(raw, dict) or "fusion" in raw:
            return raw
        named = raw.get("encoders")
        return {**raw, "fusion": {"kind": fusions.default(len(named) if isinstance(named, dict) else 0)}}

    @model_validator(mode="after")
    def _fits(self) -> Network:
        """Refuse a fusion that doesn't take so many modalities, and a head after one that has its own."""
        count, kind, (fewest, most) = len(self.encoders), self.fusion.kind, fusions.takes(self.fusion)
        if count and not fewest <= count <= most:
            expected = str(fewest) if fewest == most else f"{fewest} to {most}"
            got = f"{count} {'modality' if count == 1 else 'modalities'}"
            raise ValueError(f"got {got} for fusion '{kind}', expected {expected}")
        if fusions.headless(self.fusion) and (self.hidden or self.dropout):
            raise ValueError(f"got hidden or dropout beside fusion '{kind}', expected neither: it has its own heads")
        return self

    def bare(self) -> Network:
        """The network without how it is trained."""
        return Network.model_validate(self.model_dump(include=set(Network.model_fields)))

    def only(self, name: str) -> Network:
        """The network on one modality; concatenation stands in for a fusion that takes more."""
        fusion = self.fusion
        if fusions.takes(fusion)[0] > 1:
            width = {"width": fusion.width} if hasattr(fusion, "width") else {}  # pyright: ignore
            fusion = settings(fusions.TABLE, {"kind": "concat", **width})
        return self.model_copy(update={"encoders": {name: self.encoders[name]}, "fusion": fusion})


class Training(Settings):
    """How a network is trained; the same for teacher and student."""

    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)  # share of all steps
    clip: float = Field(default=1.0, gt=0)  # largest norm of the gradient
    accumulate: int = Field(default=1, ge=1, le=4096)  # batches that make one step of the optimiser
    mixup: float = Field(default=0.0, ge=0, le=10)  # alpha of Beta(alpha, alpha), of joint vectors; 0: none
    ema: float = Field(
        default=0.0, ge=0, lt=1
    )  # decay of the weights' moving average, which is judged and kept; 0: none
    patience: int = Field(default=0, ge=0)  # epochs without a better validation score before stopping; 0: never
    precision: Literal["fp32", "bf16"] = "fp32"
    modality_dropout: Literal["uniform"] | Share | dict[str, Share] = 0.0
    augment: bool = False  # as the modalities' own ``augment`` says; frozen encoders see rows as they are

    @field_validator("modality_dropout", mode="before")
    @classmethod
    def _dropout(cls, value: Any) -> Any:
        shares = value.values() if isinstance(value, dict) else [value]
        if value != "uniform" and not all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in shares):
            raise ValueError(f"got {value!r}, expected a share from 0 to 1, `uniform`, or {{modality: share}}")
        return value


class Teacher(Network):
    """The strong model."""

    train: Training = Training()
    smoothing: float = Field(default=0.0, ge=0, lt=1)  # of the labels
    seeds: int = Field(default=1, ge=1, le=20)  # trainings; the best on validation teaches, all are scored
    floors: bool = False  # also the teacher on each modality alone
    folds: int | None = Field(default=None, ge=2, le=20)  # training rows are answered by networks that didn't see them


def _teacher(value: Any) -> Any:
    """The network that the run trains, or what ``kind`` names from outside."""
    if not isinstance(value, dict) or "kind" not in value:
        return value if isinstance(value, TeacherSettings) else Teacher.model_validate(value)
    if value["kind"] == "trained":
        return Teacher.model_validate({key: one for key, one in value.items() if key != "kind"})
    if str(value["kind"]) not in teachers.TABLE:
        raise ValueError(
            f"got kind '{value['kind']}', {did_you_mean(str(value['kind']), ['trained', *teachers.TABLE])}"
        )
    return settings(teachers.TABLE, value)


AnyTeacher = Teacher | TeacherSettings
if not TYPE_CHECKING:
    AnyTeacher = Annotated[SerializeAsAny[Settings], BeforeValidator(_teacher)]


class Schedule(Settings):
    """What a loss's weight and temperature become by the end of the training; what isn't named stays."""

    weight: float | None = Field(default=None, ge=0)
    temperature: float | None = Field(default=None, gt=0)
    shape: Literal["linear", "cosine"] = "linear"

    def done(self, share: float) -> float:
        """How much of the way from the first value to the last, after this share (0 to 1) of the training."""
        return share if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * share))

    def factor(self, first: float, share: float) -> float:
        """By what a weight that began as ``first`` is multiplied."""
        return 1.0 if self.weight is None else 1 + (self.weight / first - 1) * self.done(share)

    def settings(self, first: PartSettings, share: float) -> PartSettings:
        """The loss's settings at this moment."""
        if self.temperature is None:
            return first
        start = first.temperature  # pyright: ignore
        return first.model_copy(update={"temperature": start + (self.temperature - start) * self.done(share)})


def _subsets(value: Any) -> Any:
    """A word, or a list of lists of names (one name may stand without a list)."""
    if value in ("full", "each", "all"):
        return value
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(s, (str, list, tuple)) for s in value):
        raise ValueError(f"got {value!r}, expected full, each, all, or a list of lists of modalities")
    lists = [(s,) if isinstance(s, str) else tuple(s) for s in value]
    if not all(s and all(isinstance(name, str) for name in s) and len(set(s)) == len(s) for s in lists):
        raise ValueError(f"got {value!r}, expected in each list one or more modalities, each once")
    return tuple(lists)


class Extract(Settings):
    """What of the teacher is stored."""

    subsets: Annotated[Literal["full", "each", "all"] | tuple[tuple[str, ...], ...], BeforeValidator(_subsets)] = "full"
    views: int = Field(default=0, ge=0, le=1000)  # augmented views of every training row that are answered too
    top_k: int = Field(default=0, ge=0)  # classes of an answer that are kept, and the others' sum; 0: all
    dtype: Literal["float16", "float32"] = "float16"


class Distill(Settings):
    """What the student learns from the teacher, and what stands beside it."""

    targets: Literal["full", "seen"] = "full"  # for a row that lost modalities: the answer with or without them
    train: Training = Training()
    losses: dict[str, Loss] = Field(default_factory=dict, validate_default=False)  # by the targets where none is named
    schedules: dict[str, Schedule] = Field(default_factory=dict)  # loss -> what it ends with
    calibrate: bool = False  # the losses' weights are shares of the gradient at the start, not factors
    smoothing: float = Field(default=0.0, ge=0, lt=1)  # of the labels, for the baseline
    seeds: int = Field(default=3, ge=1, le=20)
    label_fractions: tuple[
        Annotated[float, Field(gt=0, lt=1)], ...
    ] = ()  # also with this share of the labels, e.g. [0.05]
    floors: bool = True  # also the student on each modality alone
    weak_teacher: Literal["warn", "stop"] = "warn"  # where it scores below the student on labels alone, on validation


class Evaluate(Settings):
    """How sure the numbers are, and what else is looked at."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=1000, ge=100, le=100_000)
    by: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()  # columns: scores for each of their values too
    controls: bool = True  # also teacher and student with each modality blank, and shuffled among the test rows


class Export(Settings):
    """What the exported file must keep to."""

    tolerance: float = Field(default=1e-4, gt=0)  # largest difference of a probability from torch


class Compute(Settings):
    """The machine's share; ``threads`` is part of what decides the bits of a result."""

    threads: int = Field(default=2, ge=1, le=256)


class Recipe(Settings):
    """Everything that decides a run."""

    version: Literal[1] = 1
    name: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    seed: int = Field(default=0, ge=0, lt=2**31)
    data: Data
    modalities: dict[str, Modality] = Field(min_length=1)
    teacher: AnyTeacher
    student: Network
    extract: Extract = Extract()
    distill: Distill = Distill()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    compute: Compute = Compute()

    @property
    def trained(self) -> Teacher | None:
        """The teacher that the run trains; None where it comes from outside."""
        return self.teacher if isinstance(self.teacher, Teacher) else None

    @property
    def networks(self) -> dict[str, Network]:
        """Who -> network, of those that the run trains."""
        return {**({"teacher": self.trained} if self.trained else {}), "student": self.student}

    @model_validator(mode="before")
    @classmethod
    def _losses(cls, raw: Any) -> Any:
        """Write the default losses out: what the targets are decides them."""
        if not isinstance(raw, dict) or not isinstance(raw.get("data"), dict):
            return raw
        distill = raw.get("distill") or {}
        if not isinstance(distill, dict) or distill.get("losses"):
            return raw
        return {**raw, "distill": {**distill, "losses": default_losses(raw["data"])}}

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        known = ", ".join(self.modalities)
        for who, network in self.networks.items():
            if not network.encoders or not set(network.encoders) <= set(self.modalities):
                got = ", ".join(network.encoders) or "none"
                raise ValueError(f"{who}.encoders: got {got}, expected some of: {known}")
        trainings = {"teacher": self.trained.train} if self.trained else {}
        for who, training in {**trainings, "distill": self.distill.train}.items():
            if isinstance(training.modality_dropout, dict) and not set(training.modality_dropout) <= set(
                self.modalities
            ):
                got = ", ".join(training.modality_dropout)
                raise ValueError(f"{who}.train.modality_dropout: got {got}, expected some of: {known}")
            if training.mixup and fusions.headless(self.networks["student" if who == "distill" else who].fusion):
                raise ValueError(
                    f"{who}.train.mixup: got it beside a fusion with heads of its own, which mixes answers"
                )
        for name, schedule in self.distill.schedules.items():
            if name not in self.distill.losses:
                raise ValueError(f"distill.schedules: got '{name}', expected some of: {', '.join(self.distill.losses)}")
            if schedule.temperature is not None and not hasattr(self.distill.losses[name], "temperature"):
                raise ValueError(f"distill.schedules.{name}: got a temperature for a loss that has none")
        for name in self.modalities:
            if not any(name in network.encoders for network in self.networks.values()):
                who = " or ".join(self.networks)
                raise ValueError(f"modalities.{name}: got an encoder in no network, expected one in {who}")
        for name in self.modalities:
            if not name.isidentifier() or name in RESERVED:
                raise ValueError(f"modalities.{name}: expected a plain word other than {', '.join(RESERVED)}")
        if isinstance(self.teacher, TeacherSettings):
            for key, one in self.teacher.everyone().items():
                for name in one.covers:
                    if name not in self.modalities:
                        where = ".".join(filter(None, ("teacher", key, "covers")))
                        raise ValueError(f"{where}: got '{name}', expected some of: {known}")
        return self

    @model_validator(mode="after")
    def _stored(self) -> Recipe:
        """What is stored must be what the student's training reads."""
        for name in {n for s in self.extract.subsets if not isinstance(s, str) for n in s}:
            if name not in self.modalities:
                raise ValueError(f"extract.subsets: got {name}, expected some of: {', '.join(self.modalities)}")
        if self.distill.targets == "seen" and self.extract.subsets == "full":
            raise ValueError(
                "distill.targets: got seen with extract.subsets full, expected subsets: all, each or a list"
            )
        if self.extract.views:
            augmented = [n for n, m in self.modalities.items() if getattr(m, "augment", None)]
            if not augmented or not self.distill.train.augment:
                raise ValueError(
                    f"extract.views: got {self.extract.views}, expected 0 without distill.train.augment and a modality "
                    "with augment: the student would see no view"
                )
            for name in augmented:
                if getattr(self.student.encoders.get(name), "frozen", False):
                    raise ValueError(
                        f"extract.views: got {self.extract.views}, expected 0: the student's encoder of {name} is "
                        "frozen and sees rows as they are"
                    )
        return self


def default_losses(data: dict) -> dict[str, dict]:
    """Labels and the teacher's answers, by what kinds of targets there are (as raw YAML)."""
    names = [data.get("target")] if isinstance(data.get("target"), str) else data.get("target") or []
    tasks: Any = data.get("tasks")
    said = [tasks[n] if isinstance(tasks, dict) and isinstance(tasks.get(n), dict) else {} for n in names]
    kinds = {one.get("kind", "classes") for one in said}
    found: dict[str, dict] = {"labels": {"kind": "task", "weight": 0.1}}
    if "classes" in kinds or not kinds & {"labels", "number"}:
        found["soft"] = {"kind": "kd", "weight": 0.9, "temperature": 2.0}
    if "labels" in kinds:
        found["soft_labels"] = {"kind": "multilabel_kd", "weight": 0.9}
    if "number" in kinds:
        found["soft_numbers"] = {"kind": "regression_kd", "weight": 0.9}
    return found


class _Twice(yaml.constructor.ConstructorError):
    """A mapping has a key twice; YAML itself would take the last one in silence."""


class _Loader(yaml.SafeLoader):
    """Plain values only, and each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """As the base does, after a look at the keys that are written in this mapping itself."""
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in lines:
                first = f"'{name}', in line {lines[name]} too"
                raise _Twice(None, None, first, key.start_mark)
            if name is not None:
                lines[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """A YAML file and ``a.b=c`` overrides -> Recipe.

    Raises UsageError naming the file, the key, what was got and what was expected.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # a safe one
    except FileNotFoundError:
        raise UsageError("no such recipe", where=path, hint="`suffuse init TABLE --target COLUMN` makes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("can't read the recipe", where=path, got=error) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{path}:{mark.line + 1}" if mark else str(path)
        if isinstance(error, _Twice):
            raise UsageError("a key stands twice in the recipe", where=line, got=error.problem) from None
        raise UsageError("the recipe is not YAML", where=line, got=getattr(error, "problem", error)) from None
    if not isinstance(raw, dict):
        raise UsageError("the recipe is empty", where=path, got=type(raw).__name__, expected="a mapping")
    for override in overrides:
        _override(raw, override)
    return make_recipe(raw, str(path))


def make_recipe(raw: dict, where: str = "recipe") -> Recipe:
    """A plain dictionary -> Recipe. Raises UsageError as :func:`read_recipe` does."""
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise _usage_error(error, raw, where) from None
    for name, loss in recipe.distill.losses.items():
        matrix.check(loss, _place(recipe), f"{where}: distill.losses.{name}")
    return recipe


def _place(recipe: Recipe) -> matrix.Place:
    """What a recipe says of where its losses are used; how many classes there are, the data say."""
    rates, several = recipe.distill.train.modality_dropout, len(recipe.student.encoders) > 1
    dropped = several and bool(any(rates.values()) if isinstance(rates, dict) else rates)
    targets = tuple((recipe.data.task(name).kind, None) for name in recipe.data.targets)
    return matrix.Place(targets, recipe.distill.train.batch, dropped, fusions.gates(recipe.student.fusion))


def to_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(raw: dict, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError("can't read this override", where="--set", got=text, expected="a.b=value")
    *way, last = key.split(".")
    for step in way:
        raw = raw.setdefault(step, {})
        if not isinstance(raw, dict):
            raise UsageError("no such key to set", where=f"--set {key}", got=f"'{step}' holds a value")
    try:
        raw[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UsageError("can't read this override", where=f"--set {key}", got=value, expected="YAML") from None


def _usage_error(error: ValidationError, raw: dict, where: str) -> UsageError:
    """The first problem, in the house's words; the number of further ones in the hint."""
    problems = error.errors()
    first = problems[0]
    place = ".".join(str(p) for p in first["loc"])
    more = f"; {len(problems) - 1} more after this" if len(problems) > 1 else ""
    at = f"{where}: {place}" if place else where
    if first["type"] == "extra_forbidden":
        suggestion = did_you_mean(str(first["loc"][-1]), _keys_at(first["loc"][:-1], raw))
        return UsageError("unknown key in the recipe", where=at, got=f"'{first['loc'][-1]}'", hint=suggestion + more)
    if first["type"] == "missing":
        return UsageError("a key is missing in the recipe", where=at, expected=f"'{first['loc'][-1]}'", hint=more[2:])
    return UsageError("can't use this value in the recipe", where=at, **_got_expected(first), hint=more[2:])


def _got_expected(problem: ErrorDetails) -> dict[str, str]:
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if problem["type"] == "value_error":
        return {"expected": message} if "got" not in message else {"got": message.removeprefix("got ")}
    value = repr(problem["input"])
    return {"got": value if len(value) < 60 else value[:57] + "...", "expected": message}


def _keys_at(way: tuple[int | str, ...], raw: Any) -> set[str]:
    """The keys that a recipe may have at this place; a part's are those of its kind."""
    table = next((PARTS[step] for step in way if step in PARTS), None)
    model: Any = Recipe
    for depth, step in enumerate(way):
        raw = raw[step]
        if depth == 0 and step == "teacher":
            model = load(teachers.TABLE, str(raw["kind"])).Settings if raw.get("kind") in teachers.TABLE else Teacher
        else:
            model = model if table else model.model_fields[step].annotation
    return set((load(table, raw["kind"]).Settings if table else model).model_fields)

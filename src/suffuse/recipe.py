"""The recipe: everything that decides a run. Equals its YAML; an unknown key is an error with a suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from . import derive, encoders, fusions, losses, modalities
from .errors import UsageError, did_you_mean
from .parts import DeriveSettings, ModalitySettings, PartSettings, Settings, load, settings

PARTS = {
    "derive": derive.TABLE,
    "modalities": modalities.TABLE,
    "encoders": encoders.TABLE,
    "fusion": fusions.TABLE,
    "losses": losses.TABLE,
}
RESERVED = ("fused", "present", "logits", "gates", "key", "label", "error", "same")  # names of other arrays

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


class Distill(Settings):
    """What the student learns from the teacher, and what stands beside it."""

    train: Training = Training()
    losses: dict[str, Loss] = Field(default_factory=dict, validate_default=False)  # by the targets where none is named
    smoothing: float = Field(default=0.0, ge=0, lt=1)  # of the labels, for the baseline
    seeds: int = Field(default=3, ge=1, le=20)
    label_fractions: tuple[
        Annotated[float, Field(gt=0, lt=1)], ...
    ] = ()  # also with this share of the labels, e.g. [0.05]
    floors: bool = True  # also the student on each modality alone


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
    teacher: Teacher
    student: Network
    distill: Distill = Distill()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    compute: Compute = Compute()

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
        for who, network in (("teacher", self.teacher), ("student", self.student)):
            if not network.encoders or not set(network.encoders) <= set(self.modalities):
                got = ", ".join(network.encoders) or "none"
                raise ValueError(f"{who}.encoders: got {got}, expected some of: {known}")
        for who, training in (("teacher", self.teacher.train), ("distill", self.distill.train)):
            if isinstance(training.modality_dropout, dict) and not set(training.modality_dropout) <= set(
                self.modalities
            ):
                got = ", ".join(training.modality_dropout)
                raise ValueError(f"{who}.train.modality_dropout: got {got}, expected some of: {known}")
        for name in self.modalities:
            if name not in self.teacher.encoders and name not in self.student.encoders:
                raise ValueError(f"modalities.{name}: got an encoder in no network, expected one in teacher or student")
        for name in self.modalities:
            if not name.isidentifier() or name in RESERVED:
                raise ValueError(f"modalities.{name}: expected a plain word other than {', '.join(RESERVED)}")
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
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise _usage_error(error, raw, where) from None


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


def _keys_at(way: tuple[int | str, ...], raw: dict) -> set[str]:
    """The keys that a recipe may have at this place; a part's are those of its kind."""
    table = next((PARTS[step] for step in way if step in PARTS), None)
    model: Any = Recipe
    for step in way:
        raw = raw[step]
        model = model if table else model.model_fields[step].annotation
    return set((load(table, raw["kind"]).Settings if table else model).model_fields)

"""Settings of the data: the table, its targets, its splits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ..errors import UsageError
from ..modalities.number_format import NumberFormat
from ..object_store import checked, is_url
from ..registry import Settings
from ..sources.table_format import MISSING_VALUES, TableFormat
from ..sources.text_format import is_encoding
from .part_kinds import Derive, texts


class HoldOut(Settings):
    """The rows with one of these values in a column are the test rows: a group that training never sees."""

    column: str
    values: Annotated[tuple[str, ...], BeforeValidator(texts)] = Field(min_length=1)


class Split(Settings):
    """Where the splits come from: a column, and fractions for those that it doesn't give."""

    column: str | None = None
    validation: float = Field(default=0.1, gt=0, lt=0.5)  # share of the training rows (groups, if grouped)
    test: float = Field(default=0.15, gt=0, lt=0.5)  # share of the rows no other split has; not used where it is given
    stratify: bool = True
    folds: int | None = Field(default=None, ge=2, le=100)  # cross-validation: the test rows are one of so many parts
    fold: int = Field(default=0, ge=0)  # which one; together the runs of all folds score every row once
    hold_out: HoldOut | None = None  # the test rows are those of a group that training never sees, e.g. one speaker

    @model_validator(mode="after")
    def _folded(self) -> Split:
        if self.hold_out is not None and (self.column is not None or self.folds is not None):
            second = "a column" if self.column is not None else "folds"
            raise ValueError(f"got hold_out and {second}, expected one of them: it says which rows are the test rows")
        if self.folds is not None and self.column is not None:
            raise ValueError("got folds and a column, expected one of them: folds are cut from all rows")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"got fold {self.fold}, expected 0 to {self.folds - 1}")
        return self


class Task(Settings):
    """What one target is: one of several classes, any number of labels, a number, or a sequence of units."""

    kind: Literal["classes", "labels", "number", "tokens"] = "classes"
    empty: str | None = None  # the class that an empty cell stands for; without it the row is unlabelled
    classes: Annotated[tuple[str, ...] | None, BeforeValidator(texts)] = Field(
        default=None, min_length=2
    )  # all classes, where training rows don't have each of them, or no label at all; else those of training rows
    max_classes: int | None = Field(
        default=None, ge=1
    )  # the most frequent classes of the training rows; others become `other`
    format: NumberFormat | None = None  # how a number is written; as programs write it where there is none
    separator: str = Field(default=";", min_length=1)  # between the labels of a cell that is a text
    balance: bool = False  # weigh classes by the inverse of their frequency (labels: positives against negatives)
    weight: float = Field(default=1.0, gt=0)  # share of the loss, relative to the other targets
    units: Literal["characters", "words"] = "characters"  # of `tokens`: what a transcript is cut into
    frame: float = Field(default=40.0, gt=0)  # of `tokens`: length of an output frame in milliseconds; see recipe.md
    lowercase: bool = False  # of `tokens`: transcripts in lower case

    @model_validator(mode="after")
    def _sequence(self) -> Task:
        if self.kind == "tokens":
            if self.empty not in (None, ""):
                raise ValueError(f"got empty '{self.empty}', expected '': a transcript without a word")
            if self.balance:
                raise ValueError("got balance beside kind tokens, whose units have no weights")
            return self
        for key in ("units", "frame", "lowercase"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"got {key} beside kind {self.kind}, expected it with kind tokens only")
        return self

    @model_validator(mode="after")
    def _listed(self) -> Task:
        if self.classes is None:
            return self
        if self.kind != "classes" or self.max_classes is not None:
            got = "max_classes" if self.kind == "classes" else f"kind {self.kind}"
            raise ValueError(f"got classes beside {got}, expected one of the two: the list is the vocabulary")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("got a class twice in classes, expected each once")
        if self.empty is not None and self.empty not in self.classes:
            raise ValueError(f"got empty '{self.empty}', expected one of classes")
        return self


class Data(Settings):
    """The table, and what its columns are."""

    source: (
        str  # a table's file, a saved dataset, a folder of files by class or of questions, hf://NAME, or a known set
    )
    encoding: str | None = None  # of a .csv, .tsv or .txt file; detected where there is none
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)  # the same
    missing_values: Annotated[tuple[str, ...], BeforeValidator(texts)] = MISSING_VALUES  # texts that are empty cells
    target: str | tuple[str, ...]  # one column, or several targets that are learned at once
    tasks: dict[str, Task] = Field(default_factory=dict)  # what a target is; one of classes where nothing is said
    id: str | None = None  # row number where there is none
    group: str | None = None  # rows with an equal value never stand in two splits
    root: str | None = None  # folder that file paths start from; the source's own folder where there is none
    allowed_dir: str | None = (
        None  # folder that no file may lie outside of, whatever its path says; the root where none
    )
    split: Split = Split()
    derive: dict[str, Derive] = Field(default_factory=dict)  # columns that are made from others
    duplicates: Literal["group", "keep", "drop"] = "group"  # what is done with rows whose contents are equal
    synthetic_rows: int = Field(default=0, ge=0, le=100)  # unlabelled rows that are made of each training row
    max_quarantined: float = Field(default=0.2, ge=0, le=1)  # share of the rows; where it is more a run stops

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets' columns, in order."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def table_format(self) -> TableFormat:
        """How the source is read."""
        return TableFormat(self.encoding, self.delimiter, self.missing_values)

    def task(self, target: str) -> Task:
        """What a target is."""
        return self.tasks.get(target, Task())

    @field_validator("source", "root", "allowed_dir")
    @classmethod
    def _usable_url(cls, value: str | None) -> str | None:
        if value is not None and is_url(value):
            try:
                checked(value.partition("#")[0])
            except UsageError as error:  # its text holds no part of the URL that may be a secret
                raise ValueError(f"{error.line()}; {error.hint}" if error.hint else error.line()) from None
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is not None and not is_encoding(value):
            raise ValueError(f"got '{value}', expected an encoding, such as utf-8, cp1252, gb18030, big5 or shift_jis")
        return value

    @model_validator(mode="after")
    def _named(self) -> Data:
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise ValueError(f"got target {list(self.targets)}, expected one column, or several different ones")
        for name in self.tasks:
            if name not in self.targets:
                raise ValueError(f"got tasks.{name}, expected a target: {', '.join(self.targets)}")
        for name in self.targets:
            if self.task(name).format is not None and self.task(name).kind != "number":
                raise ValueError(f"got tasks.{name}.format, expected none: it is no number")
            if self.task(name).empty is not None and self.task(name).kind == "number":
                raise ValueError(f"got tasks.{name}.empty, expected none: an empty cell is no number")
        return self

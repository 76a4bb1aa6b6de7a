"""The schema of signature.json: types, lengths and bounds of everything that loading and predicting use.

The seal finds damage, but not what somebody changed and sealed again. Everything is checked here, before the network
is loaded, so that a wrong type is an error of the file and not of the code that reads it later. Unknown keys are
ignored. Types are those of JSON: a text isn't a number, and true isn't 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from .. import derive, modalities
from ..export_integrity import problem
from ..modalities.number_format import NumberFormat
from ..registry import DeriveSettings, ModalitySettings, Statistics, settings
from ..types import NUMBER, TOKENS
from ..types import Head as ModelHead

PRESENT = "present"  # the network's input that no modality may be called like
Text = Annotated[str, StringConstraints(min_length=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Single = Annotated[
    float, Field(ge=-1e37, le=1e37)
]  # so that an output of the network, which is float32, times it is one
Temperature = Annotated[float, Field(ge=1e-6, le=1e6)]
PositiveInt = Annotated[int, Field(ge=1, le=2**53)]


class FileError(ValueError):
    """A problem of a file beside the signature."""

    def __init__(self, file: str, message: str):
        super().__init__(message)
        self.file = file


class Part(BaseModel):
    """The base of all objects in a signature."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Head(Part):
    """One target."""

    name: Text
    kind: Literal["classes", "labels", "number", "tokens"]
    classes: list[str]
    mean: Single = 0.0
    std: Annotated[Single, Field(gt=0)] = 1.0
    weight: Finite = 1.0
    balance: list[Finite] = []
    units: Literal["", "characters", "words"] = ""
    frames: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    frame: Annotated[Finite, Field(ge=0)] = 0.0
    length: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Head:
        if self.kind == NUMBER and self.classes:
            raise ValueError(f"'{self.name}' is a number and has classes")
        if self.kind == TOKENS and not (self.units and self.frames and self.frame):
            raise ValueError(f"'{self.name}' is a transcript without units or frames")
        if self.kind != NUMBER and not self.classes:
            raise ValueError(f"'{self.name}' has no classes")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"'{self.name}' has a class twice")
        return self

    def head(self) -> ModelHead:
        """The head as the predictor uses it."""
        as_tuples = {"classes": tuple(self.classes), "balance": tuple(self.balance)}
        facts: dict[str, Any] = {**self.model_dump(), **as_tuples}
        return ModelHead(**facts)


class Modality(Part):
    """One input: how its cells are read, and the statistics of the training rows."""

    name: Text
    kind: str
    settings: dict[str, Any]
    statistics: dict[str, Any]
    tokenizer: str | None = None  # the file of a text's tokenizer


class Derivation(Part):
    """A column that is made from another one."""

    settings: dict[str, Any]
    facts: dict[str, Any]


class Limits(Part):
    """Limits of a record, and of a request. One that is missing has the reader's default."""

    pixels: PositiveInt | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None
    characters: PositiveInt | None = None
    cell_bytes: PositiveInt | None = None
    records: PositiveInt | None = None

    def set_limits(self) -> dict[str, Any]:
        """The limits that are set."""
        return self.model_dump(exclude_none=True)


class TargetCells(Part):
    """How the cells of a target are written."""

    empty: str | None = None  # the class that an empty cell stands for
    separator: Text = ";"  # between the labels of a text
    format: NumberFormat | None = None
    lowercase: bool = False  # of a transcript


class Table(Part):
    """How the recipe's table is written, and which texts are missing values in it."""

    encoding: str | None = None
    delimiter: str | None = None
    missing_values: list[str] = []
    tasks: dict[str, TargetCells] = {}


class Signature(Part):
    """The keys of signature.json that a reader uses, besides what the seal checks: files, sizes, hashes and forms."""

    name: str | None = None
    digest: str
    form: str | None = None
    heads: Annotated[list[Head], Field(min_length=1)]
    modalities: Annotated[list[Modality], Field(min_length=1)]
    derive: dict[str, Derivation] = {}
    temperatures: dict[str, dict[str, Temperature]] | None = None
    limits: Limits | None = None
    libraries: dict[str, str] | None = None
    id: str | None = None  # the column whose values tables of predictions begin with
    table: Table = Table()

    @model_validator(mode="after")
    def _consistent(self) -> Signature:
        for kind, names in (("target", [h.name for h in self.heads]), ("modality", [m.name for m in self.modalities])):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"the {kind} '{twice}' is there twice")
        if PRESENT in [m.name for m in self.modalities]:
            raise ValueError(f"a modality can't be called '{PRESENT}'")
        return self


def checked(signature: Mapping[str, Any]) -> Signature:
    """Parse a signature. Raises ValueError that names the key, what was got and what was expected."""
    try:
        return Signature.model_validate(signature)
    except ValidationError as error:
        raise ValueError(problem(error)) from None


def modality(
    facts: Modality, contents: Mapping[str, bytes]
) -> tuple[ModalitySettings, modalities.ModalityPart, dict[str, Any]]:
    """Settings, part and statistics of one input. Raises ValueError."""
    where = f"modalities: {facts.name}"
    chosen = _settings(modalities.TABLE, facts.settings, where)
    assert isinstance(chosen, ModalitySettings)
    if chosen.kind != facts.kind:
        raise ValueError(f"{where}: kind: got '{facts.kind}' with the settings of '{chosen.kind}'")
    part = modalities.load_modality(facts.kind)
    statistics = dict(facts.statistics)
    if facts.tokenizer is not None:
        statistics["tokenizer"] = _tokenizer(facts.tokenizer, contents, where)
    model = _statistics(part.Statistics, statistics, f"{where}: statistics")
    _check(model, chosen, facts.tokenizer, f"{where}: statistics")
    return chosen, part, statistics


def _tokenizer(name: str, contents: Mapping[str, bytes], where: str) -> str:
    if name not in contents:
        raise ValueError(f"{where}: tokenizer: there is no file '{name}'")
    try:
        return contents[name].decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(name, f"not UTF-8: {error.reason} at byte {error.start}") from None


def derivation(name: str, facts: Derivation) -> tuple[DeriveSettings, derive.DerivationPart]:
    """Settings and part of a derived column. Raises ValueError."""
    where = f"derive: {name}"
    chosen = _settings(derive.TABLE, facts.settings, where)
    assert isinstance(chosen, DeriveSettings)
    part = derive.load_derivation(str(chosen.kind))
    _statistics(part.Facts, facts.facts, f"{where}: facts")
    return chosen, part


def check_sources(sources: Mapping[str, str]) -> None:
    """``sources``: derived column -> its source. Raises ValueError where a column is derived from itself."""
    for name in sources:
        visited, column = {name}, sources[name]
        while column in sources:
            if column in visited:
                raise ValueError(f"derive: {name}: the column is made from itself")
            visited.add(column)
            column = sources[column]


def _settings(table: dict[str, str], value: dict[str, Any], where: str) -> Any:
    try:
        return settings(table, value)
    except ValidationError as error:
        raise ValueError(f"{where}: settings: {problem(error)}") from None
    except ValueError as error:
        raise ValueError(f"{where}: settings: {error}") from None


def _statistics(model: type[Statistics], facts: Mapping[str, Any], where: str) -> Statistics:
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        raise ValueError(f"{where}: {problem(error)}") from None


def _check(statistics: Statistics, chosen: Any, tokenizer: str | None, where: str) -> None:
    """Check statistics against the settings; a text's also against its tokenizer's file."""
    try:
        statistics.check(chosen)
    except ValueError as error:
        if tokenizer is not None:
            raise FileError(tokenizer, str(error)) from None
        raise ValueError(f"{where}: {error}") from None

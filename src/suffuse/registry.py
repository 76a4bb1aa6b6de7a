"""How a parts folder (encoders, fusions, losses, modalities) is looked up: one table, kind -> module.

A part is one module with a ``Settings`` class and plain functions. Its settings load without torch, so that
a recipe can be read and checked in a moment; torch is imported inside the functions that need it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict

from .errors import UsageError, did_you_mean
from .files import absolute_file


class Settings(BaseModel):
    """The base of all settings: an unknown key is an error, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class PartSettings(Settings):
    """The base of a part's settings. Which of these keys it has, and their types, the part says."""

    if TYPE_CHECKING:
        kind: Any = None
        weight: Any = None  # of a loss

    FILES: ClassVar[tuple[str, ...]] = ()  # keys that name a file, a folder or package:NAME

    def placed(self, base: Path) -> Self:
        """The same, with the relative paths among these keys starting from ``base``."""
        return self.model_copy(update={k: absolute_file(v, base) for k, v in self._named().items()})

    def references(self) -> dict[str, str]:
        """What stands outside and decides a result: a name -> a file, a folder or ``package:NAME``."""
        return self._named()

    def _named(self) -> dict[str, str]:
        found = {key: getattr(self, key) for key in self.FILES}
        return {key: value for key, value in found.items() if isinstance(value, str)}


class ModalitySettings(PartSettings):
    """The base of a modality's settings."""

    column: str | tuple[str, ...]  # several columns make one cell: a dictionary, column -> value

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's columns that it reads."""
        return (self.column,) if isinstance(self.column, str) else self.column


class Statistics(BaseModel):
    """The base of what a part must know besides its settings, as JSON holds it: of a modality what its training rows
    were like, of a derivation its facts. Types are those of JSON; unknown keys are left alone. The part itself works on
    the plain dictionary: this is how a reader checks one that comes from anywhere."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    def check(self, settings: Any) -> None:
        """Raises ValueError where it doesn't go with these settings."""


class DeriveSettings(PartSettings):
    """The base of a derivation's settings."""

    OPENED: ClassVar[tuple[str, ...]] = ()  # of FILES, those that are read for every cell, so also by an export

    column: str  # that it is made from: one of the table, or one derived before

    def opened(self) -> dict[str, str]:
        """The files and folders that are read when a cell is made, by their keys."""
        return {key: name for key, name in self._named().items() if key in self.OPENED}


def _texts(value: Any) -> Any:
    """Names that YAML reads as numbers, as texts; one name as a list of it."""
    if isinstance(value, dict):
        return {str(key): str(name) for key, name in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(str(name) for name in value)
    return (str(value),) if isinstance(value, (str, int, float)) else value


NameMap = Annotated[dict[str, str], BeforeValidator(_texts)]
NameList = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class TeacherSettings(PartSettings):
    """The base of the settings of a teacher that this run doesn't train."""

    RUNS_CODE: ClassVar[bool] = False  # whether opening it runs a function of the user's own

    classes: NameMap = {}  # its name of a class -> the run's, where they differ
    covers: NameList = ()  # modalities of this run that a row must have; of other rows it says nothing

    def everyone(self) -> dict[str, TeacherSettings]:
        """The teacher itself, as "", and whom it asks, by their keys."""
        return {"": self}


def load(table: dict[str, str], kind: str) -> ModuleType:
    """The module that implements ``kind``.

    Raises UsageError where the table has no such kind.
    """
    if kind not in table:
        raise UsageError("unknown kind", got=f"'{kind}'", hint=did_you_mean(kind, table))
    return import_module(table[kind])


def settings(table: dict[str, str], value: Any) -> PartSettings:
    """Settings of the part that ``value`` (a mapping with ``kind``, or settings already) asks for."""
    if isinstance(value, PartSettings):
        return value
    if not isinstance(value, dict) or "kind" not in value:
        known = ", ".join(sorted(table))
        raise ValueError(f"expected a mapping with 'kind' (one of {known}), got {value!r}")
    if str(value["kind"]) not in table:
        raise ValueError(f"got kind '{value['kind']}', {did_you_mean(str(value['kind']), table)}")
    return load(table, value["kind"]).Settings.model_validate(value)


# These may load TensorFlow. Torch's wheels bring triton and load it when they need it: both carry LLVM, and triton
# after TensorFlow ends the process with a segmentation fault; before it, both work (TensorFlow 2.21, triton 3.8).
TENSORFLOW = ("tensorflow", "keras", "tensorboard")


def optional(module: str, extra: str) -> ModuleType:
    """A library that only some recipes need. Raises UsageError with the way to install it where it isn't there."""
    name = module.partition(".")[0]
    try:
        if name in TENSORFLOW and find_spec("triton"):
            import_module("triton")
        import_module(name)
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name:
            raise
        raise UsageError(f"{name} isn't installed", hint=f"pip install 'suffuse[{extra}]'") from None

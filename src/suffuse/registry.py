"""How a parts folder (encoders, fusions, losses, modalities) is looked up: one table, kind -> module.

A part is one module with a ``Settings`` class and plain functions. Its settings load without torch, so that
a recipe can be read and checked in a moment; torch is imported inside the functions that need it.

The ``__init__`` of a parts folder holds the table, the Protocol that its modules follow, and a loader
(``load_encoder``, ``load_fusion``, ...). A value in the Protocol, or a function under :func:`default`, is optional for
a module: the loaded part has the Protocol's where the module defines none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, cast, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from . import user_parts
from .errors import UsageError, did_you_mean
from .files import PACKAGE, absolute_file


class Settings(BaseModel):
    """The base of all settings: an unknown key is an error, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class PartSettings(Settings):
    """The base of a part's settings. Which of these keys it has, and their types, the part says."""

    if TYPE_CHECKING:
        kind: Any = None
        weight: Any = None  # of a loss

    FILES: ClassVar[tuple[str, ...]] = ()  # keys that name a file, a folder or package:NAME

    def has(self, key: str) -> bool:
        """Whether this kind of part has a key of this name."""
        return key in type(self).model_fields

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key that not every kind has, else the default."""
        return vars(self).get(key, default)

    def placed(self, base: Path) -> Self:
        """The same, with the relative paths among these keys starting from ``base``."""
        return self.model_copy(update={k: absolute_file(v, base) for k, v in self._named().items()})

    def references(self) -> dict[str, str]:
        """What stands outside and decides a result: a name -> a file, a folder or ``package:NAME``."""
        return self._named()

    def _named(self) -> dict[str, str]:
        found = {key: getattr(self, key) for key in self.FILES}
        return {key: value for key, value in found.items() if isinstance(value, str)}


@dataclass(frozen=True)
class PartDocs:
    """What the documentation says of a part, as Markdown; a description of each key stands in its settings.

    ``make generate`` writes it into docs/.
    """

    summary: str  # the paragraph below its heading
    example: str  # a line of a recipe: a name and settings


class ModalitySettings(PartSettings):
    """The base of a modality's settings."""

    # several columns make one cell: a dictionary, column -> value
    column: str | tuple[str, ...] = Field(description="Column, or a list of columns.")

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
        return {str(key): str(name) for key, name in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return tuple(str(name) for name in cast("list[Any]", value))
    return (str(value),) if isinstance(value, (str, int, float)) else value


NameMap = Annotated[dict[str, str], BeforeValidator(_texts)]
NameList = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class TeacherSettings(PartSettings):
    """The base of the settings of a teacher that this run doesn't train."""

    RUNS_CODE: ClassVar[bool] = False  # whether opening it runs a function of the user's own
    WRITES_TRANSCRIPTS: ClassVar[bool] = False  # whether its answers are always texts: what it hears, and not when

    classes: NameMap = {}  # its name of a class -> the run's, where they differ
    covers: NameList = ()  # modalities of this run that a row must have; of other rows it says nothing

    def everyone(self) -> dict[str, TeacherSettings]:
        """The teacher itself, as "", and whom it asks, by their keys."""
        return {"": self}


class KindTable(dict[str, str]):
    """The table of a parts folder, kind -> module. Beside its kinds a recipe may name a part of the user's own, or of
    an installed package (:mod:`suffuse.user_parts`); these are no entries."""

    def __init__(self, group: str, base: type[Any], kinds: dict[str, str]):
        super().__init__(kinds)
        self.group, self.base = group, base  # of entry points, and what all settings derive from

    def knows(self, kind: str) -> bool:
        """Whether there is such a kind."""
        return kind in self or user_parts.is_user_part(kind, self.group)

    def names(self) -> list[str]:
        """All kinds, those of installed packages too."""
        return [*self, *user_parts.installed(self.group)]

    def selected(self, kinds: Iterable[str]) -> list[str]:
        """These kinds: the table's own in its order, then the others."""
        chosen = dict.fromkeys(kinds)
        return [*(kind for kind in self if kind in chosen), *(kind for kind in chosen if kind not in self)]


def load(table: dict[str, str], kind: str) -> ModuleType:
    """The module that implements ``kind``.

    Raises UsageError where the table has no such kind, or its code isn't run unasked.
    """
    if kind in table:
        return import_module(table[kind])
    if isinstance(table, KindTable) and table.knows(kind):
        return _user_part(table, kind)
    raise UsageError("unknown kind", got=f"'{kind}'", hint=did_you_mean(kind, _names(table)))


def _names(table: dict[str, str]) -> list[str]:
    return table.names() if isinstance(table, KindTable) else [*table]


def _user_part(table: KindTable, kind: str) -> ModuleType:
    """A part of the user's own. Its settings have the kind by which the recipe names it, and name its file among what
    decides a result."""
    module = user_parts.open_part(kind, table.group)
    own: Any = getattr(module, "Settings", None)
    if not (isinstance(own, type) and issubclass(own, table.base)):
        if table.base is Settings:  # probes have none
            return module
        expected = f"a class Settings that derives from suffuse.registry.{table.base.__name__}"
        raise UsageError("this part has no settings", where=f"kind: {kind}", expected=expected)
    if not issubclass(own, _OfUser):
        make: Any = create_model
        module.Settings = make("Settings", __base__=(_OfUser, own), kind=(str, kind))  # pyright: ignore[reportAttributeAccessIssue]
    return module


class _OfUser(PartSettings):
    """Settings of a part of the user's own."""

    def references(self) -> dict[str, str]:
        """What the part names, and its file."""
        return {**super().references(), **_code(str(self.kind))}


def _code(kind: str) -> dict[str, str]:
    """What decides the code of a kind: its file, or the package that brings it."""
    if user_parts.in_file(kind):
        return {"kind": user_parts.file_of_kind(kind)}
    package = user_parts.package_of(kind)
    return {"kind": PACKAGE + package} if package else {}


class Unloaded:
    """Settings of a user's part as an artefact has them, whose code isn't imported: plain values under their keys."""

    def has(self, key: str) -> bool:
        """Whether the artefact has this key."""
        return key in cast(Any, self).model_dump()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, else the default."""
        return cast(Any, self).model_dump().get(key, default)

    def references(self) -> dict[str, str]:
        """The file of its code."""
        return _code(str(cast(Any, self).kind))


@cache
def _unloaded(base: type[PartSettings]) -> type[PartSettings]:
    members = {
        "model_config": ConfigDict(extra="allow"), "__annotations__": {"kind": str}, "kind": Field(),
        "__module__": __name__,
    }  # fmt: skip
    return cast(Any, type(base))(f"Unloaded{base.__name__}", (Unloaded, base), members)


def is_loaded(settings: PartSettings) -> bool:
    """Whether the code of these settings' part may be asked; False of a user's part in an artefact."""
    return not isinstance(settings, Unloaded)


FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
_DEFAULTS: set[Callable[..., Any]] = set()


def default(function: FunctionT) -> FunctionT:
    """Decorator of a function in a part's Protocol: a module may leave it out, and the part then has this one."""
    _DEFAULTS.add(function)
    return function


class Part:
    """A part's module, with what it leaves out taken from its Protocol."""

    def __init__(self, module: ModuleType, protocol: type):
        self.module, self.protocol, self.__doc__ = module, protocol, module.__doc__
        missing = sorted(required_members(protocol) - vars(module).keys())
        if missing:
            raise TypeError(f"{module.__name__} is no {protocol.__name__}: it lacks {', '.join(missing)}")

    def __getattr__(self, name: str) -> Any:
        module: ModuleType = self.__dict__["module"]
        protocol: type = self.__dict__["protocol"]
        if name in vars(module) or name not in vars(protocol):
            return getattr(module, name)
        member: Any = vars(protocol)[name]
        return MethodType(member, self) if isinstance(member, FunctionType) else member


def required_members(protocol: type) -> set[str]:
    """What each module that follows a part's Protocol defines."""
    members = vars(protocol)
    functions = {name for name, member in members.items() if isinstance(member, FunctionType) and name[0] != "_"}
    values = {name for name in protocol.__annotations__ if name not in members}
    return {name for name in functions if members[name] not in _DEFAULTS} | values


@cache
def complete(module: ModuleType, protocol: type) -> Part:
    """The module as a part that follows the Protocol. Raises TypeError where it lacks a member."""
    return Part(module, protocol)


def load_part(table: dict[str, str], kind: str, protocol: type) -> Any:
    """The part that implements ``kind``; the loaders of the parts folders give it its type.

    Raises UsageError where the table has no such kind.
    """
    module = load(table, kind)
    if kind in table:
        return complete(module, protocol)
    if not hasattr(module, "DOCS") and "DOCS" in required_members(protocol):
        module.DOCS = _plain_docs(protocol, module)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        return complete(module, protocol)
    except TypeError as error:
        raise UsageError("this part is incomplete", where=f"kind: {kind}", got=error) from None


def _plain_docs(protocol: type, module: ModuleType) -> Any:
    """Documentation of a user's part that brings none: its docstring."""
    docs: Any = get_type_hints(protocol)["DOCS"]
    name, lines = module.__name__, (module.__doc__ or "").strip().splitlines()
    own = {"summary": lines[0] if lines else name, "meaning": {"en": name, "zh": name}}
    return docs(**{field.name: own.get(field.name, "") for field in fields(docs)})


def implements(part: object, name: str) -> bool:
    """Whether a part has a function of its own where its Protocol has a default."""
    return name in vars(part.module if isinstance(part, Part) else part)


def settings(table: dict[str, str], value: Any) -> PartSettings:
    """Settings of the part that ``value`` (a mapping with ``kind``, or settings already) asks for."""
    if isinstance(value, PartSettings):
        return value
    if not isinstance(value, dict) or "kind" not in value:
        known = ", ".join(sorted(_names(table)))
        raise ValueError(f"expected a mapping with 'kind' (one of {known}), got {value!r}")
    kind = str(cast("dict[str, Any]", value)["kind"])
    if kind not in table:
        if not (isinstance(table, KindTable) and table.knows(kind)):
            raise ValueError(f"got kind '{kind}', {did_you_mean(kind, _names(table))}")
        if not user_parts.is_allowed(kind):
            return _unloaded(table.base).model_validate(value)
    return load(table, kind).Settings.model_validate(value)


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

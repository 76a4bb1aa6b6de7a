"""From YAML and overrides to a recipe, and back; errors as one line with key, got and expected."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .. import fusions, sources, teachers, user_parts
from ..errors import UsageError, did_you_mean
from ..files import plain_file
from ..losses import compatibility
from ..registry import KindTable, load
from . import sequence_targets
from .networks import Network, Teacher
from .part_kinds import PARTS
from .recipe import Recipe
from .yaml_io import MAX_LEVELS, parse_yaml, read_yaml, yaml_text

EXPECTED = "a recipe (.yaml): which table, its columns as modalities, a teacher and a student"
HINT = "`suffuse init TABLE --target COLUMN` proposes one"


def read_recipe(path: Path, overrides: Sequence[str] = (), own: bool = True) -> Recipe:
    """A YAML file and ``a.b=c`` overrides -> Recipe.

    ``own``: the user gives the file, and parts of the user's own that it names are imported, except where it is that of
    a run folder; their paths start from the file's folder.

    Raises UsageError naming the file, the key, what was got and what was expected.
    """
    _refuse_table(path)
    try:
        raw = read_yaml(path)
    except FileNotFoundError:
        if path.name == "recipe.yaml":  # what is looked for in a folder that is named
            _refuse_table(path.parent)
        raise UsageError("no such recipe", where=path, hint="`suffuse init TABLE --target COLUMN` makes one") from None
    if not isinstance(raw, dict):
        got = "nothing" if raw is None else {"str": "a text", "list": "a list"}.get(type(raw).__name__, str(raw)[:40])
        raise UsageError("this file is no recipe", where=path, got=got, expected=EXPECTED, hint=HINT)
    for override in overrides:
        _override(raw, override)
    return make_recipe(with_parts(raw, path.parent) if own and not is_run(path.parent) else raw, str(path))


def with_parts(raw: dict, base: Path) -> dict:
    """A recipe that the user gives, with the files of its own parts as absolute paths; their code may be imported."""
    raw = user_parts.placed(raw, base)
    user_parts.allow_parts(*user_parts.kinds(raw))
    return raw


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return any((folder / name).exists() for name in ("run.json", "stamps", ".partial"))


def recipe_of_text(text: str, overrides: Sequence[str] = (), where: str = "recipe") -> Recipe:
    """YAML text and ``a.b=c`` overrides -> Recipe. Raises UsageError as :func:`read_recipe` does."""
    raw = parse_yaml(text)
    for override in overrides:
        _override(raw, override)
    return make_recipe(raw, where)


def _refuse_table(path: Path) -> None:
    """Raise UsageError where the path is a table and no recipe. A recipe may be JSON, which is YAML too."""
    if sources.is_table(path) and not (path.suffix.lower() == ".json" and not _is_list(path)):
        name, target = shlex.quote(str(path)), "label" if sources.is_class_folder(path) else "COLUMN"
        hint = f"`suffuse init {name} --target {target}` looks at its columns and proposes a recipe; "
        hint += f"`suffuse run {name} --target {target}` also runs it"
        raise UsageError("this is a table, and no recipe", where=path, expected=EXPECTED, hint=hint)


def _is_list(path: Path) -> bool:
    with plain_file(path).open("rb") as file:
        return file.read(2**10).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def make_recipe(raw: dict, where: str = "recipe") -> Recipe:
    """A plain dictionary -> Recipe. Raises UsageError as :func:`read_recipe` does."""
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise _usage_error(error, raw, where) from None
    for network in recipe.student.networks().values():
        for name, loss in recipe.distill.losses.items():
            compatibility.check(loss, _place(recipe, network), f"{where}: distill.losses.{name}")
    return recipe


def _place(recipe: Recipe, student: Network) -> compatibility.Place:
    """Where a recipe uses its losses; the number of classes is known from the data alone."""
    rates, is_multimodal = recipe.distill.train.modality_dropout, len(student.encoders) > 1
    dropped = is_multimodal and bool(any(rates.values()) if isinstance(rates, dict) else rates)
    targets = tuple((recipe.data.task(name).kind, None) for name in recipe.data.targets)
    gates, has_times = fusions.gates(student.fusion), sequence_targets.has_times(recipe.teacher)
    return compatibility.Place(targets, recipe.distill.train.batch, dropped, gates, has_times)


def to_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out."""
    return yaml_text(recipe.model_dump(mode="json"))


def _override(raw: dict, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError("can't read this override", where="--set", got=text, expected="a.b=value")
    *way, last = key.split(".")
    if len(way) >= MAX_LEVELS:
        raise UsageError("can't read this override", where="--set", got=f"{len(way)} dots", expected="a.b=value")
    for step in way:
        raw[step] = {} if raw.get(step) is None else raw[step]  # a resolved recipe says `none` where nothing is chosen
        raw = raw[step]
        if not isinstance(raw, dict):
            raise UsageError("no such key to set", where=f"--set {key}", got=f"'{step}' holds a value")
    try:
        raw[last] = parse_yaml(value)
    except UsageError as error:
        got = value if len(value) < 60 else value[:57] + "..."
        hint = error.message.replace("in the recipe ", "").replace("the recipe", "it")
        raise UsageError(
            "can't read this override", where=f"--set {key}", got=got, expected="YAML", hint=hint
        ) from None


def _usage_error(error: ValidationError, raw: dict, where: str) -> UsageError:
    """The first problem as a UsageError; the number of further ones in the hint."""
    problems = error.errors()
    first = problems[0]
    place = ".".join(str(p) for p in first["loc"])
    rest = f"; {len(problems) - 1} more after this" if len(problems) > 1 else ""
    at = f"{where}: {place}" if place else where
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1], raw)
        hint = (did_you_mean(str(first["loc"][-1]), known) if known else "") + rest
        return UsageError(
            "unknown key in the recipe", where=at, got=f"'{first['loc'][-1]}'", hint=hint.removeprefix("; ")
        )
    if first["type"] == "missing":
        return UsageError("a key is missing in the recipe", where=at, expected=f"'{first['loc'][-1]}'", hint=rest[2:])
    return UsageError("can't use this value in the recipe", where=at, **_got_expected(first), hint=rest[2:])


def _got_expected(problem: ErrorDetails) -> dict[str, str]:
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if problem["type"] == "value_error":
        return {"expected": message} if "got" not in message else {"got": message.removeprefix("got ")}
    value = repr(problem["input"])
    return {"got": value if len(value) < 60 else value[:57] + "...", "expected": message}


def _keys_at(way: tuple[int | str, ...], raw: Any) -> set[str]:
    """The keys that a recipe may have at this place; a part's are those of its kind. Empty where they are unknown."""
    kind: Any = Recipe
    table, tables = None, None  # of parts: by the name that is the next step, of the value itself
    for depth, step in enumerate(way):
        raw = _value_at(raw, step)
        kind, table = _below(kind, step), tables
        tables = PARTS.get(str(step)) if table is None else None
        if step == "fusion" and table is None:
            table, tables = tables, None
        if depth == 0 and step == "teacher":
            kind, table = Teacher, teachers.TABLE
        kind_name = raw.get("kind") if isinstance(raw, dict) else None
        if table and isinstance(kind_name, str) and _is_known(table, kind_name):
            kind = load(table, kind_name).Settings
    return set(next((fields for option in _alternatives(kind) if (fields := _fields(option))), ()))


def _is_known(table: dict[str, str], kind: str) -> bool:
    return kind in table or (isinstance(table, KindTable) and table.knows(kind) and user_parts.is_allowed(kind))


def _value_at(raw: Any, step: int | str) -> Any:
    """The value of a key or at a position; None where the step is pydantic's own and not the recipe's."""
    try:
        return raw[step]
    except (KeyError, IndexError, TypeError):
        return None


def _below(kind: Any, step: int | str) -> Any:
    """The type of the value of a key or at a position; None where it is unknown."""
    for option in _alternatives(kind):
        if step in (fields := _fields(option)):
            return fields[step].annotation
        if get_origin(option) in (dict, list, tuple) and get_args(option):
            return get_args(option)[get_origin(option) is dict]
    return None


def _fields(kind: Any) -> dict[Any, FieldInfo]:
    """The fields of a type of settings; none of another type."""
    return dict(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The types of a union, or the type itself."""
    if get_origin(kind) in (Union, UnionType):
        return tuple(inner for option in get_args(kind) for inner in _alternatives(option))
    return _alternatives(get_args(kind)[0]) if get_origin(kind) is Annotated else (kind,)

"""From YAML and overrides to a recipe, and back; errors in the house's words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .. import fusions, teachers
from ..errors import UsageError, did_you_mean
from ..losses import matrix
from ..parts import load
from .kinds import PARTS
from .networks import Teacher
from .whole import Recipe


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
        raw[step] = {} if raw.get(step) is None else raw[step]  # a resolved recipe says `none` where nothing is chosen
        raw = raw[step]
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
            model = next((one for one in get_args(model) if hasattr(one, "model_fields")), model)  # of ``X | None``
    return set((load(table, raw["kind"]).Settings if table else model).model_fields)

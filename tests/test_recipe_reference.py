"""docs/recipe.md describes every key of the recipe and of every part, with its default, and its examples are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from suffuse import derive, encoders, fusions, losses, modalities, teachers
from suffuse.recipe import Recipe, Teacher, make_recipe
from suffuse.registry import load, settings

PAGE = (Path(__file__).parents[1] / "docs" / "recipe.md").read_text(encoding="utf-8")
PARTS = {
    "data.derive.NAME": derive.TABLE,
    "modalities.NAME": modalities.TABLE,
    "external teachers": teachers.TABLE,
    "encoders.NAME": encoders.TABLE,
    "fusion": fusions.TABLE,
    "distill.losses.NAME": losses.TABLE,
}
KINDS = [(section, kind) for section, table in PARTS.items() for kind in table]
NO_PLAIN_DEFAULT = ("fusion", "losses", "kind")  # their default depends on other keys
BASE: dict[str, Any] = {
    "data": {"source": "rows.csv", "target": "label"},
    "modalities": {
        "picture": {"kind": "image", "column": "picture"},
        "question": {"kind": "text", "column": "question"},
    },
    "teacher": {"encoders": {"picture": {"kind": "conv"}, "question": {"kind": "gru"}}},
    "student": {"encoders": {"picture": {"kind": "conv"}, "question": {"kind": "gru"}}},
}


def sections() -> dict[str, str]:
    """Heading of the second level -> its text."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def subsection(section: str, start: str) -> str:
    """The text under the heading of the third level that has ``start`` in it."""
    parts = re.split(r"^### (.+)$", sections()[section], flags=re.M)
    return next(text for head, text in zip(parts[1::2], parts[2::2], strict=True) if start in head)


def introduction(section: str) -> str:
    """A section's text before its first heading of the third level: keys that all of its kinds have."""
    return sections()[section].partition("\n### ")[0]


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Key -> its default and description, of all tables of keys in a text."""
    found = re.findall(r"^\| `(\w+)` \| ((?:[^|\n]|\\\|)*) \| (.*) \|$", text, re.M)
    return {key: (default.strip(), description.strip()) for key, default, description in found}


def default_cell(field: FieldInfo) -> str:
    """A field's default as the page writes it."""
    if field.is_required():
        return "required"
    factory: Any = field.default_factory
    value = field.default if field.default is not PydanticUndefined else factory()
    if isinstance(value, BaseModel):
        return "see there"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value) + "]`"
    if isinstance(value, str):
        return "`" + value.replace("|", "\\|") + "`" if value else '`""`'
    return f"`{str(value).lower() if value is None or isinstance(value, bool) else value}`"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models with fields of their own that an annotation mentions."""
    model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if model and not annotation.__module__.endswith("registry"):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def recipe_models(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The heading and the model of each mapping in the recipe that isn't a part, from a model on."""
    yield path or "recipe", model
    for name, field in model.model_fields.items():
        for nested in models_in(field.annotation):
            place = ".".join(filter(None, (path, name, "NAME" if "dict" in str(field.annotation) else "")))
            yield from recipe_models(place, nested)


MODELS = [*recipe_models("", Recipe), *recipe_models("teacher", Teacher)]


def undescribed(text: str, model: type[BaseModel]) -> set[str]:
    """The keys of a model that have no description, or another default than the page says, in a text."""
    described, wrong = rows(text), set()
    for key, field in model.model_fields.items():
        default, description = described.get(key, ("", ""))
        plain = default == default_cell(field) or key in NO_PLAIN_DEFAULT
        if not plain or len(description) < 5 or description[-1] not in ".:":
            wrong.add(f"{key} {default_cell(field)}")
    return wrong


def test_the_walk_finds_the_nested_sections() -> None:
    paths = {path for path, _ in MODELS}
    assert {
        "recipe",
        "data.split.hold_out",
        "data.tasks.NAME",
        "distill.baseline.train",
        "distill.schedules.NAME",
    } <= paths
    assert {"teacher", "teacher.train", "student", "export.limits"} <= paths


@pytest.mark.parametrize(("path", "model"), MODELS, ids=[path for path, _ in MODELS])
def test_every_key_of_the_recipe_is_described(path: str, model: type[BaseModel]) -> None:
    text = next(text for head, text in sections().items() if path in head.split(", "))
    assert not undescribed(text.partition("\n### ")[0], model)


@pytest.mark.parametrize(("section", "kind"), KINDS)
def test_every_key_of_a_part_is_described(section: str, kind: str) -> None:
    model: type[BaseModel] = load(PARTS[section], kind).Settings
    own, *tables = subsection(section, f"`kind: {kind}`").split("\nKeys of ")
    nested = dict(nested_models(model))
    assert not undescribed(introduction(section) + own, model)
    if section == "external teachers" and "inputs" in nested:
        tables = [f"`{name}`{subsection(section, '`inputs.NAME`')}" for name in nested]
    assert {table.split("`")[1] for table in tables} == set(nested)
    for table in tables:
        assert not undescribed(table, nested[table.split("`")[1]])


def nested_models(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The mappings below a model, at any depth, by their keys."""
    for name, field in model.model_fields.items():
        for nested in models_in(field.annotation):
            yield name, nested
            yield from nested_models(nested)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """A mapping with another one's values on top; a teacher from outside replaces the network."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict) and "kind" not in value
        result[key] = merged(result[key], value) if both else value
    return result


@pytest.mark.parametrize("section", [head for head in sections() if head != "Contents"])
def test_every_section_has_a_valid_example(section: str) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```$", introduction(section), re.M | re.S)
    assert examples
    for example in examples:
        raw = yaml.safe_load(example)
        for name, part in raw.get("modalities", {}).items():
            settings(modalities.TABLE, part)
            raw = raw if name in BASE["modalities"] else {k: v for k, v in raw.items() if k != "modalities"}
        make_recipe(merged(BASE, raw), section)


@pytest.mark.parametrize(("section", "kind"), KINDS)
def test_every_part_has_a_valid_example(section: str, kind: str) -> None:
    example = re.search(r"^Example: `(.+)`$", subsection(section, f"`kind: {kind}`"), re.M)
    assert example
    (part,) = yaml.safe_load(example[1]).values()
    assert settings(PARTS[section], part) and (part["kind"] == kind or kind == "lstm")


def test_the_contents_name_every_section() -> None:
    contents = sections()["Contents"]
    assert [head for head in sections() if head != "Contents"] == re.findall(r"^- \[(.+?)\]\(#", contents, re.M)
    assert all(re.search(rf"[ :,]{kind}(,|$)", contents, re.M) for _, kind in KINDS)

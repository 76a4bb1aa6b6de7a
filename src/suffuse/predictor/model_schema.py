"""What a loaded model takes and gives, as plain lists and dictionaries: for a server, a page, or a person."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from ..types import Head
from .input_encoding import Derivation, Input
from .loader import Facts

TYPES = {"image": "image", "text": "text", "audio": "audio", "sequence": "series"}


def describe(
    heads: Collection[Head], inputs: Collection[Input], derived: Mapping[str, Derivation], facts: Facts
) -> dict[str, Any]:
    """The keys are settled in docs/predict.md. JSON as it is: no NaN, no infinity."""
    limits = {key: getattr(facts.limits, key) for key in facts.limits.__dataclass_fields__}
    return {
        "name": facts.name,
        "form": facts.form,
        "inputs": [
            {
                "name": one.field.name,
                "kind": one.field.kind,
                "columns": [_derived(c, derived) for c in _columns(one)],
                "optional": True,
            }
            for one in inputs
        ],
        "targets": [{"name": h.name, "kind": h.kind, "classes": list(h.classes)} for h in heads],
        "limits": {**{k: v if math.isfinite(v) else None for k, v in limits.items()}, "records": facts.records},
    }


def _columns(one: Input) -> list[dict[str, Any]]:
    if one.field.kind == "tabular":
        return [_cell(column) for column in one.field.statistics["columns"]]
    found = [{"name": name, "type": TYPES[one.field.kind], "choices": []} for name in one.settings.columns]
    places = one.field.statistics.get("places", 1)
    if places > 1 and len(found) == 1:
        found[0]["most"] = places  # a list of so many pictures
    return found


def _cell(column: Mapping[str, Any]) -> dict[str, Any]:
    """A column of a table: a number with the bounds that it is pulled into, a category with its known values, or a
    date, which is written as text."""
    if column["type"] == "category":
        return {"name": column["name"], "type": "category", "choices": list(column["names"])}
    if column["type"] == "date":
        return {"name": column["name"], "type": "text", "choices": [], "format": "date"}
    bounds = {"low": column["low"][0], "high": column["high"][0]}
    return {"name": column["name"], "type": "number", "choices": [], **bounds}


def _derived(column: dict[str, Any], derived: Mapping[str, Derivation]) -> dict[str, Any]:
    one = derived.get(column["name"])
    return column if one is None else {**column, "derived_from": one.settings.column}

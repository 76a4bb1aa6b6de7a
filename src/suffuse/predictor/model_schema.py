"""The inputs and outputs of a loaded model as plain lists and dictionaries, for a server or a page."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from ..types import Head
from .input_encoding import Derivation, Input
from .loader import Facts

TYPES = {"image": "image", "audio": "audio", "sequence": "series"}  # of a column; of other kinds: text


def describe(
    heads: Collection[Head], inputs: Collection[Input], derived: Mapping[str, Derivation], facts: Facts
) -> dict[str, Any]:
    """Inputs and targets under the keys that docs/predict.md lists, as strict JSON: no NaN, no infinity."""
    limits = {key: getattr(facts.limits, key) for key in facts.limits.__dataclass_fields__}
    return {
        "name": facts.name,
        "form": facts.form,
        "device": facts.device,
        "inputs": [
            {
                "name": model_input.field.name,
                "kind": model_input.field.kind,
                "columns": [_derived(c, derived) for c in _columns(model_input)],
                "optional": True,
            }
            for model_input in inputs
        ],
        "targets": [{"name": h.name, "kind": h.kind, "classes": list(h.classes)} for h in heads],
        "limits": {**{k: v if math.isfinite(v) else None for k, v in limits.items()}, "records": facts.records},
    }


def _columns(model_input: Input) -> list[dict[str, Any]]:
    if model_input.field.kind == "tabular":
        return [_cell(column) for column in model_input.field.statistics["columns"]]
    columns: list[dict[str, Any]] = [
        {"name": name, "type": TYPES.get(model_input.field.kind, "text"), "choices": []}
        for name in model_input.settings.columns
    ]
    places = model_input.field.statistics.get("places", 1)
    if places > 1 and len(columns) == 1:
        columns[0]["most"] = places  # a list of so many pictures
    return columns


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
    derivation = derived.get(column["name"])
    return column if derivation is None else {**column, "derived_from": derivation.settings.column}

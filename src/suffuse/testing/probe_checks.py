"""What every probe keeps to: plain data in JSON, the same the second time, and the data left unchanged."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ..evaluation import load_probe
from ..evaluation.context import Context


def check_result(kind: str, context: Context, timed: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Ask a probe twice. ``timed``: its fields that no two measurements share. Returns what it gave."""
    part: Any = load_probe(kind)
    before = context.columns.present.copy(), context.columns.entry.copy(), context.columns.target.copy()
    found = part.probe(replace(context, cache={}))
    assert found and set(found) <= set(context.models), "a probe gives fields to models of the context, at least one"
    named = {key for card in found.values() for key in card} - {"not_measured"}
    assert named == set(part.FIELDS), f"fields {sorted(named)}, FIELDS names {sorted(part.FIELDS)}"
    assert json.loads(json.dumps(found)) == found, "fields are lists, dictionaries, numbers and texts, no arrays"
    assert all(math.isfinite(x) for x in leaves(found) if isinstance(x, float)), "a number isn't finite"
    again = part.probe(replace(context, cache={}))
    assert _untimed(again, timed) == _untimed(found, timed), "the second call gives other fields"
    after = context.columns.present, context.columns.entry, context.columns.target
    assert all((a == b).all() for a, b in zip(before, after, strict=True)), "the probe changes the data"
    return found


def leaves(value: Any) -> list[Any]:
    """The values in nested dictionaries and lists."""
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]


def _untimed(found: dict[str, dict[str, Any]], timed: Collection[str]) -> str:
    return json.dumps({who: {k: v for k, v in card.items() if k not in timed} for who, card in found.items()})

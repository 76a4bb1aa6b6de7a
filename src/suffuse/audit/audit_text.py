"""The audit for people and for other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from .items import BROKEN, KEPT, MISSING, TESTED, UNCHECKED, WARNING, Found

STATES = (KEPT, WARNING, BROKEN, TESTED, MISSING, UNCHECKED)


def lines(found: Sequence[Found]) -> Iterator[str]:
    """One line for each item, under its area; last how many stand how."""
    area = ""
    for one in found:
        if one.item.area != area:
            if area:
                yield ""
            yield one.item.area
            area = one.item.area
        mark = one.state.upper() if one.state in (WARNING, BROKEN) else one.state
        yield f"  {one.item.number:>2}  {mark:<9} {one.item.says}"
        yield f"                 {one.fact}"
    count = Counter(one.state for one in found)
    yield ""
    yield ", ".join(f"{count[state]} {state}" for state in STATES if count[state])


def to_json(found: Sequence[Found]) -> list[dict]:
    """Plain values."""
    return [{**asdict(one.item), "state": one.state, "fact": one.fact} for one in found]

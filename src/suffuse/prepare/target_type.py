"""What the target's column holds: classes, any number of labels, or a number; judged by its cells."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import UsageError
from ..types import CLASSES, LABELS, NUMBER
from .column_types import FEW, Column, is_number, percent, short
from .row_labels import MOST_CLASSES

SEPARATORS = (";", "|", ",")
OFTEN = 0.1  # of the cells must hold several labels
REPEATS = 3  # how often a label must stand there, on average


@dataclass(frozen=True)
class Goal:
    """The kind of the target, its entry in ``data.tasks`` (none of classes), and what people read of it."""

    kind: str
    task: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def goal(column: Column) -> Goal:
    """Of a target's column. Raises UsageError where there is nothing to predict."""
    where, cells = f"column '{column.name}'", [v for v in column.cells if v is not None]
    if not column.cells:
        raise UsageError("this target can't be predicted", where=where, got=column.reason, expected="one label a row")
    found, without = Counter(cells), len(column.cells) - len(cells)
    rest = f"; {without:,} rows have no label" if without else ""
    if len(found) < 2:
        got = f"only '{short(next(iter(found)))}'" if found else "no label at all"
        raise UsageError("nothing to learn", where=where, got=got, expected="two classes or more")
    if measured(found):
        values = np.array([float(v) for v in cells])
        size = np.abs(values).max() or 1.0  # of numbers near the largest there is, no difference overflows
        low, middle, high = np.quantile(values / size, [0, 0.5, 1]) * size
        return Goal(NUMBER, {"kind": NUMBER}, f"a number, {low:g} to {high:g}, half of them below {middle:g}{rest}")
    if (several := tagged(cells)) is not None:
        task, counts = several
        name, count = counts.most_common(1)[0]
        said = f"{len(counts):,} labels, about {counts.total() / len(cells):.2g} a row, "
        said += f"the commonest '{short(name)}' in {percent(count / len(cells))} of rows"
        return Goal(LABELS, task, said + rest)
    if len(found) > FEW and len(found) > min(MOST_CLASSES, len(cells) / 2):
        raise UsageError(
            "this target has no classes", where=where, got=f"{len(found):,} different values in {len(cells):,} rows",
            expected="labels that repeat, or numbers",
        )  # fmt: skip
    name, count = found.most_common(1)[0]
    said = f"{len(found):,} classes, the commonest '{short(name)}' in {percent(count / len(cells))} of rows"
    return Goal(CLASSES, {}, said + rest)


def measured(found: Counter) -> bool:
    """Whether these labels are measured numbers: many different ones, with fractions or hardly repeated."""
    if len(found) <= FEW or not all(is_number(label) for label in found):
        return False
    return any(float(label) % 1 for label in found) or 5 * len(found) > found.total()


def tagged(cells: Sequence[str]) -> tuple[dict[str, Any], Counter] | None:
    """Whether the cells hold any number of labels each: (the task, how often each label stands there).

    JSON lists do. Texts do where a separator stands in many of them, the number of parts varies (`Tops, women` and
    `Tops, men` are classes), and the parts repeat; a comma, which stands in names too, only where there would be many
    classes otherwise.
    """
    lists = [_listed(cell) for cell in cells]
    if all(one is not None for one in lists):
        return _repeated({"kind": LABELS}, [one for one in lists if one is not None])
    for separator in SEPARATORS:
        parts = [[p.strip() for p in cell.split(separator) if p.strip()] for cell in cells]
        sizes = Counter(map(len, parts))
        often = sum(separator in cell for cell in cells) >= OFTEN * len(cells)
        varies = len(cells) - max(sizes.values()) >= OFTEN / 2 * len(cells)
        if often and varies and (separator != "," or len(set(cells)) > FEW):
            made = _repeated({"kind": LABELS, "separator": separator}, parts)
            if made is not None and len(made[1]) < len(set(cells)):
                return made
    return None


def _repeated(task: dict[str, Any], parts: Sequence[Sequence[str]]) -> tuple[dict[str, Any], Counter] | None:
    counts = Counter(label for one in parts for label in set(one))
    enough = 2 <= len(counts) <= MOST_CLASSES and counts.total() >= REPEATS * len(counts)
    return (task, counts) if enough else None


def _listed(cell: str) -> list[str] | None:
    """The texts of a JSON list; None where it is none."""
    if cell.startswith("["):
        with contextlib.suppress(json.JSONDecodeError):
            found = json.loads(cell)
            if isinstance(found, list) and all(isinstance(one, str) for one in found):
                return [one.strip() for one in found if one.strip()]
    return None

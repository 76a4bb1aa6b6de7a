"""Derived columns: those that are quick are made, of slow ones (a transcript) a few cells, to see how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ... import derive, sources
from ...modalities.cell import Root
from ...recipe import Data
from ...registry import DeriveSettings, load
from .. import derived_columns
from ..derived_columns import Derived, Maker

FEW = 8  # cells of a slow column that are made
SECONDS = 10.0  # after which no further one is


@dataclass
class Made:
    """The table with its derived columns, and what is told of them."""

    derived: Derived
    some: dict[str, np.ndarray] = field(default_factory=dict)  # column of which only some rows were made -> these rows
    told: list[dict[str, Any]] = field(default_factory=list)


def make(data: Data, rows: sources.Rows, labels: list[str], root: Root, tell: Callable[[float, str], None]) -> Made:
    """All derived columns, in the recipe's order; nothing is written. Raises UsageError as prepare would."""
    made = Made(Derived(rows))
    for name, settings in data.derive.items():
        part: Any = load(derive.TABLE, settings.kind)
        source, before = settings.column, made.derived
        start = time.perf_counter()
        if hasattr(part, "content") or source in made.some:
            part.ready(settings)
            facts = part.fit(settings, labels)
            rows_made = _few(made, name, Maker(part, settings, facts, root, None))
            cells, which = len(rows_made), f"{len(rows_made):,} cells were made here, to see how long it takes"
        else:
            after = derived_columns.add(before.rows, {name: settings}, labels, root, Path(), tell)
            made.derived = Derived(after.rows, before.facts | after.facts, before.failed + after.failed)
            cells, which = len(rows.line), "all cells"
        each = (time.perf_counter() - start) / max(cells, 1)
        made.told.append(_facts(name, settings, which, each * len(rows.line)))
    return made


def _facts(name: str, settings: DeriveSettings, which: str, seconds: float) -> dict[str, Any]:
    return {"name": name, "kind": settings.kind, "from": settings.column, "made": which, "seconds": seconds}


def _few(made: Made, name: str, one: Maker) -> np.ndarray:
    """Make a few cells, of the rows that have a source; the others stay empty."""
    rows, start = made.derived.rows, time.perf_counter()
    cells = rows.table.column(one.settings.column)
    there = made.some.get(one.settings.column, np.flatnonzero(np.array(cells.is_valid().to_pylist(), dtype=bool)))
    order = np.sort(np.random.default_rng(0).permutation(there)[:FEW])
    values: list[str | None] = [None] * len(cells)
    done = []
    for row in order:
        values[row], reason = one(cells[int(row)].as_py())
        done.append(row)
        if reason:
            made.derived.failed.append((int(row), name, reason))
        if time.perf_counter() - start > SECONDS:
            break
    table = rows.table.append_column(name, pa.array(values, pa.large_string()))
    made.derived.rows = replace(rows, table=table)
    made.some[name] = np.array(done, dtype=np.int64)
    return made.some[name]

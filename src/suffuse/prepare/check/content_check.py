"""A modality's cells, read as prepare reads them: all of them where that is quick, else a sample. Nothing is kept."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ... import sources
from ...modalities import ModalityPart, load_modality
from ...modalities.cell import Root, is_empty
from ...modalities.ragged import Ragged
from ...registry import ModalitySettings
from ...types import Field
from ..cell_cleaning import (
    ABSENT,
    PARTLY,
    UNREADABLE,
    Cleaned,
    ReadCells,
    assign_slots,
    distinct_cells,
    load_cell,
)
from .findings import Modality

SAMPLE = 200  # cells that are timed, and whose items statistics are fitted to
TEXTS = 5000  # items of no fixed shape that are kept for that
SECONDS = 3.0  # that a sample may take
FULL_READ_SECONDS = 8.0  # seconds in which all cells are read
PIECE = 512
REASONS = 8  # that are listed one by one
REMAINING_REASONS = "other reasons"

Problem = tuple[int, str, str]  # the position of a cell among those that were read, the reason, and its details


@dataclass(frozen=True)
class Contents:
    """A modality's cells: facts, and rows as :class:`suffuse.prepare.row_state.Draft` takes them."""

    facts: Modality
    field: Field | None  # as a network would be built for it; None where nothing could be read
    entries: np.ndarray  # (U, ...) of some cells, as a network gets them
    cleaned: Cleaned  # where not all were read: equal cells are equal contents, and only empty ones are absent


@dataclass
class SampledCells:
    """The facts that were read of some cells so far, in their order."""

    cells: ReadCells
    problems: dict[int, tuple[str, str]] = field(default_factory=dict)  # position -> what kind of problem, and why
    items: list = field(default_factory=list)  # of some
    positions: list[int] = field(default_factory=list)  # the position of each of them among the cells

    def add(self, kind: str, digest: str | None, reason: str) -> None:
        """The next cell."""
        if kind:
            self.problems[self.cells.count] = (kind, reason)
        self.cells.add([(digest, reason)])

    def keep(self, item: Any) -> None:
        """The item of the cell that was added last."""
        self.items.append(item)
        self.positions.append(self.cells.count - 1)


def read_contents(
    name: str,
    settings: ModalitySettings,
    rows: sources.Rows,
    root: Path | Root,
    full: bool,
    tell: Callable[[float], None],
) -> Contents:
    """Read the cells of a modality. ``full``: all of them, however long it takes."""
    cells = sources.cells(rows, settings.column, f"modalities.{name}.column")
    part = load_modality(settings.kind)
    different, which = distinct_cells(cells)
    sample = np.sort(np.random.default_rng(0).permutation(len(different))[:SAMPLE])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders warn of what becomes a reason
        sampled, seconds = _read_timed(part, settings, different.take(pa.array(sample)).to_pylist(), root)
        seconds_each = seconds / max(sampled.cells.count, 1)
        is_full = full or seconds_each * len(different) / workers() <= FULL_READ_SECONDS
        if is_full:
            sampled = _read_every_cell(part, settings, different, root, tell)
    slots = np.arange(len(different)) if is_full else sample[: sampled.cells.count]
    _, first, times = np.unique(which, return_index=True, return_counts=True)
    times = times[slots] if is_full else np.ones(len(slots), dtype=int)  # of a sample, cells are counted
    statistics, entries, size, losses = _fitted(part, settings, sampled.items)
    steps = list(part.explain(settings, statistics)) if statistics else []
    problems = _problems(sampled, losses, times)
    counted = [_count_reasons(problems[kind], times, first[slots], rows.line) for kind in (ABSENT, UNREADABLE, PARTLY)]
    absent, unreadable, partly = (counts for counts, _ in counted)
    first_lines = {reason: location for _, positions in counted for reason, location in positions.items()}
    counts = (absent, unreadable, partly, first_lines)
    sizes = (len(different), len(slots), is_full)
    facts = Modality(name, settings.kind, settings.columns, *sizes, *counts, steps, seconds_each, size)
    field_ = Field(name, settings.kind, statistics) if statistics else None
    cleaned = assign_slots(sampled.cells, which, None) if is_full else _distinct_contents(different, which)
    return Contents(facts, field_, entries, cleaned)


def workers() -> int:
    """Threads' worth of reading: they share a lock, so two are not twice as fast."""
    return max(1, (os.cpu_count() or 1) // 2)


def _read_timed(
    part: ModalityPart, settings: ModalitySettings, values: list, root: Path | Root
) -> tuple[SampledCells, float]:
    """Cells that are read one after the other within ``SECONDS``, and the seconds that it took."""
    sampled, start = SampledCells(ReadCells.of(len(values))), time.perf_counter()
    for value in values:
        kind, digest, reason, item = load_cell(part, settings, value, root)
        sampled.add(kind, digest, reason)
        if item is not None:
            sampled.keep(item)
        if time.perf_counter() - start > SECONDS:
            break
    return sampled, time.perf_counter() - start


def _read_every_cell(
    part: ModalityPart,
    settings: ModalitySettings,
    cells: pa.ChunkedArray | pa.Array,
    root: Path | Root,
    tell: Callable[[float], None],
) -> SampledCells:
    """All cells; evenly spread items of them are kept."""
    sampled, fixed = SampledCells(ReadCells.of(len(cells))), part.stored(settings) is not None
    step = max(1, len(cells) // (SAMPLE if fixed else TEXTS))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(cells), PIECE):
            values = cells.slice(start, PIECE).to_pylist()
            # a thread costs more than reading a text
            read = (pool.map if fixed else map)(lambda value: load_cell(part, settings, value, root), values)
            for number, (kind, digest, reason, item) in enumerate(read, start):
                sampled.add(kind, digest, reason)
                if item is not None and number % step == 0:
                    sampled.keep(item)
            tell(sampled.cells.count / len(cells))
    return sampled


def _distinct_contents(cells: pa.ChunkedArray | pa.Array, which: np.ndarray) -> Cleaned:
    """Contents of cells that aren't read: empty ones are absent, each other is its own content."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        empty = np.array([is_empty(value) for value in cells.to_pylist()], dtype=bool)
    else:
        empty = np.array(cells.is_null().to_pylist(), dtype=bool)
    return unread_contents(np.where(empty, -1, np.arange(len(cells)))[which], len(cells))


def unread_contents(entry: np.ndarray, slots: int) -> Cleaned:
    """Rows (N,) whose contents were not read: the slot of each, -1 where it is absent."""
    digests = np.zeros((slots, 16), dtype=np.uint8)
    digests[:, :8] = np.arange(slots, dtype=np.uint64)[:, None].view(np.uint8)
    return Cleaned(entry, dict.fromkeys(np.flatnonzero(entry < 0).tolist(), "empty cell"), digests, None)


def _problems(sampled: SampledCells, losses: list[tuple[int, str, str]], times: np.ndarray) -> dict[str, list[Problem]]:
    """Kind of problem -> all problems of this kind. ``losses``: (item, column, reason), losses that only the statistics
    show; ``times`` (C,): how many rows each of the cells that were read stands for."""
    problems: dict[str, list[Problem]] = {ABSENT: [], UNREADABLE: [], PARTLY: []}
    for position, (kind, text) in sampled.problems.items():
        reason, _, details = text.partition(": ")
        problems[kind].append((position, reason, details))
    extent = f"of {times[sampled.positions].sum():,} that were read" if losses else ""
    for item, column, text in losses:
        reason, _, details = text.partition(": ")
        problems[PARTLY].append((sampled.positions[item], f"{column}: {reason}, {extent}", details))
    return problems


def _count_reasons(
    problems: list[Problem], times: np.ndarray, first: np.ndarray, lines: list[int]
) -> tuple[dict[str, int], dict[str, str]]:
    """Reason -> how many rows it holds for, and reason -> where it holds first. ``times``, ``first`` (C,): of each cell
    that was read, how many rows it stands for, and the first row that has it."""
    counts: Counter[str] = Counter()
    first_rows: dict[str, tuple[int, str]] = {}
    for position, reason, details in problems:
        counts[reason] += int(times[position])
        first_rows[reason] = min(first_rows.get(reason, (len(lines), "")), (int(first[position]), details))
    return _commonest(counts), {reason: _location(lines[row], details) for reason, (row, details) in first_rows.items()}


def _location(line: int, details: str) -> str:
    return f"line {line}" + (f": {details}" if details else "")


def _commonest(counts: Counter) -> dict[str, int]:
    """The commonest reasons, and all others together."""
    commonest = dict(counts.most_common(REASONS))
    remaining = counts.total() - sum(commonest.values())
    return commonest | ({REMAINING_REASONS: remaining} if remaining else {})


def _fitted(
    part: ModalityPart, settings: ModalitySettings, items: list
) -> tuple[dict, np.ndarray, float, list[tuple[int, str, str]]]:
    """(statistics of these items, entries as a network gets them, bytes of one as it is stored, losses that only the
    statistics show: (item, column, reason) of each)."""
    if not items:
        return {}, np.empty(0), 0.0, []
    stored = part.stored(settings)
    stacked: Any = items
    if stored is not None and stored[0][0] is None:
        length = np.array([len(item) for item in items], dtype=np.int64)
        stacked = Ragged(np.concatenate(items), np.cumsum(length) - length, length)
    elif stored is not None:
        stacked = np.stack(items)
    statistics = part.fit(settings, stacked)
    entries = np.asarray(part.encode(settings, statistics, items))
    stored_bytes = sum(np.asarray(item).nbytes for item in items) if stored is not None else entries.nbytes
    problems = part.problems(settings, statistics, items)
    return statistics, entries, stored_bytes / len(items), problems

"""The recipe's derived columns. Each distinct cell of a source column is derived once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import derive, sources
from ..errors import UsageError
from ..modalities.cell import Absent, Root, Unreadable
from ..registry import DeriveSettings, implements
from .cell_cleaning import distinct_cells

PIECE = 4096


@dataclass
class Derived:
    """The table with its derived columns, what they were made with, and the cells that couldn't be made."""

    rows: sources.Rows
    facts: dict[str, dict] = field(default_factory=dict)  # column -> settings and facts, for an exported student
    failed: list[tuple[int, str, str]] = field(default_factory=list)  # (row, column, reason)


def add(
    rows: sources.Rows,
    settings_by_name: Mapping[str, DeriveSettings],
    labels: Sequence[str],
    root: Path | Root,
    memory: Path,
    tell: Callable[[float, str], None],
) -> Derived:
    """All derived columns, in the recipe's order, so that one may be made from an earlier one.

    ``labels`` are those of the rows that may be training rows; in the folder ``memory`` slow results are kept.
    Raises UsageError where a source isn't there, a name is taken, or a library isn't installed.
    """
    derived = Derived(rows)
    parts = {name: derive.load_derivation(settings.kind) for name, settings in settings_by_name.items()}
    names = list(rows.table.column_names)
    for name, settings in settings_by_name.items():
        where = f"data.derive.{name}"
        if name in names:
            raise UsageError("the table has a column of this name", where=where, hint="choose another name for it")
        if settings.column not in names:
            sources.column(rows, settings.column, f"{where}.column")
        parts[name].ready(settings)
        names.append(name)
    for number, (name, settings) in enumerate(settings_by_name.items()):

        def share(part: float, number: int = number, name: str = name) -> None:
            tell((number + part) / len(settings_by_name), f"deriving {name}")

        facts = parts[name].fit(settings, labels)
        derived.facts[name] = {"settings": settings.model_dump(mode="json"), "facts": facts}
        kept = Memory(memory / f"{settings.kind}.jsonl", settings) if implements(parts[name], "content") else None
        maker = Maker(parts[name], settings, facts, root, kept)
        _add(derived, name, maker, share)
    return derived


def _add(derived: Derived, name: str, maker: Maker, tell: Callable[[float], None]) -> None:
    cells, which = distinct_cells(derived.rows.table.column(maker.settings.column))
    chunks, reasons = [], {}
    for start in range(0, len(cells), PIECE):
        texts = []
        for slot, value in enumerate(cells.slice(start, PIECE).to_pylist(), start):
            text, reason = maker(value)
            texts.append(text)
            if reason:
                reasons[slot] = reason
        chunks.append(pa.array(texts, pa.large_string()))
        tell(min(start + PIECE, len(cells)) / len(cells))
    column = pa.chunked_array(chunks, pa.large_string()).take(pa.array(which))
    derived.rows = replace(derived.rows, table=derived.rows.table.append_column(name, column))
    for row in np.flatnonzero(np.isin(which, list(reasons))):
        derived.failed.append((int(row), name, reasons[int(which[row])]))


@dataclass(frozen=True)
class Maker:
    """One derivation, ready to be called with a cell."""

    part: derive.DerivationPart
    settings: DeriveSettings
    facts: dict
    root: Path | Root
    memory: Memory | None

    def __call__(self, value: Any) -> tuple[str | None, str]:
        """(text, "") or (None, why not); no reason where the source is empty."""
        try:
            if self.memory is None:
                return self.part.make(self.settings, self.facts, value, self.root), ""
            key = self.memory.key(self.part.content(self.settings, value, self.root))
            if key not in self.memory.results:
                self.memory.keep(key, self._make(value))
            return self.memory.results[key]
        except (Absent, Unreadable) as error:
            return None, "" if str(error) == "empty cell" else str(error)

    def _make(self, value: Any) -> tuple[str | None, str]:
        try:
            return self.part.make(self.settings, self.facts, value, self.root), ""
        except (Absent, Unreadable) as error:
            return None, str(error)


class Memory:
    """Results by the hash of their inputs, one line each, written at once. A preparation that was killed, or whose
    recipe was edited, derives nothing twice."""

    def __init__(self, file: Path, settings: DeriveSettings):
        options = settings.model_dump(mode="json", exclude={"column"})
        salt = json.dumps([options, _version(settings.kind)], sort_keys=True).encode()
        self.salt = hashlib.blake2b(salt, digest_size=32).digest()
        self.file, self.results = file, {}
        file.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes() if file.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]  # an incomplete last line is cut off
        for line in complete.splitlines():
            key, text, reason = json.loads(line)
            self.results[key] = (text, reason)
        if len(complete) < len(content):
            file.write_bytes(complete)

    def key(self, content: bytes) -> str:
        """Hash of what a result depends on: the content, the settings and the library."""
        return hashlib.blake2b(
            content, key=hashlib.blake2b(self.salt, digest_size=32).digest(), digest_size=16
        ).hexdigest()

    def keep(self, key: str, result: tuple[str | None, str]) -> None:
        """Store a result."""
        self.results[key] = result
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, *result]) + "\n")


def _version(kind: str) -> str:
    library = derive.load_derivation(kind).LIBRARY
    try:
        return metadata.version(library) if library else ""
    except metadata.PackageNotFoundError:
        return ""

"""The recipe's derived columns, made from the table's own: each distinct cell once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from .. import derive, sources
from ..errors import UsageError
from ..modalities.cell import Absent, Root, Unreadable
from ..registry import DeriveSettings
from ..registry import load as load_part
from .cell_cleaning import told_apart

PIECE = 4096


@dataclass
class Derived:
    """The table with its derived columns, what they were made with, and the cells that couldn't be made."""

    rows: sources.Rows
    facts: dict[str, dict] = field(default_factory=dict)  # column -> settings and facts, for an exported student
    failed: list[tuple[int, str, str]] = field(default_factory=list)  # (row, column, reason)


def add(
    rows: sources.Rows,
    asked: Mapping[str, DeriveSettings],
    labels: Sequence[str],
    root: Path | Root,
    memory: Path,
    tell: Callable[[float, str], None],
) -> Derived:
    """All derived columns, in the recipe's order, so that one may be made from an earlier one.

    ``labels`` are those of the rows that may be training rows; in the folder ``memory`` slow results are kept.
    Raises UsageError where a source isn't there, a name is taken, or a library isn't installed.
    """
    made = Derived(rows)
    parts = {name: load_part(derive.TABLE, settings.kind) for name, settings in asked.items()}
    names = list(rows.table.column_names)
    for name, settings in asked.items():
        where = f"data.derive.{name}"
        if name in names:
            raise UsageError("the table has a column of this name", where=where, hint="choose another name for it")
        if settings.column not in names:
            sources.column(rows, settings.column, f"{where}.column")
        parts[name].ready(settings)
        names.append(name)
    for number, (name, settings) in enumerate(asked.items()):

        def share(part: float, number: int = number, name: str = name) -> None:
            tell((number + part) / len(asked), f"deriving {name}")

        facts = parts[name].fit(settings, labels)
        made.facts[name] = {"settings": settings.model_dump(mode="json"), "facts": facts}
        kept = Memory(memory / f"{settings.kind}.jsonl", settings) if hasattr(parts[name], "content") else None
        one = Maker(parts[name], settings, facts, root, kept)
        _add(made, name, one, share)
    return made


def _add(made: Derived, name: str, one: Maker, tell: Callable[[float], None]) -> None:
    cells, which = told_apart(made.rows.table.column(one.settings.column))
    chunks, reasons = [], {}
    for start in range(0, len(cells), PIECE):
        texts = []
        for slot, value in enumerate(cells.slice(start, PIECE).to_pylist(), start):
            text, reason = one(value)
            texts.append(text)
            if reason:
                reasons[slot] = reason
        chunks.append(pa.array(texts, pa.large_string()))
        tell(min(start + PIECE, len(cells)) / len(cells))
    column = pa.chunked_array(chunks, pa.large_string()).take(pa.array(which))
    made.rows = replace(made.rows, table=made.rows.table.append_column(name, column))
    for row in np.flatnonzero(np.isin(which, list(reasons))):
        made.failed.append((int(row), name, reasons[int(which[row])]))


@dataclass(frozen=True)
class Maker:
    """One derivation, ready to be called with a cell."""

    part: ModuleType
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
            if key not in self.memory.found:
                self.memory.keep(key, self._made(value))
            return self.memory.found[key]
        except (Absent, Unreadable) as error:
            return None, "" if str(error) == "empty cell" else str(error)

    def _made(self, value: Any) -> tuple[str | None, str]:
        try:
            return self.part.make(self.settings, self.facts, value, self.root), ""
        except (Absent, Unreadable) as error:
            return None, str(error)


class Memory:
    """Results by the hash of what they were made from, a line each, written as they come: a killed preparation, or
    one of an edited recipe, makes none twice."""

    def __init__(self, file: Path, settings: DeriveSettings):
        said = settings.model_dump(mode="json", exclude={"column"})
        salt = json.dumps([said, _version(settings.kind)], sort_keys=True).encode()
        self.salt = hashlib.blake2b(salt, digest_size=32).digest()
        self.file, self.found = file, {}
        file.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes() if file.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]  # a line that was cut off is taken away
        for line in whole.splitlines():
            key, text, reason = json.loads(line)
            self.found[key] = (text, reason)
        if len(whole) < len(content):
            file.write_bytes(whole)

    def key(self, content: bytes) -> str:
        """Of what a result depends on: the content, the settings and the library."""
        return hashlib.blake2b(
            content, key=hashlib.blake2b(self.salt, digest_size=32).digest(), digest_size=16
        ).hexdigest()

    def keep(self, key: str, result: tuple[str | None, str]) -> None:
        """Write a result down."""
        self.found[key] = result
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, *result]) + "\n")


def _version(kind: str) -> str:
    part: Any = load_part(derive.TABLE, kind)
    try:
        return metadata.version(part.LIBRARY)
    except (AttributeError, metadata.PackageNotFoundError):
        return ""

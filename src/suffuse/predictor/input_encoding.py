"""A modality's cells -> the model's entries, by the code that prepared the training data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..derive import DerivationPart
from ..errors import UsageError
from ..modalities import ModalityPart
from ..modalities.cell import Absent, Root, Unreadable
from ..paths import leads_inside
from ..registry import DeriveSettings, ModalitySettings
from ..types import Field


@dataclass(frozen=True)
class Input:
    """One modality of an export."""

    field: Field
    settings: ModalitySettings
    part: ModalityPart


@dataclass(frozen=True)
class Derivation:
    """How a column is derived that a record lacks."""

    settings: DeriveSettings
    part: DerivationPart
    facts: dict[str, Any]

    def check_files(self, name: str, allowed: str | Path | None) -> None:
        """Raise UsageError where the column ``name`` is made with files outside of the folder that the caller allows.
        Their paths come from an export or a run, which may be somebody else's."""
        for key, file in self.settings.opened().items():
            if allowed is None or not leads_inside(Path(file), Path(allowed)):
                raise UsageError(
                    "the model names a file that may not be opened", where=f"derive: {name}: {key}", got=file,
                    expected="no file" if allowed is None else f"a path below {allowed}",
                    hint="allow the folder that holds it: `--model-files FOLDER`, or `model_files` of `Predictor.load`",
                )  # fmt: skip


@dataclass(slots=True)
class Encoded:
    """B cells of one modality as the model takes them. An absent slot holds zeros, which change no output."""

    entries: np.ndarray  # (B, ...)
    absent: dict[int, str]  # row -> why
    unreadable: set[int]  # rows, absent or partly used, in which something stands that can't be read
    partly: dict[int, str]  # row -> what was left out of a cell that is used
    unknown: dict[int, list[str]] = field(default_factory=lambda: {})  # row -> categories that the model doesn't know


def encode(model_input: Input, cells: Iterable[Any], root: Path | Root) -> Encoded:
    """Cells -> entries. What can't be read is absent, with its reason; nothing is put in its place."""
    items: list[Any] = []
    absent: dict[int, str] = {}
    unreadable: set[int] = set()
    partly: dict[int, list[str]] = {}
    part, settings, statistics = model_input.part, model_input.settings, model_input.field.statistics
    for row, (item, error, lost, broken) in enumerate(_loaded(model_input, cells, root)):
        if broken or isinstance(error, Unreadable):
            unreadable.add(row)
        if error is not None:
            absent[row] = "; ".join([*lost, str(error)]) if broken else str(error)
            items.append(part.blank(settings))
            continue
        items.append(item[1])
        if lost or (len(item) > 2 and any(item[2:])):
            partly[row] = [*lost, *filter(None, item[2:])]
    for row, column, why in part.problems(settings, statistics, items):
        partly.setdefault(row, []).append(f"{column}: {why}")
        unreadable.add(row)
    partly_text = {row: "; ".join(reasons) for row, reasons in partly.items()} if partly else {}
    new: dict[int, list[str]] = {}
    for row, column, name in part.unknown(settings, statistics, items):
        new.setdefault(row, []).append(f"{column} '{name}'")
    return Encoded(part.encode(settings, statistics, items), absent, unreadable, partly_text, new)


Loaded = tuple[Any, Absent | Unreadable | None, list[str], bool]  # item, why there is none, lost parts, whether broken


def _loaded(model_input: Input, cells: Iterable[Any], root: Path | Root) -> Iterator[Loaded]:
    """The item of each cell. Objects of a store are read several at a time."""
    if not isinstance(root, Root) or not root.is_remote:
        yield from (_load(model_input, root, value) for value in cells)
        return
    with ThreadPoolExecutor(root.readers()) as pool:
        try:
            yield from pool.map(partial(_load, model_input, root), cells)
        finally:  # what waits isn't begun where one failed
            pool.shutdown(cancel_futures=True)


def _load(model_input: Input, root: Path | Root, value: Any) -> Loaded:
    lost: list[str] = []
    broken = False
    try:
        if not isinstance(value, (str, bytes)):
            value, lost, broken = _split_derived(value)
        return model_input.part.load(model_input.settings, value, root), None, lost, broken
    except (Absent, Unreadable) as error:
        return None, error, lost, broken


def _split_derived(value: Any) -> tuple[Any, list[str], bool]:
    """A cell as ``load`` reads it, the reasons of parts that couldn't be derived, and whether one of them can't be
    read.

    Raises where no part could be derived.
    """
    if isinstance(value, (Absent, Unreadable)):
        raise value
    if not isinstance(value, dict):
        return value, [], False
    parts = cast("dict[str, Any]", value)
    lost = {k: v for k, v in parts.items() if isinstance(v, (Absent, Unreadable))}
    broken = any(isinstance(v, Unreadable) for v in lost.values())
    return {k: None if k in lost else v for k, v in parts.items()}, [f"{k}: {v}" for k, v in lost.items()], broken

"""The type of a target: classes, any number of labels, a number, or a transcript; inferred from the cells of its
column."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..modalities.number_format import PLAIN
from ..modalities.number_inference import SURE
from ..transcripts.units import normalise, tokens_of
from ..types import CLASSES, LABELS, NUMBER, TOKENS
from .column_types import FEW, Column, is_number, number_format, percent, raw_cells, short
from .targets import MAX_CLASSES

SEPARATORS = (";", "|", ",")
GAPS = 1.5  # classes that are numbered: at the most so many numbers to a class
OFTEN = 0.1  # of the cells must hold several labels
SPOKEN = 50  # how often each word of a vocabulary is spoken, on average, for words to be units
REPEATS = 3  # how often a label must stand there, on average


@dataclass(frozen=True)
class TargetType:
    """The kind of the target, its entry in ``data.tasks`` (empty for classes), and a description."""

    kind: str
    task: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def target_type(column: Column, has_recording: bool = False) -> TargetType:
    """Infer the type of a target's column. Raises UsageError where there is nothing to predict. ``has_recording``: the
    table has recordings, of which texts that don't repeat are transcripts."""
    where, cells = f"column '{column.name}'", [v for v in column.cells if v is not None]
    if not column.cells:
        raise UsageError("this target can't be predicted", where=where, got=column.reason, expected="one label a row")
    counts, unlabelled = Counter(cells), len(column.cells) - len(cells)
    suffix = f"; {unlabelled:,} rows have no label" if unlabelled else ""
    if len(counts) < 2:
        got = f"only '{short(next(iter(counts)))}'" if counts else "no label at all"
        raise UsageError("nothing to learn", where=where, got=got, expected="two classes or more")
    numbers = [v for v in cells if is_number(v)]
    measured = is_measured(Counter(numbers)) and len(numbers) >= SURE * len(cells)
    if column.forced == "number" or (measured and column.forced != "category"):
        suffix += f"; {len(cells) - len(numbers):,} cells are no number" if len(numbers) < len(cells) else ""
        values = sorted(float(v) for v in numbers)
        low, high = values[0], values[-1]
        # of numbers near the largest there is, no sum or difference overflows
        middle = values[(len(values) - 1) // 2] / 2 + values[len(values) // 2] / 2
        form = number_format(column)
        task = {"kind": NUMBER, "format": form.short()} if form != PLAIN else {"kind": NUMBER}
        suffix = f", written with {form}{suffix}" if form != PLAIN else suffix
        return TargetType(NUMBER, task, f"a number, {low:g} to {high:g}, half of them below {middle:g}{suffix}")
    cells = [v for v in raw_cells(column) if v is not None]
    counts = Counter(cells)
    if column.forced != "category" and (labels := label_lists(cells)) is not None:
        task, counts = labels
        name, count = counts.most_common(1)[0]
        description = f"{len(counts):,} labels, about {counts.total() / len(cells):.2g} a row, "
        description += f"the commonest '{short(name)}' in {percent(count / len(cells))} of rows"
        return TargetType(LABELS, task, description + suffix)
    if len(counts) > FEW and len(counts) > min(MAX_CLASSES, len(cells) / 2):
        if has_recording:
            return _transcript(cells, suffix)
        raise UsageError(
            "this target has no classes", where=where, got=f"{len(counts):,} different values in {len(cells):,} rows",
            expected="labels that repeat, or numbers",
        )  # fmt: skip
    name, count = counts.most_common(1)[0]
    description = f"{len(counts):,} classes, the commonest '{short(name)}' in {percent(count / len(cells))} of rows"
    return TargetType(CLASSES, {}, description + suffix)


def _transcript(cells: Sequence[str], suffix: str) -> TargetType:
    """Texts of recordings, written in characters; in words where these are few and frequent, as in commands."""
    texts = [normalise(cell) for cell in cells]
    words = Counter(word for text in texts for word in tokens_of(text))
    characters = Counter(character for text in texts for character in text)
    lengths = sorted(len(tokens_of(text)) for text in texts)
    units = "words" if len(words) <= FEW and words.total() >= SPOKEN * len(words) else "characters"
    description = f"a transcript of {lengths[0]} to {lengths[-1]} words, {len(words):,} different ones, "
    description += f"{len(characters):,} different characters"
    return TargetType(TOKENS, {"kind": TOKENS, "units": units}, description + suffix)


def is_measured(counts: Counter) -> bool:
    """Whether these labels are measured numbers: more than FEW, with fractions, hardly repeated, or spread out. Whole
    numbers that count up from 0 or 1 without many gaps are numbers of classes."""
    if len(counts) <= FEW or not all(is_number(label) for label in counts):
        return False
    values = [float(label) for label in counts]
    if any(value % 1 for value in values) or 5 * len(counts) > counts.total():
        return True
    span = max(values) - min(values) + 1
    return min(values) not in (0, 1) or span > GAPS * len(counts)


def label_lists(cells: Sequence[str]) -> tuple[dict[str, Any], Counter] | None:
    """(the task, count of each label) where the cells hold any number of labels each, else None.

    JSON lists do. Texts do where a separator stands in many of them, the number of parts varies (`Tops, women` and
    `Tops, men` are classes), and the parts repeat; a comma, which stands in names too, only where there would be many
    classes otherwise.
    """
    lists = [_listed(cell) for cell in cells]
    if all(items is not None for items in lists):
        return _repeated({"kind": LABELS}, [items for items in lists if items is not None])
    for separator in SEPARATORS:
        parts = [[p.strip() for p in cell.split(separator) if p.strip()] for cell in cells]
        sizes = Counter(map(len, parts))
        frequent = sum(separator in cell for cell in cells) >= OFTEN * len(cells)
        varies = len(cells) - max(sizes.values()) >= OFTEN / 2 * len(cells)
        if frequent and varies and (separator != "," or len(set(cells)) > FEW):
            candidate = _repeated({"kind": LABELS, "separator": separator}, parts)
            if candidate is not None and len(candidate[1]) < len(set(cells)):
                return candidate
    return None


def _repeated(task: dict[str, Any], parts: Sequence[Sequence[str]]) -> tuple[dict[str, Any], Counter] | None:
    counts = Counter(label for labels in parts for label in set(labels))
    enough = 2 <= len(counts) <= MAX_CLASSES and counts.total() >= REPEATS * len(counts)
    return (task, counts) if enough else None


def _listed(cell: str) -> list[str] | None:
    """The texts of a JSON list; None where it is none."""
    if cell.startswith("["):
        with contextlib.suppress(json.JSONDecodeError):
            items = json.loads(cell)
            if isinstance(items, list) and all(isinstance(item, str) for item in items):
                return [item.strip() for item in items if item.strip()]
    return None

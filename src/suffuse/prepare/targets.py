"""Targets: cells of the label columns -> heads (what the outputs mean) and the numbers that are learned.

Vocabularies, means and class weights come from training rows alone.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from .. import sources
from ..errors import SuffuseError, did_you_mean
from ..modalities.number_format import NumberFormat, is_number
from ..recipe import Task
from ..transcripts.cell_text import cell_text
from ..types import CLASSES, LABELS, NUMBER, TOKENS, UNLABELLED, Head, blank_logits
from . import row_keys, transcript_targets
from .quarantine import Quarantine
from .splits import TRAIN

REST_CLASS = "other"  # the class of training rows whose answer is too rare for the vocabulary
LARGEST, SMALLEST = 1e30, 1e-30  # of a number, and of the deviation of several: networks count in 32 bits
MAX_CLASSES = 1000
BINS, BIN_ROWS = 10, 10  # of a number, for stratified splits; where rows are few there are fewer of them


@dataclass(frozen=True)
class Cells:
    """One target of N rows: a text, a tuple of texts, or a number; None where there is none."""

    name: str
    task: Task
    values: list
    broken: dict[int, str]  # row -> why its target can't be read: the row is left out

    def text(self, row: int) -> str | None:
        """As people write it."""
        value = self.values[row]
        if isinstance(value, tuple):
            return f"{self.task.separator} ".join(value)
        return repr(value).removesuffix(".0") if isinstance(value, float) else value

    def strata(self) -> np.ndarray:
        """(N,) what a stratified split keeps apart: classes, sets of labels, tenths of a number, of texts nothing."""
        if self.task.kind == TOKENS:
            return np.zeros(len(self.values), dtype=np.int64)
        if self.task.kind != NUMBER:
            return row_keys.ordered_codes([repr(v) for v in self.values])
        values = np.array([math.nan if v is None else v for v in self.values])
        bins = int(np.clip(np.isfinite(values).sum() // BIN_ROWS, 1, BINS))
        edges = np.nanquantile(values, np.linspace(0, 1, bins + 1)[1:-1]) if bins > 1 else []
        return np.where(np.isnan(values), BINS, np.searchsorted(edges, values))


def read(name: str, task: Task, column: pa.ChunkedArray) -> Cells:
    """The cells of a target's column."""
    if task.kind == LABELS:
        return Cells(name, task, [_labels(v, task) for v in column.to_pylist()], {})
    cells = column.to_pylist()
    if task.kind == TOKENS:
        return Cells(name, task, [cell_text(c, task.empty, task.lowercase) for c in cells], {})
    texts = sources.texts(cells)
    if task.kind == CLASSES:
        return Cells(name, task, [task.empty if t is None else t for t in texts], {})
    form = task.format
    if form is not None:
        texts = [form.write(c) if is_number(c) and t is not None else t for c, t in zip(cells, texts, strict=True)]
    values = [None if text is None else _number(text, form) for text in texts]
    broken = {row: value for row, value in enumerate(values) if isinstance(value, str)}
    return Cells(name, task, [None if isinstance(value, str) else value for value in values], broken)


def _number(text: str, form: NumberFormat | None) -> float | str:
    """A cell's number, or why it is none."""
    try:
        value = float(text) if form is None else float(form.parse([text])[0])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        return f"not a number: '{text[:40]}'"
    return value if abs(value) <= LARGEST else f"a number beyond ±{LARGEST:g}, too large for 32 bits: '{text[:40]}'"


def names(targets: Sequence[Cells], rows: np.ndarray) -> list[str]:
    """The different classes and labels of some rows (N,) bool, sorted; numbers and transcripts have no names."""
    distinct: set[str] = set()
    for cells in targets:
        if cells.task.kind not in (NUMBER, TOKENS):
            for value, selected in zip(cells.values, rows, strict=True):
                if selected and value is not None:
                    distinct.update(value if isinstance(value, tuple) else (value,))
    return sorted(distinct)


def head(cells: Cells, split: np.ndarray) -> Head:
    """The head of a target, from its training rows. ``cells`` and ``split`` (N,) are of the same rows.

    Raises SuffuseError where there is nothing to learn.
    """
    task, train = cells.task, [v for v, s in zip(cells.values, split, strict=True) if s == TRAIN and v is not None]
    if task.kind == NUMBER:
        values = np.array(train, dtype=np.float64)
        if (different := len(np.unique(values))) < 2:
            raise _nothing_to_learn(cells.name, f"{different} different numbers", "two or more")
        if values.std() < SMALLEST:
            got, expected = f"a standard deviation of {values.std():.2g}", f"{SMALLEST:g} or more (32 bits)"
            raise _nothing_to_learn(cells.name, got, expected)
        return Head(cells.name, NUMBER, (), float(values.mean()), float(values.std()), task.weight)
    if task.kind == TOKENS:
        return transcript_targets.head(cells.name, task, cells.values, split == TRAIN)
    if task.kind == LABELS:
        counts = Counter(label for labels in train for label in set(labels))
        classes = _frequent_classes(counts, task.max_classes) if task.max_classes else tuple(sorted(counts))
        if not classes:
            raise _nothing_to_learn(cells.name, "no label at all", "one or more")
    else:
        labels = list(cells.values)
        classes = (
            _listed_classes(task.classes, labels, split, cells.name)
            if task.classes
            else classes_of(labels, split, cells.name, task.max_classes)
        )
    plain = Head(cells.name, task.kind, classes, weight=task.weight)
    return (
        replace(plain, balance=balance(plain, encode(plain, cells, split)[split == TRAIN])) if task.balance else plain
    )


def classes_of(
    labels: list[str | None], split: np.ndarray, column: str, max_classes: int | None = None
) -> tuple[str, ...]:
    """The labels of training rows, sorted (numbers by value). Of more than ``max_classes`` the most frequent ones are
    kept, and *other* stands for the rest.

    Raises SuffuseError where there are fewer than two, or too many for a classification.
    """
    labelled = [x for x, s in zip(labels, split, strict=True) if s == TRAIN and x is not None]
    distinct = sorted(set(labelled), key=_by_value)
    if len(distinct) < 2:
        got = f"only '{distinct[0]}'" if distinct else "no label at all"
        hint = f"data.tasks: {{{column}: {{classes: [...]}}}} lists classes that training rows lack"
        raise _nothing_to_learn(column, got, "two classes or more", hint)
    if max_classes and len(distinct) > max_classes:
        if REST_CLASS in distinct:
            expected = f"another name, or no data.tasks.{column}.max_classes"
            where = f"column '{column}'"
            raise SuffuseError(
                "a label has the name of the rest", where=where, got=f"'{REST_CLASS}'", expected=expected
            )
        counts = Counter(labelled)
        kept = sorted(distinct, key=lambda label: -counts[label])[:max_classes]
        return tuple(sorted({*kept, REST_CLASS}, key=_by_value))
    if len(distinct) > min(MAX_CLASSES, len(labelled) / 2) and len(distinct) > 20:
        raise SuffuseError(
            "this target has no classes",
            where=f"column '{column}'",
            got=f"{len(distinct):,} different values in {len(labelled):,} training rows",
            hint=f"data.tasks: {{{column}: {{kind: number}}}} learns a number; {{max_classes: 100}} the most frequent",
        )
    return tuple(distinct)


def _listed_classes(
    classes: tuple[str, ...], labels: list[str | None], split: np.ndarray, column: str
) -> tuple[str, ...]:
    """The classes that the recipe lists, sorted as those of training rows are; these may have some of them, or none.

    Raises SuffuseError where a training row has another one.
    """
    for label, part in zip(labels, split, strict=True):
        if part == TRAIN and label is not None and label not in classes:
            raise SuffuseError(
                "a training row has a class that the recipe doesn't list", where=f"data.tasks.{column}.classes",
                got=f"'{label}'", expected="every class of the training rows", hint=did_you_mean(label, classes),
            )  # fmt: skip
    return tuple(sorted(classes, key=_by_value))


def _by_value(label: str) -> tuple:
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    return (1, 0.0, label) if math.isnan(value) else (0, value, label)  # "nan" has no place among numbers


def encode(head: Head, cells: Cells, split: np.ndarray) -> np.ndarray:
    """(N,) int64 of classes: -1 unlabelled, C never seen; (N, C) float32 of labels; (N,) float32 of a number;
    (N, 1 + L) int32 of a transcript.

    An answer that is too rare for the vocabulary is ``other`` in training rows. In held-out rows it counts as
    never seen, so that no answer is right there: *other* is not an answer. Raises SuffuseError where a held-out number
    is so far from training's that it overflows.
    """
    if head.kind == NUMBER:
        values = np.array([math.nan if v is None else v for v in cells.values], dtype=np.float64)
        scaled = (values - head.mean) / head.std
        if (overflowing := np.flatnonzero(np.abs(scaled) > np.finfo(np.float32).max)).size:
            got, expected = repr(cells.values[overflowing[0]]), "a number that 32 bits hold once it is standardised"
            raise SuffuseError("a number overflows", where=f"column '{cells.name}'", got=got, expected=expected)
        return scaled.astype(np.float32)
    if head.kind == TOKENS:
        return transcript_targets.encode(head, cells.values)
    code = {name: number for number, name in enumerate(head.classes)}
    if head.kind == LABELS:
        encoded = np.zeros((len(cells.values), len(head.classes)), dtype=np.float32)
        for row, value in enumerate(cells.values):
            if value is None:
                encoded[row] = UNLABELLED
            else:
                encoded[row, [code[v] for v in value if v in code]] = 1
        return encoded
    unseen = np.where(
        split == TRAIN, code.get(REST_CLASS, len(code)) if cells.task.max_classes else len(code), len(code)
    )
    codes = [UNLABELLED if v is None else code.get(v, int(r)) for v, r in zip(cells.values, unseen, strict=True)]
    return np.array(codes, dtype=np.int64)


def unlabelled(heads: Sequence[Head], target: np.ndarray, count: int) -> np.ndarray:
    """``count`` targets like ``target`` (N, ...) of rows that have no label."""
    empty = np.full((count, *target.shape[1:]), UNLABELLED, dtype=target.dtype)
    at = 0
    for head in heads if target.ndim > 1 else ():
        if head.kind == NUMBER:
            empty[:, at : at + head.columns] = np.nan
        at += head.columns
    return empty


def join(heads: Sequence[Head], parts: Sequence[np.ndarray]) -> np.ndarray:
    """The targets of all heads, as :class:`suffuse.types.Spec` says."""
    if len(heads) == 1 and heads[0].kind == CLASSES:
        return parts[0]
    return np.concatenate([p.astype(np.float32).reshape(len(p), -1) for p in parts], axis=1)


def prior(head: Head, train: np.ndarray) -> list[float]:
    """The logits of a row in which nothing is present, from the known training targets. Where some class is in none of
    them, half a row is added to each (Jeffreys 1946): no class is impossible."""
    if head.kind == NUMBER:
        return [0.0]
    if head.kind == TOKENS:
        return list(blank_logits(head))
    known = train[head.known(train)]
    if head.kind == LABELS:
        share = (known.sum(0) + 0.5) / (len(known) + 1)
        return np.log(share / (1 - share)).tolist()
    counts = np.bincount(known, minlength=len(head.classes))
    counts = counts if counts.all() else counts + 0.5
    return np.log(counts / counts.sum()).tolist()


def balance(head: Head, train: np.ndarray) -> tuple[float, ...]:
    """Class weights from the training targets: n / (C n_c) for classes (King & Zeng 2001), so that the mean weight of a
    row is 1; for labels, negatives by positives."""
    known = train[head.known(train)]
    if head.kind == LABELS:
        positives = known.sum(0)
        return tuple(((len(known) - positives) / np.maximum(positives, 1)).tolist())
    counts = np.bincount(known, minlength=len(head.classes))
    return tuple((len(known) / (len(counts) * np.maximum(counts, 1))).tolist())


def note(head: Head, target: np.ndarray, cells: Cells, where: tuple[list[int], list], notes: Quarantine) -> None:
    """Note rows with a label that no training row has, and rows without a label."""
    if head.kind == CLASSES:
        _note_classes(target, cells.values, where, cells.name, len(head.classes), notes)
        return
    for row in np.flatnonzero(~head.known(target)):
        notes.note(where[0][row], where[1][row], cells.name, "unlabelled", "no label")
    if head.kind == LABELS:
        for row, value in enumerate(cells.values):
            unseen = [v for v in value or () if v not in head.classes]
            if unseen:
                notes.note(where[0][row], where[1][row], cells.name, "other", f"label not in training: '{unseen[0]}'")
    if head.kind == TOKENS:
        for row in np.flatnonzero((target[:, 1:] == head.frame_outputs).any(1)):
            units = transcript_targets.unseen(head, cells.values[row])
            reason = f"{head.units} not in training: {', '.join(map(repr, units[:3]))}"
            notes.note(where[0][row], where[1][row], cells.name, "other", reason)


def _note_classes(
    target: np.ndarray,
    labels: list[str | None],
    where: tuple[list[int], list],
    column: str,
    classes: int,
    notes: Quarantine,
) -> None:
    """As :func:`note`, for classes."""
    lines, ids = where
    for row in np.flatnonzero((target == classes) | (target == UNLABELLED)):
        if target[row] == classes:
            notes.note(lines[row], ids[row], column, "other", f"label not in training: '{labels[row]}'")
        else:
            notes.note(lines[row], ids[row], column, "unlabelled", "no label")


def _labels(value: Any, task: Task) -> tuple[str, ...] | None:
    """A list, a JSON list, or a text with separators -> its labels, each once."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
    parts = list(value) if isinstance(value, (list, tuple)) else sources.texts([value])[0]
    if parts is None or value is None:
        return None if task.empty is None else ()
    labels = [text for text in sources.texts(parts if isinstance(parts, list) else parts.split(task.separator)) if text]
    return tuple(dict.fromkeys(labels))


def _frequent_classes(counts: Counter, max_classes: int) -> tuple[str, ...]:
    return tuple(sorted(sorted(counts, key=lambda c: (-counts[c], c))[:max_classes]))


def _nothing_to_learn(name: str, got: str, expected: str, hint: str = "") -> SuffuseError:
    where = f"column '{name}'"
    return SuffuseError("nothing to learn", where=where, got=got, expected=f"{expected} in training rows", hint=hint)

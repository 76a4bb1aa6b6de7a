"""Stored outputs in a table as the teacher: probabilities, logits or hard labels by row id, e.g. of an API or a large
model. A row without outputs is an abstention.

``probabilities`` and ``logits``: a column for each class, named as in ``pattern`` (of a number: one column of numbers),
or one ``column`` of records {class: value}. ``labels``: one ``column`` that holds a class; for labels a list, or a text
with the target's separator. ``transcripts``: one ``column`` of texts, for a target of kind ``tokens``, which may be
filtered by a confidence and by the word error against a second column of texts
(:mod:`suffuse.teachers.transcript_answers`). A row whose cells are all empty is an abstention, and so is one that the
table lacks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from ..errors import SuffuseError, UsageError, did_you_mean
from ..registry import NameList, TeacherSettings
from ..types import CLASSES, LABELS, TRANSCRIPTS, Head
from .matching import LOGITS, PROBABILITIES, outputs
from .transcript_filter import MaxWordError, MinConfidence

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows
    from ..recipe import Task
    from ..sources import Rows
    from .transcript_answers import Recognition, TranscriptAnswers

SLOT = "{class}"


class Settings(TeacherSettings):
    """Which table, and what its columns are."""

    kind: Literal["table"] = "table"
    FILES: ClassVar = ("file",)
    file: str  # .csv, .tsv, .parquet, .jsonl or .json
    id: str = "id"  # the column of row ids
    form: Literal["probabilities", "logits", "labels", "transcripts"] = "probabilities"
    pattern: str = SLOT  # how the columns of classes are called
    column: str | None = None  # one column instead: of labels, of transcripts, or of records {class: value}
    ignore: NameList = ()  # columns that are neither, where the pattern takes in all
    confidence_column: str | None = None  # of transcripts: numbers from 0 to 1
    min_confidence: MinConfidence = 0.0
    second_column: str | None = None  # of transcripts: another recogniser's
    max_word_error: MaxWordError = None

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if SLOT not in self.pattern:
            raise ValueError(f"got pattern '{self.pattern}', expected {SLOT} in it")
        if self.form == "labels" and self.column is None:
            raise ValueError("got form labels without a column, expected the column that holds them")
        self._check_transcripts()
        return self

    def _check_transcripts(self) -> None:
        of_transcripts = ("confidence_column", "min_confidence", "second_column", "max_word_error")
        if self.form != TRANSCRIPTS:
            if extra := [key for key in of_transcripts if key in self.model_fields_set and self.get(key)]:
                raise ValueError(f"got {extra[0]} with form {self.form}, expected it with form transcripts alone")
            return
        if self.column is None:
            raise ValueError("got form transcripts without a column, expected the column that holds them")
        if self.classes:
            raise ValueError("got classes with form transcripts, expected none: units have no other names")
        if self.min_confidence and self.confidence_column is None:
            raise ValueError("got min_confidence without confidence_column, expected the column that holds it")
        if (self.max_word_error is None) != (self.second_column is None):
            got, lacks = (
                ("second_column", "max_word_error") if self.second_column else ("max_word_error", "second_column")
            )
            raise ValueError(f"got {got} without {lacks}, expected both")


@dataclass(frozen=True)
class TableSource:
    """All outputs in memory, K rows of T outputs."""

    outputs: tuple[str, ...]
    form: str
    values: np.ndarray  # (K, T) float32
    place: np.ndarray  # (N,) int64, where a prepared row's answer stands; -1: nowhere
    content: str
    modalities: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Hash of the file, of how it is read, and of the outputs in memory."""
        digest = hashlib.sha256(f"{self.content} {self.form} {self.outputs}".encode())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()

    def facts(self) -> dict:
        """The number of rows that it has outputs for; the model behind them is unknown."""
        answered = self.place >= 0
        answered[answered] = ~np.isnan(self.values[self.place[answered]]).any(1)
        return {"parameters": None, "answered": int(answered.sum()), "asked": len(self.place)}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """The stored outputs; NaN where a row has none."""
        place = self.place[rows]
        logits = self.values[place] if len(self.values) else np.empty((len(rows), len(self.outputs)), np.float32)
        logits[place < 0] = np.nan
        return {"logits": logits}


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> TableSource | TranscriptAnswers:
    """Read the table and find every prepared row by its id.

    Raises UsageError where a column isn't there, an id stands twice, or no id is one of this run's.
    """
    from .. import sources

    if not Path(settings.file).is_file():
        raise UsageError("no such file", where=f"{where}.file", got=f"'{settings.file}'")
    rows = sources.read(settings.file, f"{where}.file")
    ids = sources.texts(sources.column(rows, settings.id, f"{where}.id").to_pylist())
    at: dict[str, int] = {}
    for number, name in enumerate(ids):
        if name is not None and at.setdefault(name, number) != number:
            line = f"{settings.file}:{rows.line[number]}"
            raise UsageError("a row is answered twice", where=line, got=f"id '{name}'", expected="each id once")
    place = np.array([at.get(name, -1) for name in raw.ids], dtype=np.int64)
    if (place < 0).all():
        got = f"'{next((i for i in ids if i), '')}'"
        hint = "without data.id, a row's id is its line in the source" if raw.run.recipe.data.id is None else ""
        raise UsageError("no row of this run has an answer", where=f"{where}.id", got=got,
                         expected=f"ids such as '{raw.ids[0]}'", hint=hint)  # fmt: skip
    content = _content(settings)
    if settings.form == TRANSCRIPTS:
        return _open_transcripts(settings, rows, (raw, place), heads[0], (where, content))
    if settings.form == "labels":
        separator = raw.run.recipe.data.task(heads[0].name).separator
        names, values = _read_labels(settings, rows, heads, separator, where)
    else:
        names, values = (
            _read_records(settings, rows, where) if settings.column else _read_columns(settings, rows, where)
        )
    return TableSource(names, LOGITS if settings.form == LOGITS else PROBABILITIES, values, place, content)


def _content(settings: Settings) -> str:
    """Hash of the file, and how it is read."""
    keys = {"id", "form", "pattern", "column", "ignore"}
    if settings.form == TRANSCRIPTS:
        keys |= {"confidence_column", "min_confidence", "second_column", "max_word_error"}
    return settings.model_dump_json(include=keys) + hashlib.sha256(Path(settings.file).read_bytes()).hexdigest()


def write_answers(file: str | Path, ids: Sequence[Any], names: Sequence[Any], values: Any, id: str = "id") -> Path:
    """Outputs of any model in Python (e.g. ``predict_proba`` of a fitted estimator) -> a Parquet table that this kind
    reads: ids (N,), the names of the classes, and values (N, C)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = np.asarray(values)
    if values.shape != (len(ids), len(names)) or id in map(str, names):
        expected = f"({len(ids)}, {len(names)}), and no class called '{id}'"
        raise UsageError("can't write these answers", where=file, got=values.shape, expected=expected)
    columns = {str(name): values[:, number].astype(np.float64) for number, name in enumerate(names)}
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({id: pa.array([str(i) for i in ids]), **columns}), file)
    return Path(file)


def _read_columns(settings: Settings, rows: Rows, where: str) -> tuple[tuple[str, ...], np.ndarray]:
    before, _, after = settings.pattern.partition(SLOT)
    name_pattern = re.compile(re.escape(before) + "(.+)" + re.escape(after), re.S)
    skipped = {settings.id, *settings.ignore}
    class_names = {
        c: match[1] for c in rows.table.column_names if c not in skipped and (match := name_pattern.fullmatch(c))
    }
    if not class_names:
        got, hint = f"'{settings.pattern}'", "there is: " + ", ".join(rows.table.column_names[:8])
        raise UsageError("no column of a class", where=f"{where}.pattern", got=got, hint=hint)
    columns = [_read_numbers(settings, rows, c, f"`ignore: [{c}]`, if it is no class") for c in class_names]
    return tuple(class_names.values()), _refuse_partial_rows(settings, rows, np.stack(columns, axis=1))


def _read_numbers(settings: Settings, rows: Rows, column: str, hint: str) -> np.ndarray:
    from .. import sources

    numbers = np.full(len(rows.line), np.nan, dtype=np.float32)
    for row, text in enumerate(sources.texts(rows.table.column(column).to_pylist())):
        try:
            numbers[row] = np.nan if text is None else float(text)
        except (ValueError, TypeError):
            line = f"{settings.file}:{rows.line[row]}, column '{column}'"
            raise SuffuseError("an answer is no number", where=line, got=f"'{str(text)[:40]}'", hint=hint) from None
    return numbers


def _read_records(settings: Settings, rows: Rows, where: str) -> tuple[tuple[str, ...], np.ndarray]:
    from .. import sources
    from ..modalities.cell import is_empty

    cells = sources.column(rows, str(settings.column), f"{where}.column").to_pylist()
    for row, cell in enumerate(cells):
        if not is_empty(cell) and not isinstance(cell, dict):
            line, expected = f"{settings.file}:{rows.line[row]}", "a record {class: value}"
            raise SuffuseError("an answer is no record", where=line, got=f"'{str(cell)[:40]}'", expected=expected)
    filled = [{k: v for k, v in (cell or {}).items() if not is_empty(v)} for cell in cells]
    names = tuple(dict.fromkeys(name for record in filled for name in record))
    values = np.array([[record.get(n, np.nan) for n in names] for record in filled], dtype=np.float32)
    return names, _refuse_partial_rows(settings, rows, values.reshape(len(cells), len(names)))


def _refuse_partial_rows(settings: Settings, rows: Rows, values: np.ndarray) -> np.ndarray:
    """Raise SuffuseError where some cells of a row are empty, and not all: a missing value is not zero."""
    empty = np.isnan(values)
    partly = np.flatnonzero(empty.any(1) & ~empty.all(1))
    if len(partly):
        where = f"{settings.file}:{rows.line[partly[0]]}"
        got = f"{int(empty[partly[0]].sum())} of {values.shape[1]} cells empty" + (
            f", and {len(partly) - 1:,} more such rows" if len(partly) > 1 else ""
        )
        raise SuffuseError(
            "an answer isn't whole", where=where, got=got, expected="all of them, or none: an abstention"
        )
    return values


def _read_labels(
    settings: Settings, rows: Rows, heads: tuple[Head, ...], separator: str, where: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Hard labels -> probabilities of 0 and 1. A class that no row has needs no column."""
    from .. import sources

    if len(heads) != 1 or heads[0].kind not in (CLASSES, LABELS):
        got = f"{len(heads)} targets" if len(heads) > 1 else "a number"
        raise UsageError("hard labels need a single target of classes or labels", where=f"{where}.form", got=got)
    several = heads[0].kind == LABELS
    run_outputs, renamed = outputs(heads), settings.classes
    replaced = {*renamed, *renamed.values()} if several else {*renamed}  # labels don't add up
    names = (*(n for n in run_outputs if n not in replaced), *renamed)
    cells = sources.column(rows, str(settings.column), f"{where}.column").to_pylist()
    values = np.full((len(cells), len(names)), np.nan, dtype=np.float32)
    for row, cell in enumerate(cells):
        labels = _parse_labels(cell, separator if several else None)
        if labels is None:
            continue
        unknown = [name for name in labels if name not in names]
        if unknown:
            line, hint = f"{settings.file}:{rows.line[row]}", did_you_mean(unknown[0], names)
            raise SuffuseError("the teacher names a class that this run doesn't have", where=line,
                               got=f"'{unknown[0]}'", hint=f"{hint}; `classes: {{theirs: ours}}` renames")  # fmt: skip
        values[row] = 0
        values[row, [names.index(name) for name in labels]] = 1
    return names, values


def _parse_labels(cell: Any, separator: str | None) -> list[str] | None:
    """The labels of a cell; None where it is empty. An empty list means no label."""
    if isinstance(cell, (list, tuple)):
        return [str(label) for label in cell]
    text = None if cell is None or cell != cell else str(cell).strip()
    if not text:
        return None
    return [part.strip() for part in text.split(separator) if part.strip()] if separator else [text]


def _open_transcripts(
    settings: Settings, rows: Rows, run_rows: tuple[RawRows, np.ndarray], head: Head, names: tuple[str, str]
) -> TranscriptAnswers:
    """The transcripts of the run's rows. ``run_rows``: these, and where each stands in the table; ``names``: the
    recipe's key, and the hash of what is read."""
    from ..data.columns import Columns
    from .transcript_answers import Filter, match_transcripts, row_frames

    (raw, place), (where, content) = run_rows, names
    recipe = raw.run.recipe
    recognitions = _read_recognitions(settings, rows, recipe.data.task(head.name), where)
    answers = [recognitions[at] if at >= 0 else None for at in place.tolist()]
    frames = row_frames(recipe, Columns.open(raw.run.path("data")), head)
    chosen = Filter(settings.min_confidence, settings.max_word_error)
    return match_transcripts(head, answers, frames, chosen, (Path(settings.file).name, content))


def _read_recognitions(settings: Settings, rows: Rows, task: Task, where: str) -> list[Recognition | None]:
    """A recognition for each row of the table; None where its transcript is empty, unless the task takes an empty cell
    for a transcript without a word."""
    from .. import sources
    from ..transcripts.cell_text import cell_text
    from .transcript_answers import Recognition

    def texts(column: str, key: str) -> list[str | None]:
        cells = sources.texts(sources.column(rows, column, f"{where}.{key}").to_pylist())
        return [cell_text(cell, task.empty, task.lowercase) for cell in cells]

    count = len(rows.line)
    first = texts(str(settings.column), "column")
    second = texts(settings.second_column, "second_column") if settings.second_column else [None] * count
    confidence = _read_confidence(settings, rows, where) if settings.confidence_column else [None] * count
    triples = zip(first, confidence, second, strict=True)
    return [None if text is None else Recognition(text, sure, other) for text, sure, other in triples]


def _read_confidence(settings: Settings, rows: Rows, where: str) -> list[float | None]:
    from .. import sources

    column = str(settings.confidence_column)
    sources.column(rows, column, f"{where}.confidence_column")
    numbers = _read_numbers(settings, rows, column, "expected 0 to 1, or an empty cell")
    outside = np.flatnonzero((numbers < 0) | (numbers > 1))
    if len(outside):
        line = f"{settings.file}:{rows.line[outside[0]]}, column '{column}'"
        raise SuffuseError("a confidence is no probability", where=line, got=f"{numbers[outside[0]]:g}",
                           expected="0 to 1")  # fmt: skip
    return [None if np.isnan(number) else float(number) for number in numbers]

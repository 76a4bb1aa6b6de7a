"""Predictions -> a table's columns, and rows of them as CSV, JSON lines or Parquet."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..csv_output import csv_lines
from ..errors import UsageError
from ..types import CLASSES, LABELS, NUMBER, TOKENS, Head
from .prediction import Answer, Prediction

FORMS = (".csv", ".jsonl", ".parquet")
OWN = ("line", "absent", "used", "confidence", "abstained")  # columns that are no target's
MAX_DIGITS = 17
FLAGS = {True: "true", False: "false"}  # in CSV
Column = tuple[str, str]  # name, and kind: int, float, text or bool


@dataclass(frozen=True)
class Layout:
    """Which columns there are, and in which order: the table's ``id`` (the ``line`` where it has none), each target's
    answer by its name, ``confidence`` (of several targets ``confidence(TARGET)``), the table's columns ``keep``,
    ``p(CLASS)`` (``p(TARGET=CLASS)``), and at the end ``line``, ``absent`` and ``used``.

    A name that is taken is told apart: ``id(NAME)`` of the id, ``answer(NAME)`` of a target, ``table(NAME)`` of a
    column that is kept.

    With ``top`` K the most probable ones stand in ``top1`` and ``p(top1)`` to ``topK`` and ``p(topK)`` instead of
    all of them; with ``threshold`` there is ``abstained``, and the answer is empty where it is true.
    """

    heads: Sequence[Head]
    top: int | None = None
    threshold: float | None = None
    id: str | None = None  # a column of the table, whose cells are kept as texts
    raw: bool = False  # cells of CSV aren't escaped (:mod:`suffuse.csv_output`)
    keep: tuple[str, ...] = ()  # columns of the table, whose cells are kept as texts
    digits: int | None = None  # decimal places of numbers; all of them
    columns: tuple[Column, ...] = field(init=False)
    absent: int = field(init=False)  # the place of the column that says what a row lacks

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise UsageError("no such number of classes", where="top", got=self.top, expected="1 or more")
        if self.digits is not None and not 0 <= self.digits <= MAX_DIGITS:
            raise UsageError("no such number of digits", where="digits", got=self.digits, expected=f"0 to {MAX_DIGITS}")
        plain = [column for head in self.heads for column in self._value_columns(head)]
        spoken = [column for head in self.heads for column in self._probability_columns(head)]
        taken = {*OWN, *(name for name, _ in (*plain, *spoken))}
        ids: list[Column] = [] if self.id is None else [(f"id({self.id})" if self.id in taken else self.id, "text")]
        taken |= {name for name, _ in ids}
        kept = [(f"table({name})" if name in taken else name, "text") for name in self.keep]
        line: list[Column] = [("line", "int")]
        columns = (*(ids or line), *plain, *kept, *spoken, *(line if ids else []), ("absent", "text"), ("used", "text"))
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "absent", len(columns) - 2)

    def row(self, line: int, prediction: Prediction, id_: Any = None, kept: Sequence[Any] = ()) -> list[Any]:
        """A row of the table; ``id_`` is the cell of its id, ``kept`` those of the columns that are kept."""
        absent = "; ".join(f"{name}: {reason}" for name, reason in {**prediction.absent, **prediction.partly}.items())
        cells: list[Any] = [line if self.id is None else _text(id_)]
        for head in self.heads:
            cells += self._value_cells(head, prediction.answers[head.name])
        cells += map(_text, kept)
        for head in self.heads:
            if head.kind in (CLASSES, LABELS):
                cells += self._probability_cells(head, prediction.answers[head.name])
        cells += [*([] if self.id is None else [line]), absent, "; ".join(prediction.used)]
        return cells if self.digits is None else [_rounded(cell, self.digits) for cell in cells]

    def _column_name(self, base_name: str, head: Head) -> str:
        return base_name if len(self.heads) == 1 else f"{base_name}({head.name})"

    def _value_columns(self, head: Head) -> list[Column]:
        name = f"answer({head.name})" if head.name in OWN else head.name
        if head.kind == NUMBER:
            return [(name, "float")]
        abstained = [] if self.threshold is None else [(self._column_name("abstained", head), "bool")]
        return [(name, "text"), (self._column_name("confidence", head), "float"), *abstained]

    def _probability_columns(self, head: Head) -> list[Column]:
        if head.kind == TOKENS:
            return []
        if self.top is None or head.kind == NUMBER:
            prefix = "" if len(self.heads) == 1 else f"{head.name}="
            return [(f"p({prefix}{label})", "float") for label in head.classes]
        places = [self._column_name(f"top{n}", head) for n in range(1, min(self.top, len(head.classes)) + 1)]
        return [column for place in places for column in ((place, "text"), (f"p({place})", "float"))]

    def _value_cells(self, head: Head, answer: Answer) -> list[Any]:
        value = "; ".join(answer.value) if isinstance(answer.value, tuple) else answer.value
        if head.kind == NUMBER:
            return [value]
        abstained = [] if self.threshold is None else [answer.abstained]
        return [None if answer.abstained else value, answer.confidence, *abstained]

    def _probability_cells(self, head: Head, answer: Answer) -> list[Any]:
        if self.top is None:
            return list(answer.probabilities.values())
        return [cell for pair in answer.top(min(self.top, len(head.classes))) for cell in pair]


def _text(cell: Any) -> str | None:
    """A cell of the table as a text: bytes in Base64, lists and records as JSON."""
    if cell is None or cell != cell:
        return None
    if isinstance(cell, (bytes, bytearray)):
        return base64.b64encode(cell).decode()
    return json.dumps(cell, ensure_ascii=False, default=str) if isinstance(cell, (dict, list)) else str(cell)


def _rounded(cell: Any, digits: int) -> Any:
    return round(cell, digits) if isinstance(cell, float) else cell


def encode_rows(layout: Layout, rows: list[list[Any]], form: str) -> bytes:
    """Rows as a chunk of a file: lines without a header, or an Arrow stream for Parquet."""
    if form == ".parquet":
        return _encode_arrow(layout, rows)
    if form == ".jsonl":
        names = [name for name, _ in layout.columns]
        lines = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
    else:
        lines = csv_lines(([FLAGS[c] if isinstance(c, bool) else c for c in row] for row in rows), layout.raw)
    return "".join(lines).encode("utf-8", "surrogatepass")


def encode_header(layout: Layout, form: str) -> bytes:
    """The header of the file; empty but for CSV."""
    if form != ".csv":
        return b""
    return "".join(csv_lines([[name for name, _ in layout.columns]], layout.raw)).encode("utf-8", "surrogatepass")


def _encode_arrow(layout: Layout, rows: list[list[Any]]) -> bytes:
    import pyarrow as pa

    kinds = {"int": pa.int64(), "float": pa.float64(), "text": pa.string(), "bool": pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in layout.columns])
    cells = list(zip(*rows, strict=True)) or [()] * len(layout.columns)
    arrays = [pa.array(column, field.type) for column, field in zip(cells, schema, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as out:
        out.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return sink.getvalue().to_pybytes()

"""predict: a table of raw rows and an export -> answers and probabilities. No torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .. import sources
from ..errors import UsageError
from ..files import write_bytes
from ..modalities.cell import Root
from ..predictor import Answer, Prediction, Predictor
from ..progress import progress, say

PIECE = 256
Read = Callable[[int], list]  # the row that a piece starts with -> its cells
FORMS = (".csv", ".jsonl", ".parquet")
OWN = ("line", "absent")  # columns that are no target's


def predict(
    export: Path, source: str, out: Path, root: str | None = None, threads: int = 1, within: str | None = None
) -> int:
    """Answer every row of ``source``, in order, into a .csv, .jsonl or .parquet file; returns the number of rows.

    A row that can't be read whole is answered from what can, and says what was absent. A line that is no row
    is told, and has no answer.
    """
    if out.suffix.lower() not in FORMS:
        raise UsageError("unknown kind of output", where=out, got=out.suffix or "no suffix", expected=" ".join(FORMS))
    folder = export / "export" if (export / "export" / "signature.json").exists() else export
    predictor, rows = Predictor.load(folder, threads), sources.read(source)
    place = Root.of(Path(root) if root else rows.root, Path(within) if within else None)
    columns = [_cells(predictor, rows, i.settings.column, i.field.name, place) for i in predictor.inputs]
    answers: list[dict] = []
    with progress("predict") as tell:
        for start in range(0, rows.table.num_rows, PIECE):
            cells = [read(start) for read in columns]
            found = predictor.predict_cells(cells, place)
            answers.extend(_answers(rows, start, found))
            tell((start + len(found)) / rows.table.num_rows, f"{start + len(found):,} rows")
        write_bytes(out, _encoded(answers, out.suffix.lower()))
    _tell_problems(rows, answers)
    return len(answers)


def _cells(predictor: Predictor, rows: sources.Rows, columns: str | tuple[str, ...], name: str, root: Root) -> Read:
    """Reads pieces of one column's cells, or dictionaries of several; what the table lacks is empty."""
    if isinstance(columns, str):
        return _column(predictor, rows, columns, name, root)
    parts = {column: _column(predictor, rows, column, column, root) for column in columns}
    return lambda start: [
        dict(zip(parts, row, strict=True)) for row in zip(*(p(start) for p in parts.values()), strict=True)
    ]


def _column(predictor: Predictor, rows: sources.Rows, column: str, name: str, root: Root) -> Read:
    """The model's column, by the name it had in training; made where it can be; else absent in every row."""
    names = rows.table.column_names
    source = predictor.source(column, names) or (name if name in names else None)
    if source is None:
        say(f"          no column '{column}': {name} is absent in every row")
        return lambda start: [None] * min(PIECE, rows.table.num_rows - start)
    cells = rows.table.column(source)
    if column == source or column not in predictor.derived or predictor.source(column, names) is None:
        return lambda start: cells.slice(start, PIECE).to_pylist()
    say(f"          no column '{column}': it is made from '{source}'")
    return lambda start: [predictor.value(column, {source: v}, root) for v in cells.slice(start, PIECE).to_pylist()]


def _answers(rows: sources.Rows, start: int, found: list[Prediction]) -> Iterator[dict]:
    for number, one in enumerate(found, start):
        absent = "; ".join(f"{name}: {reason}" for name, reason in {**one.absent, **one.partly}.items())
        if len(one.answers) == 1:
            yield {"line": rows.line[number], **_said("answer", "confidence", one.first), "absent": absent} | {
                f"p({label})": p for label, p in one.probabilities.items()
            }
            continue
        said: dict = {}
        for name, answer in one.answers.items():
            said |= _said(f"answer({name})" if name in OWN else name, f"confidence({name})", answer)
        yield {"line": rows.line[number], **said, "absent": absent} | {
            f"p({name}={label})": p for name, a in one.answers.items() for label, p in a.probabilities.items()
        }


def _said(name: str, sure: str, answer: Answer) -> dict:
    value = "; ".join(answer.value) if isinstance(answer.value, tuple) else answer.value
    return {name: value} | ({} if answer.confidence is None else {sure: answer.confidence})


def _encoded(answers: list[dict], suffix: str) -> bytes:
    if suffix == ".parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(answers), sink)
        return sink.getvalue().to_pybytes()
    out = io.StringIO()
    if suffix == ".jsonl":
        out.writelines(json.dumps(a, ensure_ascii=False) + "\n" for a in answers)
    else:
        writer = csv.DictWriter(out, list(answers[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(answers)
    return out.getvalue().encode("utf-8")


def _tell_problems(rows: sources.Rows, answers: list[dict]) -> None:
    absent = [a for a in answers if a["absent"]]
    if absent:
        say(f"          {len(absent):,} rows lack something, e.g. line {absent[0]['line']}: {absent[0]['absent']}")
    for line, reason in rows.broken[:5]:
        say(f"          line {line} has no answer: {reason}")
    if len(rows.broken) > 5:
        say(f"          and {len(rows.broken) - 5:,} more lines without an answer")

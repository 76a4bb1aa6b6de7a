"""Prepare reads a table as a whole, predict a few rows at a time: both give the same verdict on every row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suffuse import sources
from suffuse.errors import SuffuseError
from suffuse.modalities import text as text_modality
from suffuse.modalities.cell import Root
from suffuse.prepare.check import content_check
from suffuse.prepare.check.column_check import column_facts
from suffuse.prepare.column_types import inspect
from suffuse.sources import row_stream, stream
from suffuse.sources.json import RecordColumns
from suffuse.sources.table_format import TableFormat

Verdict = tuple[list[str], dict[int, dict], list[tuple[int, str]]] | tuple[str, str]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_stream, "BLOCK_ROWS", 2)


def whole(file: Path) -> Verdict:
    """(columns, line -> row, what is broken), or (kind of error, its line), as prepare has it."""
    try:
        rows = sources.read(str(file))
    except SuffuseError as error:
        return type(error).__name__, error.line()
    cells = {line: shown(row) for line, row in zip(rows.line, rows.table.to_pylist(), strict=True)}
    return rows.table.column_names, cells, sorted(rows.broken)


def streamed(file: Path) -> Verdict:
    """The same, as predict has it: all columns, and the verdict on rows where one column alone is wanted."""
    try:
        made = stream(str(file))
        blocks = list(made.read(made.names, 0))
        few = list(made.read(made.names[:1], 0))
    except SuffuseError as error:
        return type(error).__name__, error.line()
    assert [(b.line, b.broken) for b in few] == [(b.line, b.broken) for b in blocks]
    broken = sorted(bad for b in blocks for bad in b.broken)
    cells: dict[int, dict] = {}
    for block in blocks:
        for place, line in enumerate(block.line):
            cells[line] = shown({name: block.cells(name)[place] for name in made.names})
    if not cells:
        error = sources.no_rows(file, broken)  # as the stages that read a stream raise it
        return type(error).__name__, error.line()
    return made.names, cells, broken


def shown(row: dict) -> dict:
    """Cells as a modality reads them: a number or its text, a list or its JSON."""
    return {k: v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str) if isinstance(
        v, (dict, list)) else str(v) for k, v in row.items()}  # fmt: skip


CSV = {
    "plain": b"a,b\n1,2\n3,4\n",
    "a byte that is not UTF-8": "a,b\n1,x\n2,\xe9\n3,y\n".encode("latin-1"),
    "two such rows, one with the wrong number of cells": b"a,b\n\xff,1,2\n\xfe,2\n3,4\n",
    "such a byte in a quoted cell of two lines": b'a,b\n1,"x\n\xe9"\n2,y\n',
    "such a byte in a quote that is not closed": b'a,b\n1,2\n3,"\xe9\n5,6\n',
    "a cut-off character at the end": "a,b\n1,2\n3,é".encode()[:-1],
    "a header that is not UTF-8": b"a,\xe9\n1,2\n",
    "every row is not UTF-8": b"a,b\n\xe9,1\n\xe9,2\n",
    "UTF-16": "a,b\n1,2\n".encode("utf-16"),
    "UTF-16 without a mark": "a,b\n1,2\n".encode("utf-16-le"),
    "an encoded surrogate": b"a,b\n1,\xed\xa0\x80\n2,x\n",
    "a byte order mark": b"\xef\xbb\xbfa,b\n1,2\n",
    "a byte order mark inside": b"a,b\n\xef\xbb\xbf1,2\n",
    "NUL bytes": b"a,b\n\0,1\n2,x\0y\n\0\n",
    "NUL in the header": b"a\0,b\n1,2\n",
    "ragged rows": b"a,b\n1\n1,2,3\n4,5\n,\n",
    "a quote never closed": b'a,b\n1,2\n3,"open\n5,6\n7,8\n',
    "a quote never closed at the end": b'a,b\n1,2\n3,"',
    "a quote closed by the next": b'a,b\n1,2\n3,"open\n5,6\n7,"y"\n9,8\n',
    "text behind a quote": b'a,b\n"a\nb"x,1\n2,3\n',
    "blank lines": b"\n\na,b\n1,2\n",
    "blank lines inside": b"a,b\n\n1,2\n\n\n3,4\n\n",
    "lines of white space": b"a,b\n  \n1,2\n",
    "old line ends": b"a,b\r1,2\r3,4\r",
    "mixed line ends": b"a,b\r\n1,2\n3,4\r5,6",
    "a name twice": b"a,a\n1,2\n",
    "an empty name": b"a,\n1,2\n",
    "two empty names": b"a,,\n1,2,3\n",
    "a header alone": b"a,b\n",
    "nothing": b"",
    "a cell that is too long": b"a,b\n1,2\n3," + b"x" * 10_000_001 + b"\n4,5\n",
}

JSON_LINES = {
    "plain": b'{"a": 1, "b": "x"}\n{"a": 2}\n',
    "a byte that is not UTF-8": b'{"a": "x"}\n{"a": "\xe9"}\n{"a": "y"}\n',
    "all lines": b'{"a": "\xe9"}\n{"a": "\xe9"}\n',
    "UTF-16": '{"a": 1}\n{"a": 2}\n'.encode("utf-16"),
    "UTF-16 without a mark": '{"a": 1}\n{"a": 2}\n'.encode("utf-16-le"),
    "one line of UTF-16": b'{"a": 1}\n' + '{"a": 2}'.encode("utf-16-le"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n',
    "NUL bytes": b'{"a": 1}\n\0\n{"a": "\0"}\n{"a": "\\u0000"}\n',
    "half a surrogate pair": b'{"a": "x"}\n{"a": "\\ud800"}\n',
    "blank lines": b'\n{"a": 1}\n  \n\n{"a": 2}\n\n',
    "no object": b'{"a": 1}\n[1]\n5\nnull\n"x"\n',
    "cut off": b'{"a": 1}\n{"a": 2',
    "two objects in a line": b'{"a": 1}\n{"a": 2} {"a": 3}\n',
    "nested too deep": b'{"a": 1}\n{"a": ' + b"[" * 100_000 + b"\n",
    "too many digits": b'{"a": 1}\n{"a": ' + b"9" * 5000 + b"}\n",
    "no record among records": b'{"i": {"path": "x"}}\n{"i": {"path": "y"}}\n{"i": "z"}\n{"i": null}\n{"i": [1]}\n',
    "a record among texts": b'{"i": "x"}\n{"i": "y"}\n{"i": {"path": "z"}}\n',
    "mixed types": b'{"a": true}\n{"a": "x"}\n{"a": [1]}\n{"a": null}\n',
    "beyond 64 bits": b'{"a": 1180591620717411303424}\n{"a": 1}\n',
    "nothing": b"",
}


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("case", CSV)
def test_csv(case: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"rows.{suffix}"
    file.write_bytes(CSV[case].replace(b",", b"\t") if suffix == "tsv" else CSV[case])
    assert streamed(file) == whole(file)


@pytest.mark.parametrize("case", JSON_LINES)
def test_json_lines(case: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(JSON_LINES[case])
    assert streamed(file) == whole(file)


def test_of_lines_that_are_not_utf_8_only_these_are_broken(tmp_path: Path) -> None:
    for name, content in (("rows.csv", CSV), ("rows.jsonl", JSON_LINES)):
        file = tmp_path / name
        file.write_bytes(content["a byte that is not UTF-8"])
        rows = sources.read(str(file), table_format=TableFormat(encoding="utf-8"))
        assert rows.table.num_rows == 2 and [reason for _, reason in rows.broken] == [
            "broken row: not UTF-8: byte 0xe9"
        ]


def text(*cells: bytes | None, kind: pa.DataType | None = None) -> pa.Array:
    """An array that calls these bytes texts."""
    made = pa.array(cells, pa.binary()).view(pa.string())
    return made if kind is None else made.cast(kind)


BAD = text(b"a", b"\xff", None, b"b")
PARQUET = {
    "plain": pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]}),
    "a text that is not UTF-8": pa.table({"a": [1, 2, 3, 4], "b": BAD}),
    "in the first column": pa.table({"b": BAD, "a": [1, 2, 3, 4]}),
    "in a list": pa.table({"a": [1, 2], "b": pa.ListArray.from_arrays(pa.array([0, 1, 2]), text(b"a", b"\xff"))}),
    "in a record": pa.table({"a": [1, 2], "b": pa.StructArray.from_arrays([text(b"a", b"\xff")], ["t"])}),
    "in a dictionary": pa.table({"a": [1, 2, 3], "b": pa.DictionaryArray.from_arrays([0, 1, 0], text(b"a", b"\xff"))}),
    "in a view": pa.table({"a": [1, 2, 3, 4], "b": BAD.cast(pa.string_view())}),
    "no rows": pa.table({"a": pa.array([], pa.int64())}),
}


@pytest.mark.parametrize("case", PARQUET)
def test_parquet(case: str, tmp_path: Path) -> None:
    (tmp_path / "kind=x").mkdir()  # a folder's name is no column
    file = tmp_path / "kind=x" / "rows.parquet"
    pq.write_table(PARQUET[case], file, row_group_size=3)
    assert streamed(file) == whole(file)


def test_json_pieces_agree_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_stream, "CHUNK_ROWS", 2)
    file = tmp_path / "rows.jsonl"
    for case in ("no record among records", "mixed types", "a byte that is not UTF-8"):
        file.write_bytes(JSON_LINES[case])
        assert streamed(file) == whole(file), case
    assert RecordColumns().split([{"a": 1}], [1]) == ([{"a": 1}], [1], [])


@pytest.mark.parametrize(
    "kind",
    [
        pa.string_view(),
        pa.large_string(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.binary_view(),
        pa.large_binary(),
        pa.binary(2),
        pa.dictionary(pa.int8(), pa.binary()),
        pa.list_(pa.string_view()),
        pa.list_view(pa.string()),
        pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())]),
    ],
    ids=str,
)
def test_every_layout_of_texts_and_bytes_gives_plain_columns(kind: pa.DataType, tmp_path: Path) -> None:
    """Prepare, check and init then meet strings, binary and lists alone."""
    words = ["w0", "w1", None, "w0"]
    nested = {"list": [w and [w] for w in words], "struct": [w and {"bytes": w.encode(), "path": w} for w in words]}
    flat = pa.array(words).cast(kind.value_type).dictionary_encode() if pa.types.is_dictionary(kind) else None
    cells = nested.get(str(kind).partition("<")[0].removesuffix("_view"), words)
    made = flat.cast(kind) if flat is not None else pa.array(cells, kind)
    file = tmp_path / "rows.parquet"
    try:
        pq.write_table(pa.table({"a": made, "b": [1, 2, 3, 4]}), file)
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"this pyarrow can't write such a file: {error}")
    rows = sources.read(str(file))
    left = str(rows.table.schema.field("a").type)
    assert "view" not in left and "dictionary" not in left
    assert rows.table["a"].to_pylist() == made.to_pylist() and streamed(file) == whole(file)
    (column, _) = inspect(rows, Root.of(tmp_path))
    column_facts(column, rows.table.column("a"), ())
    content_check.read_contents(
        "m", text_modality.Settings(column="a"), rows, Root.of(tmp_path), False, lambda share: None
    )

"""Tables as they come: quoted, broken, in the wrong encoding; and where each row stands."""

from __future__ import annotations

import csv as writer
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.sources import stream
from suffuse.sources.table_format import TableFormat


def read(folder: Path, content: str | bytes, name: str = "rows.csv") -> sources.Rows:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return sources.read(str(folder / name))


def test_cells_are_texts_as_they_stand(tmp_path):
    rows = read(tmp_path, 'id,zip,text\n1,007," a ""b"", c"\n2,1e3,NaN\n')
    assert rows.table.to_pylist() == [
        {"id": "1", "zip": "007", "text": ' a "b", c'},
        {"id": "2", "zip": "1e3", "text": "NaN"},
    ]
    assert rows.line == [2, 3] and rows.broken == [] and rows.root == tmp_path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_may_end_in_any_way_and_begin_with_a_mark(tmp_path, end, mark):
    rows = read(tmp_path, mark + end.join(["a,b", "1,2", '"x', 'y",3', "4,5", ""]).encode())
    assert rows.table.column_names == ["a", "b"]
    assert rows.table["b"].to_pylist() == ["2", "3", "5"]
    assert rows.line == [2, 3, 5]  # the second row has a line break in a cell


def test_broken_rows_are_told_with_their_lines_and_the_others_kept(tmp_path):
    rows = read(tmp_path, 'a,b\n1,2\nonly\n\n"line\nbreak",3\n4,5,6\n7,8\n')
    assert rows.table["a"].to_pylist() == ["1", "line\nbreak", "7"]
    assert rows.line == [2, 5, 8]
    assert [line for line, _ in rows.broken] == [3, 7]
    assert rows.broken[0][1] == "broken row: got 1 cells, expected 2"
    assert rows.broken[1][1] == "broken row: got 3 cells, expected 2"


def test_a_quote_that_is_never_closed_loses_no_row_in_silence(tmp_path):
    rows = read(tmp_path, 'a,b\n1,2\n3,"open\n5,6\n7,8\n')
    told = {line for line, _ in rows.broken} | set(rows.line)
    assert 2 in told and 3 in told
    last = rows.table["b"].to_pylist()[-1] if len(rows.line) > 1 else ""
    assert rows.broken or last == "open\n5,6\n7,8\n"  # all of it is in that cell, for everyone to see


cell = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)


@budget(deadline=None, max_examples=100)
@given(st.lists(st.lists(cell, min_size=2, max_size=2), min_size=1, max_size=8), st.sampled_from([".csv", ".tsv"]))
def test_what_the_standard_library_writes_is_read_back(tmp_path_factory, cells, suffix):
    out = io.StringIO()
    writer.writer(out, delimiter="\t" if suffix == ".tsv" else ",").writerows([["a", "b"], *cells])
    rows = read(tmp_path_factory.mktemp("csv"), out.getvalue(), f"rows{suffix}")
    assert [list(r.values()) for r in rows.table.to_pylist()] == cells
    assert rows.broken == [] and len(rows.line) == len(cells) and rows.line == sorted(set(rows.line))


def test_another_encoding_is_told_by_its_line(tmp_path):
    (tmp_path / "rows.csv").write_bytes("a,b\n1,2\ncafé,3\n".encode("latin-1"))
    rows = sources.read(str(tmp_path / "rows.csv"), table_format=TableFormat("utf-8"))
    assert rows.table["a"].to_pylist() == ["1"] and rows.broken == [(3, "broken row: not UTF-8: byte 0xe9")]
    (tmp_path / "rows.csv").write_bytes("café,b\n1,2\n".encode("latin-1"))
    with pytest.raises(SuffuseError, match=r"not UTF-8 \(.*rows.csv:1\): got byte 0xe9"):
        sources.read(str(tmp_path / "rows.csv"), table_format=TableFormat("utf-8"))


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "empty"), ("a,b\n", "no rows"), ("a,b,a\n1,2,3\n", "'a' twice"), ("a,b\nx\ny\n", "no rows")],
)
def test_tables_without_rows_and_headers_that_repeat(tmp_path, content, said):
    with pytest.raises(UsageError, match=said):
        read(tmp_path, content)


def test_a_cell_may_be_large(tmp_path):
    assert len(read(tmp_path, "a,b\n" + "x" * 500_000 + ",1\n").table["a"][0].as_py()) == 500_000


def test_json_lines(tmp_path):
    content = (
        '{"id": 1, "text": "a", "list": [1]}\n\n{broken\n[1, 2]\n{"id": 2, "extra": null, "text": "ünï"}\n"text"\n'
    )
    rows = read(tmp_path, content, "rows.jsonl")
    assert rows.table["id"].to_pylist() == [1, 2]
    assert rows.table["text"].to_pylist() == ["a", "ünï"]
    assert rows.table["list"].to_pylist() == [[1], None]
    assert rows.line == [1, 5]
    assert [line for line, _ in rows.broken] == [3, 4, 6]
    assert rows.broken[1][1] == "broken row: expected an object, got list"


def test_json_columns_of_mixed_types_become_texts(tmp_path):
    lines = [{"a": 1, "b": 1}, {"a": "x", "b": 2.5}, {"a": [1, {"c": "é"}], "b": None}, {"a": None, "b": 3}]
    rows = read(tmp_path, "\n".join(json.dumps(x) for x in lines), "rows.ndjson")
    assert rows.table["a"].to_pylist() == ["1", "x", '[1, {"c": "é"}]', None]
    assert rows.table["b"].to_pylist() == [1, 2.5, None, 3]


@pytest.mark.parametrize(
    "line",
    [b'{"a": "\\ud83d"}', b'{"a": 99999999999999999999999}', b'{"a": "\xff"}', b"\xef\xbb\xbf{}", b'{"a": 1e999}'],
)
def test_an_odd_line_of_json_stops_nothing(tmp_path, line):
    """A lone surrogate, a number beyond 64 bits, bytes that are no UTF-8, a byte order mark, infinity."""
    rows = read(tmp_path, b'{"a": "x"}\n' + line + b'\n{"a": "y"}\n', "rows.jsonl")
    assert {1, 3} <= set(rows.line)
    assert rows.table["a"].to_pylist()[0] == "x" and rows.table["a"].to_pylist()[-1] == "y"
    assert 2 in {*rows.line, *(n for n, _ in rows.broken)}


def test_json_lines_without_any_row(tmp_path):
    for content in ("", "\n\n", "{broken\n"):
        with pytest.raises(UsageError, match="no rows"):
            read(tmp_path, content, "rows.jsonl")


def test_parquet_keeps_types(tmp_path):
    plain = pa.table({"n": [1, 2], "bytes": [b"a", None], "kind": ["x", "y"]})
    table = plain.set_column(2, "kind", plain["kind"].dictionary_encode())
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = sources.read(str(tmp_path / "rows.parquet"))
    assert rows.table.equals(plain) and rows.line == [1, 2]  # a dictionary is a layout of texts
    content = (tmp_path / "rows.parquet").read_bytes()
    for cut in (0, 4, len(content) // 2):
        with pytest.raises(SuffuseError, match="can't read the table") as caught:
            read(tmp_path, content[:cut], "cut.parquet")
        assert "\n" not in caught.value.line()
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(UsageError, match="no rows"):
        sources.read(str(tmp_path / "none.parquet"))


def test_what_is_no_source(tmp_path):
    (tmp_path / "rows.doc").touch()
    (tmp_path / "folder").mkdir()
    for source, said in (
        (tmp_path / "gone.csv", "no such source"),
        ("easy-vaq", "no such source"),
        (tmp_path / "rows.doc", "unknown kind of table"),
        (tmp_path / "folder", "no table"),
    ):
        with pytest.raises(UsageError, match=said):
            sources.read(str(source))


def test_a_column_that_isn_t_there(tmp_path):
    rows = read(tmp_path, "question,answer\na,b\n")
    with pytest.raises(UsageError, match=r"no such column \(data.target\): got 'anwser'") as caught:
        sources.column(rows, "anwser", "data.target")
    assert caught.value.hint == "did you mean 'answer'?"


def test_empty_cells_are_none():
    assert sources.texts(["a", " b ", "", "  ", None, float("nan"), 7, 1.5, False]) == [
        "a", "b", None, None, None, None, "7", "1.5", "False"
    ]  # fmt: skip


def test_easy_vqa():
    rows = sources.read("easy-vqa")
    table = rows.table
    split = table["split"].to_pylist()
    assert (split.count("train"), split.count("test")) == (38_575, 9_673)
    assert len(set(table["answer"].to_pylist())) == 13
    assert len(set(table["id"].to_pylist())) == len(split)
    assert len(set(table["number"].to_pylist())) == 5000
    assert all((rows.root / p).is_file() for p in table["picture"].to_pylist()[::500])


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.json", "rows.parquet"])
def test_a_pipe_or_a_folder_is_no_table_and_is_never_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for read in (sources.read, stream):
        with pytest.raises(UsageError, match=f"not a regular file .*{name}.*got a pipe"):
            read(str(tmp_path / name))
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(UsageError, match=r"not a regular file .*got a device"):
        sources.read(str(tmp_path / name))


@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json", "questions.json"])
def test_a_pipe_in_a_folder_of_rows_is_never_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=f"not a regular file .*{name}.*got a pipe"):
        sources.read(str(tmp_path))

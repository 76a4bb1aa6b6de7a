"""Malformed tables: each case ends as a broken row or one clear error, and a bad row changes only itself."""

from __future__ import annotations

import csv as writer
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.sources import row_stream
from suffuse.sources.frame import to_table
from suffuse.sources.table_format import TableFormat

UTF8 = TableFormat(encoding="utf-8")  # nothing is detected: bytes that aren't UTF-8 are broken


def read(folder: Path, content: str | bytes, name: str = "rows.csv") -> sources.Rows:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return sources.read(str(folder / name), table_format=UTF8)


def by_line(rows: sources.Rows) -> dict[int, dict]:
    return dict(zip(rows.line, rows.table.to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("content", "kept", "told"),
    [
        ('a,b\n1,2\n3,"open\n5,6\n7,8\n', ["1", "5", "7"], [3]),  # never closed
        ('a,b\n1,2\n3,"open\n5,6\n7,"y"\n9,8\n', ["1", "5", "7", "9"], [3]),  # closed by the next quote that opens
        ('a,b\n"open,2\n3,4\n', ["3"], [2]),
        ('a,b\n"open\n"open\n3,4\n5,"x"\n', ["3", "5"], [2, 3]),
        ('a,b\n"two\nlines",2\n3,"2 ""x""\n4"\n', ["two\nlines", "3"], []),  # nothing is wrong with these
        ('a,b\n1,5" disk\n2,6" disk\n', ["1", "2"], []),
        ('a,b\n"a\nb"x,1\n2,3\n', ["2"], [2, 3]),
        ('a,b\n"a\nb",1,2\n2,3\n', ["2"], [2]),
        ("a,b\n1\n1,2,3\n\n4,5\n", ["4"], [2, 3]),
        ("a,b\n\0,1\n2,x\0y\n", ["\0", "2"], []),
        ('a,b\n1,2\n3,"', ["1"], [3]),
        ('a,b\r\n1,"open\r\n3,4\r\n', ["3"], [2]),
        ("a,b\n1,é\n".encode() + "2,é\n".encode("latin-1") + b"3,x\n", ["1", "3"], [3]),
        (b'a,b\n"1\n\xff",2\n5,6\n3,"\xe9\n', ["5"], [2, 5]),
        ("\n\na,b\n1,2\n", ["1"], []),
    ],
)
def test_a_broken_row_takes_no_other_with_it(tmp_path, content, kept, told):
    rows = read(tmp_path, content)
    assert rows.table["a"].to_pylist() == kept
    assert [line for line, _ in rows.broken] == told
    assert rows.line == sorted(rows.line) and not set(rows.line) & set(told)
    assert all(reason.startswith("broken row: ") for _, reason in rows.broken)


plain = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\"',"), min_size=1, max_size=6)
junk = st.sampled_from(
    [
        '"',
        '"x',
        'x"y"',
        '"a,b',
        "a,b,c,d",
        "a",
        '"a"b',
        '""',
        '","',
        '"",""x',
        "\0",
        "'",
        "a,b,",
        ",,,,",
        '"\0',
        "\ufeff",
    ]
)


@budget(deadline=None, max_examples=200)
@given(st.lists(st.tuples(plain, plain), min_size=2, max_size=8), st.data())
def test_whatever_stands_in_row_k_the_others_are_read(tmp_path_factory, cells, data):
    """Row k of a CSV without quotes is replaced by junk."""
    k, bad = data.draw(st.integers(0, len(cells) - 1)), data.draw(junk | st.text("\",ab \0'", max_size=8))
    lines = ["a,b", *(",".join(row) for row in cells)]
    whole = by_line(read(tmp_path_factory.mktemp("csv"), "\n".join(lines) + "\n"))
    lines[1 + k] = bad
    rows = read(tmp_path_factory.mktemp("csv"), "\n".join(lines) + "\n")
    found = by_line(rows)
    for line, row in whole.items():
        if line != k + 2:
            assert found[line] == row, (lines, rows.broken)
    assert k + 2 in {*found, *(n for n, _ in rows.broken)} or not bad


@budget(deadline=None, max_examples=100)
@given(st.lists(st.tuples(plain, st.integers(-5, 5)), min_size=2, max_size=8), st.data())
def test_whatever_stands_in_line_k_of_json_the_others_are_read(tmp_path_factory, cells, data):
    k = data.draw(st.integers(0, len(cells) - 1))
    bad = data.draw(
        st.sampled_from(
            [
                b"{",
                b"[1]",
                b"null",
                b'{"a": }',
                b"\xff\xfe",
                b'{"a": "\\ud800"}',
                b"{" * 5000,
                b'{"n": ' + b"9" * 5000 + b"}",
            ]
        )
    )
    lines = [json.dumps({"a": a, "n": n}).encode() for a, n in cells]
    whole = by_line(read(tmp_path_factory.mktemp("json"), b"\n".join(lines), "rows.jsonl"))
    lines[k] = bad
    rows = read(tmp_path_factory.mktemp("json"), b"\n".join(lines), "rows.jsonl")
    found = by_line(rows)
    assert [line for line, _ in rows.broken] == [k + 1]
    assert {line: row for line, row in whole.items() if line != k + 1} == found


@pytest.mark.parametrize("value", [5, "x.png", [1], True])
def test_a_cell_of_another_kind_doesn_t_make_texts_of_the_records(tmp_path, value):
    lines = [{"image": {"path": f"{n}.png"}, "y": n} for n in range(4)]
    lines[2]["image"] = value
    rows = read(tmp_path, "\n".join(map(json.dumps, lines)), "rows.jsonl")
    assert [row["image"] for row in rows.table.to_pylist()] == [{"path": f"{n}.png"} for n in (0, 1, 3)]
    assert rows.line == [1, 2, 4] and rows.broken == [(3, "broken row: 'image' is no record, as it is in other rows")]


def test_json_numbers_of_every_kind(tmp_path):
    content = '{"n": 1}\n{"n": 1e999}\n{"n": NaN}\n{"n": -Infinity}\n{"n": 2.5}\n'
    rows = read(tmp_path, content, "rows.jsonl")
    assert rows.line == [1, 2, 3, 4, 5]
    assert [str(n) for n in rows.table["n"].to_pylist()] == ["1.0", "inf", "nan", "-inf", "2.5"]


def test_many_rows_come_in_pieces_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(row_stream, "CHUNK_ROWS", 7)
    cells = [[str(n), f"x\ny{n}" if n % 5 == 0 else f"z{n}"] for n in range(100)]
    out = io.StringIO()
    writer.writer(out).writerows([["a", "b"], *cells])
    rows = read(tmp_path, out.getvalue())
    assert [list(r.values()) for r in rows.table.to_pylist()] == cells
    lines = out.getvalue().split("\r\n")
    expected = [2 + sum(line.count("\n") + 1 for line in lines[1:n]) for n in range(1, 101)]
    assert rows.line == expected


def test_json_pieces_that_differ_in_type_are_read_as_a_whole(tmp_path, monkeypatch):
    lines = [*({"a": n, "b": n} for n in range(10)), {"a": "x", "b": 1.5}, {"a": None, "c": [1]}]
    text = "\n".join(map(json.dumps, lines))
    whole = read(tmp_path, text, "rows.jsonl").table
    monkeypatch.setattr(row_stream, "CHUNK_ROWS", 3)
    pieces = read(tmp_path, text, "rows.jsonl").table
    assert pieces.to_pylist() == whole.to_pylist() and pieces.schema.types == whole.schema.types
    assert pieces["a"].to_pylist()[:2] == ["0", "1"] and pieces["b"].to_pylist()[10] == 1.5


@pytest.mark.parametrize("size", [10_000_000, 10_000_001])
def test_ten_million_characters_in_a_cell(tmp_path, size):
    rows = read(tmp_path, f"a,b\n1,{'x' * size}\n2,y\n")
    assert rows.table["a"].to_pylist() == (["1", "2"] if size == 10_000_000 else ["2"])
    assert [line for line, _ in rows.broken] == ([] if size == 10_000_000 else [2])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,a\n1,2\n", "two columns have the same name"),
        (b'a,"b\n1,2\n', "can't read the header line"),
        (b"\xff\xfea\x00,\x00b\x00\n\x00", r"not UTF-8 \(.*:1\): got byte 0xff"),
        ("a,é\n1,2\n".encode("latin-1"), r"not UTF-8 \(.*:1\): got byte 0xe9"),
        ("a\né\n".encode("latin-1"), r"no rows .*: got 1 broken rows, the first in line 2: .*not UTF-8: byte 0xe9"),
        (b"\n1,2\n", "no rows"),
        (b"\0", "no rows"),
    ],
)
def test_one_clear_error(tmp_path, content, said):
    with pytest.raises((SuffuseError, UsageError), match=said) as caught:
        read(tmp_path, content)
    assert "\n" not in caught.value.line()


def test_parquet_texts_that_are_no_utf_8(tmp_path):
    bad = pa.array([b"a", b"\xff\xfe", None, b"\xc3\xa9"]).view(pa.string())
    table = pa.table({"t": bad, "n": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = sources.read(str(tmp_path / "rows.parquet"))
    assert rows.table["t"].to_pylist() == ["a", None, "é"] and rows.line == [1, 3, 4]
    assert rows.broken == [(2, "broken row: 't' is not UTF-8")]


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("how", ["cut", "overwritten"])
def test_a_damaged_parquet_file_is_one_error_or_the_same_rows(tmp_path, cut, how):
    table = pa.table({"t": [f"text number {n}" for n in range(500)], "n": list(range(500))})
    pq.write_table(table, tmp_path / "rows.parquet", write_page_checksum=True)
    content = bytearray((tmp_path / "rows.parquet").read_bytes())
    at = int(len(content) * cut)
    if how == "cut":
        del content[at:]
    else:
        content[at : at + 8] = b"\xff" * 8
    (tmp_path / "rows.parquet").write_bytes(content)
    try:
        rows = sources.read(str(tmp_path / "rows.parquet"))
    except SuffuseError as error:
        assert "can't read the table" in error.line() and "\n" not in error.line()
    else:
        assert how == "overwritten" and rows.table.num_columns == 2


def test_two_parquet_columns_of_one_name(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises((SuffuseError, UsageError), match=r"same name|can't read"):
        sources.read(str(tmp_path / "rows.parquet"))


def test_python_objects_that_no_table_holds_become_texts():
    rows = [{"t": "\ud800x", "n": 10**30, "m": 1}, {"t": "b", "n": 2, "m": "x"}]
    assert to_table(rows).to_pylist() == [{"t": "?x", "n": str(10**30), "m": "1"}, {"t": "b", "n": "2", "m": "x"}]

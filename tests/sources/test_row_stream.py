"""Sources read a few rows at a time give what they give as a whole; where reading goes on changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.sources import row_stream, stream
from suffuse.sources.row_stream import Block
from suffuse.sources.table_format import TableFormat

NAMES = ["rows.csv", "rows.tsv", "rows.jsonl", "rows.json", "rows.parquet"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_stream, "BLOCK_ROWS", 4)


def write(folder: Path, name: str, rows: int = 23) -> Path:
    """A table with a broken row in the middle and one at its end, where its kind allows that."""
    file, cells = folder / name, [(str(n), None if n % 5 == 3 else f"word {n}, 词\n{n}") for n in range(rows)]
    if name.endswith("sv"):
        end = "\t" if name.endswith(".tsv") else ","
        lines = [f'{a}{end}"{b or ""}"{end}x' for a, b in cells]
        lines.insert(9, "broken")
        file.write_text("\n".join([f"a{end}b{end}c", *lines, "broken too", ""]), encoding="utf-8")
    elif name.endswith((".jsonl", ".json")):
        items: list = [{"a": int(a), "b": b, **({"late": 1.5} if int(a) > 20 else {})} for a, b in cells]
        items.insert(9, "broken")
        items.append(3)
        whole = "\n".join(map(json.dumps, items)) if name.endswith("l") else json.dumps(items)
        file.write_text(whole, encoding="utf-8")
    else:
        columns = {"a": [int(a) for a, _ in cells], "b": [b for _, b in cells], "c": [b"x"] * rows}
        pq.write_table(pa.table(columns), file, row_group_size=10)
    return file


def together(blocks: list[Block]) -> tuple[dict, list, list]:
    columns = blocks[0].columns
    names = columns.column_names if isinstance(columns, pa.Table) else list(columns)
    cells = {name: [c for b in blocks for c in b.cells(name)] for name in names}
    return cells, [n for b in blocks for n in b.line], [bad for b in blocks for bad in b.broken]


@pytest.mark.parametrize("name", NAMES)
def test_blocks_are_the_whole(tmp_path, name):
    file = write(tmp_path, name)
    rows, made = sources.read(str(file)), stream(str(file))
    blocks = list(made.read(made.names, 0))
    cells, lines, broken = together(blocks)
    assert (made.names, made.root) == (rows.table.column_names, rows.root)
    assert (cells, lines) == (rows.table.to_pydict(), rows.line)
    assert sorted(broken) == sorted(rows.broken) and len(broken) == (0 if name == "rows.parquet" else 2)
    assert max(len(b.line) for b in blocks) == 4
    shares = [b.share for b in blocks]
    assert shares == sorted(shares) and shares[-1] == 1 and shares[0] > 0
    only = list(made.read(["b", "no such column"], 0))
    assert together(only)[0] == {"b": cells["b"]} and [b.line for b in only] == [b.line for b in blocks]


@pytest.mark.parametrize("name", NAMES)
def test_reading_goes_on_at_any_block(tmp_path, name):
    made = stream(str(write(tmp_path, name)))
    blocks = list(made.read(made.names, 0))
    for skipped in range(len(blocks) + 2):
        assert list(made.read(made.names, skipped)) == blocks[skipped:]


def test_of_large_cells_a_block_holds_fewer(tmp_path, monkeypatch):
    monkeypatch.setattr(row_stream, "MAX_BLOCK_SIZE", 1000)
    cells = ["x" * 600] * 6
    (tmp_path / "a.csv").write_text("a\n" + "\n".join(cells))
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"a": c}) for c in cells))
    pq.write_table(pa.table({"a": cells}), tmp_path / "a.parquet", use_dictionary=False, compression=None)
    for name, sizes in (("a.csv", [2, 2, 2]), ("a.jsonl", [2, 2, 2]), ("a.parquet", [1] * 6)):
        assert [len(b.line) for b in stream(str(tmp_path / name)).read(["a"], 0)] == sizes


def test_a_row_that_is_no_utf8_is_broken_and_the_others_are_read(tmp_path):
    (tmp_path / "a.csv").write_bytes("a,b\n1,ü\n2,\xff\n3,ö\n".encode("latin-1").replace(b"\xfc", "ü".encode()))
    cells, lines, broken = together(list(stream(str(tmp_path / "a.csv")).read(["a", "b"], 0)))
    assert (cells, lines) == ({"a": ["1"], "b": ["ü"]}, [2])
    assert broken == [(3, "broken row: not UTF-8: byte 0xff"), (4, "broken row: not UTF-8: byte 0xf6")]
    (tmp_path / "b.csv").write_bytes(b"a,\xff\n1,2\n")
    with pytest.raises(SuffuseError, match="not UTF-8"):
        stream(str(tmp_path / "b.csv"), TableFormat("utf-8"))
    text = pa.array([b"good", b"\xff", b"well"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"a": text, "b": [1, 2, 3]}), tmp_path / "a.parquet")
    cells, lines, broken = together(list(stream(str(tmp_path / "a.parquet")).read(["a", "b"], 0)))
    assert (cells, lines) == ({"a": ["good", "well"], "b": [1, 3]}, [1, 3])
    assert broken == [(2, "broken row: 'a' is not UTF-8")]


def test_what_is_no_table(tmp_path):
    with pytest.raises(UsageError, match="no such source"):
        stream(str(tmp_path / "none.csv"))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SuffuseError, match="can't read the table"):
        stream(str(tmp_path / "a.parquet"))
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(UsageError, match="same name"):
        stream(str(tmp_path / "a.csv"))
    pq.write_table(pa.table({"a": list(range(5000))}), tmp_path / "b.parquet", compression=None, use_dictionary=False)
    content = bytearray((tmp_path / "b.parquet").read_bytes())
    content[4:40] = bytes(36)
    (tmp_path / "b.parquet").write_bytes(content)
    with pytest.raises(SuffuseError, match="can't read the table"):
        list(stream(str(tmp_path / "b.parquet")).read(["a"], 0))

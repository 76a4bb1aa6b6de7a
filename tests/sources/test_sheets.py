"""Spreadsheets are tables: the first sheet or a named one, with numbers and dates of their types."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest
from spreadsheet_tools import Sheets, write_ods, write_xlsx

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.sources.table_format import MISSING_VALUES, TableFormat

ROWS = [
    ["id", "count", "price", "bought", "at", "title", "fit", None, None],
    ["007", 1, 2.5, date(2024, 3, 5), datetime(2024, 3, 5, 10, 30), "Kleid für Mädchen", True, None, None],
    [None] * 9,
    ["008", 2, 3, date(2024, 3, 6), datetime(2024, 3, 6, 0, 0), "NULL", False, None, "extra"],
    ["009", 3, None, None, None, "裙", None, None, None],
]
Write = Callable[[Path, Sheets], Path]


@pytest.fixture(params=[write_xlsx, write_ods], ids=["xlsx", "ods"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    pytest.importorskip("python_calamine")
    write: Write = request.param
    sheets = {"Blatt 1": ROWS, "R#2": [["a"], [1]], "empty": [], "twice": [["a", "a"], [1, 2]]}
    return write(tmp_path / f"rows.{write.__name__.removeprefix('write_')}", sheets)


def test_cells_have_the_types_of_the_sheet(book: Path) -> None:
    rows = sources.read(str(book))
    assert rows.table.to_pylist()[0] == {
        "id": "007",
        "count": 1,
        "price": 2.5,
        "bought": date(2024, 3, 5),
        "at": datetime(2024, 3, 5, 10, 30),
        "title": "Kleid für Mädchen",
        "fit": True,
        "column I": None,
    }
    assert [str(kind) for kind in rows.table.schema.types][:4] == ["string", "int64", "double", "date32[day]"]
    assert rows.line == [2, 4, 5] and rows.root == book.parent
    assert rows.table["column I"].to_pylist() == [None, "extra", None]
    rows = sources.read(str(book), table_format=TableFormat(missing_values=MISSING_VALUES))
    assert rows.missing == {"title": {"NULL": 1}} and rows.table["title"].to_pylist()[1] is None


def test_another_sheet_is_named_behind_a_sign(book: Path) -> None:
    assert sources.read(f"{book}#R#2").table.to_pylist() == [{"a": 1}]
    assert list(sources.stream(f"{book}#Blatt 1").names)[:2] == ["id", "count"]
    for name, message in (("Blatt", "did you mean 'Blatt 1'"), ("empty", "the table is empty"), ("twice", "'a' twice")):
        with pytest.raises(UsageError) as caught:
            sources.read(f"{book}#{name}")
        assert message in caught.value.text()
    with pytest.raises(UsageError, match="no such source"):
        sources.read(f"{book.parent / 'none.xlsx'}#a")
    assert sources.file_of(f"{book}#twice") == book and sources.file_of("rows.csv#x") == Path("rows.csv#x")


def test_what_is_no_spreadsheet(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    for name in ("rows.xlsx", "rows.ods"):
        (tmp_path / name).write_bytes(b"no archive")
        with pytest.raises(SuffuseError, match="can't read the spreadsheet") as caught:
            sources.read(str(tmp_path / name))
        assert "\n" not in caught.value.line()


def test_where_the_library_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(UsageError, match="python_calamine isn't installed") as caught:
        sources.read(str(tmp_path / "rows.xlsx"))
    assert "suffuse[sheets]" in caught.value.text()

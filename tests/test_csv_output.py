"""CSV files: what a table holds reaches neither a spreadsheet as a formula nor a terminal as a command."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import suffuse
from suffuse.csv_output import csv_lines, safe_cell
from suffuse.errors import escape_controls
from suffuse.prepare.quarantine import Quarantine


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("=HYPERLINK(\"http://a\")", "'=HYPERLINK(\"http://a\")"),
        ("+1+1", "'+1+1"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("@SUM(1+1)", "'@SUM(1+1)"),
        ("＝1+1", "'＝1+1"),
        (" =1+1", "' =1+1"),
        ("\t=1+1", "'\t=1+1"),
        ("\r=1+1", "'\\x0d=1+1"),
        ("\n=1+1", "'\n=1+1"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\x00b\x07\x7f\x9b", "a\\x00b\\x07\\x7f\\x9b"),
        ("over\rwritten", "over\\x0dwritten"),
        ("\ud800", "\\ud800"),
        *((same, same) for same in ("-1.5", "+7", "-.5e-3", "-", "+", "=", "", "a=b", "two\r\nlines", "a\tb", "答案")),
    ],
)  # fmt: skip
def test_formulas_and_control_characters_are_escaped(cell, wanted):
    assert safe_cell(cell) == wanted
    (row,) = csv.reader(io.StringIO("".join(csv_lines([["id", cell, -1.5, None]])), newline=""))
    assert row == ["id", wanted, "-1.5", ""]


def test_a_cell_with_another_delimiter_is_quoted():
    assert list(csv_lines([["a", "b"], ["a;=1+1", 2]])) == ["a,b\n", '"a;=1+1",2\n']


@given(st.lists(st.lists(st.text(), min_size=2, max_size=4), max_size=5), st.booleans())
def test_what_is_written_is_read_back(rows, raw):
    found = list(csv.reader(io.StringIO("".join(csv_lines(rows, raw)), newline="")))
    assert found == (rows if raw else [[safe_cell(cell) for cell in row] for row in rows])
    if not raw:
        for cell in (cell for row in found for cell in row):
            assert not re.match(r"\s*[=+@-].", cell, re.DOTALL) or re.fullmatch(r"[+-][\d.]+(e[+-]?\d+)?", cell, re.I)
            assert escape_controls(cell) == cell


def test_the_file_of_what_was_left_out():
    notes = Quarantine()
    notes.note(2, "=cmd()", "text", "quarantined", "no label: '\x1b]0;title\x07'")
    _, row = csv.reader(io.StringIO(notes.to_csv(), newline=""))
    assert row == ["2", "'=cmd()", "text", "quarantined", "no label: '\\x1b]0;title\\x07'"]


def test_every_csv_file_is_written_in_one_place():
    folder = Path(suffuse.__file__).parent
    writes = re.compile(r"csv\.(Dict)?[wW]riter|\.to_csv\(\w|write_csv")
    files = [f for f in folder.rglob("*.py") if writes.search(f.read_text("utf-8"))]
    assert [f.name for f in files] == ["csv_output.py"]

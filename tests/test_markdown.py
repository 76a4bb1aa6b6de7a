"""Texts of tables in Markdown."""

from __future__ import annotations

from suffuse.markdown import MARKS, plain, table


def test_a_name_has_no_markup_and_no_line_of_its_own():
    assert plain("a|b\n# <i>c</i> \x1b[1m") == r"a\|b \# \<i\>c\</i\> \\x1b\[1m"
    assert all(plain(mark) == f"\\{mark}" for mark in MARKS)
    assert plain("picture 2, 请问") == "picture 2, 请问"


def test_a_table_s_cells_stay_in_their_columns():
    drawn = table(["name", "value"], [["a|b", "1"], ("c", "2")])
    assert drawn.splitlines() == ["| name | value |", "|---|---|", r"| a\|b | 1 |", "| c | 2 |"]

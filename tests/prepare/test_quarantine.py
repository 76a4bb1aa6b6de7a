"""What was wrong, for people to read."""

from __future__ import annotations

import csv
import io

import pytest

from suffuse.prepare.quarantine import LeftOut, Quarantine, Reason


def test_notes_are_counted_by_reason_and_written_by_line():
    notes = Quarantine()
    notes.note(9, "r9", "text", "absent", "empty cell")
    notes.note(4, None, "", "quarantined", 'broken row: got 1 cells, "expected" 2')
    notes.note(5, 7, "", "quarantined", "broken row: got 3 cells, expected 2\nand a line break")
    assert notes.counts() == {"absent": {"text: empty cell": 1}, "quarantined": {"broken row": 2}}
    rows = list(csv.reader(io.StringIO(notes.to_csv())))
    assert rows[0] == ["line", "id", "column", "action", "reason"]
    assert [r[0] for r in rows[1:]] == ["4", "5", "9"]
    assert rows[1][4] == 'broken row: got 1 cells, "expected" 2' and rows[2][1] == "7"
    assert notes.lines()[1] == "2 quarantined (broken row: 2)"


def test_reasons_have_their_first_lines_and_the_commonest_comes_first():
    notes = Quarantine()
    notes.note(8, None, "id", "quarantined", "no id")
    for line in (90, 5, 70, 31):
        notes.note(line, "r", "", "quarantined", f"duplicate row: same contents and label as line {line - 1}")
    notes.note(1, "r", "text", "absent", "empty cell")
    assert notes.reasons() == [Reason("", "duplicate row", 4, (5, 31, 70)), Reason("id", "no id", 1, (8,))]
    assert [one.name for one in notes.reasons()] == ["duplicate row", "id: no id"]
    assert [one.examples() for one in notes.reasons()] == ["lines 5, 31, 70", "line 8"]


def test_how_many_rows_are_left_out_of_how_many():
    reasons = {"duplicate row": 855} | {f"reason {n}": 1 for n in range(7)}
    schema = {"rows": {"train": 20, "validation": 4, "test": 5}, "notes": {"quarantined": reasons, "absent": {"x": 3}}}
    left = LeftOut.of_schema(schema)
    assert (left.rows, left.total) == (862, 891) and left.share == pytest.approx(862 / 891)
    assert left.sentence().startswith("862 of 891 rows (97 %): duplicate row: 855; reason 0: 1; ")
    assert left.sentence().endswith("; 3 more reasons")
    assert left.to_json()["reasons"] == reasons
    nothing = LeftOut.of_schema({"rows": {"train": 9}, "notes": {}})
    assert (nothing.rows, nothing.share, nothing.sentence()) == (0, 0.0, "none of 9 rows")


def test_an_action_is_one_of_those_that_are_explained():
    with pytest.raises(AssertionError):
        Quarantine().note(1, "a", "b", "repaired", "in silence")

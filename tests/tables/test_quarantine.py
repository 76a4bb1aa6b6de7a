"""What was wrong, for people to read."""

from __future__ import annotations

import csv
import io

import pytest

from suffuse.tables.quarantine import Quarantine


def test_notes_are_counted_by_reason_and_written_by_line():
    notes = Quarantine()
    notes.note(9, "r9", "text", "absent", "empty cell")
    notes.note(4, None, "", "quarantined", 'broken row: got 1 cells, "expected" 2')
    notes.note(5, 7, "", "quarantined", "broken row: got 3 cells, expected 2\nand a line break")
    assert notes.counts() == {"absent": {"text: empty cell": 1}, "quarantined": {": broken row": 2}}
    rows = list(csv.reader(io.StringIO(notes.to_csv())))
    assert rows[0] == ["line", "id", "column", "action", "reason"]
    assert [r[0] for r in rows[1:]] == ["4", "5", "9"]
    assert rows[1][4] == 'broken row: got 1 cells, "expected" 2' and rows[2][1] == "7"
    assert notes.lines()[1].startswith("2 quarantined (")


def test_an_action_is_one_of_those_that_are_explained():
    with pytest.raises(AssertionError):
        Quarantine().note(1, "a", "b", "repaired", "in silence")

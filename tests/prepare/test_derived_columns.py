"""Derived columns: made once, remembered, told where they fail, and never another row's."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from suffuse import derive, sources
from suffuse.derive import mask_words, transcribe
from suffuse.errors import UsageError
from suffuse.modalities.cell import Absent, Unreadable
from suffuse.prepare import derived_columns
from suffuse.registry import settings


def rows(**columns: list) -> sources.Rows:
    table = pa.table({name: pa.array(cells) for name, cells in columns.items()})
    return sources.Rows(table, list(range(2, table.num_rows + 2)), Path())


def made(table: sources.Rows, memory: Path, labels: tuple = (), **asked: dict) -> derived_columns.Derived:
    chosen = {name: settings(derive.TABLE, one) for name, one in asked.items()}
    return derived_columns.add(table, chosen, labels, Path(), memory, lambda part, what: None)


MASKED = {"kind": "mask_words", "column": "title", "words": ["red", "shoe"]}


def test_each_row_gets_its_own(tmp_path):
    titles = ["a red shoe", None, "RED", "blue hat", "a red shoe", "", b"x".decode()]
    found = made(rows(title=titles), tmp_path, masked=MASKED)
    assert found.rows.table["masked"].to_pylist() == ["a", None, None, "blue hat", "a", None, "x"]
    assert found.failed == [(2, "masked", "nothing is left without the masked words")]
    assert found.facts["masked"]["facts"] == {"words": ["red", "shoe"]}
    json.dumps(found.facts)


def test_one_may_be_made_from_another(tmp_path):
    again = {"kind": "mask_words", "column": "masked", "words": ["blue"]}
    found = made(rows(title=["a red blue hat"]), tmp_path, masked=MASKED, twice=again)
    assert found.rows.table["twice"].to_pylist() == ["a hat"]
    with pytest.raises(UsageError, match=r"no such column .*masked"):
        made(rows(title=["a"]), tmp_path, twice=again, masked=MASKED)


def test_a_name_that_is_taken_and_a_source_that_isn_t_there(tmp_path):
    with pytest.raises(UsageError, match=r"has a column of this name \(data.derive.title\)"):
        made(rows(title=["a"]), tmp_path, title=MASKED)
    with pytest.raises(UsageError, match=r"data.derive.masked.column.*'title'"):
        made(rows(titel=["a"]), tmp_path, masked=MASKED)


@pytest.fixture
def recogniser(monkeypatch) -> list[bytes]:
    """A slow derivation that counts what it is asked."""
    asked: list[bytes] = []

    def make(chosen, facts, value, root):
        asked.append(value)
        if value == b"noise":
            raise Absent("no word was recognised")
        if value == b"broken":
            raise Unreadable("not sound in a known format")
        return f"said {value.decode()}"

    monkeypatch.setattr(transcribe, "ready", lambda chosen: None)
    monkeypatch.setattr(transcribe, "make", make)
    return asked


SPOKEN = {"kind": "transcribe", "column": "audio"}


def test_slow_results_are_remembered_by_content(recogniser, tmp_path):
    table = rows(audio=[b"one", b"two", None, b"one", b"noise", b"broken", b"two"])
    first = made(table, tmp_path, heard=SPOKEN)
    assert first.rows.table["heard"].to_pylist() == ["said one", "said two", None, "said one", None, None, "said two"]
    assert first.failed == [
        (4, "heard", "no word was recognised"),
        (5, "heard", "not sound in a known format"),
    ]
    assert sorted(recogniser) == [b"broken", b"noise", b"one", b"two"]
    again = made(table, tmp_path, heard=SPOKEN)
    assert len(recogniser) == 4 and again.failed == first.failed
    assert again.rows.table.equals(first.rows.table)
    made(table, tmp_path, heard={**SPOKEN, "seconds": 3})  # other settings, other results
    assert len(recogniser) == 8


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_killed_while_it_wrote_it_goes_on(recogniser, tmp_path, cut):
    table = rows(audio=[b"one", b"two", b"three"])
    expected = made(table, tmp_path, heard=SPOKEN).rows.table
    file = tmp_path / "transcribe.jsonl"
    content = file.read_bytes()
    file.write_bytes(content[:-cut])
    recogniser.clear()
    assert made(table, tmp_path, heard=SPOKEN).rows.table.equals(expected)
    assert 1 <= len(recogniser) <= 2
    assert file.read_bytes() == content


def test_labels_go_to_the_words(tmp_path):
    asked = {"kind": "mask_words", "column": "title"}
    found = made(rows(title=["a red shoe", "hats"]), tmp_path, ("Shoe", "hat"), masked=asked)
    assert found.rows.table["masked"].to_pylist() == ["a red", None]
    assert found.facts["masked"]["facts"] == {"words": ["hat", "shoe"]}
    assert mask_words.Settings.model_validate(found.facts["masked"]["settings"]).words == "labels"

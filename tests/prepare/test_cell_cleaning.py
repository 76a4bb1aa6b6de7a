"""A column's cells: each distinct one read once, and killed work taken up again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from suffuse import modalities
from suffuse.prepare import cell_cleaning
from suffuse.prepare.cell_cleaning import Cleaned, clean
from suffuse.registry import settings

PICTURE = settings(modalities.TABLE, {"kind": "image", "column": "c", "size": 8})
TEXT = settings(modalities.TABLE, {"kind": "text", "column": "c"})
CELLS = ["a.png", "b.png", None, "copy.png", "a.png", "gone.png", "broken.png", "", "c.png", "d.png", "b.png"]


@pytest.fixture
def root(tmp_path) -> Path:
    for number, name in enumerate("abcd"):
        Image.new("RGB", (8, 8), (60 * number, 0, 9)).save(tmp_path / f"{name}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return tmp_path


def cleaned(cells: list, root: Path, work: Path, chosen=PICTURE, told: list | None = None) -> Cleaned:
    column = pa.chunked_array([pa.array(cells[:4], pa.string()), pa.array(cells[4:], pa.string())])
    return clean(chosen, column, root, work, (told if told is not None else []).append)


def contents(found: Cleaned) -> np.ndarray:
    return found.contents(np.arange(len(found.entry)))


def same(one: Cleaned, other: Cleaned) -> None:
    assert (one.entry == other.entry).all()
    assert one.reasons == other.reasons and (contents(one) == contents(other)).all()
    used = np.unique(one.entry[one.entry >= 0])
    assert all(np.array_equal(one.items[s], other.items[s]) for s in used)


def test_rows_point_at_their_contents(root, tmp_path):
    told: list[float] = []
    found = cleaned(CELLS, root, tmp_path / "work", told=told)
    assert found.reasons == {2: "empty cell", 5: "no such file", 6: "not a picture in a known format", 7: "empty cell"}
    assert (found.entry < 0).tolist() == [row in found.reasons for row in range(len(CELLS))]
    assert found.entry[0] == found.entry[4] == found.entry[3]  # the same path; and the same bytes at another
    assert found.entry[1] == found.entry[10]
    assert len(set(found.entry[found.entry >= 0])) == 4
    for row, red in ((0, 0), (1, 60), (8, 120), (9, 180), (3, 0)):
        assert (found.items[found.entry[row]] == (red, 0, 9)).all()
    assert told[-1] == 1 and told == sorted(told)


def test_texts_are_told_apart_by_what_they_say(tmp_path):
    cells = ["One", "two ", None, "one", "  ", " ONE", "two", "three", "x", "y"]
    found = cleaned(cells, tmp_path, tmp_path / "work", TEXT)
    assert found.entry[0] == found.entry[3] == found.entry[5] and found.entry[1] == found.entry[6]
    assert [found.items[int(e)].as_py() for e in found.entry if e >= 0] == [
        "one",
        "two",
        "one",
        "one",
        "two",
        "three",
        "x",
        "y",
    ]
    assert set(found.reasons) == {2, 4}


@pytest.mark.parametrize("kind", ["bytes", "structs", "dictionary", "numbers", "large"])
def test_columns_of_other_types(root, tmp_path, kind):
    content = [(root / f"{n}.png").read_bytes() for n in "aba"]
    if kind in ("bytes", "structs"):
        cells = content if kind == "bytes" else [{"bytes": c, "path": None} for c in content]
        found = clean(PICTURE, pa.chunked_array([pa.array(cells)]), root, tmp_path / "w", lambda share: None)
        assert found.entry[0] == found.entry[2] != found.entry[1]
        return
    values = {
        "dictionary": pa.array(["x", "y", "x", None]).dictionary_encode(),
        "numbers": pa.array([1, 2, 1, None]),
        "large": pa.array(["x", "y", "x", None], pa.large_string()),
    }[kind]
    found = clean(TEXT, pa.chunked_array([values]), root, tmp_path / "w", lambda share: None)
    assert found.entry[0] == found.entry[2] != found.entry[1] and found.entry[3] == -1


@pytest.mark.parametrize("piece", [0, 1, 2])
@pytest.mark.parametrize("cut", ["between lines", "in a line", "before the line break"])
def test_killed_and_called_again_it_comes_out_the_same(root, tmp_path, monkeypatch, piece, cut):
    """The journal of a killed attempt holds some pieces, perhaps part of a line; its pictures are half written."""
    monkeypatch.setattr(cell_cleaning, "PIECE", 3)
    expected = cleaned(CELLS, root, tmp_path / "whole")
    cleaned(CELLS, root, tmp_path / "killed")
    journal, items = tmp_path / "killed" / "journal.jsonl", np.load(tmp_path / "killed" / "items.npy", mmap_mode="r+")
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    part = {"between lines": b"", "in a line": lines[piece][:7], "before the line break": lines[piece][:-1]}[cut]
    journal.write_bytes(b"".join(lines[:piece]) + part)
    items[3 * piece :] = 77
    items.flush()
    del items
    told: list[float] = []
    same(expected, cleaned(CELLS, root, tmp_path / "killed", told=told))
    assert len(told) == 3 - piece  # what was done is not done again
    assert [json.loads(line) for line in journal.read_text().splitlines()] == [json.loads(line) for line in lines]
    same(expected, cleaned(CELLS, root, tmp_path / "killed"))


def test_killed_before_the_journal_was_there(root, tmp_path):
    expected = cleaned(CELLS, root, tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "items.npy").write_bytes(b"half a header")
    same(expected, cleaned(CELLS, root, tmp_path / "killed"))


def test_a_column_of_nothing(root, tmp_path):
    found = cleaned([None] * 6, root, tmp_path / "work")
    assert (found.entry == -1).all() and len(found.reasons) == 6

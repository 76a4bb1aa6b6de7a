"""Items of different length on disk: nothing twice, killed work taken up again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from suffuse import modalities
from suffuse.modalities import audio_ops
from suffuse.modalities.ragged import Ragged
from suffuse.prepare import cell_cleaning
from suffuse.prepare.cell_cleaning import Cleaned, clean
from suffuse.registry import settings

SOUND = settings(modalities.TABLE, {"kind": "audio", "column": "c", "rate": 8000, "mels": 8, "seconds": 0.1})
CELLS = ["a.wav", "b.wav", None, "copy.wav", "a.wav", "gone.wav", "broken.wav", "", "c.wav", "long.wav", "b.wav"]
REASONS = {2: "empty cell", 5: "no such file", 6: "cut off", 7: "empty cell"}


@pytest.fixture
def root(tmp_path) -> Path:
    for number, name in enumerate(("a", "b", "c", "long")):
        count = 300 + 100 * number + (2000 if name == "long" else 0)
        samples = np.random.default_rng(number).normal(0, 0.1, count).astype(np.float32)
        (tmp_path / f"{name}.wav").write_bytes(audio_ops.as_wav(samples, 8000))
    (tmp_path / "copy.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    (tmp_path / "broken.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-20])
    return tmp_path


def cleaned(root: Path, work: Path, told: list | None = None) -> Cleaned:
    column = pa.chunked_array([pa.array(CELLS[:4], pa.string()), pa.array(CELLS[4:], pa.string())])
    return clean(SOUND, column, root, work, (told if told is not None else []).append)


def item(found: Cleaned, row: int) -> np.ndarray:
    return found.items.item(int(found.entry[row]))


def same(one: Cleaned, other: Cleaned) -> None:
    assert (one.entry == other.entry).all()
    assert (one.reasons, one.remarks) == (other.reasons, other.remarks)
    assert np.array_equal(one.items.flat, other.items.flat) and np.array_equal(one.items.bounds(), other.items.bounds())


def test_rows_point_at_their_contents(root, tmp_path):
    found = cleaned(root, tmp_path / "work")
    assert isinstance(found.items, Ragged) and isinstance(found.items.flat, np.memmap)
    assert {row: reason.split(":")[0] for row, reason in found.reasons.items()} == REASONS
    assert (found.entry < 0).tolist() == [row in REASONS for row in range(len(CELLS))]
    assert found.entry[0] == found.entry[4] == found.entry[3] and found.entry[1] == found.entry[10]
    assert found.remarks == {9: "cut: 0.33 s, the first 0.1 s are kept"}
    assert [len(item(found, row)) for row in (0, 1, 8, 9)] == [4, 6, 7, 11]
    assert len(found.items.flat) == 4 + 6 + 7 + 11  # what stands in two files is kept once
    from suffuse.modalities import audio

    for row in (0, 1, 3, 8, 9):
        assert np.array_equal(item(found, row), audio.load(SOUND, CELLS[row], root)[1])


@pytest.mark.parametrize("piece", [0, 1, 2])
@pytest.mark.parametrize("cut", ["between lines", "in a line", "before the line break"])
@pytest.mark.parametrize("left", ["half an item", "nothing"])
def test_killed_and_called_again_it_comes_out_the_same(root, tmp_path, monkeypatch, piece, cut, left):
    """The journal holds some pieces, perhaps part of a line; beyond what it knows there may be more on the disk."""
    monkeypatch.setattr(cell_cleaning, "PIECE", 3)
    expected = cleaned(root, tmp_path / "whole")
    cleaned(root, tmp_path / "killed")
    journal, items = tmp_path / "killed" / "journal.jsonl", tmp_path / "killed" / "items.npy"
    lines = journal.read_bytes().splitlines(keepends=True)
    part = {"between lines": b"", "in a line": lines[piece][:7], "before the line break": lines[piece][:-1]}[cut]
    journal.write_bytes(b"".join(lines[:piece]) + part)
    if left == "half an item":
        items.write_bytes(items.read_bytes() + b"\x01" * 37)
    told: list[float] = []
    same(expected, cleaned(root, tmp_path / "killed", told))
    assert len(told) == 3 - piece  # what was done is not done again
    same(expected, cleaned(root, tmp_path / "killed"))


def test_killed_before_the_journal_was_there(root, tmp_path):
    expected = cleaned(root, tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "items.npy").write_bytes(b"half a header and then some " * 99)
    same(expected, cleaned(root, tmp_path / "killed"))


def test_a_column_of_nothing(root, tmp_path):
    found = clean(
        SOUND, pa.chunked_array([pa.array([None] * 6, pa.string())]), root, tmp_path / "w", lambda share: None
    )
    assert (found.entry == -1).all() and len(found.reasons) == 6 and found.items.flat.shape == (0, 8)

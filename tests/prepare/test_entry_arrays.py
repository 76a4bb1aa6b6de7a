"""Items are encoded a piece at a time, and come out as if all were encoded at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from suffuse.modalities import tabular, text
from suffuse.prepare import item_storage
from suffuse.prepare.item_storage import take_items, write_entries

TEXTS = ["one", "two words", "these are five words now", "three words here"] * 5
ROWS = ["1\x1fred", "2.5\x1f", "\x1fblue"] * 7


@pytest.mark.parametrize("piece", [1, 3, 7, 100])
@pytest.mark.parametrize(("part", "items"), [(text, TEXTS), (tabular, ROWS)])
def test_pieces_make_the_whole(part, items, piece, tmp_path, monkeypatch):
    settings = part.Settings(column=("a", "b") if part is tabular else "a")
    statistics = part.fit(settings, items)
    monkeypatch.setattr(item_storage, "PIECE", piece)
    column = pa.chunked_array([pa.array(items[:5], pa.large_string()), pa.array(items[5:], pa.large_string())])
    write_entries(part, settings, statistics, column, tmp_path / "made.npy", tmp_path / "work")
    made = np.load(tmp_path / "made.npy")
    expected = part.encode(settings, statistics, items)
    assert made.dtype == expected.dtype and made.shape == expected.shape and (made == expected).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made.npy"]


def test_a_killed_attempt_s_pieces_are_made_anew(tmp_path: Path):
    settings = text.Settings(column="a")
    statistics = text.fit(settings, TEXTS)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "0.npy").write_bytes(b"half")
    (tmp_path / "work" / "99.npy").write_bytes(b"of another table")
    column = pa.chunked_array([pa.array(TEXTS, pa.large_string())])
    write_entries(text, settings, statistics, column, tmp_path / "made.npy", tmp_path / "work")
    assert (np.load(tmp_path / "made.npy") == text.encode(settings, statistics, TEXTS)).all()


def test_some_items():
    column = pa.chunked_array([pa.array(["a", "b"]), pa.array(["c"])])
    assert take_items(column, np.array([2, 0, 0])).to_pylist() == ["c", "a", "a"]
    picked = take_items(np.arange(10) ** 2, np.array([3, 1]))
    assert picked[0:2].tolist() == [9, 1] and len(picked) == 2

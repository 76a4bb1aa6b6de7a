"""Items of different length in one array: what is picked is what padding would give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.files import write_array
from suffuse.modalities.ragged import Ragged, Selection, changed, masked, moments, open_column, padded

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=12)


def made(lengths: list[int], features: int = 3, dtype: str = "float16") -> tuple[Ragged, list[np.ndarray]]:
    random = np.random.default_rng(len(lengths))
    items = [random.normal(size=(n, features)).astype(dtype) for n in lengths]
    length = np.array(lengths)
    return Ragged(np.concatenate(items), np.cumsum(length) - length, length), items


@budget(deadline=None, max_examples=60)
@given(LENGTHS, st.data())
def test_what_is_picked_is_what_padding_gives(lengths, data):
    ragged, items = made(lengths)
    which = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=8)), dtype=np.int64)
    found = ragged[which]
    assert found.dtype == ragged.dtype and found.shape[2] == ragged.shape[2] == 4
    assert found.shape[1] == max([len(items[n]) for n in which] + [1])
    for row, n in zip(found, which, strict=True):
        assert (row[: len(items[n]), :3] == items[n]).all()
        assert row[:, 3].tolist() == [1.0] * len(items[n]) + [0.0] * (len(row) - len(items[n]))
        assert (row[len(items[n]) :] == 0).all()
        assert (ragged[int(n)][: len(items[n])] == row[: len(items[n])]).all()
    some = ragged.take(which).cut(4)
    assert [len(i) for i in some] == [min(len(items[n]), 4) for n in which]


def test_nothing_picked_is_an_empty_batch():
    ragged, _ = made([2, 3])
    assert ragged[np.zeros(0, dtype=np.int64)].shape == (0, 1, 4)


@budget(deadline=None, max_examples=60)
@given(LENGTHS, st.sampled_from([0.0, 1e3, 1e9]), st.sampled_from([1e-3, 1.0, 1e4]))
def test_moments_are_mean_and_deviation(lengths, offset, scale):
    random = np.random.default_rng(1)
    pieces = [offset + scale * random.normal(size=(n, 2)) for n in lengths]
    whole = np.concatenate(pieces)
    mean, deviation = moments(iter(pieces), 2)
    if len(whole) > 1:
        np.testing.assert_allclose(mean, whole.mean(0), rtol=1e-12, atol=1e-12 * scale)
        if scale > 1e-5 * offset:
            np.testing.assert_allclose(deviation, whole.std(0), rtol=1e-4)


def test_what_never_changes_can_be_divided_by():
    mean, deviation = moments(iter([np.full((5, 1), 7.1e8), np.full((3, 1), 7.1e8)]), 1)
    assert mean[0] == pytest.approx(7.1e8) and deviation[0] == 1


def test_only_real_steps_are_changed():
    entries = padded([np.ones((2, 2)), np.ones((4, 2))], 2)
    found = changed(entries, lambda number, steps: steps + number + len(steps))
    assert found[0].tolist() == [[3, 3, 1], [3, 3, 1], [0, 0, 0], [0, 0, 0]]
    assert (found[1, :, :2] == 6).all() and (found[1, :, 2] == 1).all()
    assert (entries[..., :2] <= 1).all()


@budget(deadline=None, max_examples=80)
@given(st.integers(1, 40), st.floats(0, 0.5), st.integers(0, 4), st.integers(0, 99))
def test_stretches_are_hidden_within_their_share(count, share, masks, seed):
    values, draws = np.arange(1.0, count + 1)[:, None], np.random.default_rng(seed).random(2 * masks)
    found = masked(values, share, draws, -1.0)
    hidden = (found == -1).sum()
    assert hidden <= masks * (share * count + 1)
    assert (found[found[:, 0] != -1] == values[found[:, 0] != -1]).all()
    assert masks or not hidden


def test_columns_are_opened_as_they_were_written(tmp_path: Path):
    ragged, items = made([3, 0, 5])
    write_array(tmp_path / "flat.npy", ragged.flat)
    write_array(tmp_path / "bounds.npy", ragged.bounds())
    found = open_column(tmp_path, {"file": "flat.npy", "bounds": "bounds.npy"})
    assert isinstance(found, Ragged) and isinstance(found.flat, np.memmap)
    assert all((a == b).all() for a, b in zip(found, items, strict=True))
    assert open_column(tmp_path, json.loads('{"file": "flat.npy"}')).shape == (8, 3)


def test_picked_entries_come_in_slices():
    array = np.arange(20).reshape(10, 2)
    some = Selection(array, np.array([7, 1, 1]))
    assert len(some) == 3 and some[0:2].tolist() == [[14, 15], [2, 3]] and some[2:9].tolist() == [[2, 3]]

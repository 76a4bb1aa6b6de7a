"""Rows that come in pieces, in any order, stand where they belong."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from suffuse.knowledge import manifest
from suffuse.knowledge.compaction import RowFile


@pytest.mark.parametrize("shape", [(50,), (50, 3), (50, 2, 4), (50, 0)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int16", "bool", "uint64"])
def test_any_order_and_any_gaps(tmp_path, shape, dtype):
    random = np.random.default_rng(0)
    rows = (random.normal(size=shape) * 100).astype(dtype)
    file = RowFile.new(tmp_path / "a.npy", rows.dtype, shape)
    assert (file.open() == np.zeros(shape, dtype)).all()
    at = random.permutation(50)
    for some in (np.sort(at[:20]), at[20:35], at[:0], at[35:]):  # with runs, backwards, none
        file.put(some, rows[some])
    assert (file.open() == rows).all() and file.open().dtype == rows.dtype
    assert file.path.stat().st_size == file.offset + rows.nbytes
    assert file.digest() == manifest.digest(file.path)


def test_what_comes_in_order_is_hashed_as_it_comes(tmp_path):
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float16)
    ordered, other = (RowFile.new(tmp_path / f"{name}.npy", rows.dtype, rows.shape) for name in "ab")
    for begin in range(0, 50, 7):
        ordered.put(np.arange(begin, min(begin + 7, 50)), rows[begin : begin + 7])
    for begin in (25, 0):
        other.put(np.arange(begin, begin + 25), rows[begin : begin + 25])
    assert ordered.hashed == ordered.path.stat().st_size > other.hashed  # the other one is read again
    assert ordered.digest() == other.digest() == hashlib.sha256(other.path.read_bytes()).hexdigest()


def test_rows_that_lie_otherwise_in_memory(tmp_path):
    rows = np.arange(60, dtype=np.float32).reshape(3, 20).T
    file = RowFile.new(tmp_path / "a.npy", rows.dtype, rows.shape)
    file.put(np.arange(20), rows)
    assert (file.open() == rows).all()


@pytest.mark.parametrize("wrong", [np.zeros((2, 4), np.float16), np.zeros((3, 3), np.float16), np.zeros((2, 3))])
def test_another_form_than_the_first_is_a_defect_and_writes_nothing(tmp_path, wrong):
    file = RowFile.new(tmp_path / "a.npy", np.dtype(np.float16), (5, 3))
    before = file.path.read_bytes()
    with pytest.raises(AssertionError, match="as the first one was"):
        file.put(np.arange(2), wrong)
    assert file.path.read_bytes() == before

"""Steps of numbers, however they come, and what is none."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from suffuse.modalities import sequence
from suffuse.modalities.cell import Absent, Unreadable

THREE = sequence.Settings(column="c", features=3, length=20)
ONE = sequence.Settings(column="c", features=1, length=20)
STEPS = np.random.default_rng(0).normal(size=(5, 3))


def load(value: object, chosen: sequence.Settings = THREE, root: Path = Path()) -> np.ndarray:
    return sequence.load(chosen, value, root)[1]


def npy(array: np.ndarray, **how) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def test_the_same_numbers_by_every_way_in(tmp_path):
    np.save(tmp_path / "a.npy", STEPS)
    nested = np.empty(5, dtype=object)
    nested[:] = list(STEPS)
    ways = [
        "a.npy",
        Path("a.npy"),
        npy(STEPS),
        npy(np.asfortranarray(STEPS)),
        {"bytes": npy(STEPS), "path": None},
        STEPS,
        STEPS.tolist(),
        tuple(STEPS),
        json.dumps(STEPS.tolist()),
        torch.from_numpy(STEPS),
        torch.from_numpy(STEPS).requires_grad_(),
        nested,
        pa.array(STEPS.tolist()).to_pandas().to_numpy(),
    ]
    expected = sequence.load(THREE, STEPS, tmp_path)
    assert np.array_equal(expected[1], STEPS.astype(np.float32)) and expected[2] == ""
    for way in ways:
        found = sequence.load(THREE, way, tmp_path)
        assert found[0] == expected[0] and np.array_equal(found[1], expected[1]), way


def test_a_flat_list_is_a_vector_or_steps_of_one_number():
    flat = [1.0, 2.0, 4.0]
    assert load(flat).tolist() == [[1, 2, 4]]
    assert load(flat, ONE).tolist() == [[1], [2], [4]]
    for number in (7, 7.0, np.float32(7)):
        assert load(number, ONE).tolist() == [[7]]


def test_columns_side_by_side():
    chosen = sequence.Settings(column=("x", "y"), features=2)
    assert load({"x": [1, 2, 3], "y": "[4, 5, 6]"}, chosen).tolist() == [[1, 4], [2, 5], [3, 6]]
    assert load({"x": 1.5, "y": 2}, chosen).tolist() == [[1.5, 2]]
    with pytest.raises(Unreadable, match="different shapes"):
        load({"x": [1, 2, 3], "y": [4, 5]}, chosen)
    with pytest.raises(Absent):
        load({"x": [1, 2, 3], "y": None}, chosen)


def test_what_is_longer_is_cut_and_said():
    long = np.arange(75.0).reshape(25, 3)
    _, item, remark = sequence.load(THREE, long, Path())
    assert remark == "cut: 25 steps, the first 20 are kept" and np.array_equal(item, long[:20])


def test_nothing_is_absent_and_what_can_t_be_read_has_a_reason(tmp_path):
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("no numbers")
    (tmp_path / "short.npy").write_bytes(npy(STEPS)[:-1])
    (tmp_path / "long.npy").write_bytes(npy(STEPS) + b"x")
    lying = npy(STEPS).replace(b"(5, 3)", b"(9, 3)")
    gap = STEPS.copy()
    gap[2, 1] = np.nan
    for cell, reason in (
        ("gone.npy", "no such file"),
        ("empty.npy", "the file is empty"),
        ("text.npy", "not a .npy file"),
        ("short.npy", "cut off"),
        ("long.npy", "^the header says"),
        (lying, "cut off"),
        (npy(STEPS).replace(b"(5, 3)", b"(-5,3)"), "^the header says"),
        (npy(np.array([{}, None], dtype=object), allow_pickle=True), "Python objects"),
        (pickle.dumps(STEPS), "not a .npy file"),
        (npy(np.array(["a"])), "not numbers"),
        (npy(np.zeros(3, complex)), "not numbers"),
        (gap, "first in step 2"),
        (np.array([[1, 2, np.inf]]), "NaN or infinite"),
        (np.array([[1, 2, 1e300]]), "NaN or infinite"),
        ([[1, 2, None]], "NaN or infinite"),
        ([[1, 2], [1, 2]], r"expected \(steps, 3\)"),
        ([1, 2], r"expected \(steps, 3\)"),
        (np.zeros((2, 2, 3)), r"expected \(steps, 3\)"),
        ([[1, 2, 3], [1, 2]], "different sizes"),
        (["a", "b", "c"], "not numbers"),
        ("[1, 2, 3", "not a JSON list"),
        ("[" * 100_000, "not a JSON list"),
        ('["a", "b"]', "not numbers"),
        ([10**400, 1, 1], "not numbers"),
    ):
        with pytest.raises(Unreadable, match=reason):
            load(cell, root=tmp_path)
    for empty in (None, float("nan"), "", " ", [], "[]", np.zeros((0, 3)), npy(np.zeros((0, 3))), b""):
        with pytest.raises(Absent):
            load(empty, root=tmp_path)


def test_a_header_that_lies_takes_no_memory():
    said = npy(STEPS).replace(b"(5, 3), }  ", b"(5" + b"0" * 2 + b", 3), }")
    with pytest.raises(Unreadable, match="cut off"):
        load(said)


FINITE = arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(-1e30, 1e30))


@budget(deadline=None, max_examples=60)
@given(FINITE)
def test_any_numbers_come_through(steps):
    item = load(steps)
    assert np.array_equal(item, steps[:20].astype(np.float32))
    assert np.array_equal(load(json.dumps(steps.tolist())), item)
    facts = sequence.fit(THREE, [item])
    entries = sequence.encode(THREE, facts, [item, item[:1]])
    assert entries.shape == (2, len(item), 4)
    normalised = (entries[0, :, :3] - np.array(facts["mean"])) / np.array(facts["std"])
    assert np.isfinite(normalised).all()


def test_statistics_are_those_of_the_training_rows():
    items = [load(np.random.default_rng(n).normal(n, n + 1, (n + 2, 3))) for n in range(6)]
    found, whole = sequence.fit(THREE, items), np.concatenate(items).astype(np.float64)
    np.testing.assert_allclose(found["mean"], whole.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found["std"], whole.std(0), rtol=1e-9)
    assert (found["features"], found["length"]) == (3, 7)
    assert sequence.encode(THREE, found, [load(np.ones((9, 3)))]).shape == (1, 7, 4)

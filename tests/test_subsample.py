"""Evenly spaced rows: over the whole of a table, whatever it is sorted by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suffuse import subsample
from suffuse.data.columns import SPLITS
from suffuse.exporters.int8 import precision_selection
from suffuse.exporters.parity import evenly
from suffuse.subsample import evenly_spaced
from suffuse.tuning import diagnostics


@given(st.integers(0, 5000), st.integers(0, 3000))
def test_positions_are_distinct_and_reach_from_the_first_to_the_last(length, most):
    found = evenly_spaced(length, most)
    assert len(found) == min(length, most)
    gaps = np.diff(found)
    assert (gaps > 0).all() and (len(gaps) == 0 or gaps.max() - gaps.min() <= 1)
    if len(found) > 1:
        assert (found[0], found[-1]) == (0, length - 1)


def test_the_positions_of_a_small_table():
    assert evenly_spaced(10, 4).tolist() == [0, 3, 6, 9]
    assert evenly_spaced(3, 8).tolist() == [0, 1, 2] and evenly_spaced(5, 1).tolist() == [0]


@pytest.fixture
def sorted_table(make_columns):
    """A thousand rows in the order of their class; a function of the split that all of them are in."""
    columns = make_columns(rows=1000)
    target = np.sort(np.arange(1000) % len(columns.spec.classes))
    return lambda split: replace(columns, target=target, split=np.full(1000, SPLITS.index(split), dtype=np.int8))


@pytest.mark.parametrize("count", [501, 512, 700, 999])
def test_rows_of_a_sorted_table_hold_each_class_as_often(sorted_table, count):
    columns = sorted_table("validation")
    rows = evenly(columns, count)
    classes = np.bincount(columns.target[rows], minlength=len(columns.spec.classes))
    assert len(rows) == count and classes.max() - classes.min() <= 2


def test_int8_is_calibrated_on_rows_of_the_whole_sorted_table(sorted_table, monkeypatch):
    monkeypatch.setattr(precision_selection, "CALIBRATED", 600)
    seen = []
    monkeypatch.setattr(precision_selection, "entries", lambda columns, rows: seen.append(rows) or {})
    monkeypatch.setattr(precision_selection, "feed", lambda entries, present: {})
    columns = sorted_table("train")
    precision_selection.calibration(columns)
    classes = np.bincount(columns.target[np.concatenate(seen)], minlength=len(columns.spec.classes))
    assert classes.sum() == 600 and classes.max() - classes.min() <= 2


def test_the_rows_that_teach_and_tune_look_at_are_as_many_as_they_may_be(monkeypatch):
    rows = np.arange(1000) + 7
    monkeypatch.setattr(subsample, "MAX_TRAINING_ROWS", 600)
    monkeypatch.setattr(diagnostics, "MAX_ROWS", 600)
    for some in (subsample.training_sample(rows), diagnostics.sample_rows(rows)):
        assert len(some) == 600 and (some[0], some[-1]) == (7, 1006)

"""Latency: every model is timed on the same rows, one at a time."""

from __future__ import annotations

import numpy as np

from suffuse.data.columns import Columns
from suffuse.evaluation.latency import single_row


def test_rows_are_fed_as_they_come_one_by_one(prepared_run):
    """A single question isn't padded to the longest of the table."""
    columns = Columns.open(prepared_run.path("data"))
    rows = np.arange(len(columns.target))
    lengths = set()
    for row in rows:
        entries, present = single_row(columns, int(row))
        assert (present == columns.present[row]).all() and present.shape == (1, 2)
        assert entries["picture"].shape == (1, 8, 8, 3)
        whole = columns.entries["question"][columns.entry[row, 1]]
        length = entries["question"].shape[1]
        assert (entries["question"][0] == whole[:length]).all() and (whole[length:] == 0).all()
        lengths.add(length)
    assert len(lengths) > 1 and min(lengths) >= 1

"""Rows that stand in two splits, and scores without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suffuse.evaluation.metrics import draw
from suffuse.evaluation.slices import leak_free_metrics, leaked_rows


@pytest.fixture
def planted(make_columns):
    """Sixteen rows, the last four of test: the first of them is all of row 0, the second has its picture alone."""
    columns = make_columns(16, absent=0.0)
    entry = np.stack([np.arange(16), np.arange(16)], 1) % 8
    entry[:, 1] = (np.arange(16) * 3 + 1) % 8
    entry[:12] = np.stack([np.arange(12) % 4, np.arange(12) % 3], 1)
    entry[12], entry[13], entry[14], entry[15] = (0, 0), (1, 7), (5, 7), (6, 7)
    split = np.where(np.arange(16) >= 12, 2, 0).astype(np.int8)
    target = np.arange(16) % 3
    return replace(columns, entry=entry, split=split, target=target, group=np.arange(16))


def test_whole_contents_and_single_ones(planted):
    rows = planted.rows("test")
    assert leaked_rows(planted, rows)["contents"].tolist() == [True, False, False, False]
    found = leaked_rows(planted, rows, ["picture", "question", "nobody"])
    assert found["picture"].tolist() == [True, True, False, False]
    assert found["question"].tolist() == [True, False, False, False]


def test_what_is_absent_is_shared_with_nobody(planted):
    present = planted.present.copy()
    present[[0, 4, 8, 12], 0] = False  # no picture in the copy nor in what it copies
    assert leaked_rows(replace(planted, present=present), planted.rows("test"), ["picture"])["picture"].tolist() == [
        False, True, False, False,
    ]  # fmt: skip


def test_nothing_is_said_where_nothing_is_shared(planted):
    entry = planted.entry.copy()
    entry[12:] = 7
    assert leaked_rows(replace(planted, entry=entry), planted.rows("test"), ["question"]) == {}


def test_scores_without_what_is_leaked(planted):
    rows = planted.rows("test")
    target = planted.target[rows]
    answers = np.eye(3)[target]
    answers[0] = np.roll(answers[0], 1)  # wrong on the leaked row alone
    facts = leak_free_metrics(
        planted, rows, [answers], draw(planted.group[rows], 100, 0.95), leaked_rows(planted, rows)
    )
    assert facts["rows"] == 3 and facts["leaked"] == {"contents": 1}
    assert facts["metrics"]["accuracy"]["mean"] == 1


def test_where_all_rows_are_leaked_there_is_no_score(planted):
    rows = planted.rows("test")
    facts = leak_free_metrics(
        planted, rows, [np.eye(3)[[0] * 4]], draw(np.arange(4), 100, 0.95), {"x": np.ones(4, dtype=bool)}
    )
    assert facts == {"rows": 0, "leaked": {"x": 4}}

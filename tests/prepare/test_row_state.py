"""Which rows are left out, and why; held-out rows are never the ones to go."""

from __future__ import annotations

from hashlib import md5

import numpy as np

from suffuse.prepare import row_state as rules
from suffuse.prepare.cell_cleaning import Cleaned
from suffuse.prepare.quarantine import Quarantine
from suffuse.prepare.row_state import Draft
from suffuse.prepare.splits import TEST, TRAIN, UNKNOWN, VALIDATION


def draft(contents: list[str | None], **more) -> Draft:
    """Rows with one modality, of these contents."""
    count = len(contents)
    distinct = list(dict.fromkeys(c for c in contents if c is not None))
    entry = np.array([-1 if c is None else distinct.index(c) for c in contents])
    reasons = {row: "empty cell" for row in range(count) if contents[row] is None}
    digests = np.frombuffer(b"".join(md5(c.encode()).digest() for c in distinct), np.uint8).reshape(-1, 16)
    column = Cleaned(entry, reasons, digests, list(distinct))
    given = {
        "ids": [f"r{n}" for n in range(count)],
        "label": ["x"] * count,
        "group": np.arange(count),
        "split": np.zeros(count, dtype=np.int8),
        **more,
    }
    return Draft(
        given["ids"], list(range(2, count + 2)), given["label"], np.asarray(given["group"]),
        np.asarray(given["split"], dtype=np.int8), {"text": column}, np.ones(count, dtype=bool), Quarantine(),
    )  # fmt: skip


def reasons(made: Draft) -> dict[int, str]:
    return {line: reason for line, _, _, action, reason in made.notes.notes if action == "quarantined"}


def test_ids_are_there_and_unique():
    made = draft(list("abcde"), ids=["p", None, "q", "p", "p"])
    rules.drop_bad_ids(made)
    assert made.keep.tolist() == [True, False, True, False, False]
    assert reasons(made) == {
        3: "no id",
        5: "duplicate id: stands in line 2 too",
        6: "duplicate id: stands in line 2 too",
    }


def test_a_split_that_nobody_knows():
    made = draft(list("ab"), split=[TRAIN, UNKNOWN])
    rules.drop_bad_ids(made)
    assert made.keep.tolist() == [True, False] and "unknown split" in reasons(made)[3]


def test_rows_in_which_nothing_is_present():
    made = draft(["a", None])
    rules.drop_empty(made)
    assert made.keep.tolist() == [True, False]
    assert [n[3] for n in made.notes.notes] == ["absent", "quarantined"]


def test_training_gives_way_where_a_group_stands_in_two_splits():
    made = draft(
        list("abcdefg"),
        group=[1, 1, 2, 2, 3, 3, 3],
        split=[TRAIN, TEST, VALIDATION, TEST, TRAIN, VALIDATION, TRAIN],
    )
    rules.drop_straddling(made)
    assert made.keep.tolist() == [False, True, False, True, False, True, False]
    for group in (1, 2, 3):
        assert len({made.split[r] for r in np.flatnonzero(made.keep) if made.group[r] == group}) == 1


def test_only_the_first_reason_counts():
    made = draft(["a", "a"], ids=[None, None], split=[UNKNOWN, UNKNOWN])
    rules.drop_bad_ids(made)
    assert reasons(made) == {2: "no id", 3: "no id"}
    assert made.notes.counts() == {"quarantined": {"id: no id": 2}}

"""Controls change one modality of the test rows, and nothing else; a model that doesn't use it doesn't notice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.evaluation.ablations import ablations, blank, derangement, shuffled


@budget(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 5))
def test_no_row_gets_a_content_of_its_own_group(group, seed):
    group = np.array(group)
    donors = derangement(group, seed)
    assert sorted(donors) == list(range(len(group)))
    kept = int((group[donors] == group).sum())
    largest = int(np.bincount(group).max())
    assert kept == max(0, 2 * largest - len(group))  # a group of more than half of the rows can't leave itself


def test_the_shuffle_is_seeded_and_mixes():
    group = np.arange(500) // 2
    one, again, other = (derangement(group, seed) for seed in (0, 0, 1))
    assert (one == again).all() and (one != other).mean() > 0.9
    distance = (one - np.arange(500)) % 500
    assert len(np.unique(distance)) > 200  # not one step for all


def test_a_blank_modality_is_absent_everywhere_and_nothing_else_moves(make_columns):
    columns = make_columns()
    changed = blank(columns, "picture")
    assert not changed.present[:, 0].any()
    assert (changed.present[:, 1] == columns.present[:, 1]).all()
    assert changed.entry is columns.entry and changed.target is columns.target


@pytest.mark.parametrize("name", ["picture", "question"])
def test_a_shuffled_modality_keeps_its_contents_and_its_absence(make_columns, name):
    columns, m = make_columns(rows=60), ("picture", "question").index(name)
    rows = columns.rows("validation")
    changed = shuffled(columns, name, rows)
    others = np.setdiff1d(np.arange(60), rows)
    assert (changed.entry[others] == columns.entry[others]).all()
    assert (changed.present[others] == columns.present[others]).all()
    assert (changed.entry[:, 1 - m] == columns.entry[:, 1 - m]).all()
    before, after = (sorted(zip(c.entry[rows, m], c.present[rows, m], strict=True)) for c in (columns, changed))
    assert before == after
    assert (columns.entry != changed.entry).any()


def test_each_modality_has_both_controls_and_one_alone_has_none(make_columns):
    columns = make_columns()
    rows = columns.rows("validation")
    each = (("picture", "question"), np.eye(2, dtype=bool))
    found = [(name, control) for name, control, _ in ablations(columns, rows, each)]
    assert found == [(n, c) for n in ("picture", "question") for c in ("blank", "shuffled")]
    assert list(ablations(columns.of(["picture"]), rows, (("picture",), np.ones((1, 1), dtype=bool)))) == []


def test_all_forms_of_an_input_change_together(make_columns):
    """Were picture and question two forms of one input beside another, no row would keep the one without the other."""
    columns = make_columns(rows=60)
    rows = columns.rows("validation")
    forms = (("both", "nobody"), np.array([[True, True], [False, False]]))
    changed = {(name, control): made for name, control, made in ablations(columns, rows, forms)}
    assert not changed["both", "blank"].present.any()
    donors = rows[derangement(columns.group[rows], 0)]
    for what in ("entry", "present"):
        after, before = getattr(changed["both", "shuffled"], what), getattr(columns, what)
        assert (after[rows] == before[donors]).all()
    assert changed["nobody", "blank"] is columns

"""Splits: seeded, stratified, and never through a group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.errors import SuffuseError, UsageError
from suffuse.prepare import splits
from suffuse.prepare.splits import TEST, TRAIN, VALIDATION
from suffuse.recipe import Split

MADE = Split(validation=0.1, test=0.15)


def make(label: np.ndarray, group: np.ndarray | None = None, given_: np.ndarray | None = None, seed: int = 0, **more):
    count = len(label)
    return splits.make(
        np.zeros(count, dtype=np.int8) if given_ is None else given_,
        np.arange(count) if group is None else group,
        label,
        MADE.model_copy(update=more),
        seed,
    )


def shares(split: np.ndarray) -> list[float]:
    return [float((split == code).mean()) for code in (TRAIN, VALIDATION, TEST)]


def test_shares_are_those_of_the_recipe_in_every_class():
    label = np.random.default_rng(0).choice(4, 2000, p=[0.6, 0.25, 0.1, 0.05])
    split = make(label)
    for some in (slice(None), label == 0, label == 3):
        assert shares(split[some]) == pytest.approx([0.85 * 0.9, 0.085, 0.15], abs=0.012)


def test_without_strata_shares_hold_overall():
    label = np.random.default_rng(0).integers(0, 500, 2000)  # too many classes for their rows
    assert shares(make(label, stratify=False)) == pytest.approx([0.765, 0.085, 0.15], abs=0.01)


@budget(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(2, 12), st.integers(2, 5))
def test_no_group_stands_in_two_splits(seed, size, classes):
    random = np.random.default_rng(seed)
    group = random.integers(0, 240 // size, 240)
    label = (random.integers(0, classes, 240) + group) % classes
    split = make(label, group, seed=seed)
    for one in np.unique(group):
        assert len(np.unique(split[group == one])) == 1
    assert shares(split)[2] == pytest.approx(0.15, abs=0.1)
    assert set(split) == {TRAIN, VALIDATION, TEST}


def test_the_seed_decides():
    label = np.random.default_rng(0).integers(0, 3, 300)
    one, again, other = make(label, seed=1), make(label, seed=1), make(label, seed=2)
    assert (one == again).all() and (one != other).any()


def test_given_splits_are_kept_and_what_is_lacking_is_cut_from_training():
    label = np.random.default_rng(0).integers(0, 2, 400)
    given_ = np.where(np.arange(400) < 300, TRAIN, TEST).astype(np.int8)
    split = make(label, given_=given_)
    assert ((split == TEST) == (given_ == TEST)).all()
    assert (split[:300] == VALIDATION).sum() == pytest.approx(30, abs=3)
    complete = given_.copy()
    complete[:50] = VALIDATION
    assert (make(label, given_=complete) == complete).all()


def test_names_of_splits():
    names = ["train", "Training", "val", "DEV", "valid", "validation", "test", "testing", "", None, "holdout"]
    assert splits.parse_splits(names).tolist() == [0, 0, 1, 1, 1, 1, 2, 2, -1, -1, -1]


@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (40, 1), (3, 3)])
def test_too_few_groups_are_told(rows, groups):
    with pytest.raises(
        SuffuseError, match=r"can't make a test split \(data.split\): got .* groups? in .* training rows"
    ):
        make(np.zeros(rows, dtype=int), np.arange(rows) % groups)


def test_classes_too_small_for_strata_are_told_with_the_way_out():
    with pytest.raises(SuffuseError, match="can't make a test split") as caught:
        make(np.arange(60) // 2)  # 30 classes of two rows
    assert "stratify: false" in caught.value.hint
    assert shares(make(np.arange(60) // 2, stratify=False))[2] == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_score_every_row_once_and_keep_groups_and_labels_even(grouped):
    random = np.random.default_rng(4)
    label = random.choice(4, 200, p=[0.5, 0.3, 0.15, 0.05])
    group = np.arange(200) // 3 if grouped else np.arange(200)
    seen = np.zeros(200, dtype=int)
    for fold in range(5):
        made = splits.make(np.zeros(200, dtype=np.int8), group, label, Split(folds=5, fold=fold, validation=0.2), 1)
        test = made == splits.TEST
        seen += test
        assert 25 <= test.sum() <= 55 if grouped else test.sum() == 40
        assert not set(group[test]) & set(group[~test])
        assert (made == splits.VALIDATION).any() and (made == splits.TRAIN).any()
        assert abs((label[test] == 0).mean() - (label == 0).mean()) < 0.12
    assert (seen == 1).all()
    one, other = (splits.fold_of(group, label, 5, seed) for seed in (1, 2))
    assert (one != other).any()


def test_rows_of_a_held_out_group_are_the_test_rows():
    cells = ["theo", "lucas", None, "theo", "jackson"] * 20
    found = splits.held_out(cells, ["theo"])
    assert found.tolist() == [TEST, TRAIN, TRAIN, TEST, TRAIN] * 20
    made = splits.make(found, np.arange(100), np.arange(100) % 2, MADE, 0)
    assert ((made == TEST) == (found == TEST)).all() and (made == VALIDATION).sum() == 6


def test_a_value_that_no_row_has_is_told_with_the_nearest_one():
    with pytest.raises(UsageError, match="no row has this value") as told:
        splits.held_out(["theo", "lucas"], ["teo"])
    assert "did you mean 'theo'" in str(told.value.hint) and told.value.where == "data.split.hold_out.values"
    with pytest.raises(UsageError, match="every row is held out"):
        splits.held_out(["theo", "theo"], ["theo"])

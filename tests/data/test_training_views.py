"""Views: what a pass drops is a hash of seed, pass and row: in any company, in any order, and never everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.data.training_views import Viewer, uniform
from suffuse.modalities import audio
from suffuse.modalities.ragged import Ragged
from suffuse.recipe import Training
from suffuse.types import Field

NAMES = ("picture", "question", "sound")


def all_subsets(rows: int) -> np.ndarray:
    """(rows, 3) with every non-empty subset."""
    return (np.arange(rows)[:, None] % 7 + 1 >> np.arange(3)) & 1 > 0


@pytest.mark.parametrize("drop", [1.0, 0.5, {"picture": 0.9, "sound": 0.9}, dict.fromkeys(NAMES, 1.0)])
def test_something_is_always_left_and_nothing_appears(drop):
    present, rows = all_subsets(4000), np.arange(4000)
    seen = Viewer(3, drop).present(5, rows, present, NAMES)
    assert seen.any(1).all()
    assert not (seen & ~present).any()
    assert (seen != present).any()


@pytest.mark.parametrize("drop", [1.0, {"picture": 0.5, "question": 0.2}])
def test_a_row_s_view_doesn_t_depend_on_company_or_order(drop):
    present, rows, viewer = all_subsets(300), np.arange(300), Viewer(1, drop)
    whole = viewer.present(2, rows, present, NAMES)
    order = np.random.default_rng(0).permutation(300)[:50]
    assert (viewer.present(2, rows[order], present[order], NAMES) == whole[order]).all()
    assert (viewer.present(3, rows, present, NAMES) != whole).any()
    assert (Viewer(2, drop).present(2, rows, present, NAMES) != whole).any()


def test_uniform_is_uniform_over_the_non_empty_subsets_of_what_is_there():
    rows = np.arange(42_000)
    seen = Viewer(0, 1.0).present(0, rows, np.ones((42_000, 3), dtype=bool), NAMES)
    counts = np.bincount(seen @ [1, 2, 4], minlength=8)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 6000, rtol=0.06)
    two = np.tile([True, False, True], (42_000, 1))
    counts = np.bincount(Viewer(0, 1.0).present(0, rows, two, NAMES) @ [1, 2, 4], minlength=8)
    np.testing.assert_allclose(counts[[1, 4, 5]], 14_000, rtol=0.04)


def test_rates_are_kept_to():
    rows, present = np.arange(40_000), np.ones((40_000, 3), dtype=bool)
    seen = Viewer(0, {"picture": 0.3}).present(0, rows, present, NAMES)
    assert seen[:, 0].mean() == pytest.approx(0.7, abs=0.01)
    assert seen[:, 1:].all()
    seen = Viewer(0, 0.25).present(0, rows, present, NAMES)
    assert (seen == present).all(1).mean() == pytest.approx(0.75 + 0.25 / 7, abs=0.01)


@budget(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(0, 10_000), st.integers(1, 9))
def test_numbers_lie_in_0_to_1_and_streams_differ(seed, number, count):
    ids = np.arange(200)
    one = uniform((seed, number), ids, count)
    assert one.shape == (200, count) and (one >= 0).all() and (one < 1).all()
    assert (one == uniform((seed, number), ids, count)).all()
    assert abs(np.corrcoef(one.ravel(), uniform((seed, number + 1), ids, count).ravel())[0, 1]) < 0.35
    assert abs(one.mean() - 0.5) < 0.15


def test_without_a_wish_rows_are_seen_as_they_are(make_columns):
    assert Viewer.of(Training(), {}, 0) is None
    columns = make_columns()
    viewer = Viewer.of(Training(modality_dropout="uniform"), {}, 7)
    assert viewer is not None
    rows = columns.rows("train")
    plain, seen = columns.batch(rows), columns.batch(rows, None, (viewer, 0))
    assert (seen.present & ~plain.present).sum() == 0
    assert seen.present.sum() < plain.present.sum()
    assert seen.present.any(1).all()


def test_what_a_view_drops_is_not_encoded(make_columns):
    columns = make_columns(absent=0.0)
    viewer = Viewer(0, {"picture": 1.0})
    batch = columns.batch(columns.rows("train"), None, (viewer, 0))
    assert len(batch.inputs["picture"]) == 0 and not batch.present[:, 0].any()
    assert len(batch.inputs["question"]) > 0 and batch.present[:, 1].all()


def test_what_a_view_makes_longer_than_the_longest_entry_is_cut(make_columns):
    made, random = make_columns(24), np.random.default_rng(0)
    length = random.integers(10, 31, 8)
    length[0], start = 30, np.concatenate([[0], np.cumsum(length)[:-1]])
    stored = Ragged(random.normal(size=(length.sum(), 20)).astype(np.float16), start, length)
    field = Field("sound", "audio", {"features": 20, "length": 30, "mean": [0.0] * 20, "std": [1.0] * 20})
    entry = (np.arange(24) % 8)[:, None]
    columns = replace(
        made, spec=replace(made.spec, fields=(field,)), entries={"sound": stored}, entry=entry, present=entry >= 0
    )
    viewer = Viewer(0, 0.0, {"sound": audio.Settings(column="c", mels=20, augment=audio.Augment(speed=0.5))})
    seen = [columns.batch(np.arange(24), view=(viewer, number)).inputs["sound"][..., -1].sum(1) for number in range(9)]
    assert max(int(one.max()) for one in seen) == 30  # some were made longer than that
    assert all((one != seen[0]).any() for one in seen[1:])  # every pass is another view
    plain = columns.batch(np.arange(24)).inputs["sound"][..., -1].sum(1)
    assert plain.tolist() == length.tolist()

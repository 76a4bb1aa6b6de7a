"""From prepared columns to batches, and the order in which rows come."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.data.columns import Columns
from suffuse.data.sampler import MAX_TOGETHER, Sampler


@st.composite
def samplers(draw) -> Sampler:
    together = np.array(draw(st.lists(st.integers(0, 8).map(lambda n: n // 3), min_size=1, max_size=60)))
    rows = draw(st.permutations(range(100, 100 + len(together))))
    return Sampler(np.array(rows), together, draw(st.integers(2, 9)), draw(st.integers(0, 1000)))


@budget(deadline=None, max_examples=80)
@given(samplers(), st.integers(0, 50))
def test_an_epoch_has_every_row_once_and_keeps_pictures_together(sampler, epoch):
    order = sampler.order(epoch)
    assert sorted(order) == sorted(sampler.rows)
    assert (order == Sampler(sampler.rows, sampler.together, sampler.batch, sampler.seed).order(epoch)).all()
    which = dict(zip(sampler.rows.tolist(), sampler.together.tolist(), strict=True))
    kinds = [which[row] for row in order.tolist()]
    runs = Counter(kind for kind, _ in groupby(kinds))
    for kind, count in Counter(kinds).items():
        assert runs[kind] <= -(-count // MAX_TOGETHER)
    assert (sampler.steps - 1) * sampler.batch < len(order) <= sampler.steps * sampler.batch


def test_epochs_and_seeds_differ_in_pictures_and_within_them():
    rows, together = np.arange(60), np.arange(60) // 6
    found = [Sampler(rows, together, 8, seed).order(epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len({tuple(o) for o in found}) == 6
    assert len({tuple(together[o]) for o in found}) == 6
    within = {tuple(o[together[o] == 4]) for o in found}
    assert len(within) > 3


def test_every_place_is_as_likely():
    rows = np.arange(12)
    firsts = np.bincount([Sampler(rows, rows // 2, 4, seed).order(3)[0] for seed in range(2400)], minlength=12)
    assert firsts.min() > 130 and firsts.max() < 275  # 200 each, and five deviations


@pytest.mark.parametrize("absent", [0.0, 0.3, 0.8])
def test_a_batch_holds_what_the_columns_hold(make_columns, absent):
    columns: Columns = make_columns(rows=60, absent=absent)
    rows = np.random.default_rng(1).permutation(60)[:23]
    batch = columns.batch(rows)
    assert (batch.rows.numpy() == rows).all()
    assert (batch.target.numpy() == columns.target[rows]).all()
    assert (batch.present.numpy() == columns.present[rows]).all()
    assert batch.complete == bool(columns.present[rows].all())
    for m, name in enumerate(columns.spec.names):
        here = columns.present[rows, m]
        given_ = columns.entries[name][columns.entry[rows, m]]
        got = batch.inputs[name][batch.index[name]].numpy()
        assert (got[here] == given_[here]).all()
        assert (batch.index[name].numpy()[~here] == 0).all()
        assert len(batch.inputs[name]) == len(np.unique(columns.entry[rows, m][here]))  # once each, nothing absent


def test_dtypes_are_those_the_model_takes(make_columns):
    columns = make_columns()
    batch = columns.batch(np.arange(5))
    assert columns.entries["question"].dtype == np.int32
    assert batch.inputs["question"].dtype == torch.int64
    assert batch.inputs["picture"].dtype == torch.uint8
    assert batch.present.dtype == torch.bool and batch.target.dtype == torch.int64


def test_a_training_may_hide_labels(make_columns):
    columns = make_columns()
    hidden = torch.from_numpy(np.where(np.arange(40) % 2, columns.target, -1))
    rows = np.array([4, 7, 9])
    assert columns.batch(rows, hidden).target.tolist() == [-1, columns.target[7], columns.target[9]]


def test_a_batch_without_a_modality_holds_no_entry_of_it(make_columns):
    columns = make_columns(absent=0.5)
    rows = np.flatnonzero(~columns.present[:, 0])
    batch = columns.batch(rows)
    assert batch.inputs["picture"].shape == (0, 16, 16, 3)
    assert (batch.index["picture"] == 0).all()


def test_labelled_rows_of_a_split(make_columns):
    columns = make_columns()
    columns.target[[0, 3]] = -1
    assert set(columns.rows("train")) - set(columns.labelled("train")) == {0}
    assert set(columns.rows("validation")) - set(columns.labelled("validation")) == {3}
    assert len(columns.rows("test")) == 0


def test_rows_of_a_picture_are_those_that_share_it(make_columns):
    columns = make_columns(absent=0.3)
    shared = columns.shared()
    here = columns.present[:, 0]
    assert (shared[here] == columns.entry[here, 0]).all()
    assert len(set(shared[~here])) == (~here).sum() and (shared[~here] < 0).all()


def test_where_nothing_is_shared_every_row_is_alone(make_columns):
    columns = make_columns(rows=6).of(["question"])
    entries = {"question": np.zeros((6, 3), dtype=np.int32)}
    alone = replace(columns, entries=entries)
    assert len(set(alone.shared())) == 6


def test_opened_columns_are_what_prepare_wrote(prepared_run):
    columns = Columns.open(prepared_run.path("data"))
    assert columns.spec.names == ("picture", "question")
    assert columns.spec.classes == ("blue", "green", "red")
    assert np.exp(columns.spec.log_prior).sum() == pytest.approx(1)
    assert columns.entries["picture"].shape[1:] == (8, 8, 3)
    assert all(isinstance(e, np.memmap) for e in columns.entries.values())
    assert columns.present.any(1).all() and not columns.present.all()
    assert (columns.entry[~columns.present] == 0).all()
    sizes = [len(columns.rows(s)) for s in ("train", "validation", "test")]
    assert min(sizes) > 0 and sum(sizes) == len(columns.target)


def test_statistics_are_those_of_training_rows_alone(prepared_run):
    columns = Columns.open(prepared_run.path("data"))
    rows = columns.rows("train")
    pictures, every = (
        columns.entries["picture"][np.unique(columns.entry[r, 0][columns.present[r, 0]])] / 255
        for r in (rows, np.arange(len(columns.target)))
    )
    mean = columns.spec.fields[0].statistics["mean"]
    np.testing.assert_allclose(mean, pictures.mean((0, 1, 2)), rtol=1e-9)
    assert np.abs(every.mean((0, 1, 2)) - mean).max() > 1e-3
    counts = np.bincount(columns.target[rows], minlength=3)
    np.testing.assert_allclose(columns.spec.log_prior, np.log(counts / counts.sum()))


def test_some_modalities_keep_their_order_and_their_rows(make_columns):
    columns = make_columns()
    assert columns.of(["question", "picture"]) is columns
    one = columns.of(["question"])
    assert one.spec.names == ("question",) and list(one.entries) == ["question"]
    assert (one.entry[:, 0] == columns.entry[:, 1]).all() and (one.present[:, 0] == columns.present[:, 1]).all()
    assert (one.target == columns.target).all()


def test_hidden_labels_are_hidden_for_every_target(make_columns):
    columns = make_columns(targets="mixed")
    allowed = np.arange(40) % 2 == 0
    target = columns.hidden(allowed)
    known = columns.spec.known(target)
    assert not known[~torch.from_numpy(allowed)].any()
    assert (known[::2].numpy() == columns.spec.known(columns.target[::2])).all()
    plain = make_columns()
    assert plain.hidden(allowed).tolist() == np.where(allowed, plain.target, -1).tolist()


def test_frames_are_as_long_as_the_longest_in_the_batch(make_columns):
    columns = make_columns(absent=0.0)
    frames = np.random.default_rng(0).normal(size=(20, 9, 4)).astype(np.float16)
    lengths = np.arange(20) % 5 + 1
    frames[..., -1] = np.arange(9) < lengths[:, None]
    columns = replace(columns, entries={**columns.entries, "picture": frames})
    rows = np.arange(7)
    batch = columns.batch(rows)
    used = np.unique(columns.entry[rows, 0])
    assert batch.inputs["picture"].shape == (len(used), lengths[used].max(), 4)
    assert batch.inputs["picture"].dtype == torch.float32
    np.testing.assert_array_equal(batch.inputs["picture"], frames[used][:, : lengths[used].max()].astype(np.float32))


def test_vectors_of_a_frozen_encoder_stand_in_for_its_entries(make_columns):
    columns = make_columns()
    vectors = np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32)
    ready = columns.with_ready({"picture": vectors})
    batch = ready.batch(np.arange(8))
    assert batch.ready == {"picture"} and batch.inputs["picture"].shape[1:] == (12,)
    assert ready.of(["question"]).ready == frozenset()

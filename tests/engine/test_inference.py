"""A model over many rows: each in its place, the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import suffuse.data.columns
from suffuse.engine.inference import chunks, logits
from suffuse.engine.validation import scorer
from suffuse.model import FusionModel


@pytest.fixture
def model(make_columns, make_network) -> FusionModel:
    torch.manual_seed(0)
    return FusionModel(make_network(dropout=0.5), make_columns().spec)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pieces_are_a_division_that_keeps_pictures_together(make_columns, size):
    columns = make_columns(absent=0.3)
    rows = np.random.default_rng(0).permutation(40)[:33]
    pieces = list(chunks(columns, rows, size))
    assert sorted(np.concatenate(pieces)) == list(range(33))
    assert max(len(p) for p in pieces) <= size
    shared = columns.shared()[rows][np.concatenate(pieces)]
    assert (np.diff(shared) != 0).sum() == len(set(shared)) - 1


def test_large_entries_come_in_smaller_pieces(make_columns, monkeypatch):
    columns = make_columns()
    row = 16 * 16 * 3 + 6
    monkeypatch.setattr(suffuse.data.columns, "MAX_NUMBERS", 5 * row)
    assert [len(p) for p in chunks(columns, np.arange(40))] == [5] * 8
    monkeypatch.setattr(suffuse.data.columns, "MAX_NUMBERS", 3)
    assert {len(p) for p in chunks(columns, np.arange(40))} == {1}


def test_answers_stand_in_the_order_of_the_rows(model, make_columns):
    columns = make_columns(absent=0.3)
    rows = np.random.default_rng(0).permutation(40)
    found = logits(model, columns, rows)
    model.eval()
    with torch.no_grad():
        for place in (0, 17, 39):
            alone = model(columns.batch(rows[place : place + 1])).logits[0]
            np.testing.assert_allclose(found[place], alone, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_a_look_leaves_the_model_as_it_was(model, make_columns, training):
    """No dropout, no batch statistics while looking; and afterwards the mode that it had."""
    columns = make_columns()
    model.train(training)
    before = {n: v.clone() for n, v in model.state_dict().items()}
    one, other = logits(model, columns, np.arange(40)), logits(model, columns, np.arange(40))
    assert (one == other).all()
    assert model.training == training
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


def test_an_unseen_label_is_an_error_and_has_no_log_loss(model, make_columns):
    columns = make_columns()
    rows = columns.labelled("validation")
    z = logits(model, columns, rows)
    columns.target[rows] = z.argmax(1)
    columns.target[rows[:4]] = 3  # "other": training never saw it
    found = scorer(columns, rows)(model)
    assert found["accuracy"] == pytest.approx((len(rows) - 4) / len(rows))
    known = torch.from_numpy(z[4:]).log_softmax(1)
    expected = -known[torch.arange(len(rows) - 4), torch.from_numpy(columns.target[rows[4:]])].mean().item()
    assert found["log_loss"] == pytest.approx(expected, rel=1e-6)

"""Exact shares: they sum to the answer's less that of nothing, and what brings nothing has exactly 0."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.errors import UsageError
from suffuse.predictor import Predictor
from suffuse.predictor.prediction import contributions
from suffuse.types import Head

HEADS = (Head("colour", "classes", ("a", "b")), Head("tags", "labels", ("x", "y")), Head("price", "number"))


def test_of_an_additive_model_they_are_its_terms():
    def ask(present: np.ndarray) -> np.ndarray:
        one, two = present[:, 0] * 0.25, present[:, 2] * 0.125
        p = 0.5 + one + two
        return np.stack([1 - p, p, p, 1 - p, 3 + 8 * one - 16 * two], axis=1)

    found = contributions(HEADS, ("p", "q", "r", "s"), np.array([True, True, True, False]), ask)
    assert list(found) == ["colour", "tags", "price"]
    assert found["colour"] == pytest.approx({"p": 0.25, "q": 0, "r": 0.125, "s": 0})
    assert found["tags"] == pytest.approx({"p": 0.25, "q": 0, "r": 0.125, "s": 0})  # x is said and y is not
    assert found["price"] == pytest.approx({"p": 2, "q": 0, "r": -2, "s": 0})
    assert found["colour"]["q"] == found["colour"]["s"] == 0


def test_a_record_s_shares_sum_to_its_answer(signed, records, root):
    predictor = Predictor.load(signed(temperatures={"picture+question": {"answer": 0.5}}))
    for record in records[:8]:
        said = predictor.predict(record, root)
        shares = predictor.contributions(record, root)["answer"]
        assert list(shares) == ["picture", "question"]
        prior = predictor.predict({"text": None}).probabilities[said.label]
        assert sum(shares.values()) == pytest.approx(said.confidence - prior, abs=1e-5)
        assert all(shares[name] == 0 for name in said.absent)
        assert all(shares[name] != 0 for name in said.used)
    assert predictor.contributions({"text": None}) == {"answer": {"picture": 0.0, "question": 0.0}}


def test_too_many_modalities_and_keys_that_aren_t_known(predictor):
    with pytest.raises(UsageError, match="too many modalities"):
        contributions(HEADS, tuple("abcdefghi"), np.ones(9, dtype=bool), lambda present: present)
    with pytest.raises(UsageError, match="no such input"):
        predictor.contributions({"nothing": 1})

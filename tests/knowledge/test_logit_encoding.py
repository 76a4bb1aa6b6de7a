"""Logits as they are stored: what comes back, and that the cost that is written down is the cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp

from suffuse.knowledge.logit_encoding import INDEX, LOGITS, VALUES, Encoding, cost, half
from suffuse.types import Head, Spec

SPEC = Spec((), (Head("a", "classes", tuple("abcdefghij")),), (0.0,) * 10)
MIXED = Spec(
    (),
    (Head("n", "number", (), 1.0, 2.0), Head("a", "classes", tuple("abcdefgh")), Head("t", "labels", ("x", "y"))),
    (),
)


def there_and_back(encoding: Encoding, logits: np.ndarray) -> np.ndarray:
    return encoding.decode({n: torch.from_numpy(a) for n, a in encoding.encode(logits).items()}).float().numpy()


@budget(deadline=None, max_examples=60)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_half_is_finite_and_near(values):
    made = half(np.array(values, dtype=np.float32)).astype(np.float64)
    assert np.isfinite(made).all()
    bound = np.clip(values, -65504, 65504)
    assert (np.abs(made - bound) <= np.abs(bound) * 2**-11 + 2**-25).all()


@pytest.mark.parametrize("k", [1, 3, 8])
def test_top_k_keeps_the_top_and_shares_the_tail_evenly(k):
    logits = (np.random.default_rng(0).normal(size=(50, 10)) * 3).astype(np.float32)
    encoding = Encoding.of(SPEC, "float32", k)
    log_p, found = log_softmax(logits.astype(float), 1), there_and_back(encoding, logits)
    order = np.argsort(-log_p, 1)
    top, rest = (np.take_along_axis(log_p, o, 1) for o in (order[:, :k], order[:, k:]))
    np.testing.assert_allclose(np.take_along_axis(found, order[:, :k], 1), top, atol=1e-5)
    tail = np.repeat(logsumexp(rest, 1, keepdims=True) - np.log(10 - k), 10 - k, 1)
    np.testing.assert_allclose(np.take_along_axis(found, order[:, k:], 1), tail, atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)


def test_top_k_takes_less_room_and_keeps_the_first_choice():
    spec = Spec((), (Head("a", "classes", tuple(map(str, range(1000)))),), ())
    logits = (np.random.default_rng(1).normal(size=(64, 1000)) * 4).astype(np.float32)
    encoding = Encoding.of(spec, "float16", 20)
    stored = encoding.encode(logits)
    assert set(stored) == {VALUES, INDEX} and stored[INDEX].dtype == np.int16
    assert sum(a.nbytes for a in stored.values()) < 1000 * 64 * 2 / 20
    assert (there_and_back(encoding, logits).argmax(1) == logits.argmax(1)).all()


def test_more_classes_than_small_numbers_can_count():
    spec = Spec((), (Head("a", "classes", tuple(map(str, range(40_000)))),), ())
    logits = np.zeros((2, 40_000), np.float32)
    logits[0, 39_999] = logits[1, 35_000] = 30
    encoding = Encoding.of(spec, "float16", 2)
    assert encoding.encode(logits)[INDEX].dtype == np.int32
    assert there_and_back(encoding, logits).argmax(1).tolist() == [39_999, 35_000]


@pytest.mark.parametrize("k", [9, 10, 50])
def test_a_k_that_saves_nothing_stores_logits(k):
    assert Encoding.of(SPEC, "float16", k).dense
    assert Encoding.of(MIXED, "float16", k).dense


def test_of_several_targets_only_classes_are_cut():
    logits = np.random.default_rng(2).normal(size=(20, 11)).astype(np.float32)
    encoding = Encoding.of(MIXED, "float32", 2)
    assert encoding.kept == ((1, 0), (8, 2), (2, 0))
    found = there_and_back(encoding, logits)
    np.testing.assert_array_equal(found[:, :1], logits[:, :1])
    np.testing.assert_array_equal(found[:, 9:], logits[:, 9:])
    assert (found[:, 1:9].argmax(1) == logits[:, 1:9].argmax(1)).all()


@pytest.mark.parametrize("k", [0, 2])
def test_an_abstention_stays_one_for_its_target_alone(k):
    logits = np.random.default_rng(3).normal(size=(6, 11)).astype(np.float32)
    logits[1, 1:9], logits[4] = np.nan, np.nan
    encoding = Encoding.of(MIXED, "float16", k)
    found = there_and_back(encoding, logits)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(logits))
    silent = encoding.abstained(encoding.encode(logits)[LOGITS if k == 0 else VALUES])
    assert [s.tolist() for s in silent] == [
        [False, False, False, False, True, False],
        [False, True, False, False, True, False],
        [False, False, False, False, True, False],
    ]
    error, same = cost(MIXED, torch.from_numpy(logits), torch.from_numpy(found))
    assert error[4] == 0 and same[4] and torch.isfinite(error).all()


@pytest.mark.parametrize(("dtype", "k"), [("float16", 0), ("float16", 3), ("float32", 3)])
def test_the_cost_is_the_divergence(dtype, k):
    logits = (np.random.default_rng(4).normal(size=(40, 10)) * 5).astype(np.float32)
    found = there_and_back(Encoding.of(SPEC, dtype, k), logits)
    p, q = log_softmax(logits.astype(float), 1), log_softmax(found.astype(float), 1)
    error, same = cost(SPEC, torch.from_numpy(logits).double(), torch.from_numpy(found).double())
    np.testing.assert_allclose(error, (np.exp(p) * (p - q)).sum(1), atol=1e-9)
    assert (same.numpy() == (logits.argmax(1) == found.argmax(1))).all()


def test_extreme_logits_stay_finite():
    logits = np.array([[1e6, -1e6, *[0] * 8], [-3e38] * 9 + [3e38]], dtype=np.float32)
    for k in (0, 2):
        found = there_and_back(Encoding.of(SPEC, "float16", k), logits)
        assert np.isfinite(found).all() and found.argmax(1).tolist() == [0, 9]

"""A temperature per subset: of the rows that have it, whatever the other subsets are like."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse import temperature_scaling
from suffuse.exporters.parity import entries, make_ask, subsets
from suffuse.exporters.subset_temperatures import FEWEST, temperatures

SURE = {(True, True): 1.0, (True, False): 2.5, (False, True): 0.5}


def believed(columns, rows, kept):
    """Logits that are right with the probability they say, times how much too sure this subset is."""
    random = np.random.default_rng(7)
    logits = random.normal(size=(len(columns.target), 3)).astype(np.float32)
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = (random.random((len(odds), 1)) > odds.cumsum(1)).sum(1).clip(0, 2)
    columns.target[:] = drawn
    return SURE[kept] * logits[rows]


def test_each_subset_has_its_own(make_columns):
    columns = make_columns(rows=6000, absent=0.3)
    rows = columns.labelled("validation")
    found = temperatures(believed, columns, rows, subsets(columns.spec.names))
    assert list(found) == ["picture+question", "picture", "question", "nothing"]
    assert found["nothing"] == {"answer": 1.0}
    for kept, name in zip(SURE, found, strict=False):
        assert found[name]["answer"] == pytest.approx(SURE[kept], rel=0.15)


def test_it_is_fitted_on_the_rows_that_have_all_of_the_subset(make_columns):
    columns = make_columns(rows=400, absent=0.4)
    rows, seen = columns.labelled("validation"), {}

    def ask(columns, some, kept):
        seen[kept] = some
        return np.zeros((len(some), 3), dtype=np.float32)

    temperatures(ask, columns, rows, subsets(columns.spec.names))
    assert (False, False) not in seen and 0 < len(seen[True, True]) < len(seen[True, False]) < len(rows)
    for kept, some in seen.items():
        assert columns.present[some][:, list(kept)].all() and set(some) <= set(rows)


def test_with_few_rows_it_stays_one(make_columns):
    columns = make_columns(rows=4 * FEWEST - 8, absent=0.0)
    rows = columns.labelled("validation")
    assert len(rows) < FEWEST
    found = temperatures(believed, columns, rows, subsets(columns.spec.names))
    assert all(one == {"answer": 1.0} for one in found.values())


@pytest.mark.parametrize("targets", ["mixed"])
def test_several_targets_and_numbers(make_columns, targets):
    columns = make_columns(rows=800, targets=targets)

    def ask(columns, some, kept):
        return np.random.default_rng(1).normal(size=(len(some), 6)).astype(np.float32)

    found = temperatures(ask, columns, columns.labelled("validation"), subsets(columns.spec.names))
    assert found["picture"].keys() == {"answer", "tags", "price"} and found["picture"]["price"] == 1.0
    assert all(temperature_scaling.LOW <= t <= temperature_scaling.HIGH for one in found.values() for t in one.values())


def test_asking_a_predictor_hides_what_the_subset_lacks(make_columns):
    columns = make_columns(rows=700)

    class Told:
        def logits(self, given, present):
            assert len(given["picture"]) == len(present) <= 256
            return present.astype(np.float32)

    rows = np.arange(600)
    got = make_ask(Told())(columns, rows, (True, False))  # type: ignore[arg-type]
    assert (got == (columns.present[rows] & np.array([True, False]))).all()
    assert entries(columns, rows)["question"].shape == (600, 6)

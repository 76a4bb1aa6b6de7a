"""Shapley values against their axioms and the definition by orders."""

from itertools import permutations

import numpy as np
import pytest

from suffuse.shapley import MAX_MODALITIES, masks, shapley


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_shares_are_means_over_orders_of_arrival_and_sum_to_the_whole(count):
    values = np.random.default_rng(count).normal(size=(2**count, 4))
    wanted = np.zeros((count, 4))
    orders = list(permutations(range(count)))
    for order in orders:
        there = 0
        for m in order:
            wanted[m] += (values[there | 1 << m] - values[there]) / len(orders)
            there |= 1 << m
    found = shapley(values)
    assert np.allclose(found, wanted, atol=1e-12)
    assert np.allclose(found.sum(0), values[-1] - values[0], atol=1e-12)


def test_a_dummy_has_exactly_nothing_and_equals_share_alike():
    there = masks(3)
    values = (there[:, 0] & there[:, 2]).astype(float)
    assert shapley(values).tolist() == [0.5, 0.0, 0.5]


def test_more_modalities_than_subsets_can_be_asked_are_refused():
    with pytest.raises(ValueError, match="expected 1 to"):
        masks(MAX_MODALITIES + 1)

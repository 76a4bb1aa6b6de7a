"""A vector and tokens in one array of steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from suffuse.token_packing import halved, joined, pack, put_steps, unpack
from suffuse.types import Encoded


def encoded(vector: int, token: int) -> Encoded:
    torch.manual_seed(3)
    mask = torch.tensor([[True, True, True, True], [False, True, False, True], [False] * 4])
    return Encoded(torch.randn(3, vector), torch.randn(3, 4, token), mask)


@pytest.mark.parametrize(("vector", "token"), [(5, 3), (3, 5), (4, 4)])
def test_what_is_unpacked_is_what_was_packed_without_gaps(vector, token):
    given = encoded(vector, token)
    steps = pack(given)
    assert steps.shape == (3, 5, max(vector, token) + 1)
    assert steps[:, :, -1].sum(1).tolist() == [5, 3, 1]
    vectors, tokens, mask = unpack(steps, vector, token)
    assert torch.equal(vectors, given.vector)
    assert mask.tolist() == [[True] * 4, [True, True, False, False], [False] * 4]
    for row in range(3):
        assert torch.equal(tokens[row][mask[row]], given.tokens[row][given.token_mask[row]])
    assert not tokens[~mask].any()


def test_an_entry_of_which_only_the_vector_is_read_has_one_masked_token():
    steps = pack(encoded(5, 3))[2:, :1]
    vector, tokens, mask = unpack(steps, 5, 3)
    assert vector.shape == (1, 5) and tokens.shape == (1, 1, 3) and mask.tolist() == [[False]]


def test_parts_of_different_length_are_joined_and_written():
    steps = pack(encoded(5, 3))
    parts = [steps[:1], steps[1:, :3]]
    assert torch.equal(joined(parts), steps)
    assert joined([torch.ones(2, 3), torch.zeros(1, 3)]).shape == (3, 3)
    array = np.zeros(steps.shape, dtype=np.float16)
    put_steps(array, np.array([2, 1]), halved(steps[[2, 1], :3].numpy()))
    np.testing.assert_allclose(array[1], steps[1].numpy(), rtol=1e-3, atol=1e-6)
    assert not array[0].any()


def test_numbers_beyond_float16_become_its_largest():
    assert halved(np.array([1e9, -1e9, 2.5], "f4")).tolist() == [65504, -65504, 2.5]


def test_an_encoder_without_tokens_has_nothing_to_keep():
    with pytest.raises(ValueError, match="without tokens"):
        pack(Encoded(torch.ones(2, 3)))

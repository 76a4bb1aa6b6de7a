"""Encoder ``ngrams``: the weighted sum of embeddings, in its two forms."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from suffuse.encoders import ngrams


def parts(vocabulary: int = 50, width: int = 6) -> tuple[torch.nn.Embedding, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    embedding = torch.nn.Embedding(vocabulary, width, padding_idx=0).double()
    ids = torch.randint(1, vocabulary, (7, 12), generator=generator)
    ids[2, 5:] = 0
    ids[4] = 0  # an empty text
    idf = torch.rand(vocabulary, generator=generator, dtype=torch.float64) + 0.5
    idf[0] = 0
    return embedding, ids, idf[ids]


def test_the_weighted_sum_and_its_gradient_are_those_of_the_formula() -> None:
    embedding, ids, weights = parts()
    upstream = torch.randn(7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = []
    for vector in (
        ngrams._weighted_sum(embedding, ids, weights),
        (weights.unsqueeze(2) * F.embedding(ids, embedding.weight, padding_idx=0)).sum(1),
    ):
        gradients.append(torch.autograd.grad((vector * upstream).sum(), embedding.weight)[0])
        assert not vector[4].any()
        gradients.append(vector.detach())
    torch.testing.assert_close(gradients[0], gradients[2])
    torch.testing.assert_close(gradients[1], gradients[3])
    assert not gradients[0][0].any()  # of padding


@pytest.mark.parametrize("rows", [0, 1])
def test_without_any_ngram_the_sum_is_zero(rows: int) -> None:
    embedding, ids, weights = parts()
    vector = ngrams._weighted_sum(embedding, ids[4 : 4 + rows], weights[4 : 4 + rows])
    assert vector.shape == (rows, 6)
    assert not vector.any()


def test_a_row_s_sum_is_bit_identical_whatever_stands_beside_it() -> None:
    embedding, ids, weights = parts()
    whole = ngrams._weighted_sum(embedding, ids, weights)
    assert torch.equal(whole[3:4], ngrams._weighted_sum(embedding, ids[3:4], weights[3:4]))

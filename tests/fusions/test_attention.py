"""Attention against torch's own, and what masking promises."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from suffuse.fusions.attention import attend, attention, block, masked_softmax, tokens_of, transform
from suffuse.types import Encoded

WIDTH, HEADS = 12, 3


def real(rows: int = 5, length: int = 7) -> torch.Tensor:
    """Which tokens are real; at least the first is."""
    torch.manual_seed(3)
    mask = torch.rand(rows, length) < 0.6
    mask[:, 0] = True
    return mask


def filled(layers: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layers


def copied(layers: nn.ModuleDict, theirs: nn.MultiheadAttention) -> None:
    """Our weights in torch's attention; its biases of keys are zero."""
    q, k, v = (layers[n] for n in ("query", "key", "value"))
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([q.weight, k.weight, v.weight]))  # type: ignore[list-item]
        theirs.in_proj_bias.copy_(torch.cat([q.bias, torch.zeros(WIDTH), v.bias]))  # type: ignore[list-item]
        theirs.out_proj.load_state_dict(layers["out"].state_dict())


def test_it_equals_torch_s_attention():
    layers = filled(attention(WIDTH))
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    copied(layers, theirs)
    queries, keys, mask = torch.randn(5, 4, WIDTH), torch.randn(5, 7, WIDTH), real()
    found, weights = attend(layers, queries, keys, mask, HEADS)
    expected, shares = theirs(queries, keys, keys, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(weights, shares)
    assert (weights.transpose(1, 3)[~mask] == 0).all()


def test_a_bias_of_keys_would_change_nothing():
    layers, queries, keys = filled(attention(WIDTH)), torch.randn(5, 4, WIDTH), torch.randn(5, 7, WIDTH)
    before, _ = attend(layers, queries, keys, real(), HEADS)
    layers["key"].bias = nn.Parameter(torch.randn(WIDTH))
    torch.testing.assert_close(attend(layers, queries, keys, real(), HEADS)[0], before, atol=1e-5, rtol=1e-5)


def test_a_block_equals_torch_s_layer():
    layers = filled(block(WIDTH))
    theirs = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
    copied(layers, theirs.self_attn)
    for mine, name in (("before", "norm1"), ("between", "norm2"), ("up", "linear1"), ("down", "linear2")):
        getattr(theirs, name).load_state_dict(layers[mine].state_dict())
    x, mask = torch.randn(5, 7, WIDTH), real()
    expected = theirs.train()(x, src_key_padding_mask=~mask)  # no dropout; its fast path of eval cuts padding off
    found, _ = transform(layers, x, mask, HEADS)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    first, weights = transform(layers, x, mask, HEADS, 2)
    torch.testing.assert_close(first, expected[:, :2], atol=1e-5, rtol=1e-5)
    assert weights.shape == (5, HEADS, 2, 7)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e30])
def test_masked_scores_get_exactly_nothing(scale):
    mask = real()
    mask[2] = False
    scores = (scale * torch.randn(5, 7)).requires_grad_()
    found = masked_softmax(scores.masked_fill(~mask, torch.nan), mask)
    assert (found[~mask] == 0).all()
    torch.testing.assert_close(found.sum(1), mask.any(1).float())
    expected = torch.where(mask.any(1, keepdim=True), scores.masked_fill(~mask, -torch.inf).softmax(1), 0.0)
    torch.testing.assert_close(found, expected)
    (found * torch.randn(5, 7)).sum().backward()
    assert torch.isfinite(scores.grad).all() and not scores.grad[~mask].any()  # type: ignore[union-attr,index]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_masked_scores_of_half_precision(dtype):
    found = masked_softmax(torch.tensor([[3.0, 4.0, 5.0]], dtype=dtype), torch.tensor([[True, True, False]]))
    torch.testing.assert_close(found.float(), torch.tensor([[0.2689, 0.7311, 0.0]]), atol=5e-3, rtol=0)
    assert not masked_softmax(torch.zeros(1, 3, dtype=dtype), torch.zeros(1, 3, dtype=torch.bool)).any()


def test_what_is_not_real_leaves_zeros():
    x, mask, here = torch.randn(5, 7, 4), real(), torch.tensor([True, False, True, True, False])
    tokens, found = tokens_of(Encoded(torch.randn(5, 4), x, mask), here)
    assert torch.equal(found, mask & here.unsqueeze(1))
    assert torch.equal(tokens[found], x[found]) and not tokens[~found].any()
    tokens, found = tokens_of(Encoded(torch.randn(5, 4), x), here)  # without a mask all are real
    assert torch.equal(found, here.unsqueeze(1).expand(5, 7)) and torch.equal(tokens[here], x[here])
    vector = torch.randn(5, 4)
    tokens, found = tokens_of(Encoded(vector), here)
    assert torch.equal(found, here.unsqueeze(1)) and torch.equal(tokens[here, 0], vector[here])
    assert not tokens[~here].any()

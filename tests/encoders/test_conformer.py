"""The conformer against its formula, written out with torch's own operators for one entry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suffuse.encoders import conformer, load_encoder
from suffuse.encoders.token_stride import token_stride
from suffuse.registry import settings
from suffuse.temporal_conv import look_ahead_shares
from suffuse.testing.encoder_checks import FIELDS, Built, entries

SMALL = {"kind": "conformer", "width": 8, "depth": 2, "heads": 2, "hidden": 12, "kernel": 5, "channels": 3}


def built(**more: object) -> Built:
    """With random weights, also where a new network starts with zeros, and statistics that have moved."""
    one = Built({**SMALL, "dropout": 0.0, **more}, "audio").settled()
    torch.manual_seed(4)
    for number in range(one.chosen.depth):
        nn.init.normal_(one.layers[f"block{number}"]["distance"].weight)
    return one


def frames(length: int, count: int = 1, seed: int = 2) -> Tensor:
    torch.manual_seed(seed)
    return torch.cat([torch.randn(count, length, 3), torch.ones(count, length, 1)], dim=2)


def reference(one: Built, x: Tensor) -> Tensor:
    """Tokens (T, D) of one entry (L, F) that is all real."""
    chosen, layers = one.chosen, one.layers
    front0, front1 = layers["front0"], layers["front1"]
    x = F.conv2d(x[None, None], front0.weight, front0.bias, 2, padding=1).relu()
    x = F.conv2d(x, front1.weight, front1.bias, (chosen.stride // 2, 2), padding=1).relu()
    x = layers["steps"](x[0].permute(1, 0, 2).flatten(1))
    for number in range(chosen.depth):
        block = layers[f"block{number}"]

        def half(x: Tensor, which: int, block: nn.ModuleDict = block) -> Tensor:
            inner = nn.Sequential(block[f"norm{which}"], block[f"widen{which}"], nn.SiLU(), block[f"narrow{which}"])
            return 0.5 * inner(x)

        x = x + half(x, 0)
        asked = block["ask"](block["norm_attention"](x)).chunk(3, dim=1)
        query, key, value = (part.unflatten(1, (chosen.heads, -1)).transpose(0, 1) for part in asked)
        places = range(len(x))
        table, most = block["distance"].weight, chosen.distance
        bias = torch.stack(
            [torch.stack([table[max(-most, min(most, j - i)) + most] for j in places]) for i in places]
        ).permute(2, 0, 1)
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = x + block["answer"](heads.transpose(0, 1).flatten(1))
        gated = F.glu(block["gate"](block["norm_conv"](x)), dim=1)
        seen = F.conv1d(gated.T[None], block["conv"].weight, padding=chosen.kernel // 2, groups=chosen.width)
        inner = block["norm_inner"]
        seen = inner(seen)[0].T if chosen.norm == "batch" else inner(seen[0].T)
        x = x + block["mix"](F.silu(seen))
        x = block["norm"](x + half(x, 1))
    return x


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("stride", [2, 4])
def test_it_is_the_formula(norm, stride):
    one = built(norm=norm, stride=stride, distance=3)
    x = frames(23)
    found, expected = one(x), reference(one, x[0, :, :-1])
    torch.testing.assert_close(found.tokens[0], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.vector[0], expected.mean(0), atol=1e-5, rtol=1e-4)
    both = torch.cat([F.pad(x, (0, 0, 0, 9)), frames(32, seed=8)])
    torch.testing.assert_close(one(both).tokens[0, : len(expected)], expected, atol=1e-5, rtol=1e-4)


def test_a_recording_may_be_far_longer_than_any_in_training():
    """All distances beyond the largest one are one."""
    one = built(distance=2)
    x = frames(400)
    expected = reference(one, x[0, :, :-1])
    torch.testing.assert_close(one(x).tokens[0], expected, atol=1e-4, rtol=1e-3)


def test_a_new_network_knows_nothing_of_distances():
    layers = Built({**SMALL}, "audio").layers
    assert not layers["block0"]["distance"].weight.any()  # type: ignore[index, union-attr]


def test_a_width_that_heads_don_t_divide_is_refused():
    part = load_encoder("conformer")
    with pytest.raises(ValueError, match="got width 10, expected a multiple of 4 heads"):
        part.layers(
            settings({"conformer": "suffuse.encoders.conformer"}, {**SMALL, "width": 10, "heads": 4}), FIELDS["audio"]
        )
    with pytest.raises(ValueError, match="odd"):
        conformer.Settings(kernel=4)


BOUNDED = [
    *({**SMALL, "stride": s, "look_ahead": a, "depth": d, "dropout": 0.0}
      for s in (2, 4) for a, d in ((0, 2), (3, 1), (8, 3), (13, 2), (40, 2))),
    {**SMALL, "norm": "batch", "look_ahead": 8, "dropout": 0.0},
    *({"kind": "tcn", "width": 8, "kernel": k, "depth": 3, "dilated": t, "patch": p, "look_ahead": a, "dropout": 0.0}
      for k, t, p, a in ((3, True, 1, 0), (3, True, 1, 4), (5, False, 1, 3), (5, True, 3, 11), (1, False, 2, 5))),
]  # fmt: skip
EACH = pytest.mark.parametrize("asked", BOUNDED, ids=lambda a: "-".join(str(v) for v in a.values()))


@EACH
def test_what_comes_later_than_the_look_ahead_changes_nothing(asked):
    """Tokens of a part of a recording are those of the whole, as soon as the frames that they wait for are there."""
    one = Built(asked, "audio").settled()
    part = load_encoder(asked["kind"])
    stride = token_stride(part, one.chosen, one.layers, 3)
    whole, other = frames(90), frames(90, seed=3)
    tokens = one(whole).tokens[0]
    for length in (*range(1, 90, 7), 90):
        ready = max((length - one.chosen.look_ahead) // stride, 0)
        spoilt = torch.cat([whole[:, :length], other[:, length:] * 9], dim=1)
        for x in (whole[:, :length], spoilt):
            torch.testing.assert_close(one(x).tokens[0, :ready], tokens[:ready], atol=1e-5, rtol=1e-4)


@EACH
def test_the_look_ahead_is_used(asked):
    """The latest frame that a token depends on is its own last one, and up to one stride less than allowed after it."""
    one = Built(asked, "audio").settled()
    stride, ahead = token_stride(load_encoder(asked["kind"]), one.chosen, one.layers, 3), one.chosen.look_ahead
    x = frames(90, 8).requires_grad_()
    token = 40 // stride
    one(x).tokens[:, token].square().sum().backward()
    assert x.grad is not None
    latest = int(x.grad[:, :, :-1].abs().sum((0, 2)).nonzero().max())
    own = (token + 1) * stride - 1
    reach = ahead // stride * stride
    if asked["kind"] == "tcn":
        reach = min(reach, sum(c.padding[0] for n, c in one.layers.items() if n.startswith("conv")) * stride)
    assert own + reach - stride < latest <= own + ahead


def test_without_a_bound_all_of_the_recording_is_seen():
    one = built()
    x = frames(60, 4).requires_grad_()
    one(x).tokens[:, 2].square().sum().backward()
    assert x.grad is not None and (x.grad[:, -4:, :-1].abs().sum((0, 2)) > 0).any()


def test_a_tcn_whose_bound_is_wide_is_the_one_without():
    """The same convolutions, to the bit; with a narrower one the same weights."""
    asked = {"kind": "tcn", "width": 8, "kernel": 5, "depth": 3, "dilated": True}
    free, wide, narrow = (Built({**asked, **more}, "audio") for more in ({}, {"look_ahead": 14}, {"look_ahead": 13}))
    x = entries("audio")
    for one in (free, wide, narrow):
        one.layers.eval()
    assert torch.equal(free(x).tokens, wide(x).tokens)
    assert not torch.equal(free(x).tokens, narrow(x).tokens)
    assert free.layers.state_dict().keys() == narrow.layers.state_dict().keys()


@pytest.mark.parametrize(
    ("steps", "reaches", "expected"),
    [(0, [2, 4, 8], [0, 0, 0]), (7, [2, 4, 8], [1, 2, 4]), (9, [2, 4, 8], [2, 2, 5]), (14, [2, 4, 8], [2, 4, 8]),
     (99, [2, 4], [2, 4]), (5, [0, 0], [0, 0]), (3, [], [])],
)  # fmt: skip
def test_a_look_ahead_is_shared_by_reach(steps, reaches, expected):
    assert look_ahead_shares(steps, reaches) == expected

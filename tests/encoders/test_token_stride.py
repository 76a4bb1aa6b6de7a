"""Tokens that keep time: one for every s steps, whatever the length and the padding."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from encoder_tools import chosen

from suffuse.encoders import load_encoder
from suffuse.encoders.token_stride import token_stride
from suffuse.testing.encoder_checks import Built
from suffuse.types import Encoded


def keeps_time(case: Any) -> bool:
    """Whether the encoder of a case has tokens at all."""
    built = Built(*case.values)
    return bool(load_encoder(case.values[0]["kind"]).tokens(built.chosen, built.layers))


TIMED = [case for case in chosen("audio", "sequence") if keeps_time(case)]
CASES = [  # a conformer of 200 lengths takes a second
    pytest.param(*case.values, id=case.id, marks=pytest.mark.long) if case.values[0]["kind"] == "conformer" else case  # type: ignore[index]
    for case in TIMED
]
STRIDES = {
    "conv1d": lambda choice: choice.get("stride", 2) ** len(choice["widths"]),
    "conv2d": lambda choice: 2 ** len(choice["channels"]),
    "tcn": lambda choice: choice.get("patch", 1),
    "transformer": lambda choice: choice["patch"],
    "conformer": lambda choice: choice.get("stride", 4),
    "gru": lambda choice: 1,
    "lstm": lambda choice: 1,
}


def measured(built: Built) -> int:
    return token_stride(load_encoder(built.chosen.kind), built.chosen, built.layers, built.field.statistics["features"])


@pytest.mark.parametrize(("asked", "field"), CASES)
def test_there_is_one_token_for_every_s_steps(asked, field):
    """Of every length to 200, alone and padded; what the recipe says of strides and patches is s."""
    built = Built(asked, field).settled()
    stride = measured(built)
    assert stride == STRIDES[asked["kind"]](asked)
    features = built.field.statistics["features"]
    lengths = torch.arange(1, 201)
    x = torch.cat([torch.randn(200, 200, features), (torch.arange(200) < lengths[:, None]).unsqueeze(2)], dim=2)
    expected = -(-lengths // stride)
    mask = built(x).token_mask
    assert mask is not None
    assert torch.equal(mask.sum(1), expected)
    assert torch.equal(mask, torch.arange(mask.shape[1]) < expected[:, None]), "real tokens come first"
    for length in range(1, 201, 1 if stride > 1 else 20):
        tokens = built(x[:1, :length].clone().index_fill(2, torch.tensor([features]), 1)).tokens
        assert tokens is not None and tokens.shape[1] == expected[length - 1]


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "conv1d", "widths": [4, 4, 4], "norm": "none"},
        {"kind": "conv2d", "channels": [2, 2], "width": 4, "depth": 1},
        {"kind": "tcn", "width": 4, "patch": 4},
    ],
    ids=lambda asked: asked["kind"],
)
def test_a_token_is_made_of_the_steps_around_its_place(asked):
    """Token k sees as far back as ahead of the steps that it stands for."""
    built = Built(asked, "audio").settled()
    stride = measured(built)
    x = torch.cat([torch.randn(16, 40 * stride, 3), torch.ones(16, 40 * stride, 1)], dim=2).requires_grad_()
    encoded = built(x)
    assert encoded.tokens is not None
    encoded.tokens[:, 20].square().sum().backward()
    assert x.grad is not None
    seen = x.grad[:, :, :-1].abs().sum((0, 2)).nonzero().squeeze(1)
    middle = (seen[0] + seen[-1]).item() / 2
    assert 20 * stride <= middle < 21 * stride


def test_layers_keep_their_modes_and_no_number_is_drawn():
    built = Built({"kind": "tcn", "width": 8, "dropout": 0.5}, "audio")
    built.layers.train()
    built.layers["norm"].eval()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    measured(built)
    assert torch.equal(torch.get_rng_state(), before)
    assert built.layers.training and built.layers["dropout"].training and not built.layers["norm"].training


def test_batch_statistics_stay():
    built = Built({"kind": "conv1d", "widths": [4]}, "audio")
    before = {key: value.clone() for key, value in built.layers.state_dict().items()}
    measured(built)
    assert all(torch.equal(value, before[key]) for key, value in built.layers.state_dict().items())


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"kind": "cepstra", "cepstra": 2}, "audio", "no tokens"),
        ({"kind": "speech_embedding"}, "wave", "one for every|expected more"),
    ],
)
def test_where_there_is_no_stride_the_reason_is_given(asked, field, says):
    with pytest.raises(ValueError, match=says) as raised:
        measured(Built(asked, field))
    assert "got" in str(raised.value) and "expected" in str(raised.value)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (lambda steps: torch.ones_like(steps), "one token for"),
        (lambda steps: steps.sqrt().long().clamp(min=1), "one for every"),
        (lambda steps: torch.div(steps + 3, 3, rounding_mode="floor"), "one for every"),  # of 3 steps two
    ],
    ids=["one", "root", "floor"],
)
def test_tokens_that_keep_no_time_are_refused(count, says):
    """Encoders of the user's own."""

    def encode(chosen, layers, x):
        counts = count((x[:, :, -1] > 0).sum(1))
        mask = torch.arange(int(counts.max())) < counts[:, None]
        return Encoded(x[:, 0, :-1], torch.zeros(*mask.shape, 1), mask)

    part: Any = SimpleNamespace(encode=encode, tokens=lambda chosen, layers: 1)
    with pytest.raises(ValueError, match=says):
        token_stride(part, SimpleNamespace(kind="own.py:It"), torch.nn.ModuleDict(), 3)  # type: ignore[arg-type]


def test_a_mask_is_needed():
    part: Any = SimpleNamespace(encode=lambda s, m, x: Encoded(x[:, 0], x), tokens=lambda s, m: 1)
    with pytest.raises(ValueError, match="no mask"):
        token_stride(part, SimpleNamespace(kind="own"), torch.nn.ModuleDict(), 3)  # type: ignore[arg-type]

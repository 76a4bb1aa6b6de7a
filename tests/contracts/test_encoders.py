"""What every encoder keeps to: entries are alone, padding is nothing, shapes are as stated."""

from __future__ import annotations

import pytest
import torch
from encoder_tools import CHOICES, FIELDS, LENGTHS, Built, chosen
from torch import nn

from suffuse import encoders
from suffuse.registry import load
from suffuse.testing.encoder_checks import CHECKS

EVERY = pytest.mark.parametrize(("asked", "field"), chosen())
LEARNS = pytest.mark.parametrize(("asked", "field"), chosen(learns=True))
LONG = pytest.mark.parametrize(("asked", "field"), chosen(*LENGTHS))
TEXTS = pytest.mark.parametrize(("asked", "field"), chosen("text"))


def test_every_encoder_is_tested_for_every_kind_that_it_takes():
    for kind in encoders.TABLE:
        tested = {FIELDS[field].kind for field, _ in CHOICES[kind]}
        takes = load(encoders.TABLE, kind).MODALITIES
        assert tested == set(takes) or (kind in ("gru", "lstm") and tested < set(takes)), kind


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@EVERY
def test_an_encoder_keeps_to_its_contract(asked, field, check):
    check(lambda seed: Built(asked, field, seed))


@LEARNS
def test_an_encoder_that_learns_has_parameters(asked, field):
    assert any(parameter.requires_grad for parameter in Built(asked, field).layers.parameters())


@pytest.mark.parametrize(("asked", "field"), chosen(*LENGTHS, learns=True))
def test_batch_statistics_see_no_padding(asked, field):
    one, other = Built(asked, field), Built(asked, field)
    one.layers.train(), other.layers.train()
    x = one.entries()
    torch.manual_seed(5)
    plain = one(x)
    torch.manual_seed(5)
    padded = other(other.padded(x, 7))
    if one.norms():
        torch.testing.assert_close(padded.vector, plain.vector, atol=1e-5, rtol=1e-4)
    for (name, a), (_, b) in zip(one.layers.named_buffers(), other.layers.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5, msg=name)


@LONG
def test_an_entry_without_tokens_is_a_number(asked, field):
    encoder = Built(asked, field).settled()
    found = encoder(torch.zeros_like(encoder.entries(2)))
    assert torch.isfinite(found.vector).all()


@TEXTS
def test_padding_gets_no_gradient_and_every_token_counts(asked, field):
    encoder = Built(asked, field)
    x = encoder.entries()
    encoder(x).vector.square().sum().backward()
    table = next(m for m in encoder.layers.modules() if isinstance(m, nn.Embedding)).weight
    pad = int(encoder.layers.pad) if hasattr(encoder.layers, "pad") else 0  # type: ignore[arg-type]
    used = x[x != 0].unique()
    if asked["kind"] != "huggingface":
        assert (table.grad[pad] == 0).all()
    assert (table.grad[used].abs().sum(1) > 0).all()


def test_groups_divide_the_channels():
    """GroupNorm refuses what doesn't divide; widths may be anything."""
    for channels in range(1, 70):
        found = Built({"kind": "conv", "widths": [channels], "norm": "group"}, "image")(torch.zeros(1, 3, 4, 4))
        assert found.vector.shape[1] == 2 * channels

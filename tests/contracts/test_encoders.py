"""What every encoder keeps to: entries are alone, padding is nothing, shapes are as stated."""

from __future__ import annotations

import pytest
import torch
from encoder_tools import CHOICES, FIELDS, LENGTHS, Built, chosen
from torch import nn

from suffuse import encoders
from suffuse.registry import load

EVERY = pytest.mark.parametrize(("asked", "field"), chosen())
LEARNS = pytest.mark.parametrize(("asked", "field"), chosen(learns=True))
LONG = pytest.mark.parametrize(("asked", "field"), chosen(*LENGTHS))
TEXTS = pytest.mark.parametrize(("asked", "field"), chosen("text"))


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for the order in which numbers were added."""
    return bool((one - other).norm() <= 1e-5 * other.norm())


def test_every_encoder_is_tested_for_every_kind_that_it_takes():
    for kind in encoders.TABLE:
        tested = {FIELDS[field].kind for field, _ in CHOICES[kind]}
        takes = load(encoders.TABLE, kind).MODALITIES
        assert tested == set(takes) or (kind in ("gru", "lstm") and tested < set(takes)), kind


@EVERY
def test_an_entry_doesn_t_depend_on_the_others(asked, field):
    encoder = Built(asked, field).settled()
    x = encoder.entries()
    whole = encoder(x)
    for row in range(len(x)):
        assert near(encoder(x[row : row + 1]).vector, whole.vector[row : row + 1])
    assert near(encoder(x.flip(0)).vector.flip(0), whole.vector)
    assert whole.vector.std(0).max() > 1e-3  # the comparison is of vectors that differ


@EVERY
def test_shapes_are_as_stated(asked, field):
    encoder = Built(asked, field)
    found = encoder(encoder.entries())
    wide = encoder.part.width(encoder.chosen, encoder.layers)
    assert found.vector.shape == (6, wide)
    assert found.vector.dtype == torch.float32
    if not hasattr(encoder.part, "tokens"):
        assert found.tokens is None and found.token_mask is None
        return
    assert found.tokens is not None and found.token_mask is not None
    assert found.tokens.ndim == 3 and found.tokens.shape[:2] == found.token_mask.shape
    assert found.tokens.shape[2] == encoder.part.tokens(encoder.chosen, encoder.layers)
    assert found.token_mask.dtype == torch.bool and found.token_mask.any(1).all()


@LEARNS
def test_every_parameter_gets_a_gradient(asked, field):
    encoder = Built(asked, field)
    found = encoder(encoder.entries(12))
    tokens = 0 if found.tokens is None else found.tokens.square().mean()
    ((found.vector - torch.randn_like(found.vector)).square().sum() + tokens).backward()
    assert list(encoder.layers.parameters())
    for name, parameter in encoder.layers.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
            assert torch.isfinite(parameter.grad).all(), name


@EVERY
def test_eval_mode_gives_the_same_bits_twice(asked, field):
    encoder = Built(asked, field).settled()
    x = encoder.entries()
    assert torch.equal(encoder(x).vector, encoder(x.clone()).vector)


@LEARNS
def test_the_state_holds_all_that_was_learned(asked, field):
    one, other = Built(asked, field).settled(), Built(asked, field, seed=9)
    other.layers.load_state_dict(one.layers.state_dict())
    other.layers.eval()
    x = one.entries()
    assert torch.equal(one(x).vector, other(x).vector)


@EVERY
def test_bfloat16_is_near(asked, field):
    encoder = Built(asked, field).settled()
    x = encoder.entries()
    exact = encoder(x).vector
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = encoder(x).vector.float()
    assert torch.isfinite(near).all()
    assert (near - exact).norm() < 0.1 * exact.norm()


@LONG
def test_how_long_an_entry_is_padded_changes_nothing(asked, field):
    encoder = Built(asked, field).settled()
    x = encoder.entries()
    plain, padded = encoder(x), encoder(encoder.padded(x, 9))
    torch.testing.assert_close(padded.vector, plain.vector, atol=1e-6, rtol=1e-5)
    one = encoder(x[:1, :1])  # a single token, unpadded
    torch.testing.assert_close(one.vector, plain.vector[:1], atol=1e-5, rtol=1e-4)
    if not hasattr(encoder.part, "tokens"):
        return
    count = plain.token_mask.shape[1]  # type: ignore[union-attr]
    assert torch.equal(padded.token_mask[:, :count], plain.token_mask)  # type: ignore[index]
    assert not padded.token_mask[:, count:].any()  # type: ignore[index]
    here = plain.token_mask
    torch.testing.assert_close(padded.tokens[:, :count][here], plain.tokens[here], atol=1e-5, rtol=1e-4)  # type: ignore[index]


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

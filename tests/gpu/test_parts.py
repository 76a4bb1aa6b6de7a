"""Every encoder, fusion and loss gives the same numbers and gradients on the device as on the processor.

Tolerances are those of float32 with sums in another order: 1e-3 of a number, and 1e-3 of the largest beside it.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from device_tools import moved, places
from encoder_tools import Built, chosen
from fusion_tools import build, cases, rows
from loss_part_tools import ANSWERS
from loss_part_tools import Built as BuiltLoss
from loss_part_tools import rows as loss_rows
from torch import Tensor, nn

from suffuse.engine.feature_cache import _vectors
from suffuse.model import FusionModel
from suffuse.recipe import Network

pytestmark = pytest.mark.gpu
RELATIVE = 1e-3


def near(found: Tensor, expected: Tensor, name: str = "") -> None:
    assert found.dtype == expected.dtype
    scale = expected.detach().abs().max().item() if expected.numel() else 0.0
    torch.testing.assert_close(found.cpu(), expected, rtol=RELATIVE, atol=RELATIVE * scale + 1e-6, msg=name or None)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def trainable(module: nn.Module) -> nn.Module:
    """In eval mode, but for recurrent layers: cuDNN has gradients of those in training mode alone."""
    module.eval()
    for layer in module.modules():
        if isinstance(layer, nn.RNNBase):
            layer.train()
    return module


@pytest.mark.parametrize(("asked", "field"), chosen())
def test_an_encoder_is_the_same_there(asked, field, device):
    encoder = Built(asked, field).settled()
    layers, x = trainable(encoder.layers), encoder.entries()
    other = moved(copy.deepcopy(layers), lambda t: t.to(device))
    expected = encoder.part.encode(encoder.chosen, layers, x.clone())
    found = encoder.part.encode(encoder.chosen, other, x.to(device))
    assert places(found) == {device.type}
    near(found.vector, expected.vector)
    if expected.tokens is not None:
        assert torch.equal(found.token_mask.cpu(), expected.token_mask)
        near(found.tokens[found.token_mask], expected.tokens[expected.token_mask])
    if expected.vector.requires_grad:
        for encoded in (expected, found):
            encoded.vector.square().sum().backward()
        assert gradients(other).keys() == gradients(layers).keys()
        for name, gradient in gradients(layers).items():
            near(gradients(other)[name], gradient, name)


@pytest.mark.parametrize(("kind", "count", "form"), cases())
def test_a_fusion_is_the_same_there(kind, count, form, device):
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    other = moved(copy.deepcopy(fusion.layers), lambda t: t.to(device))
    expected = fusion.fuse(encoded, present)
    found = fusion.part.fuse(fusion.chosen, other, *moved((encoded, present), lambda t: t.to(device)))
    near(found.vector, expected.vector)
    for one, two in ((found.gates, expected.gates), (found.logits, expected.logits)):
        assert (one is None) == (two is None)
        if one is not None:
            near(one, two)
    for fused in (expected, found):
        fused.vector.square().sum().backward()
    for name, gradient in gradients(fusion.layers).items():
        near(gradients(other)[name], gradient, name)


@pytest.mark.parametrize(("asked", "kind"), ANSWERS)
def test_a_loss_is_the_same_there(asked, kind, device):
    loss = BuiltLoss(asked)
    here = loss_rows(kind=kind)
    there: Any = moved(here, lambda t: t.to(device))
    expected = loss(*here)
    loss.layers = moved(copy.deepcopy(loss.layers), lambda t: t.to(device))
    found = loss(*there)
    near(found, expected)
    if expected.requires_grad:
        expected.backward(), found.backward()
        for one, two in ((there[0].logits, here[0].logits), (there[0].fused, here[0].fused)):
            assert (one.grad is None) == (two.grad is None)
            if two.grad is not None:
                near(one.grad, two.grad)


def test_vectors_of_a_frozen_encoder_are_the_same_there(device, make_columns):
    columns = make_columns(rows=24)
    encoders = {"picture": {"kind": "hog"}, "question": {"kind": "gru", "embedding": 4, "width": 5}}
    network = Network.model_validate({"encoders": encoders, "fusion": {"kind": "gated", "width": 8}})
    entries = torch.from_numpy(columns.entries["picture"])
    here, there = (FusionModel(network, columns.spec).to(place).encoder("picture") for place in ("cpu", device))
    near(torch.from_numpy(_vectors(there, entries)), torch.from_numpy(_vectors(here, entries)))

"""Fusions as they start, trained for a moment: on an exclusive or, which neither modality knows anything of alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from suffuse import fusions
from suffuse.registry import load
from suffuse.types import Encoded, Sizes

ADDING = ("weighted", "late")  # a sum of what each modality says
SLIGHT = ("softmax_gate", "attention_pooling", "queries")  # together in their weights only, or with another head
TOGETHER = [kind for kind in fusions.TABLE if kind not in ADDING + SLIGHT and not fusions.load_fusion(kind).FRAMES]


def accuracy(kind: str) -> float:
    """On the training rows: whether it can be expressed, and found."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    a, b = torch.randn(256, 6), torch.randn(256, 6)
    label = ((a[:, 0] > 0) ^ (b[:, 0] > 0)).long()
    part = load(fusions.TABLE, kind)
    wanted = {"width": 16, "layers": 2 if kind == "bottleneck" else 1}  # one bottleneck layer is a mean
    steps, rate = (300, 5e-3) if kind == "bottleneck" else (120, 2e-2)
    chosen = part.Settings(**{k: v for k, v in wanted.items() if k in part.Settings.model_fields})
    sizes = Sizes((6, 6), (0, 0), 2)
    layers, present = part.layers(chosen, sizes), torch.ones(256, 2, dtype=torch.bool)
    head = nn.Identity() if fusions.headless(chosen) else nn.Linear(part.width(chosen, sizes), 2)
    optimizer = torch.optim.AdamW([*layers.parameters(), *head.parameters()], rate)
    for _ in range(steps):
        logits = head(part.fuse(chosen, layers, [Encoded(a), Encoded(b)], present).vector)
        optimizer.zero_grad()
        F.cross_entropy(logits, label).backward()
        optimizer.step()
    return (logits.argmax(1) == label).float().mean().item()


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.long if k == "bottleneck" else ()) for k in TOGETHER]
)
def test_what_two_modalities_say_together_is_learned(kind):
    assert accuracy(kind) > 0.93


@pytest.mark.parametrize("kind", ADDING)
def test_what_only_adds_can_t(kind):
    """As the recipe page says of them."""
    assert accuracy(kind) < 0.7

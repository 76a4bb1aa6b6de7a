"""No part makes a tensor without its device: all encoders, fusions and losses run on ``meta``, and on a CUDA device
that has no numbers.

Forward on both, backward on ``meta``: without a driver autograd can't run on a CUDA device. With a GPU, ``make
test-gpu`` runs the contracts on it.
"""

from __future__ import annotations

import pytest
import torch
from device_tools import CUDA, DEVICES, META, device, places
from encoder_tools import Built, chosen
from fusion_tools import build, cases, rows
from loss_part_tools import ANSWERS
from loss_part_tools import Built as BuiltLoss
from loss_part_tools import rows as loss_rows

from suffuse.types import TOKENS, Encoded, Fused


@pytest.fixture(autouse=True)
def no_zeros(monkeypatch):
    """Where numbers are looked for, all are there: how many aren't can't be known without numbers."""

    def nonzero(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(x.numel(), x.dim(), dtype=torch.int64, device=x.device)

    monkeypatch.setattr(torch.Tensor, "nonzero", nonzero)


HERE = pytest.mark.parametrize("name", DEVICES)
DEEP = (
    "efficientnet_lite",
    "timm",
    "conformer",
)  # encoders of many layers, each of which takes its time without numbers


def long(case):
    """The case for ``make test-long``."""
    return pytest.param(*case.values, id=case.id, marks=pytest.mark.long)


def encoders() -> list:
    """All cases; long are those of many layers, and of others all forms but the first for a kind of field."""
    found, seen = [], set()
    for case in chosen():
        form = case.values[0]["kind"], case.values[1]
        found.append(long(case) if form in seen or form[0] in DEEP else case)
        seen.add(form)
    return found


WITHOUT_NUMBERS = {  # (kind, field, device) -> why it can't be run where tensors have none; a GPU runs it
    ("gru", "text", CUDA): "torch's GRU cell asks for a driver; lstm is the same module",
    ("gru", "audio", CUDA): "torch's GRU cell asks for a driver; lstm is the same module",
    ("huggingface", "text", META): "transformers looks at the attention mask",
    ("huggingface", "wave", META): "recordings are read length by length",
    ("huggingface", "wave", CUDA): "recordings are read length by length",
    ("speech_embedding", "wave", META): "it is read in main memory, by ONNX Runtime",
    ("speech_embedding", "wave", CUDA): "it is read in main memory, by ONNX Runtime",
}


@HERE
@pytest.mark.parametrize(("asked", "field"), encoders())
def test_an_encoder_stays_on_its_device(asked, field, name):
    if (asked["kind"], field, name) in WITHOUT_NUMBERS:
        pytest.skip(f"no GPU, and {WITHOUT_NUMBERS[asked['kind'], field, name]}")
    encoder = Built(asked, field)
    x = encoder.entries()
    for training in (False, True):
        with device(name) as to:
            layers, entries = to(encoder.layers), to(x)
            layers.train(training)
            found: Encoded = encoder.part.encode(encoder.chosen, layers, entries)
            assert places(found) == places(entries)
            if name == META and found.vector.requires_grad:
                found.vector.sum().backward()


@HERE
@pytest.mark.parametrize(("kind", "count", "form"), [*cases(counts=(2,)), *map(long, cases(counts=(3,)))])
def test_a_fusion_stays_on_its_device(kind, count, form, name):
    fusion = build(kind, count, form)
    with device(name) as to:
        layers, (encoded, present) = to(fusion.layers), to(rows(count))
        for training in (False, True):
            layers.train(training)
            found: Fused = fusion.part.fuse(fusion.chosen, layers, encoded, present)
            assert places(found) == places(present)
            if name == META:
                found.vector.sum().backward()


CTC_KERNEL = "torch's CTC kernel asks for a driver; on meta the formula beside it is run"
LOSSES_WITHOUT_NUMBERS = {  # (kind, kind of target, device) -> as above
    ("task", TOKENS, CUDA): CTC_KERNEL,
    ("sequence_kd", TOKENS, CUDA): CTC_KERNEL,
}


@HERE
@pytest.mark.parametrize(("asked", "kind"), ANSWERS)
def test_a_loss_stays_on_its_device(asked, kind, name):
    if (asked["kind"], kind, name) in LOSSES_WITHOUT_NUMBERS:
        pytest.skip(f"no GPU, and {LOSSES_WITHOUT_NUMBERS[asked['kind'], kind, name]}")
    if asked.get("n_best", 1) > 1:
        pytest.skip("no GPU, and a beam search is done in main memory")
    loss = BuiltLoss(asked)
    with device(name) as to:
        to(loss.layers)
        student, teacher, target = to(loss_rows(kind=kind))
        found = loss(student, teacher, target)
        assert places(found) == places(target)
        if name == META and found.requires_grad:
            found.backward()


def test_a_forgotten_device_fails():
    for name in DEVICES:
        with device(name) as to, pytest.raises(RuntimeError, match=r"[Dd]evice"):
            torch.add(to(torch.ones(3)), torch.ones(3))
    assert CUDA in DEVICES

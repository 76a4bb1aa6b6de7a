"""What every encoder keeps to, as checks of one: entries are alone, padding is nothing, shapes are as stated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import encoders, modalities
from ..registry import load, settings
from ..types import Encoded, Field

STEPS = {"features": 3, "length": 9, "mean": [0.1, 0.2, -0.3], "std": [1.5, 0.5, 1.0]}
COLUMN = {"type": "number", "mean": [0.0], "std": [1.0], "quantiles": [[-2.0, -0.5, 0.0, 0.5, 2.0]]}
FIELDS = {
    "image": Field("picture", "image", {"size": 32, "mean": [0.5] * 3, "std": [0.2] * 3}),
    "text": Field("question", "text", {"vocabulary": 12, "length": 6, "idf": [0.0, 0.0, *[1.5] * 10]}),
    "audio": Field("sound", "audio", STEPS),
    "sequence": Field("track", "sequence", STEPS),
    "wave": Field("sound", "audio", {"features": 1, "rate": 16_000, "length": 4000, "mean": [0.1], "std": [0.3]}),
    "tabular": Field("row", "tabular", {"numbers": 2, "categories": [3, 5], "columns": [COLUMN, COLUMN]}),
}


def encoded_examples(kind: str) -> tuple[Field, Tensor]:
    """A modality's first example, fitted on its example cells, and their entries."""
    part = modalities.load_modality(kind)
    chosen: Any = settings(modalities.TABLE, {"column": "c", **part.EXAMPLES[0], "kind": kind})
    items: Any = [part.load(chosen, cell, Path())[1] for cell in part.examples(chosen)]
    items = np.stack(items) if isinstance(items[0], np.ndarray) and items[0].ndim != 2 else items
    statistics = part.fit(chosen, items)
    name = kind if kind.isidentifier() else "own"
    return Field(name, kind, statistics), torch.from_numpy(part.encode(chosen, statistics, items))


EXAMPLES = {kind: encoded_examples(kind) for kind in modalities.TABLE if kind not in FIELDS}
FIELDS |= {kind: field for kind, (field, _) in EXAMPLES.items()}


def add_field(kind: str) -> None:
    """Entries of a modality of the user's own, for the encoders that read it."""
    EXAMPLES[kind] = encoded_examples(kind)
    FIELDS[kind] = EXAMPLES[kind][0]


LENGTHS = {"text": 6, "audio": 9, "sequence": 9, "wave": 1200}


class Built:
    """An encoder with random weights."""

    def __init__(self, asked: dict, field: str, seed: int = 0):
        self.part: Any = load(encoders.TABLE, asked["kind"])
        self.name, self.field, self.chosen = field, FIELDS[field], settings(encoders.TABLE, asked)
        if hasattr(self.part, "resolved"):
            self.chosen = self.part.resolved(self.chosen)
        torch.manual_seed(seed)
        self.layers = self.part.layers(self.chosen, self.field)
        if getattr(self.chosen, "pretrained", False):
            self.part.initialise(self.chosen, self.layers, self.field)

    def __call__(self, x: Tensor) -> Encoded:
        return self.part.encode(self.chosen, self.layers, x)

    def settled(self) -> Built:
        """In eval mode, with the running statistics of its entries, or those that came with its weights."""
        if not getattr(self.chosen, "pretrained", False):
            for norm in self.norms():
                norm.momentum = 1.0
            self(self.entries())
        self.layers.eval()
        return self

    def norms(self) -> list:
        """Layers with batch statistics."""
        return [m for m in self.layers.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]

    def entries(self, count: int = 6) -> Tensor:
        """Random entries; texts and frames of one to their longest."""
        return entries(self.name, count)

    def padded(self, x: Tensor, more: int) -> Tensor:
        """With more padding; what stands in a padding frame is anything."""
        if self.name == "text":
            return torch.nn.functional.pad(x, (0, more))
        junk = torch.randn(len(x), more, x.shape[2]) * 100
        junk[:, :, -1] = 0
        return torch.cat([x, junk], dim=1)


def entries(field: str, count: int = 6) -> Tensor:
    """Random entries as a modality's ``encode``, and the model's normalisation of pictures, make them."""
    torch.manual_seed(1)
    if field in EXAMPLES:
        return EXAMPLES[field][1][torch.arange(count) % len(EXAMPLES[field][1])]
    if field == "image":
        return torch.randn(count, 3, 32, 32)
    if field == "tabular":
        codes = torch.stack([torch.arange(count) % size for size in (3, 5)], dim=1)
        numbers = torch.randn(count, 2)
        missing = (torch.arange(count)[:, None] + torch.arange(2)) % 3 == 0
        return torch.cat([numbers.masked_fill(missing, 0), missing, codes], dim=1).float()
    longest = LENGTHS[field]
    lengths = 1 + (torch.arange(count) * (longest - 1)) // max(count - 1, 1)
    real = torch.arange(longest) < lengths.unsqueeze(1)
    if field == "text":
        return torch.randint(2, 12, (count, longest)) * real
    frames = torch.randn(count, longest, FIELDS[field].statistics["features"])
    frames = frames.clamp(-1, 1) if field == "wave" else frames
    return torch.cat([frames * real.unsqueeze(2), real.unsqueeze(2)], dim=2)


def near(one: Tensor, other: Tensor) -> bool:
    """Equal but for the order in which numbers were added."""
    return bool((one - other).norm() <= 1e-5 * other.norm())


def check_entries_are_alone(make: Make) -> None:
    """An entry's vector doesn't depend on the others, and vectors of different entries differ."""
    encoder = make(0).settled()
    x = encoder.entries()
    whole = encoder(x)
    for row in range(len(x)):
        assert near(encoder(x[row : row + 1]).vector, whole.vector[row : row + 1]), f"entry {row} depends on others"
    assert near(encoder(x.flip(0)).vector.flip(0), whole.vector), "the order of entries changes their vectors"
    assert whole.vector.std(0).max() > 1e-3, "different entries have the same vector"


def check_shapes(make: Make) -> None:
    """Vector and tokens have the widths that the part states."""
    encoder = make(0)
    found = encoder(encoder.entries())
    wide = encoder.part.width(encoder.chosen, encoder.layers)
    assert found.vector.shape == (6, wide), f"vector {tuple(found.vector.shape)}, expected (6, {wide}) as width says"
    assert found.vector.dtype == torch.float32
    if not hasattr(encoder.part, "tokens"):
        assert found.tokens is None and found.token_mask is None, "it returns tokens, and has no function tokens"
        return
    assert found.tokens is not None and found.token_mask is not None, "its function tokens says that there are some"
    assert found.tokens.ndim == 3 and found.tokens.shape[:2] == found.token_mask.shape
    assert found.tokens.shape[2] == encoder.part.tokens(encoder.chosen, encoder.layers)
    assert found.token_mask.dtype == torch.bool and found.token_mask.any(1).all()


def check_gradients(make: Make) -> None:
    """Every parameter gets a finite gradient that isn't 0; an encoder without parameters learns nothing."""
    encoder = make(0)
    if not any(parameter.requires_grad for parameter in encoder.layers.parameters()):
        return
    found = encoder(encoder.entries(12))
    tokens = 0 if found.tokens is None else found.tokens.square().mean()
    ((found.vector - torch.randn_like(found.vector)).square().sum() + tokens).backward()
    for name, parameter in encoder.layers.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, f"{name} gets no gradient"
            assert torch.isfinite(parameter.grad).all(), f"{name} gets a gradient that isn't finite"


def check_eval_mode(make: Make) -> None:
    """In eval mode the same entries give the same bits."""
    encoder = make(0).settled()
    x = encoder.entries()
    assert torch.equal(encoder(x).vector, encoder(x.clone()).vector), "eval mode gives other bits the second time"


def check_state(make: Make) -> None:
    """The layers' state holds all that was learned."""
    one, other = make(0).settled(), make(9)
    other.layers.load_state_dict(one.layers.state_dict())
    other.layers.eval()
    x = one.entries()
    assert torch.equal(one(x).vector, other(x).vector), "something that decides the vectors is no part of the state"


def check_bfloat16(make: Make) -> None:
    """Inside of bfloat16 autocast vectors are finite and near."""
    encoder = make(0).settled()
    x = encoder.entries()
    exact = encoder(x).vector
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoder(x).vector.float()
    assert torch.isfinite(rough).all(), "in bfloat16 a vector isn't finite"
    assert (rough - exact).norm() < 0.1 * exact.norm(), "in bfloat16 vectors are far off"


def check_padding(make: Make) -> None:
    """How long an entry is padded changes nothing."""
    encoder = make(0).settled()
    if encoder.name not in LENGTHS:
        return
    x = encoder.entries()
    plain, padded = encoder(x), encoder(encoder.padded(x, 9))
    torch.testing.assert_close(padded.vector, plain.vector, atol=1e-6, rtol=1e-5)
    one = encoder(x[:1, :1])  # a single token, unpadded
    torch.testing.assert_close(one.vector, plain.vector[:1], atol=1e-5, rtol=1e-4)
    if plain.tokens is None or plain.token_mask is None or padded.tokens is None or padded.token_mask is None:
        return
    count = plain.token_mask.shape[1]
    assert torch.equal(padded.token_mask[:, :count], plain.token_mask)
    assert not padded.token_mask[:, count:].any()
    here = plain.token_mask
    torch.testing.assert_close(padded.tokens[:, :count][here], plain.tokens[here], atol=1e-5, rtol=1e-4)


Make = Callable[[int], Built]  # a seed -> the encoder with random weights
CHECKS: tuple[Callable[[Make], None], ...] = (
    check_entries_are_alone, check_shapes, check_gradients, check_eval_mode, check_state, check_bfloat16, check_padding,
)  # fmt: skip

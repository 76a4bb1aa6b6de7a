"""What every fusion keeps to, as checks of one fusion: the mask contract, and that it is a plain, honest module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import fusions
from ..registry import PartSettings, load, settings
from ..types import Encoded, Frames, Fused, Sizes

FRAMES = 4  # of a fusion for sequences: one more than the first modality has tokens
WIDTHS, TOKENS, LENGTHS, OUTPUTS = (4, 6, 5), (3, 7, 0), (3, 4, 1), 3  # the third modality has no tokens
ROWS = 8
GARBAGE = {
    "random": lambda x: torch.randn_like(x),
    "huge": lambda x: torch.full_like(x, 3e38),
    "nan": lambda x: torch.full_like(x, torch.nan),
    "inf": lambda x: torch.full_like(x, torch.inf),
    "-inf": lambda x: torch.full_like(x, -torch.inf),
}


@dataclass
class Built:
    """A fusion with random weights, for vectors of ``WIDTHS`` and tokens of ``TOKENS``."""

    chosen: PartSettings
    layers: nn.ModuleDict
    part: Any
    sizes: Sizes

    @property
    def width(self) -> int:
        return self.part.width(self.chosen, self.sizes)

    @property
    def reads_tokens(self) -> bool:
        return getattr(self.part, "TOKENS", False)

    @property
    def for_frames(self) -> bool:
        return getattr(self.part, "FRAMES", False)

    def fuse(self, encoded: list[Encoded], present: Tensor) -> Fused:
        return self.part.fuse(self.chosen, self.layers, encoded, present)


def fusion_settings(kind: str, count: int, form: dict, width: int = 6) -> PartSettings:
    """Settings of a fusion of so many modalities."""
    known = load(fusions.TABLE, kind).Settings.model_fields
    form = {**form, **({"weights": form["weights"][:count]} if isinstance(form.get("weights"), tuple) else {})}
    return settings(fusions.TABLE, {"kind": kind, **({"width": width} if "width" in known else {}), **form})


def build(kind: str, count: int, form: dict, tokens: tuple[int, ...] = TOKENS) -> Built:
    """The fusion in eval mode."""
    part, chosen = load(fusions.TABLE, kind), fusion_settings(kind, count, form)
    torch.manual_seed(1)
    frames = Frames(0, FRAMES, OUTPUTS) if getattr(part, "FRAMES", False) else None
    outputs = FRAMES * OUTPUTS if frames else OUTPUTS
    sizes = Sizes(WIDTHS[:count], tokens[:count], outputs, frames=frames)
    layers = part.layers(chosen, sizes).eval()
    with torch.no_grad():
        for parameter in layers.parameters():  # absent vectors start at 0, where they could hide a mistake
            parameter.normal_(0, 0.5)
    return Built(chosen, layers, part, sizes)


def rows(count: int, seed: int = 2) -> tuple[list[Encoded], Tensor]:
    """Vectors and tokens of some rows; every subset of the modalities is there, the empty one too."""
    torch.manual_seed(seed)
    subsets = torch.cartesian_prod(*[torch.tensor([True, False])] * count)
    present = subsets.repeat(-(-ROWS // len(subsets)), 1)[:ROWS]
    encoded = []
    for width, wide, length in zip(WIDTHS[:count], TOKENS[:count], LENGTHS[:count], strict=True):
        real = torch.rand(ROWS, length) < 0.6
        real[:, 1:2] = True  # at least one
        vector = torch.randn(ROWS, width)
        encoded.append(Encoded(vector, torch.randn(ROWS, length, wide), real) if wide else Encoded(vector))
    return encoded, present


def map_encoded(encoded: Encoded, change: Callable[[Tensor], Tensor]) -> Encoded:
    """The same change of vector, tokens and mask."""
    tokens, mask = (x if x is None else change(x) for x in (encoded.tokens, encoded.token_mask))
    return Encoded(change(encoded.vector), tokens, mask)


def select_rows(encoded: list[Encoded], which: Tensor) -> list[Encoded]:
    """Some of the rows."""
    return [map_encoded(e, lambda x: x[which]) for e in encoded]


def spoiled(encoded: list[Encoded], present: Tensor, how: str) -> list[Encoded]:
    """Something else in every absent slot: vector, tokens and token mask."""

    def spoil(x: Tensor, here: Tensor) -> Tensor:
        other = ~x if x.dtype == torch.bool else GARBAGE[how](x)
        return torch.where(here.reshape(-1, *[1] * (x.ndim - 1)), x, other)

    return [map_encoded(e, lambda x, m=m: spoil(x, present[:, m])) for m, e in enumerate(encoded)]


def equal_outputs(one: Fused, two: Fused) -> bool:
    """Every bit of all that a fusion returns."""
    pairs = ((one.vector, two.vector), (one.gates, two.gates), (one.logits, two.logits))
    return all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


def gradients(fusion: Built, encoded: list[Encoded], present: Tensor) -> dict[str, Tensor]:
    """Of every parameter, and of all that was given, as far as the fusion reads it."""
    given = [map_encoded(e, lambda x: x.clone().requires_grad_(x.is_floating_point())) for e in encoded]
    fusion.layers.zero_grad()
    torch.manual_seed(4)
    fused = fusion.fuse(given, present)
    total = (fused.vector - torch.randn(ROWS, fusion.width)).square().sum()
    if fusion.for_frames and fused.logits is not None:  # of which the joint vector isn't made
        total = total + fused.logits.square().sum()
    total.backward()
    leaves = {f"vector {m}": e.vector for m, e in enumerate(given)} | dict(fusion.layers.named_parameters())
    leaves |= {f"tokens {m}": e.tokens for m, e in enumerate(given) if e.tokens is not None}
    return {name: leaf.grad.clone() for name, leaf in leaves.items() if leaf.grad is not None}


def check_absent_slots(fusion: Built, count: int) -> None:
    """What stands in an absent slot changes no bit of the outputs."""
    encoded, present = rows(count)
    clean = fusion.fuse(encoded, present)
    assert torch.isfinite(clean.vector).all(), "the joint vector isn't finite"
    for how in GARBAGE:
        assert equal_outputs(clean, fusion.fuse(spoiled(encoded, present, how), present)), (
            f"{how} in an absent slot is read"
        )


def check_present_slots(fusion: Built, count: int) -> None:
    """What stands in a present slot changes its row, and no other; of a fusion for sequences where the row has its
    recording, the first modality."""
    encoded, present = rows(count)
    before = fusion.fuse(encoded, present).vector
    for m in range(count):
        changed = torch.zeros(ROWS, dtype=torch.bool)
        for step in (-2.0, 1.0, 3.0):  # one alone may end where every ReLU is shut
            other = list(encoded)
            other[m] = map_encoded(encoded[m], lambda x, by=step: x if x.dtype == torch.bool else x + by)
            changed |= (fusion.fuse(other, present).vector != before).any(1)
        read = present[:, m] & present[:, 0] if fusion.for_frames else present[:, m]
        assert torch.equal(changed, read), f"modality {m} changes other rows than those that have it"


def check_gradients_of_absent_slots(fusion: Built, count: int) -> None:
    """Gradients are finite, the same whatever stands in an absent slot, and 0 there."""
    encoded, present = rows(count)
    clean = gradients(fusion, encoded, present)
    assert all(torch.isfinite(g).all() for g in clean.values()), "a gradient isn't finite"
    for how in GARBAGE:
        spoilt = gradients(fusion, spoiled(encoded, present, how), present)
        assert clean.keys() == spoilt.keys()
        assert all(torch.equal(g, spoilt[name]) for name, g in clean.items()), f"{how} in an absent slot has a gradient"
    for m in range(count):
        read = [clean[n][~present[:, m]] for n in (f"vector {m}", f"tokens {m}") if n in clean]
        assert read and not any(g.any() for g in read), f"modality {m} gets a gradient where it is absent"


def check_parameters(fusion: Built, count: int) -> None:
    """Every parameter gets a gradient."""
    found = gradients(fusion, *rows(count))
    largest = max(g.abs().max() for g in found.values())
    for name, _ in fusion.layers.named_parameters():
        assert found[name].abs().max() > 1e-5 * largest, f"{name} gets no gradient"  # else rounding is left


def check_width(fusion: Built, count: int) -> None:
    """The joint vector is as wide as ``width`` says; logits come from a fusion with heads of its own."""
    found = fusion.fuse(*rows(count))
    wide = (ROWS, fusion.width)
    assert found.vector.shape == wide, f"joint vector {tuple(found.vector.shape)}, expected {wide} as width says"
    assert (found.logits is not None) == fusions.headless(fusion.chosen), "logits and HEADLESS don't agree"
    assert found.logits is None or found.logits.shape == (ROWS, fusion.sizes.outputs)


def check_neighbours(fusion: Built, count: int) -> None:
    """A row's outputs don't depend on its neighbours, nor on the order of rows."""
    encoded, present = rows(count)
    whole = fusion.fuse(encoded, present).vector
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(fusion.fuse(select_rows(encoded, order), present[order]).vector, whole[order])
    for row in range(ROWS):
        one = torch.tensor([row])
        torch.testing.assert_close(fusion.fuse(select_rows(encoded, one), present[one]).vector, whole[one])


def check_gates(fusion: Built, count: int) -> None:
    """Gates are there where ``GATES`` says so; they are 0 where a modality is absent, and sum to 1."""
    encoded, present = rows(count)
    gates = fusion.fuse(encoded, present).gates
    if not getattr(fusion.part, "GATES", False):
        assert gates is None, "it returns gates, and GATES is False"
        return
    assert gates is not None and gates.shape == present.shape, "GATES is True: expected gates (B, M)"
    assert (gates[~present] == 0).all(), "a gate of an absent modality isn't 0"
    assert (gates[present] > 0).all(), "a gate of a present modality is 0"
    torch.testing.assert_close(gates.sum(1), present.any(1).float())


CHECKS: tuple[Callable[[Built, int], None], ...] = (
    check_absent_slots, check_present_slots, check_gradients_of_absent_slots, check_parameters, check_width,
    check_neighbours, check_gates,
)  # fmt: skip

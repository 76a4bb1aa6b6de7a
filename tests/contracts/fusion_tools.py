"""Every fusion in every form, with random weights, and rows to give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from suffuse import fusions
from suffuse.registry import PartSettings, load, settings
from suffuse.types import Encoded, Fused, Sizes

WIDTHS, TOKENS, LENGTHS, OUTPUTS = (4, 6, 5), (3, 7, 0), (3, 4, 1), 3  # the third modality has no tokens
ROWS = 8
FORMS = {kind: [*fusions.load_fusion(kind).EXAMPLES] for kind in fusions.TABLE}  # settings besides kind and width
SHARES = [kind for kind in fusions.TABLE if fusions.load_fusion(kind).GATES]  # those that give gates


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

    def fuse(self, encoded: list[Encoded], present: Tensor) -> Fused:
        return self.part.fuse(self.chosen, self.layers, encoded, present)


def asked(kind: str, count: int, form: dict, width: int = 6) -> PartSettings:
    """Settings of a fusion of so many modalities."""
    known = load(fusions.TABLE, kind).Settings.model_fields
    form = {**form, **({"weights": form["weights"][:count]} if isinstance(form.get("weights"), tuple) else {})}
    return settings(fusions.TABLE, {"kind": kind, **({"width": width} if "width" in known else {}), **form})


def build(kind: str, count: int, form: dict, tokens: tuple[int, ...] = TOKENS) -> Built:
    """The fusion in eval mode."""
    part, chosen = load(fusions.TABLE, kind), asked(kind, count, form)
    torch.manual_seed(1)
    sizes = Sizes(WIDTHS[:count], tokens[:count], OUTPUTS)
    layers = part.layers(chosen, sizes).eval()
    with torch.no_grad():
        for parameter in layers.parameters():  # absent vectors start at 0, where they could hide a mistake
            parameter.normal_(0, 0.5)
    return Built(chosen, layers, part, sizes)


def cases(kinds=fusions.TABLE, counts: tuple[int, ...] = (2, 3)) -> list:
    """(kind, modalities, form) of every fusion in every form that takes so many modalities."""
    return [
        pytest.param(kind, count, form, id="-".join([kind, str(count), *(f"{k}={v}" for k, v in form.items())]))
        for kind in kinds
        for form in FORMS[kind]
        for count in counts
        if load(fusions.TABLE, kind).TAKES[0] <= count <= load(fusions.TABLE, kind).TAKES[1]
    ]


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


def over(encoded: Encoded, change) -> Encoded:
    """The same change of vector, tokens and mask."""
    found = (encoded.vector, encoded.tokens, encoded.token_mask)
    return Encoded(*(x if x is None else change(x) for x in found))


def at(encoded: list[Encoded], which: Tensor) -> list[Encoded]:
    """Some of the rows."""
    return [over(e, lambda x: x[which]) for e in encoded]


def picked(layers: nn.Module, order: list[int], count: int) -> nn.Module:
    """A fusion whose parameters per modality stand in lists, for some of the modalities or in another order."""
    if isinstance(layers, (nn.ModuleList, nn.ParameterList)) and len(layers) == count:
        return type(layers)([layers[m] for m in order])
    if isinstance(layers, (nn.ModuleList, nn.ModuleDict)):
        made = type(layers)()
        for name, child in layers.named_children():
            made.add_module(name, picked(child, order, count))
        return made
    return layers

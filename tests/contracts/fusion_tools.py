"""Every fusion in every form. Rows and checks: ``suffuse.testing.fusion_checks``."""

from __future__ import annotations

import pytest
from torch import nn

from suffuse import fusions
from suffuse.registry import load
from suffuse.testing.fusion_checks import (
    OUTPUTS,
    ROWS,
    TOKENS,
    Built,
    build,
    fusion_settings,
    map_encoded,
    rows,
    select_rows,
)

__all__ = [
    "FORMS", "KINDS", "OUTPUTS", "ROWS", "SHARES", "TOKENS", "Built", "build", "cases", "fusion_settings",
    "map_encoded", "picked", "rows", "select_rows",
]  # fmt: skip

FORMS = {kind: [*fusions.load_fusion(kind).EXAMPLES] for kind in fusions.TABLE}  # settings besides kind and width
# others are for sequences alone
KINDS = [kind for kind in fusions.TABLE if not fusions.load_fusion(kind).FRAMES]
SHARES = [kind for kind in fusions.TABLE if fusions.load_fusion(kind).GATES]  # those that give gates


def cases(kinds=fusions.TABLE, counts: tuple[int, ...] = (2, 3)) -> list:
    """(kind, modalities, form) of every fusion in every form that takes so many modalities."""
    return [
        pytest.param(kind, count, form, id="-".join([kind, str(count), *(f"{k}={v}" for k, v in form.items())]))
        for kind in kinds
        for form in FORMS[kind]
        for count in counts
        if load(fusions.TABLE, kind).TAKES[0] <= count <= load(fusions.TABLE, kind).TAKES[1]
    ]


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

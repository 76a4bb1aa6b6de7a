"""Student, losses and projectors in one module: what the loop differentiates, clips and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import torch
from torch import Tensor, nn

from .. import losses
from ..errors import UsageError
from ..model import FusionModel
from ..parts import PartSettings, load
from ..types import Batch


class Objective(nn.Module):
    """Weighted sum of losses. ``terms`` are in the order of ``names``."""

    weights: Tensor  # (K,)

    def __init__(self, model: FusionModel, chosen: Mapping[str, PartSettings], teacher: Mapping[str, int]):
        super().__init__()
        self.model = model
        self.names = tuple(chosen)
        self.settings = tuple(chosen.values())
        self.parts: tuple[ModuleType, ...] = tuple(load(losses.TABLE, s.kind) for s in self.settings)
        self.register_buffer("weights", torch.tensor([float(s.weight) for s in self.settings]), persistent=False)
        mine, theirs = model.taps(), dict(teacher)
        made = []
        for name, settings, part in zip(self.names, self.settings, self.parts, strict=True):
            try:
                made.append(part.layers(settings, mine, theirs))
            except ValueError as error:
                raise UsageError("this loss can't be used here", where=f"distill.losses.{name}", got=error) from None
        self.projectors = nn.ModuleList(made)

    def needs(self) -> tuple[str, ...]:
        """Everything of the teacher that some loss reads."""
        found = [n for s, p in zip(self.settings, self.parts, strict=True) for n in p.needs(s)]
        return tuple(dict.fromkeys(found))

    def forward(self, batch: Batch, teacher: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Batch and the teacher's arrays for its rows -> (scalar, weighted terms (K,))."""
        output = self.model(batch)
        found = [
            p.loss(s, layers, output, teacher, batch.target)
            for s, p, layers in zip(self.settings, self.parts, self.projectors, strict=True)  # pyright: ignore
        ]
        terms = torch.stack(found)
        return torch.dot(terms, self.weights), terms.detach() * self.weights

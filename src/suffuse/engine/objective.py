"""Student, losses and projectors in one module: what the loop differentiates, clips and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import cast

import torch
from torch import Tensor, nn

from .. import losses
from ..errors import UsageError
from ..model import FusionModel
from ..parts import PartSettings, load
from ..types import Batch, Output

View = tuple[Output, dict[str, Tensor], Tensor]  # of one target: student, teacher, labels


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
        kinds = {head.kind for head in model.spec.heads}
        for name, settings, part in zip(self.names, self.settings, self.parts, strict=True):
            try:
                check_heads(part, kinds)
                made.append(part.layers(settings, mine, theirs))
            except ValueError as error:
                raise UsageError("this loss can't be used here", where=f"distill.losses.{name}", got=error) from None
        self.projectors = nn.ModuleList(made)

    def needs(self) -> tuple[str, ...]:
        """Everything of the teacher that some loss reads."""
        found = [n for s, p in zip(self.settings, self.parts, strict=True) for n in p.needs(s)]
        return tuple(dict.fromkeys(found))

    def _views(self, output: Output, teacher: dict[str, Tensor], target: Tensor) -> list[View]:
        """The answers, target by target."""
        spec = self.model.spec
        if len(spec.heads) == 1:
            return [(output, teacher, spec.targets(target)[0][1])]
        theirs = spec.parts(teacher["logits"]) if "logits" in teacher else [(h, None) for h in spec.heads]
        return [
            (
                replace(output, logits=mine, head=head),
                teacher if other is None else {**teacher, "logits": other},
                wanted,
            )
            for (head, mine), (_, other), (_, wanted) in zip(
                spec.parts(output.logits), theirs, spec.targets(target), strict=True
            )
        ]

    def forward(self, batch: Batch, teacher: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Batch and the teacher's arrays for its rows -> (scalar, weighted terms (K,))."""
        output = self.model(batch)
        views = self._views(output, teacher, batch.target)
        found = [
            term(s, p, layers, views)
            for s, p, layers in zip(self.settings, self.parts, self.projectors, strict=True)  # pyright: ignore
        ]
        terms = torch.stack(found)
        return torch.dot(terms, self.weights), terms.detach() * self.weights


def check_heads(part: ModuleType, kinds: set[str]) -> None:
    """Raise ValueError where a loss on answers is valid for none of the targets."""
    valid = getattr(part, "HEADS", None)
    if valid is not None and not kinds & set(valid):
        raise ValueError(f"it is for targets of kind {' or '.join(valid)}, got {', '.join(sorted(kinds))}")


def term(settings: PartSettings, part: ModuleType, layers: nn.Module, views: list[View]) -> Tensor:
    """One loss over the targets that it is valid for, weighed as the recipe weighs them."""
    valid = getattr(part, "HEADS", None)
    if valid is None or len(views) == 1:
        return part.loss(settings, layers, *views[0])
    heads = [(v[0].head, v) for v in views if v[0].head is not None and v[0].head.kind in valid]
    total = sum(head.weight for head, _ in heads)
    return cast(Tensor, sum(part.loss(settings, layers, *view) * (head.weight / total) for head, view in heads))

"""Every loss as a recipe's part, with every choice of its settings, and rows for it."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from suffuse import losses
from suffuse.registry import settings
from suffuse.types import CLASSES, NUMBER, Head, Output

RELATIONS = [kind for kind in losses.TABLE if losses.load_loss(kind).MIN_ROWS > 1]  # compare rows
CASES = [
    pytest.param({"kind": kind, **choice}, id="-".join([kind, *(str(v) for v in choice.values())]))
    for kind in losses.TABLE
    for choice in losses.load_loss(kind).EXAMPLES
]
ANSWERS = [  # every loss on answers, with every kind of target that it is valid for
    pytest.param(*case.values, kind, id=f"{case.id}-{kind}")
    for case in CASES
    for kind in (losses.load_loss(case.values[0]["kind"]).HEADS or (CLASSES,))  # type: ignore[index]
]
WIDE, TEACHER = {"fused": 5, "picture": 4, "question": 3}, {"fused": 6, "picture": 3, "question": 3}
PLACES, LOOKS = 6, 64  # of a map; of two queries over 32 stretches
TAPS = {
    who: {**widths, "gates": 2, "picture.map": PLACES, "picture.look.map": LOOKS, "question.look.map": LOOKS}
    for who, widths in (("mine", WIDE), ("theirs", TEACHER))
}
COUNT = 10  # rows


class Built:
    """A loss with its projector, and rows for it."""

    def __init__(self, asked: dict):
        self.part, self.chosen = losses.load_loss(asked["kind"]), settings(losses.TABLE, asked)
        torch.manual_seed(0)
        self.layers = self.part.layers(self.chosen, TAPS["mine"], TAPS["theirs"])

    def __call__(self, student: Output, teacher: dict[str, Tensor], target: Tensor) -> Tensor:
        return self.part.loss(self.chosen, self.layers, student, teacher, target)


def rows(
    count: int = COUNT, seed: int = 1, scale: float = 2.0, kind: str = CLASSES
) -> tuple[Output, dict[str, Tensor], Tensor]:
    """Student's output, teacher's arrays, targets; some rows lack the picture, some the label."""
    torch.manual_seed(seed)
    made = {name: torch.randn(count, width, requires_grad=True) for name, width in WIDE.items()}
    outputs = 1 if kind == NUMBER else 4
    logits = (scale * torch.randn(count, outputs)).requires_grad_()
    head = Head("answer", kind, () if kind == NUMBER else ("a", "b", "c", "d"))
    here = {"picture": torch.arange(count) % 3 != 1, "question": torch.arange(count) != 7}
    gates, maps, looks = torch.rand(2, count, 2), torch.rand(2, count, PLACES), torch.rand(3, count, LOOKS)
    gates = (gates[0] * torch.stack(list(here.values()), 1)).requires_grad_(), gates[1].requires_grad_()
    student = Output(
        logits, made["fused"], {n: made[n] for n in here}, gates[0], here, head, {
            "picture": maps[0].requires_grad_(), "picture.look.map": looks[0].requires_grad_(),
            "question.look.map": looks[1].requires_grad_(),
        },
        full_logits=scale * torch.randn(count, outputs), is_partial=torch.arange(count) % 2 == 0,
    )  # fmt: skip
    teacher = {name: torch.randn(count, width, requires_grad=True) for name, width in TEACHER.items()}
    teacher["logits"] = (scale * torch.randn(count, outputs)).requires_grad_()
    teacher |= {
        "gates": gates[1],
        "picture.map": maps[1].requires_grad_(),
        "picture.look.map": looks[2].requires_grad_(),
    }
    if kind == CLASSES:
        return student, teacher, torch.arange(count) % 5 - 1
    known = torch.arange(count) % 5 != 0
    if kind == NUMBER:
        return student, teacher, torch.randn(count).where(known, torch.nan)
    return student, teacher, (torch.rand(count, 4) < 0.4).float().where(known.unsqueeze(1), -1.0)


def again(output: Output, which: Tensor) -> Output:
    """Some of its rows."""
    made = {}
    for field in fields(output):
        value = getattr(output, field.name)
        if isinstance(value, dict):
            value = {name: part[which] for name, part in value.items()}
        made[field.name] = value[which] if isinstance(value, Tensor) else value
    return Output(**made)


def given_by(output: Output) -> list[Tensor]:
    """All tensors of the student's that a loss may send a gradient to."""
    found = [output.logits, output.fused, output.gates, *output.features.values(), *output.maps.values()]
    return [t for t in found if t is not None and t.requires_grad]

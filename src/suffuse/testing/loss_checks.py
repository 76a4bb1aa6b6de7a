"""What every loss keeps to, as checks of one loss on rows of which some lack a modality or a label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import torch
from torch import Tensor

from .. import losses
from ..registry import settings
from ..transcripts.units import BLANK_GAP
from ..types import CLASSES, NUMBER, TOKENS, Head, Output

WIDE, TEACHER = {"fused": 5, "picture": 4, "question": 3}, {"fused": 6, "picture": 3, "question": 3}
PLACES, LOOKS = 6, 64  # of a map; of two queries over 32 stretches
TAPS = {
    who: {**widths, "gates": 2, "picture.map": PLACES, "picture.look.map": LOOKS, "question.look.map": LOOKS}
    for who, widths in (("mine", WIDE), ("theirs", TEACHER))
}
COUNT = 10  # rows
FRAMES, UNITS = 5, ("a", "b", "c")  # of a sequence


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
    head = head_of(kind)
    outputs = head.outputs
    logits = with_ends(scale * torch.randn(count, outputs), head).requires_grad_()
    here = {"picture": torch.arange(count) % 3 != 1, "question": torch.arange(count) != 7}
    gates, maps, looks = torch.rand(2, count, 2), torch.rand(2, count, PLACES), torch.rand(3, count, LOOKS)
    gates = (gates[0] * torch.stack(list(here.values()), 1)).requires_grad_(), gates[1].requires_grad_()
    student = Output(
        logits, made["fused"], {n: made[n] for n in here}, gates[0], here, head, {
            "picture": maps[0].requires_grad_(), "picture.look.map": looks[0].requires_grad_(),
            "question.look.map": looks[1].requires_grad_(),
        },
        full_logits=with_ends(scale * torch.randn(count, outputs), head), is_partial=torch.arange(count) % 2 == 0,
    )  # fmt: skip
    teacher = {name: torch.randn(count, width, requires_grad=True) for name, width in TEACHER.items()}
    teacher["logits"] = with_ends(scale * torch.randn(count, outputs), head).requires_grad_()
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
    if kind == TOKENS:
        return student, teacher, sequences(count).where(known.unsqueeze(1), -1)
    return student, teacher, (torch.rand(count, 4) < 0.4).float().where(known.unsqueeze(1), -1.0)


def head_of(kind: str) -> Head:
    """The target that the rows have."""
    if kind == TOKENS:
        return Head("answer", kind, UNITS, units="characters", frames=FRAMES, frame=1.0, length=3)
    return Head("answer", kind, () if kind == NUMBER else ("a", "b", "c", "d"))


def sequences(count: int) -> Tensor:
    """(count, 1 + 3) targets of a sequence: empty ones, repeated units, as many as there may be, an unknown one."""
    some = torch.tensor([[2, 1, 2, 0], [0, 0, 0, 0], [2, 3, 3, 0], [3, 1, 3, 2], [1, 4, 0, 0], [1, 2, 0, 0]])
    return some.repeat(count // len(some) + 1, 1)[:count]


def with_ends(logits: Tensor, head: Head) -> Tensor:
    """The logits (B, T V) of a sequence with certain blanks after the end of every third row, and in all frames of one
    row, which has no recording; others' are unchanged."""
    if head.kind != TOKENS:
        return logits
    frames = logits.unflatten(1, (head.frames, head.frame_outputs))
    blank = torch.full((head.frame_outputs,), -BLANK_GAP)
    blank[0] = 0
    lengths = torch.where(torch.arange(len(logits)) % 3 == 2, head.frames - 2, head.frames)
    lengths = torch.where(torch.arange(len(logits)) == 6, 0, lengths)
    is_real = torch.arange(head.frames) < lengths.unsqueeze(1)
    return frames.where(is_real.unsqueeze(2), blank).flatten(1)


def repeated_rows(output: Output, which: Tensor) -> Output:
    """Some of its rows."""
    made = {}
    for field in fields(output):
        value = getattr(output, field.name)
        if isinstance(value, dict):
            value = {name: part[which] for name, part in value.items()}
        made[field.name] = value[which] if isinstance(value, Tensor) else value
    return Output(**made)


def output_tensors(output: Output) -> list[Tensor]:
    """All tensors of the student's that a loss may send a gradient to."""
    found = [output.logits, output.fused, output.gates, *output.features.values(), *output.maps.values()]
    return [t for t in found if t is not None and t.requires_grad]


def check_mean_over_rows(loss: Built, kind: str) -> None:
    """A scalar above 0, which the same rows twice don't change, where rows aren't compared with each other."""
    student, teacher, target = rows(kind=kind)
    once = loss(student, teacher, target)
    assert once.shape == (), f"the loss has shape {tuple(once.shape)}, expected a scalar"
    assert once.item() > 0, f"the loss of different outputs is {once.item()}, expected more than 0"
    if loss.part.MIN_ROWS > 1:
        return
    twice = torch.arange(COUNT).repeat(2)
    doubled = loss(repeated_rows(student, twice), {k: v[twice] for k, v in teacher.items()}, target[twice])
    torch.testing.assert_close(once, doubled)


def check_gradients(loss: Built, kind: str) -> None:
    """A gradient reaches the student, none the teacher."""
    student, teacher, target = rows(kind=kind)
    loss(student, teacher, target).backward()
    assert all(t.grad is None for t in teacher.values()), "a gradient reaches the teacher: detach its arrays"
    reached = [t for t in output_tensors(student) if t.grad is not None and bool(t.grad.abs().sum() > 0)]
    assert reached, "no gradient reaches the student"


def check_needs(loss: Built, kind: str) -> None:
    """It reads of the teacher what ``needs`` names, and no more."""
    student, teacher, target = rows(kind=kind)
    needs = [n for name in loss.part.needs(loss.chosen) for n in (("picture", "question") if name == "*" else (name,))]
    missing = set(needs) - set(teacher)
    assert not missing, f"needs names {', '.join(missing)}, which no teacher of these modalities has"
    alone = loss(student, {n: teacher[n] for n in needs}, target)
    assert torch.equal(alone, loss(student, teacher, target)), "it reads more of the teacher than needs names"


def check_extreme_logits(loss: Built, kind: str) -> None:
    """Logits of 10,000 give a finite loss and finite gradients."""
    student, teacher, target = rows(kind=kind)
    signs = torch.tensor([[1.0, -1, 1, -1], [-1, 1, 1, -1], [0, 0, 0, 0], [1, 1, 1, -1], [0, 0, 0, 1]]).repeat(2, 1)
    signs = signs.repeat(1, -(-student.logits.shape[1] // 4))[:, : student.logits.shape[1]]
    extreme = (1e4 * signs).requires_grad_()
    given = replace(
        student, logits=extreme, full_logits=None if student.full_logits is None else 1e4 * signs.roll(2, 0)
    )
    value = loss(given, {**teacher, "logits": -1e4 * signs.roll(1, 0)}, target)
    value.backward()
    assert torch.isfinite(value), f"logits of 10,000 give a loss of {value.item()}"
    finite = all(torch.isfinite(t.grad).all() for t in output_tensors(given) if t.grad is not None)
    assert finite, "logits of 10,000 give a gradient that isn't finite"


def check_bfloat16(loss: Built, kind: str) -> None:
    """Inside of bfloat16 autocast the loss is float32 and near."""
    student, teacher, target = rows(kind=kind)
    exact = loss(student, teacher, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = loss(student, teacher, target)
    assert rough.dtype == torch.float32, f"inside of bfloat16 autocast it is {rough.dtype}"
    torch.testing.assert_close(rough, exact, atol=0.03, rtol=0.03)


def check_zero_at_teacher(loss: Built, kind: str) -> None:
    """0 on rows without a label where the student gives what the teacher gives, as ``ZERO_AT_TEACHER`` says."""
    if not loss.part.ZERO_AT_TEACHER or loss.part.HEADS == () or loss.part.needs(loss.chosen) != ("logits",):
        return
    student, teacher, target = rows(kind=kind)
    equal = replace(student, full_logits=None, is_partial=None)
    unlabelled = torch.full_like(target, torch.nan if kind == NUMBER else -1)
    value = loss(equal, {**teacher, "logits": student.logits.detach()}, unlabelled)
    assert abs(value.item()) < 1e-5, f"{value.item()} where the student equals the teacher; ZERO_AT_TEACHER is True"


CHECKS: tuple[Callable[[Built, str], None], ...] = (
    check_mean_over_rows, check_gradients, check_needs, check_extreme_logits, check_bfloat16, check_zero_at_teacher,
)  # fmt: skip

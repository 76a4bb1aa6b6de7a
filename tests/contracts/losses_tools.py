"""Every pure function with inputs for it, so that one test can run over all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from suffuse import losses
from suffuse.registry import PartSettings, settings
from suffuse.types import LABELS, NUMBER, TOKENS, Head

B, C, D, E = 7, 5, 4, 6  # rows, classes, widths of student and teacher
T, V = 4, 3  # frames of a sequence, and outputs of each


@dataclass(frozen=True)
class Case:
    """``call(student, teacher, weight)`` -> scalar; inputs are made of the same seed every time."""

    call: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    inputs: Callable[[], tuple[Tensor, Tensor]]
    equal: bool = True  # 0 where the student equals the teacher
    weighed: bool = True
    ordered: bool = False  # it also reads arrays that stay in their order: labels, or which modalities are present


def logits(scale: float = 2.0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    return scale * torch.randn(B, C).double(), scale * torch.randn(B, C).double()


def features() -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.randn(B, D).double(), torch.randn(B, E).double()


def same_width() -> tuple[Tensor, Tensor]:
    torch.manual_seed(5)
    return torch.randn(B, D).double(), torch.randn(B, D).double()


def shares() -> tuple[Tensor, Tensor]:
    return tuple(z.softmax(1) for z in logits())  # type: ignore[return-value]


def maps() -> tuple[Tensor, Tensor]:
    torch.manual_seed(6)
    return torch.randn(B, 3, 4, 4).double(), torch.randn(B, 2, 4, 4).double()


def looks() -> tuple[Tensor, Tensor]:
    torch.manual_seed(8)
    return torch.randn(B, 3, 5).double().softmax(2), torch.randn(B, 3, 5).double().softmax(2)


def numbers() -> tuple[Tensor, Tensor]:
    torch.manual_seed(7)
    return torch.randn(B, 1).double(), torch.randn(B, 1).double()


def frames() -> tuple[Tensor, Tensor]:
    """A sequence's: T frames of V outputs. The last frames of some rows are after their end."""
    torch.manual_seed(9)
    student, teacher = 2 * torch.randn(2, B, T, V).double()
    for z in (student, teacher):
        z[1::3, -1] = torch.tensor([0.0, -30, -30])
    return student, teacher


TARGET = torch.tensor([0, 1, 2, 3, 4, 1, 0])
VALUES = torch.tensor([0.3, -1.0, torch.nan, 0.5, 2.0, torch.nan, 0.0]).double()
PRESENT = torch.tensor([[True] * 5, [True, False, True, True, False], [True] * 5, [False, True, True, False, True]])
PRESENT = PRESENT.repeat(2, 1)[:B]
HERE = {"a": torch.tensor([True, True, False, True, True, True, False])}
SPOKEN = torch.tensor([[2, 1, 2], [1, 1, 0], [2, 2, 2], [0, 0, 0], [2, 2, 1], [1, 2, 0], [2, 1, 1]])
SENTENCE = Head("x", TOKENS, ("a", "b"), units="words", frames=T, frame=1.0, length=2)
TAGS = (torch.arange(B * C).reshape(B, C) % 3 == 0).double()


def minimal(kind: str, **chosen: Any) -> PartSettings:
    """A loss's settings with defaults; keys without one name a modality."""
    fields = losses.load_loss(kind).Settings.model_fields
    required = {name: "picture" for name, field in fields.items() if field.is_required()}
    return settings(losses.TABLE, {"kind": kind, **required, **chosen})


def plain(kind: str) -> Case:
    """A function of two matrices: logits or numbers by its targets, features otherwise. Its further arguments are those
    of the last example that has such a key, else the defaults; ``target`` are labels."""
    part, function = losses.load_loss(kind), getattr(losses, kind)
    parameters = inspect.signature(function).parameters
    known = minimal(kind).model_dump() | {key: value for example in part.EXAMPLES for key, value in example.items()}
    known["target"] = TARGET
    required = [name for name, p in [*parameters.items()][2:] if p.default is p.empty]
    arguments = {name: known[name] for name in required}

    def call(student: Tensor, teacher: Tensor, weight: Tensor | None) -> Tensor:
        weights = {"weight": weight} if "weight" in parameters else {}
        return function(student, teacher, **arguments, **weights)

    on_features = same_width if part.DOCS.projector == "yes" else features
    inputs = {(NUMBER,): numbers, (TOKENS,): frames}.get(part.HEADS, logits) if part.HEADS else on_features
    return Case(call, inputs, part.ZERO_AT_TEACHER, "weight" in parameters, "target" in required)


# Functions of other arrays, and forms beside the plain one.
SPECIAL = {
    "task": Case(lambda s, t, w: losses.task(s, TARGET, 0.1, weight=w), logits, equal=False, ordered=True),
    "task-labels": Case(
        lambda s, t, w: losses.task(s, TAGS, head=Head("x", LABELS, tuple("abcde")), weight=w), logits, equal=False,
        ordered=True,
    ),
    "task-number": Case(
        lambda s, t, w: losses.task(s, VALUES, head=Head("x", NUMBER), weight=w), numbers, equal=False, ordered=True
    ),
    "task-tokens": Case(
        lambda s, t, w: losses.task(s.flatten(1), SPOKEN, head=SENTENCE, weight=w), frames, equal=False, ordered=True
    ),
    "hard_label": Case(lambda s, t, w: losses.hard_label(s, t.argmax(1), w), logits, equal=False),
    "regression_kd-bounded": Case(
        lambda s, t, w: losses.regression_kd(s, t, VALUES, 0.1, w), numbers, equal=False, ordered=True
    ),
    "ctc_kd-drop": Case(lambda s, t, w: losses.ctc_kd(s, t, 1.0, "drop", 0.5, w), frames),
    "ctc_kd-weigh": Case(lambda s, t, w: losses.ctc_kd(s, t, 1.0, "weigh", weight=w), frames),
    "guided_ctc": Case(lambda s, t, w: losses.guided_ctc(s, t, weight=w), frames, equal=False),
    "guided_ctc-log": Case(lambda s, t, w: losses.guided_ctc(s, t, "log", w), frames, equal=False),
    "sequence_kd": Case(lambda s, t, w: losses.sequence_kd(s, t, weight=w), frames, equal=False),
    "sequence_kd-beam": Case(lambda s, t, w: losses.sequence_kd(s, t, 3, 4, w), frames, equal=False),
    "hint-cosine": Case(lambda s, t, w: losses.hint(s, t, w, "cosine"), same_width),
    "modality_hints": Case(lambda s, t, w: losses.modality_hints({"a": s, "b": 2 * s}, {"a": t, "b": 2 * t}, HERE, w),
                           same_width, ordered=True),
    "attention_transfer": Case(lambda s, t, w: losses.attention_transfer(s, t, w), maps),
    "query_attention_transfer": Case(lambda s, t, w: losses.query_attention_transfer(s, t, w), looks),
    "affinity-pair": Case(
        lambda s, t, w: losses.affinity((s, s.flip(1)), (t, t.flip(1)), 0.2), features, weighed=False
    ),
    "gate_transfer": Case(lambda s, t, w: losses.gate_transfer(s, t, PRESENT, w), shares, ordered=True),
    "cross_modal_relation": Case(
        lambda s, t, w: losses.cross_modal_relation([s, s[:, :2]], [t, t[:, :2]]), features, weighed=False
    ),
    "entropy_relations": Case(
        lambda s, t, w: losses.entropy_relations(s, t, logits()[1]), features, weighed=False, ordered=True
    ),
    "subset_consistency-labels": Case(lambda s, t, w: losses.subset_consistency(s, t, 2.0, w, LABELS), logits),
    "subset_consistency-number": Case(lambda s, t, w: losses.subset_consistency(s, t, 1.0, w, NUMBER), numbers),
    "subset_consistency-tokens": Case(lambda s, t, w: losses.subset_consistency(s, t, 2.0, w, TOKENS), frames),
}  # fmt: skip
CASES = {
    name: SPECIAL.get(name) or plain(name)
    for kind in losses.KINDS
    for name in (kind, *(n for n in SPECIAL if n.startswith(f"{kind}-")))
}
WEIGHED = [name for name, case in CASES.items() if case.weighed]

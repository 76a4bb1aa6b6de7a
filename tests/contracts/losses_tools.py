"""Every pure function with inputs for it, so that one test can run over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from suffuse import losses
from suffuse.types import LABELS, NUMBER, Head

B, C, D, E = 7, 5, 4, 6  # rows, classes, widths of student and teacher


@dataclass(frozen=True)
class Case:
    """``call(student, teacher, weight)`` -> scalar; inputs are made of the same seed every time."""

    call: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    inputs: Callable[[], tuple[Tensor, Tensor]]
    equal: bool = True  # 0 where the student equals the teacher
    weighed: bool = True


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


TARGET = torch.tensor([0, 1, 2, 3, 4, 1, 0])
VALUES = torch.tensor([0.3, -1.0, torch.nan, 0.5, 2.0, torch.nan, 0.0]).double()
PRESENT = torch.tensor([[True] * 5, [True, False, True, True, False], [True] * 5, [False, True, True, False, True]])
PRESENT = PRESENT.repeat(2, 1)[:B]
HERE = {"a": torch.tensor([True, True, False, True, True, True, False])}
TAGS = (torch.arange(B * C).reshape(B, C) % 3 == 0).double()

CASES = {
    "task": Case(lambda s, t, w: losses.task(s, TARGET, 0.1, weight=w), logits, equal=False),
    "task-labels": Case(
        lambda s, t, w: losses.task(s, TAGS, head=Head("x", LABELS, tuple("abcde")), weight=w), logits, equal=False
    ),
    "task-number": Case(
        lambda s, t, w: losses.task(s, VALUES, head=Head("x", NUMBER), weight=w), numbers, equal=False
    ),
    "kd": Case(lambda s, t, w: losses.kd(s, t, 2.0, w), logits),
    "hard_label": Case(lambda s, t, w: losses.hard_label(s, t.argmax(1), w), logits, equal=False),
    "dkd": Case(lambda s, t, w: losses.dkd(s, t, TARGET, 4.0, 1.0, 8.0, w), logits),
    "nkd": Case(lambda s, t, w: losses.nkd(s, t, TARGET, 2.0, 1.5, w), logits, equal=False),
    "dist": Case(lambda s, t, w: losses.dist(s, t, 2.0, 1.5, 0.5, w), logits),
    "lskd": Case(lambda s, t, w: losses.lskd(s, t, 2.0, w), logits),
    "js": Case(lambda s, t, w: losses.js(s, t, 2.0, w), logits),
    "reverse_kd": Case(lambda s, t, w: losses.reverse_kd(s, t, 2.0, w), logits),
    "multilabel_kd": Case(lambda s, t, w: losses.multilabel_kd(s, t, 2.0, w), logits),
    "regression_kd": Case(lambda s, t, w: losses.regression_kd(s, t, weight=w), numbers),
    "regression_kd-bounded": Case(
        lambda s, t, w: losses.regression_kd(s, t, VALUES, 0.1, w), numbers, equal=False
    ),
    "hint": Case(lambda s, t, w: losses.hint(s, t, w), same_width),
    "hint-cosine": Case(lambda s, t, w: losses.hint(s, t, w, "cosine"), same_width),
    "modality_hints": Case(lambda s, t, w: losses.modality_hints({"a": s, "b": 2 * s}, {"a": t, "b": 2 * t}, HERE, w),
                           same_width),
    "attention_transfer": Case(lambda s, t, w: losses.attention_transfer(s, t, w), maps),
    "query_attention_transfer": Case(lambda s, t, w: losses.query_attention_transfer(s, t, w), looks),
    "similarity": Case(lambda s, t, w: losses.similarity(s, t), features, weighed=False),
    "rkd_distance": Case(lambda s, t, w: losses.rkd_distance(s, t), features, weighed=False),
    "rkd_angle": Case(lambda s, t, w: losses.rkd_angle(s, t), features, weighed=False),
    "crd": Case(lambda s, t, w: losses.crd(s, t, 0.2), same_width, equal=False, weighed=False),
    "cka": Case(lambda s, t, w: losses.cka(s, t), features, weighed=False),
    "affinity": Case(lambda s, t, w: losses.affinity(s, t, 0.2), features, weighed=False),
    "affinity-pair": Case(
        lambda s, t, w: losses.affinity((s, s.flip(1)), (t, t.flip(1)), 0.2), features, weighed=False
    ),
    "gate_transfer": Case(lambda s, t, w: losses.gate_transfer(s, t, PRESENT, w), shares),
    "cross_modal_relation": Case(
        lambda s, t, w: losses.cross_modal_relation([s, s[:, :2]], [t, t[:, :2]]), features, weighed=False
    ),
    "entropy_relations": Case(
        lambda s, t, w: losses.entropy_relations(s, t, logits()[1]), features, weighed=False
    ),
    "subset_consistency": Case(lambda s, t, w: losses.subset_consistency(s, t, 2.0, w), logits),
    "subset_consistency-labels": Case(lambda s, t, w: losses.subset_consistency(s, t, 2.0, w, LABELS), logits),
    "subset_consistency-number": Case(lambda s, t, w: losses.subset_consistency(s, t, 1.0, w, NUMBER), numbers),
}  # fmt: skip
WEIGHED = [name for name, case in CASES.items() if case.weighed]
BY_ROW = [n for n in WEIGHED if n.split("-")[0] not in ("dist",)]  # a mean of what each row gives by itself

"""What the losses share: weighted means over rows, which rows count, and numbers that stay finite. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..transcripts.units import certain_blank
from ..types import CLASSES, MAP, NUMBER, TOKENS, Head, Output

if TYPE_CHECKING:
    from torch import Tensor

LOWEST_LOGIT = -1e30  # a logit, finite: a row in which all classes are ruled out stays a number
SHORTEST = 1e-6  # a vector whose norm is less has no direction, and gets no gradient towards one


def exact(x: Tensor) -> Tensor:
    """float32 of half types; float64 stays."""
    return x.float() if x.dtype.itemsize < 4 else x


def full(x: Tensor) -> AbstractContextManager:
    """Matrix products inside are not rounded to bf16, whatever surrounds them."""
    import torch

    known = torch.amp.is_autocast_available(x.device.type)  # not on ``meta``
    return torch.autocast(x.device.type, enabled=False) if known else nullcontext()


def mean(rows: Tensor, weight: Tensor | None) -> Tensor:
    """(B,) of :func:`clean` rows -> scalar: sum w l / sum w, 0 where there are no rows or the weights sum to 0."""
    if weight is None:
        return rows.mean() if len(rows) else rows.sum()
    weight = weight.to(rows.dtype)
    total = weight.sum()
    return (rows * weight).sum() / total.where(total > 0, 1.0)


def times_log(p: Tensor, log: Tensor) -> Tensor:
    """p log, elementwise; 0, and without a gradient to ``log``, where p is 0: the limit of p log p."""
    return p * log.where(p > 0, 0.0)


def savable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy where it was made under ``torch.inference_mode``, as a teacher's outputs may be: autograd
    can't save such a tensor for the backward pass."""
    return tensor.clone() if tensor.is_inference() else tensor


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Log-probabilities (..., C) of both -> KL(p || q) (...). -inf is a class of probability 0."""
    return times_log(log_p.exp(), log_p - log_q).sum(-1)


def label_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Logits of both -> KL(sigmoid(teacher) || sigmoid(student)) of each label. An infinite logit is a probability of 0
    or 1."""
    from torch.nn import functional as F

    # log p - log q for the label, and for its absence; -softplus(-z) is log sigmoid(z) at any z
    present, absent = F.softplus(-student) - F.softplus(-teacher), F.softplus(student) - F.softplus(teacher)
    p = teacher.sigmoid()
    return times_log(p, present) + times_log(1 - p, absent)


def without_target(student: Tensor, teacher: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, C) of student and teacher, target (B,) -> both (B, C - 1) without each row's target; (B,) bool,
    whether the teacher allows some of the others. What it rules out (-inf) is ``LOWEST_LOGIT`` in both."""
    import torch

    place = torch.arange(student.shape[1] - 1, device=student.device)
    place = place + (place >= target.unsqueeze(1))
    student, teacher = student.gather(1, place), teacher.gather(1, place)
    allowed = teacher > -math.inf
    return student.where(allowed, student.clamp(min=LOWEST_LOGIT)), teacher.clamp(min=LOWEST_LOGIT), allowed.any(1)


def transformed() -> bool:
    """Whether a transform of ``torch.func`` (grad, vmap, jvp, ...) is at work. It needs plain operations: an autograd
    function in closed form has no rule for it. torch itself asks this in ``torch.autograd.Function.apply``."""
    import torch

    return torch._C._are_functorch_transforms_active()


def clean(weight: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
    """(B, ...) tensors with zeros in rows of weight 0: NaN times 0 is NaN, so what stands there must go first."""
    if weight is None:
        return tensors
    kept = weight > 0
    return tuple(t.where(kept.reshape(-1, *[1] * (t.dim() - 1)), 0) for t in tensors)


def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """(B,) bool: rows that both masks have; None: all."""
    return second if first is None else first if second is None else first & second


def answered_rows(teacher: Tensor, row_mask: Tensor | None = None) -> Tensor | None:
    """(B,) bool: rows in which the teacher answers (nothing of it is NaN) and that ``row_mask`` has; None: all. A logit
    of -inf is an answer: a class of probability 0. Other infinite numbers are faults, which the loop stops at."""
    asked = teacher.device.type == "cpu"  # elsewhere a mask costs less than waiting for an answer
    if asked and teacher.detach().float().sum().isfinite():  # the usual case, at the price of a sum
        return row_mask
    is_answered = ~teacher.isnan().flatten(1).any(1)
    if asked and is_answered.all():
        return row_mask
    return both(row_mask, is_answered)


def trusted_rows(confidence: float, teacher: Tensor, target: Tensor, head: Head | None) -> Tensor | None:
    """(B,) bool: rows of the teacher's logits (B, C) that a loss on answers learns from; None: all.

    Left out are those without an answer, and those without a label of which the teacher is less sure than
    ``confidence``: the probability of its answer, for labels the mean over them, for a sequence the mean over its
    frames of the most probable output's.
    """
    mask = answered_rows(teacher)
    kind = head.kind if head is not None else CLASSES
    if not confidence or kind == NUMBER:
        return mask
    known = head.known(target) if head is not None else target >= 0
    logits = teacher.float()
    if kind == TOKENS:
        assert head is not None, "a sequence has a head"
        sure = _frame_confidence(logits.unflatten(1, (head.frames, head.frame_outputs)))
    else:
        sure = logits.softmax(1).amax(1) if kind == CLASSES else logits.abs().sigmoid().mean(1)
    kept = known | (sure >= confidence)
    return kept if mask is None else mask & kept


def _frame_confidence(logits: Tensor) -> Tensor:
    """Logits (B, T, V) -> (B,) the mean of the largest probability over the frames that are there; 0 where none is."""
    real = ~certain_blank(logits)
    return (logits.softmax(2).amax(2) * real).sum(1) / real.sum(1).clamp(min=1)


def features(
    student: Output, teacher: dict[str, Tensor], tap: str, teacher_tap: str = ""
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The student's (B, D_s) at a tap, the teacher's (B, D_t) at the same one or at ``teacher_tap``, and the rows (B,)
    bool that have both; None: all."""
    f_s = student.fused if tap == "fused" else student.features[tap]
    assert f_s is not None, "a student always has its joint vector"
    f_t = exact(teacher[teacher_tap or tap].detach())
    return f_s, f_t, answered_rows(f_t, student.present.get(tap))


def taps(tap: str, student: dict[str, int], teacher: dict[str, int], teacher_tap: str = "") -> tuple[int, int]:
    """Widths of a tap in the student, and of the same one or ``teacher_tap`` in the teacher. Raises ValueError where
    one lacks it."""
    for role, name, widths in (("student", tap, student), ("teacher", teacher_tap or tap, teacher)):
        known = sorted({*modalities(widths), *({"fused"} & set(widths))})
        if name not in known:
            raise ValueError(f"the {role} has no tap '{name}', there is: {', '.join(known) or 'none'}")
    return student[tap], teacher[teacher_tap or tap]


def modalities(taps: Iterable[str]) -> list[str]:
    """Those of the taps that are a modality's feature, in their order."""
    return [name for name in taps if name not in ("fused", "logits", "gates") and not name.endswith(MAP)]


def select_rows(row_mask: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows that count, alone: for losses that compare rows with each other."""
    if row_mask is None:
        return tensors
    rows = row_mask.nonzero().squeeze(1)
    return tuple(t.index_select(0, rows) for t in tensors)


def zero_loss(x: Tensor) -> Tensor:
    """0 with a gradient of 0: what a batch with too few rows gives."""
    return exact(x[:0]).sum()


def unit(x: Tensor, dim: int = 1, shortest: float = SHORTEST) -> Tensor:
    """Vectors of length 1; where one is shorter than ``shortest``, zeros without a gradient."""
    squares = x.square().sum(dim, keepdim=True)
    far = squares > shortest**2
    return x.where(far, 0.0) / squares.where(far, 1.0).sqrt()  # of ``norm`` the second derivative is NaN at 0


def gram(x: Tensor) -> Tensor:
    """(B, D) -> (B, B) products, every row of length 1 (Tung & Mori 2019)."""
    with full(x):
        return unit(x @ x.t())


def require_size(name: str, student: Tensor, minimum: int, unit_name: str, hint: str) -> None:
    """Raise UsageError where logits have too few classes or a batch too few rows for a formula to say anything."""
    got = student.shape[0 if unit_name == "rows" else 1]
    if got < minimum:
        raise UsageError(
            "this loss says nothing here", where=f"losses.{name}", got=f"{got} {unit_name}",
            expected=f"{minimum} or more", hint=hint,
        )  # fmt: skip

"""Connectionist temporal classification (Graves et al. 2006): how improbable the frames make a sequence of units.

    (1/n) sum_b -log p(y_b | x_b) / max(1, |y_b|)        p(y | x) = sum over paths that stand for y of prod_t q_t,path_t

over the n rows that have a label, q = softmax(z) in each frame. It is a mean over units in each row, so that a long
transcript counts no more than a short one; an empty one is divided by 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from ..types import BLANK
from .frame_ops import recorded_rows
from .row_ops import LOWEST_LOGIT, clean, exact, mean, savable, transformed

if TYPE_CHECKING:
    from torch import Tensor


def ctc(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Logits (B, T, V), targets (B, 1 + L) as :class:`suffuse.types.Head` says, weights (B,) -> scalar.

    Rows without a label, without a recording, or with a unit that the head has no output for are left out.
    """
    target = target.long()
    known = (target[:, 0] >= 0) & (target[:, 1:] < logits.shape[2]).all(1)
    kept = recorded_rows(known if weight is None else weight * known, logits)
    logits, target = clean(kept, exact(logits), target)
    return mean(ctc_rows(logits, target), kept)


def ctc_rows(logits: Tensor, target: Tensor) -> Tensor:
    """Logits (B, T, V) in float32 or more, targets (B, 1 + L) of known units -> -log p(y | x) / max(1, |y|) (B,).

    0, without a gradient, where the units don't fit into the frames, so that no infinite number stops a training:
    such rows are refused when data are prepared, and a teacher's units come from as many frames.
    """
    import torch

    count = target[:, 0].clamp(min=0)
    inside = torch.arange(1, target.shape[1], device=target.device) <= count.unsqueeze(1)
    units = target[:, 1:].where(inside, BLANK)
    if _is_native(logits):
        rows = (_closed() if logits.requires_grad else _native)(logits, units, count)
    else:
        rows = _formula(logits, units, count)
    return rows / count.clamp(min=1)


def _is_native(logits: Tensor) -> bool:
    """Whether torch's kernel is used. It has no second derivative, and on CUDA none that is deterministic."""
    import torch

    on_cuda = logits.device.type == "cuda" and not torch.are_deterministic_algorithms_enabled()
    return (logits.device.type == "cpu" or on_cuda) and len(logits) > 0 and not transformed()


def _native(logits: Tensor, units: Tensor, count: Tensor) -> Tensor:
    from torch.nn import functional as F

    lengths = count.new_full((len(logits),), logits.shape[1])
    log_p = logits.log_softmax(2).transpose(0, 1)
    return F.ctc_loss(log_p, units, lengths, count, BLANK, reduction="none", zero_infinity=True)


def _formula(logits: Tensor, units: Tensor, count: Tensor) -> Tensor:
    """-log p (B,) by plain operations: the forward variables of Graves et al. (2006)."""
    from torch.nn import functional as F

    log_p = logits.log_softmax(2).clamp(min=LOWEST_LOGIT)  # finite: log-sums of -inf alone have no gradient
    places = F.pad(F.pad(units.unsqueeze(2), (0, 1), value=BLANK).flatten(1), (1, 0), value=BLANK)  # blank, unit, ...
    skips = (places != BLANK) & (places != F.pad(places, (2, 0), value=BLANK)[:, :-2])
    emitted = log_p.gather(2, places.unsqueeze(1).expand(-1, log_p.shape[1], -1))  # (B, T, 2 L + 1)
    state = F.pad(emitted[:, 0, :1] * 0, (0, places.shape[1] - 1), value=LOWEST_LOGIT)
    for frame in emitted.unbind(1):
        before = F.pad(state, (2, 0), value=LOWEST_LOGIT)
        skipped = before[:, :-2].where(skips, LOWEST_LOGIT)
        state = _log_sum(state, before[:, 1:-1], skipped) + frame
    last = 2 * count.unsqueeze(1)
    end_unit = state.gather(1, (last - 1).clamp(min=0)).where(last > 0, LOWEST_LOGIT)
    log_sum = _log_sum(state.gather(1, last), end_unit).squeeze(1)
    return -log_sum.where(log_sum > LOWEST_LOGIT / 2, 0.0)


def _log_sum(*terms: Tensor) -> Tensor:
    import torch

    return torch.stack(terms).logsumexp(0)


@cache
def _closed() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """torch's kernel, and the formula where its gradient is differentiated again."""
    import torch

    class SequenceProbability(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits: Tensor, units: Tensor, count: Tensor) -> Tensor:
            with torch.enable_grad():
                inner = savable(logits.detach()).requires_grad_()
                rows = _native(inner, units, count)
                (slope,) = torch.autograd.grad(rows.sum(), inner)
            ctx.save_for_backward(logits, units, count, slope)
            return rows.detach()

        @staticmethod
        def backward(ctx, *gradient: Tensor) -> tuple[Tensor, None, None]:
            logits, units, count, slope = ctx.saved_tensors
            if torch.is_grad_enabled():  # it is differentiated again (create_graph)
                (slope,) = torch.autograd.grad(_formula(logits, units, count).sum(), logits, create_graph=True)
            return gradient[0][:, None, None] * slope, None, None

    return SequenceProbability.apply  # pyright: ignore

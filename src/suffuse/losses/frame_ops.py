"""What the losses on sequences share: frames of a head's logits, which rows and frames count. Loads no torch.

Frames after a row's end, and all frames of a row without its recording, are certainly blank
(:func:`suffuse.transcripts.units.certain_blank`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..transcripts.units import certain_blank
from ..types import Head
from .row_ops import divergence

if TYPE_CHECKING:
    from torch import Tensor


def frames_of(logits: Tensor, head: Head | None) -> Tensor:
    """(B, T V) of a sequence's head -> (B, T, V)."""
    assert head is not None, "a loss on frames is told whose they are"
    return logits.unflatten(1, (head.frames, head.frame_outputs))


def recorded_rows(weight: Tensor | None, *frames: Tensor) -> Tensor:
    """Weights (B,), logits (B, T, V) -> the weights (B,), 0 in rows of which one of the logits is of no recording."""
    kept = ~certain_blank(frames[0]).all(1)
    for other in frames[1:]:
        kept = kept & ~certain_blank(other).all(1)
    return kept if weight is None else weight * kept


def frame_mean(losses: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Losses and weights of frames (B, T) -> their weighted means (B,), 0 where all weights are; and (B,) bool, where
    they aren't."""
    total = share.sum(1)
    counts = total > 0
    return (losses * share).sum(1) / total.where(counts, 1.0), counts


def frame_divergence(student: Tensor, teacher: Tensor, temperature: float, share: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, T, V) of both, weights of frames (B, T) -> T^2 KL(p || q) (B,), a mean over each row's frames; and
    (B,) bool, which rows have such frames. What stands in a frame of weight 0 changes no bit."""
    kept = (share > 0).unsqueeze(2)
    log_q = (student.where(kept, 0.0) / temperature).log_softmax(2)
    log_p = (teacher.where(kept, 0.0) / temperature).log_softmax(2)
    rows, counts = frame_mean(divergence(log_p, log_q), share)
    return rows * temperature**2, counts

"""What the outputs of a head of kind ``tokens`` say: texts, confidences, and errors against the stored targets.

Shapes: N rows, T frames, V outputs of a frame. Predictions are (N, T V) probabilities, as
:func:`suffuse.activations.activate` gives them; stored targets (N, 1 + L) as :class:`suffuse.types.Head` says.
"""

from __future__ import annotations

import numpy as np

from ..types import Head
from .ctc_decoding import Hypothesis, greedy_batch
from .units import certain_blank, text_of

SMALLEST = 1e-35  # of a probability


def log_frames(head: Head, predictions: np.ndarray) -> np.ndarray:
    """(N, T V) -> log-probabilities (N, T, V)."""
    frames = predictions.astype(np.float64).reshape(-1, head.frames, head.frame_outputs)
    return np.log(np.maximum(frames, SMALLEST))


def hypotheses(head: Head, predictions: np.ndarray) -> list[Hypothesis]:
    """What greedy decoding gives of each row."""
    return greedy_batch(log_frames(head, predictions))


def text(head: Head, hypothesis: Hypothesis) -> str:
    """The text of a hypothesis."""
    return text_of(hypothesis.units, head.units, head.classes)


def texts(head: Head, predictions: np.ndarray) -> list[str]:
    """The text of each row."""
    return [text(head, hypothesis) for hypothesis in hypotheses(head, predictions)]


def confidences(head: Head, predictions: np.ndarray) -> np.ndarray:
    """(N,) the mean over the real frames of what the decoded path has there."""
    return np.array([hypothesis.confidence for hypothesis in hypotheses(head, predictions)])


def references(head: Head, target: np.ndarray) -> list[str]:
    """Stored targets -> texts; a unit that training never has is the replacement character. Rows without a target have
    an empty text."""
    return [text_of(row[1 : 1 + max(int(row[0]), 0)].astype(int).tolist(), head.units, head.classes) for row in target]


def same_texts(head: Head, predictions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) bool, where two predictions say the same."""
    pairs = zip(texts(head, predictions), texts(head, others), strict=True)
    return np.array([a == b for a, b in pairs], dtype=bool)


def right_texts(head: Head, predictions: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) bool, where every word is right."""
    pairs = zip(texts(head, predictions), references(head, target), strict=True)
    return np.array([a == b for a, b in pairs], dtype=bool)


def agreeing_frames(head: Head, predictions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) the mean over the real frames of ``others`` of the probability that ``predictions`` give to its path."""
    probability = predictions.reshape(-1, head.frames, head.frame_outputs)
    path = others.reshape(probability.shape).argmax(2)
    found = np.take_along_axis(probability, path[..., None], 2)[..., 0]
    real = ~certain_blank(log_frames(head, others))
    return (found * real).sum(1) / np.maximum(real.sum(1), 1)

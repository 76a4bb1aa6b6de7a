"""The prediction for a record, target by target, and the contribution of each modality to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..activations import THRESHOLD
from ..errors import UsageError
from ..shapley import MAX_MODALITIES, masks, shapley
from ..transcripts.frame_predictions import agreeing_frames, hypotheses, text
from ..transcripts.spoken_words import words_of
from ..types import CLASSES, NUMBER, TOKENS, Head


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a transcript: when it was said, and how sure the model is of it."""

    text: str
    start: float  # seconds of audio, steps of a sequence
    end: float
    confidence: float  # the mean of its units'


@dataclass(frozen=True, slots=True)
class Answer:
    """The prediction for one target of one record."""

    value: str | tuple[str, ...] | float  # a class, the labels that it has, a number, or a transcript
    # of a class, its probability; of labels, that of the least sure decision; of a transcript, its frames' mean
    confidence: float | None
    probabilities: dict[str, float]  # of classes or labels; nothing for a number or a transcript
    abstained: bool = False  # less sure than was asked for; the value is what it would have said
    words: tuple[Word, ...] = ()  # of a transcript

    def top(self, count: int) -> list[tuple[str, float]]:
        """The ``count`` most probable classes or labels, the first ones first; of equal ones the model's order."""
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[: max(count, 0)]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one record. Label, confidence and probabilities are those of the first target."""

    answers: dict[str, Answer]  # target -> answer
    absent: dict[str, str]  # modality -> why it wasn't used; all of them: the answer is the training prior
    partly: dict[str, str] = field(default_factory=lambda: {})  # modality -> what of it wasn't used
    used: tuple[str, ...] = ()  # modalities that the answer rests on
    unreadable: tuple[str, ...] = ()  # absent ones in which something stands that can't be read
    unknown: tuple[str, ...] = ()  # categories that the model doesn't know, as ``colour 'mauve'``

    @property
    def first(self) -> Answer:
        """The only target's answer, or the first one's."""
        return next(iter(self.answers.values()))

    @property
    def label(self) -> str:
        """As text."""
        value = self.first.value
        return "; ".join(value) if isinstance(value, tuple) else str(value)

    @property
    def confidence(self) -> float | None:
        """The label's probability."""
        return self.first.confidence

    @property
    def probabilities(self) -> dict[str, float]:
        """Of every class or label."""
        return self.first.probabilities


def answers(heads: Sequence[Head], values: Sequence[float], threshold: float | None = None) -> dict[str, Answer]:
    """One row (C,) of :func:`suffuse.activations.activate` -> an answer per target.

    One with less confidence than ``threshold`` abstains; a number, which has no confidence, never does.
    """
    by_target: dict[str, Answer] = {}
    at = 0
    for head in heads:
        part = values[at : at + head.outputs]
        at += head.outputs
        if head.kind == NUMBER:
            by_target[head.name] = Answer(part[0], None, {})
            continue
        if head.kind == TOKENS:
            by_target[head.name] = transcript(head, part, threshold)
            continue
        if head.kind == CLASSES:
            confidence = max(part)
            value: str | tuple[str, ...] = head.classes[part.index(confidence)]
        else:
            confidence = min(max(p, 1 - p) for p in part)
            value = tuple(c for c, p in zip(head.classes, part, strict=True) if p > THRESHOLD)
        probabilities = dict(zip(head.classes, part, strict=True))
        abstained = threshold is not None and confidence < threshold
        by_target[head.name] = Answer(value, confidence, probabilities, abstained)
    return by_target


def transcript(head: Head, values: Sequence[float], threshold: float | None) -> Answer:
    """The probabilities (T V) of one row's frames -> its text, by greedy decoding, and its words' times."""
    hypothesis = hypotheses(head, np.asarray(values, dtype=np.float64)[None])[0]
    words = tuple(
        Word(word.text, word.start * head.frame, word.end * head.frame, word.confidence)
        for word in words_of(hypothesis, head.units, head.classes)
    )
    confidence = hypothesis.confidence
    abstained = threshold is not None and confidence < threshold
    return Answer(text(head, hypothesis), confidence, {}, abstained, words)


Ask = Callable[[np.ndarray], np.ndarray]  # present (S, M) -> (S, C), what each subset of one record gives


def contributions(
    heads: Sequence[Head], names: Sequence[str], present: np.ndarray, ask: Ask
) -> dict[str, dict[str, float]]:
    """present (M,) -> target -> modality -> its share; exactly 0 of one that the record lacks.

    What is shared out is the answered class's probability; of labels the mean probability of what was decided about
    each; a number's value; of a transcript the mean probability of its frames' units: all of them less that of nothing.
    Raises UsageError beyond 8 present modalities.
    """
    present_positions = np.flatnonzero(present)
    if len(present_positions) > MAX_MODALITIES:
        got, expected = len(present_positions), f"at most {MAX_MODALITIES}"
        raise UsageError("too many modalities to share an answer out", got=got, expected=expected)
    if not len(present_positions):
        return {head.name: dict.fromkeys(names, 0.0) for head in heads}
    subset_masks = masks(len(present_positions))
    subsets = np.zeros((len(subset_masks), len(names)), dtype=bool)
    subsets[:, present_positions] = subset_masks
    outputs = ask(subsets)
    shares = shapley(_values(heads, outputs))
    shares_by_modality = np.zeros((len(names), len(heads)))
    shares_by_modality[present_positions] = shares
    return {head.name: dict(zip(names, shares_by_modality[:, n].tolist(), strict=True)) for n, head in enumerate(heads)}


def _values(heads: Sequence[Head], outputs: np.ndarray) -> np.ndarray:
    """(S, C) of all subsets, the last of which is the whole record -> (S, targets), what is shared out."""
    parts: list[np.ndarray] = []
    at = 0
    for head in heads:
        part = outputs[:, at : at + head.outputs].astype(np.float64)
        at += head.outputs
        if head.kind == NUMBER:
            parts.append(part[:, 0])
        elif head.kind == CLASSES:
            parts.append(part[:, part[-1].argmax()])
        elif head.kind == TOKENS:
            parts.append(agreeing_frames(head, part, part[-1:]))
        else:
            parts.append(np.where(part[-1] > THRESHOLD, part, 1 - part).mean(1))
    return np.stack(parts, axis=1)

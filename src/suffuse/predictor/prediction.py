"""What a model says of a record, target by target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..activations import THRESHOLD
from ..types import CLASSES, NUMBER, Head


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one target of one record."""

    value: str | tuple[str, ...] | float  # a class, the labels that it has, or a number
    confidence: float | None  # of a class, its probability; of labels, that of the least sure decision
    probabilities: dict[str, float]  # of classes or labels; nothing for a number
    abstained: bool = False  # less sure than was asked for; the value is what it would have said

    def top(self, count: int) -> list[tuple[str, float]]:
        """The ``count`` most probable classes or labels, the first ones first; of equal ones the model's order."""
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[: max(count, 0)]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one record. Label, confidence and probabilities are those of the first target."""

    answers: dict[str, Answer]  # target -> answer
    absent: dict[str, str]  # modality -> why it wasn't used; all of them: the answer is the training prior
    partly: dict[str, str] = field(default_factory=dict)  # modality -> what of it wasn't used
    used: tuple[str, ...] = ()  # modalities that the answer rests on
    unreadable: tuple[str, ...] = ()  # absent ones in which something stands that can't be read

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
    """One row (C,) of what :func:`suffuse.activations.activate` gives -> an answer per target.

    One that is less sure than ``threshold`` abstains; a number, which has no confidence, never does.
    """
    found, at = {}, 0
    for head in heads:
        part = values[at : at + head.outputs]
        at += head.outputs
        if head.kind == NUMBER:
            found[head.name] = Answer(part[0], None, {})
            continue
        if head.kind == CLASSES:
            sure = max(part)
            said: str | tuple[str, ...] = head.classes[part.index(sure)]
        else:
            sure = min(max(p, 1 - p) for p in part)
            said = tuple(c for c, p in zip(head.classes, part, strict=True) if p > THRESHOLD)
        each = dict(zip(head.classes, part, strict=True))
        found[head.name] = Answer(said, sure, each, threshold is not None and sure < threshold)
    return found

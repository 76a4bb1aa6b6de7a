"""What a loss can't be used on: refused with a line that names what to use instead. Loads no torch.

Read twice: with what a recipe says, when it is read, and with the classes of the data, when a training is set up.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ..registry import PartSettings, is_loaded
from ..types import CLASSES, LABELS, NUMBER, TOKENS
from . import LossPart, load_loss

FOR = {  # what learns the teacher's answers
    CLASSES: "kd",
    LABELS: "multilabel_kd",
    NUMBER: "regression_kd",
    TOKENS: "ctc_kd",
}
FRAMEWISE = ("ctc_kd", "guided_ctc")  # kinds for which a frame must be the same moment to teacher and student


@dataclass(frozen=True)
class Place:
    """Where a loss is to be used. None: not known yet."""

    targets: tuple[tuple[str, int | None], ...]  # kind of each, and how many classes
    batch: int | None = None
    dropped: bool | None = None  # whether rows lose modalities in training
    gates: bool | None = None  # whether the student's fusion learns a share for each modality
    has_times: bool | None = None  # of transcripts: whether the teacher says when it hears each unit


def valid(part: LossPart, settings: PartSettings, kind: str, classes: int | None) -> bool:
    """Whether a loss on logits says something of a target of this kind with so many classes."""
    if kind not in part.HEADS:
        return False
    return kind != CLASSES or classes is None or classes >= part.min_classes(settings)


def check(settings: PartSettings, place: Place, where: str) -> None:
    """Raise UsageError where the loss would be wrong or say nothing there."""
    if not is_loaded(settings):  # of an artefact, which was checked when it was made
        return
    part = load_loss(settings.kind)
    kinds = sorted({kind for kind, _ in place.targets})
    if part.HEADS and not set(kinds) & set(part.HEADS):
        facts = f"targets of kind {', '.join(kinds)}", " or ".join(part.HEADS)
        raise _refused(where, facts, "use kind " + " or ".join(FOR[kind] for kind in kinds))
    if place.has_times is False:
        _check_untimed(settings, where)
    if part.HEADS and not any(valid(part, settings, *target) for target in place.targets):
        most = max(count or 0 for kind, count in place.targets if kind == CLASSES)
        raise _refused(where, (f"{most} classes", f"{part.min_classes(settings)} or more"), part.HINT)
    if place.batch is not None and place.batch < part.MIN_ROWS:
        raise _refused(where, (f"batches of {place.batch}", f"{part.MIN_ROWS} rows or more"), part.HINT)
    if part.FULL_INPUT and place.dropped is False:
        facts = "rows that never lose a modality", "some that do"
        raise _refused(where, facts, "set distill.train.modality_dropout, e.g. to uniform")
    if settings.kind == "gate_transfer" and place.gates is False:
        hint = f"{part.HINT}, or a fusion that learns gates: gated, softmax_gate, attention_pooling ..."
        raise _refused(where, ("a student's fusion that learns no share for each modality", "one that does"), hint)


def _check_untimed(settings: PartSettings, where: str) -> None:
    """Raise UsageError where a loss reads more of a teacher than the text that it hears."""
    if settings.kind in FRAMEWISE:
        raise _refused(where, ("a teacher whose transcripts have no times", "one that answers frame by frame"),
                       "use kind sequence_kd, which learns from the texts")  # fmt: skip
    if settings.kind == "sequence_kd" and settings.get("n_best") != 1:
        facts = f"n_best = {settings.get('n_best')} with a teacher that has one transcript a row", "n_best: 1"
        raise _refused(where, facts, "its transcripts are learned as they are, without a beam search")


def _refused(where: str, facts: tuple[str, str], hint: str) -> UsageError:
    return UsageError("this loss can't be used here", where=where, got=facts[0], expected=facts[1], hint=hint)

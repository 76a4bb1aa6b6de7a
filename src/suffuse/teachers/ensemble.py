"""Several teachers as one: the mean of their probabilities, for each row over the members that don't abstain.

``mean``: p = sum_k p_k / K over the K members with an output (numbers: the mean). ``confidence``: p = sum_k w_k p_k /
sum_k w_k with w_k = 1 - H(p_k) / log C, the member's certainty of this row (H its entropy in nats, C classes; for
labels the mean binary entropy over log 2; numbers have none and weigh the same); where all are uniform, the plain
mean. A member that abstains, or doesn't cover a row, is left out; a row without any member is an abstention. The
output is the log-probability (log-odds of labels), clipped as in :mod:`suffuse.teachers.matching`. Features are not
mixed: logits only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from ..activations import sigmoid, softmax
from ..registry import PartSettings, TeacherSettings, settings
from ..types import BLANK_GAP, LABELS, NUMBER, TOKENS, Head, Spec
from . import TABLE, Question, Teacher
from .matching import FLOOR

if TYPE_CHECKING:
    Member = TeacherSettings
else:
    Member = Annotated[SerializeAsAny[PartSettings], BeforeValidator(lambda value: settings(TABLE, value))]


class Settings(TeacherSettings):
    """Its members, and how they are weighted."""

    kind: Literal["ensemble"] = "ensemble"
    members: dict[str, Member] = Field(min_length=1)
    weights: Literal["mean", "confidence"] = "mean"

    @model_validator(mode="after")
    def _plain(self) -> Settings:
        if self.classes:
            raise ValueError("got classes of an ensemble, expected them at its members: each has names of its own")
        return self

    def everyone(self) -> dict[str, TeacherSettings]:
        """The ensemble and all its members, by their keys."""
        below = {f"members.{n}": member for n, member in self.members.items()}
        return {"": self} | {
            f"{n}.{k}" if k else n: inner for n, member in below.items() for k, inner in member.everyone().items()
        }

    def placed(self, base: Path) -> Settings:
        """All members' paths from ``base``."""
        return self.model_copy(update={"members": {name: member.placed(base) for name, member in self.members.items()}})

    def references(self) -> dict[str, str]:
        """The files that all members name."""
        return {f"members.{n}.{key}": r for n, member in self.members.items() for key, r in member.references().items()}


@dataclass(frozen=True)
class Ensemble:
    """Opened members, and the run's targets."""

    settings: Settings
    members: Mapping[str, Teacher]
    heads: tuple[Head, ...]
    covered: np.ndarray  # (N,) bool, rows that it answers at all

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of all members, each once."""
        return tuple(dict.fromkeys(name for member in self.members.values() for name in member.modalities))

    def fingerprint(self) -> str:
        """Hash of the members' fingerprints and of the weights."""
        parts = [self.settings.weights, repr(self.settings.covers)]
        parts += [f"{name} {member.fingerprint()}" for name, member in self.members.items()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def facts(self) -> dict:
        """Facts of every member, and the sum of their parameters where all are known."""
        per_member = {name: member.facts() for name, member in self.members.items()}
        sizes = [facts.get("parameters") for facts in per_member.values()]
        known_sizes = [size for size in sizes if size is not None]
        parameters = sum(known_sizes) if len(known_sizes) == len(sizes) else None
        return {"kind": "ensemble", "weights": self.settings.weights, "parameters": parameters, "members": per_member}

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Consecutive rows, ``size`` at a time."""
        return [np.arange(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """Logits (B, C) float32 in the run's order; NaN where all members abstain."""
        answers = [
            member_logits
            for member in self.members.values()
            if (member_logits := self._ask(member, question)) is not None
        ]
        width = sum(head.outputs for head in self.heads)
        if answers:
            logits = combine(self.heads, answers, self.settings.weights)
        else:
            logits = np.full((len(question.rows), width), np.nan, np.float32)
        logits[~self.covered[question.rows]] = np.nan
        return {"logits": logits}

    def _ask(self, member: Teacher, question: Question) -> np.ndarray | None:
        """A member's logits; None where modalities are hidden that can't be hidden from this member."""
        if question.modalities is None:
            return member.answer(question)["logits"]
        visible = tuple(name for name in member.modalities if name in question.modalities)
        sees_all = set(question.modalities) >= set(self.modalities)
        if not visible and not sees_all:
            return None
        return member.answer(Question(question.rows, visible if member.modalities else None, question.view))["logits"]


def combine(heads: Sequence[Head], answers: Sequence[np.ndarray], weights: str) -> np.ndarray:
    """Logits of K members (B, C), NaN where a member abstains -> logits (B, C) float32."""
    spec, combined = Spec((), tuple(heads), ()), []
    for parts in zip(*(spec.parts(logits.astype(np.float64)) for logits in answers), strict=True):
        head, stack = parts[0][0], np.stack([part for _, part in parts])
        answered = np.asarray(~np.isnan(stack).any(2))
        values = _to_probabilities(head, np.where(answered[..., None], stack, 0.0))
        weight = answered * (_certainty(head, values) if weights == "confidence" else 1.0)
        all_uniform = (weight.sum(0) <= 0) & answered.any(0)  # all are uniform
        weight = np.where(all_uniform, answered, weight)
        with np.errstate(invalid="ignore"):
            mean = (weight[..., None] * values).sum(0) / weight.sum(0)[:, None]
        combined.append(_to_logits(head, mean))
    return np.concatenate(combined, axis=1).astype(np.float32)


def _to_probabilities(head: Head, logits: np.ndarray) -> np.ndarray:
    if head.kind == NUMBER:
        return logits
    if head.kind == LABELS:
        return sigmoid(logits)
    width = head.frame_outputs if head.kind == TOKENS else logits.shape[-1]
    return softmax(logits.reshape(-1, width)).reshape(logits.shape)


def _to_logits(head: Head, values: np.ndarray) -> np.ndarray:
    if head.kind == NUMBER:
        return values
    if head.kind == LABELS:
        p = np.clip(values, FLOOR, 1 - FLOOR)
        return np.log(p) - np.log1p(-p)
    floor = np.exp(-BLANK_GAP) if head.kind == TOKENS else FLOOR  # a certain blank stays one
    return np.log(np.maximum(values, floor))


def _certainty(head: Head, p: np.ndarray) -> Any:
    """(K, B) in 0..1: 1 - H / log C."""
    if head.kind == NUMBER:
        return 1.0
    if head.kind == LABELS:
        return np.clip(1 - (_entropy(p) + _entropy(1 - p)).mean(2) / np.log(2), 0, 1)
    if head.kind == TOKENS:
        entropy = _entropy(p).reshape(*p.shape[:2], head.frames, head.frame_outputs).sum(3).mean(2)
        return np.clip(1 - entropy / np.log(head.frame_outputs), 0, 1)
    return np.clip(1 - _entropy(p).sum(2) / np.log(max(p.shape[2], 2)), 0, 1)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -p * np.log(np.maximum(p, 1e-300))

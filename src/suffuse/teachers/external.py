"""A teacher from outside, as extract, teach and evaluate ask it: its classes matched by name, its answers as logits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from ..errors import SuffuseError, UsageError
from ..registry import TeacherSettings
from ..types import Head
from . import Question, Source
from .matching import Matching


@dataclass(frozen=True)
class Outside:
    """A source behind the interface of all teachers."""

    settings: TeacherSettings
    source: Source
    matching: Matching
    covered: np.ndarray  # (N,) bool, rows of the run that it is asked about
    where: str  # the recipe's key

    @classmethod
    def of(
        cls, settings: TeacherSettings, source: Source, heads: tuple[Head, ...], covered: np.ndarray, where: str
    ) -> Outside:
        """Raises UsageError where its classes aren't the run's."""
        matching = Matching.of(source.outputs, heads, settings.classes, f"{where}.classes")
        return cls(settings, source, matching, covered, where)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it reads, as this run calls it."""
        return self.source.modalities

    def fingerprint(self) -> str:
        """Hash of the source, of how its classes are called, and of what it covers. Rows that are added to the run
        change nothing in it: what is known of the others stays true."""
        said = self.settings.model_dump(mode="json", include={"kind", "classes", "covers"})
        said["source"] = self.source.fingerprint()
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def facts(self) -> dict:
        """What is known of it, for ``training.json``."""
        return {"kind": self.settings.kind, **self.source.facts()}

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """In order, so many at a time."""
        return [np.arange(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """Its taps; ``logits`` (B, C) float32 in the run's order, NaN where it says nothing.

        Raises UsageError where it is asked about augmented rows, SuffuseError where an answer is no answer.
        """
        if question.view is not None:
            hint = "take rows as they are, without views"
            raise UsageError("a teacher from outside can't see augmented rows", where=self.where, hint=hint)
        seen = self.modalities if question.modalities is None else question.modalities
        found = self.source.answer(question.rows, frozenset(self.modalities) - set(seen))
        try:
            logits = self.matching.logits(found["logits"], self.source.form)
        except ValueError as error:
            got = str(error).removeprefix("got ")
            raise SuffuseError("the teacher's answers can't be used", where=self.where, got=got) from None
        if np.isinf(logits).any():
            raise SuffuseError("the teacher's answers can't be used", where=self.where, got="infinite logits")
        logits[~self.covered[question.rows]] = np.nan
        return {**{name: tap.astype(np.float32) for name, tap in found.items()}, "logits": logits}

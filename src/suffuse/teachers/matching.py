"""Maps a teacher's outputs to the run's, by name and never by position.

Probabilities become log-probabilities (log-odds of labels) clipped at FLOOR, so that a confident teacher stays finite:
a probability of 0 is -13.8. Logits are unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from ..errors import UsageError, did_you_mean, listed
from ..types import CLASSES, LABELS, NUMBER, Head, Spec

FLOOR = 1e-6  # the least probability
LOGITS, PROBABILITIES = "logits", "probabilities"
FRAMES = "frames"  # logits of a transcript's frames, in the run's own units: nothing is left to match
SUM_TOLERANCE = 1e-2  # of a row's probabilities from 1: what a table with two decimals loses


def outputs(heads: Sequence[Head]) -> tuple[str, ...]:
    """The names of all outputs: the classes of a single target; ``target=class`` where there are several; the target's
    name of a number."""
    if len(heads) == 1:
        return heads[0].classes or (heads[0].name,)
    return Spec((), tuple(heads), ()).classes


@dataclass(frozen=True)
class Matching:
    """Maps a teacher's T outputs to the run's C."""

    heads: tuple[Head, ...]
    run_outputs: np.ndarray  # (T,) int64: our output of each of theirs

    @classmethod
    def of(
        cls, teacher_outputs: Sequence[str], heads: Sequence[Head], renamed: Mapping[str, str], where: str
    ) -> Matching:
        """Match outputs by name; ``renamed`` maps the teacher's names to the run's, where they differ.

        Raises UsageError (``where`` names the setting) listing the names that are missing or too many.
        """
        run_outputs = outputs(heads)
        for name, run_name in renamed.items():
            if name not in teacher_outputs:
                raise UsageError(
                    "the teacher has no such class",
                    where=where,
                    got=f"'{name}'",
                    hint=_name_hint(name, teacher_outputs),
                )
            if run_name not in run_outputs:
                raise UsageError(
                    "no such class", where=where, got=f"'{run_name}'", hint=_name_hint(run_name, run_outputs)
                )
        mapped = [renamed.get(name, name) for name in teacher_outputs]
        _refuse("classes that this run doesn't have", [n for n in mapped if n not in run_outputs], run_outputs, where)
        _refuse("not all of this run's classes", [n for n in run_outputs if n not in mapped], mapped, where, lacks=True)
        _refuse("a class twice", [n for n, count in Counter(teacher_outputs).items() if count > 1], run_outputs, where)
        matching = cls(tuple(heads), np.array([run_outputs.index(name) for name in mapped], dtype=np.int64))
        matching._check_joined(where)
        return matching

    def logits(self, values: np.ndarray, form: str) -> np.ndarray:
        """The teacher's outputs (B, T), logits or probabilities, numbers in their own unit -> logits (B, C) float32 of
        the run.

        NaN stays NaN. Raises ValueError where probabilities are invalid.
        """
        values, by_head, at = np.asarray(values, dtype=np.float64), [], 0
        for head in self.heads:
            parts = [values[:, self.run_outputs == at + n] for n in range(head.outputs)]
            if head.kind == NUMBER:
                by_head.append((parts[0] - head.mean) / head.std)
            elif form == LOGITS:
                by_head.append(np.concatenate([_merge_logits(p) for p in parts], axis=1))
            else:
                by_head.append(
                    _log_probabilities(head, np.concatenate([p.sum(1, keepdims=True) for p in parts], axis=1))
                )
            at += head.outputs
        return np.concatenate(by_head, axis=1).astype(np.float32)

    def _check_joined(self, where: str) -> None:
        """Raise UsageError where several outputs map to one label or number: only classes add up."""
        counts, at = np.bincount(self.run_outputs), 0
        for head in self.heads:
            if head.kind != CLASSES and (counts[at : at + head.outputs] > 1).any():
                raise UsageError("several outputs for one", where=where, got=f"target '{head.name}', {head.kind}",
                                 expected="one for each: only classes add up")  # fmt: skip
            at += head.outputs


def _merge_logits(logits: np.ndarray) -> np.ndarray:
    """(B, K) logits of classes that are merged -> (B, 1)."""
    return logits if logits.shape[1] == 1 else np.logaddexp.reduce(logits, axis=1, keepdims=True)


def _log_probabilities(head: Head, p: np.ndarray) -> np.ndarray:
    """Probabilities (B, C_h) -> log-probabilities, or log-odds of labels."""
    answered = ~np.isnan(p).any(1)
    if (p[answered] < 0).any() or (p[answered] > 1 + SUM_TOLERANCE).any():
        raise ValueError(f"got {p[answered].min():g} to {p[answered].max():g} for '{head.name}', expected 0 to 1")
    if head.kind == LABELS:
        p = np.clip(p, FLOOR, 1 - FLOOR)
        return np.log(p) - np.log1p(-p)
    total = p[answered].sum(1)
    if len(total) and np.abs(total - 1).max() > SUM_TOLERANCE:
        worst = total[np.abs(total - 1).argmax()]
        raise ValueError(f"got probabilities of '{head.name}' that add up to {worst:.4g}, expected 1")
    return np.log(np.maximum(p / p.sum(1, keepdims=True), FLOOR))


def _refuse(problem: str, names: Sequence[str], known: Sequence[str], where: str, *, lacks: bool = False) -> None:
    """Raise UsageError where there are such names; it lists them (some, where they are many)."""
    if not names:
        return
    raise UsageError(
        f"the teacher has {problem}", where=where, **{"expected" if lacks else "got": listed(dict.fromkeys(names))},
        hint=f"{'the teacher has' if lacks else 'there is'}: {listed(known)}; `classes: {{theirs: ours}}` renames",
    )  # fmt: skip


def _name_hint(name: str, known: Sequence[str]) -> str:
    """The name that was probably meant, or the known ones."""
    near = get_close_matches(name, known, n=1)
    return did_you_mean(name, near) if near else f"there is: {listed(known)}"

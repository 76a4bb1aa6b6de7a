"""The answers of an endpoint so far, by their questions: an append-only log, so that nothing is asked twice.

A question's key is a hash of its messages (the row's cells, pictures included, and the prompt), of the model and of the
sampling settings. So a changed recipe, further rows or a killed run ask only what isn't there yet. Of the table's cells
the log holds only what a rationale repeats.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...append_log import AppendLog
from ...run import Run
from .class_masses import Masses

HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Answer:
    """One answer to one question."""

    key: str
    sample: int  # of the same question: 0 to k - 1
    name: str | None  # the class
    reason: str = ""  # why there is none
    found: Mapping[str, float] = field(default_factory=dict)  # of Masses; empty without log-probabilities
    most: float = 1.0
    rationale: str = ""
    tokens: int = 0
    requests: int = 1  # attempts

    @property
    def masses(self) -> Masses | None:
        """Of the names; None where the endpoint returned no log-probabilities."""
        return Masses(self.found, self.most) if self.found else None


def question_key(messages: Sequence[Mapping[str, Any]], sampling: Mapping[str, Any]) -> str:
    """The hash of a question; ``sampling`` has the model and all that decides its answer."""
    content = json.dumps([messages, sampling], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()


class AnswerLog:
    """The log of one teacher. It is written by one thread."""

    def __init__(self, path: Path):
        self.log = AppendLog(path)
        self.answers: dict[tuple[str, int], Answer] = {}
        self.requests = self.tokens = 0  # over all sessions, of attempts that failed too
        for record in self.log.records():
            self.requests += _count(record, "requests")
            self.tokens += _count(record, "tokens")
            if (answer := _answer(record)) is not None:
                self.answers[answer.key, answer.sample] = answer

    def add(self, answer: Answer) -> None:
        """Note an answer."""
        self.answers[answer.key, answer.sample] = answer
        self._count(answer.requests, answer.tokens, asdict(answer))

    def add_failure(self, reason: str, requests: int) -> None:
        """Note attempts that gave no answer, so that a later session counts them too."""
        self._count(requests, 0, {"failed": reason, "requests": requests})

    def _count(self, requests: int, tokens: int, record: Mapping[str, Any]) -> None:
        self.requests += requests
        self.tokens += tokens
        self.log.add(record)

    def close(self) -> None:
        """Nothing is noted any more."""
        self.log.close()


def _count(record: Mapping[str, Any], key: str) -> int:
    value = record.get(key, 0)
    return value if isinstance(value, int) and value >= 0 else 0


def _answer(record: Mapping[str, Any]) -> Answer | None:
    """A record as an answer; None where it is none, or something in it isn't what was written."""
    if "failed" in record:
        return None
    try:
        answer = Answer(**record)
        found = {str(name): float(p) for name, p in answer.found.items()}
    except (TypeError, ValueError, AttributeError):
        return None
    named = isinstance(answer.name, str) or (answer.name is None and isinstance(answer.reason, str))
    valid = isinstance(answer.key, str) and HASH.fullmatch(answer.key) and isinstance(answer.sample, int)
    numbers = all(0 <= p <= 1.001 for p in found.values()) and (not found or sum(found.values()) > 0)
    numbers = numbers and isinstance(answer.most, (int, float))
    return answer if valid and named and numbers and isinstance(answer.rationale, str) else None


def log_file(run: Run, where: str) -> Path:
    """The log of a teacher's answers, which outlives the stage: a changed recipe asks only what is new. ``where``: the
    recipe's key of the teacher."""
    return run.path("answers", f"{file_name(where)}.jsonl")


def file_name(where: str) -> str:
    """``answers``; of an ensemble's member with its name behind it."""
    members = [part for part in where.removeprefix("teacher").split(".members.") if part]
    name = "-".join(["answers", *members])
    plain = re.sub(r"[^\w-]", "_", name, flags=re.ASCII)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

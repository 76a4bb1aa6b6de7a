"""Log-probabilities of an answer's tokens -> the probability of every class's name.

The model's answer names one class. Along its tokens the endpoint reports the most probable alternatives. An alternative
that begins another class's name carries that class's probability: the product of the probabilities of the tokens before
it, and its own. Where it begins several names, they share it equally: tokens behind it aren't known. The answer's own
class has the product of its tokens' probabilities. A name without a reported alternative is at most as probable as
the least alternative in the place where it would part from the answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

JSON_VALUE = re.compile(rb'"class"\s*:\s*"')
QUOTES = b"\"' \n\t*`"  # what may stand before a name


@dataclass(frozen=True)
class Token:
    """A token of the answer, and what might have stood in its place. ASCII letters are lower case."""

    text: bytes
    logprob: float
    alternatives: Mapping[bytes, float]  # text -> probability, its own included


@dataclass(frozen=True)
class Masses:
    """Probabilities of the names that were found, not normalised, and the most that any other name may have."""

    found: Mapping[str, float]
    most: float


def read_tokens(logprobs: Any) -> list[Token]:
    """Tokens of ``choices[0].logprobs``; none where it holds none in the form of chat completions."""
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    try:
        return [_token(entry) for entry in entries or ()]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return []


def _token(entry: dict[str, Any]) -> Token:
    alternatives: dict[bytes, float] = {}
    for other in [*(entry.get("top_logprobs") or ()), entry]:
        alternatives[_bytes(other)] = math.exp(min(float(other["logprob"]), 0.0))
    return Token(_bytes(entry), min(float(entry["logprob"]), 0.0), alternatives)


def _bytes(entry: dict[str, Any]) -> bytes:
    raw = entry.get("bytes")
    return (bytes(raw) if raw else str(entry["token"]).encode()).lower()


def class_masses(tokens: Sequence[Token], answer: str, names: Sequence[str], *, last: bool = False) -> Masses | None:
    """The masses of all names, of an answer that names ``answer``; ``last``: where its name stands several times, the
    last one counts. None where the tokens don't hold that name."""
    codes = {name: name.encode().lower() for name in names}
    written = b"".join(token.text for token in tokens)
    behind = match.end() if (match := JSON_VALUE.search(written)) else 0
    start = (written.rfind if last else written.find)(codes[answer], behind)
    if start < 0 or not tokens:
        return None
    walk = _Walk(codes, answer, {}, [])
    position = 0
    for token in tokens:
        end = position + len(token.text)
        if end > start:
            lead = token.text[: max(start - position, 0)]
            if not walk.step(token, lead):
                break
        position = end
    walk.found[answer] = walk.found.get(answer, 0.0) + math.exp(walk.logprob)
    return Masses(walk.found, min(walk.least, default=1.0)) if sum(walk.found.values()) > 0 else None


@dataclass
class _Walk:
    codes: Mapping[str, bytes]
    answer: str
    found: dict[str, float]
    least: list[float]  # of each place: the probability of its least alternative
    path: bytes = b""  # of the name, so far
    logprob: float = 0.0  # of the tokens so far

    def step(self, token: Token, lead: bytes) -> bool:
        """Take one token, of which ``lead`` stands before the name. Returns whether the next one matters too."""
        own = self.codes[self.answer]
        beyond = len(self.path) >= len(own)
        reach = math.exp(self.logprob)
        taken = token.text[len(lead) :]
        for text, probability in token.alternatives.items():
            if text == token.text:
                continue
            rest = _behind(text, lead) if not self.path else text
            names = [n for n in self._begun(self.path + rest) if not (beyond and n == self.answer)] if rest else []
            for name in names:
                self.found[name] = self.found.get(name, 0.0) + reach * probability / len(names)
        if len(token.alternatives) > 1:
            self.least.append(reach * min(token.alternatives.values()))
        longer = [n for n, code in self.codes.items() if n != self.answer and code.startswith(own)]
        if beyond:  # what ends the name: only then it isn't a longer one
            self.logprob += token.logprob
            return False
        self.path += taken
        self.logprob += token.logprob
        return len(self.path) < len(own) or (len(self.path) == len(own) and bool(longer))

    def _begun(self, text: bytes) -> list[str]:
        """Names that begin so, or that stand at the beginning whole."""
        begun = [n for n, code in self.codes.items() if code.startswith(text)]
        if begun:
            return begun
        whole = [n for n, code in self.codes.items() if text.startswith(code) and not text[len(code) :][:1].isalnum()]
        return [max(whole, key=lambda n: len(self.codes[n]))] if whole else []


def _behind(text: bytes, lead: bytes) -> bytes:
    """What of an alternative belongs to the name, where ``lead`` doesn't: quotes and spaces before it."""
    return text[len(lead) :] if lead and text.startswith(lead) else text.lstrip(QUOTES)


def distribution(masses: Masses, names: Sequence[str]) -> np.ndarray:
    """(C,) probabilities of the names: found masses, the rest shared among the others as far as it can be theirs."""
    p = np.array([masses.found.get(name, 0.0) for name in names])
    others = p == 0
    if others.any():
        p[others] = min(max(1 - p.sum(), 0.0) / others.sum(), masses.most)
    return p / p.sum()

"""What a transcript is made of: text to units and back, and the frames that stand for nothing.

A head of kind ``tokens`` has V outputs a frame: output 0 is blank, output k is its unit number k - 1. In a stored
target V stands for a unit that no training row has; back in text it is ``UNKNOWN``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from ..types import BLANK, BLANK_GAP

UNITS = {  # kind of units -> what they are
    "characters": "each character (code point), spaces too",
    "words": "what stands between spaces",
}
UNKNOWN = "\ufffd"
GAP_TOLERANCE = 0.1  # of a stored gap: float16 rounds 30 less a log-sum by less
# Han, kana, and the marks that stand for a character: written without spaces, and counted one by one
CJK = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


def normalise(text: str, lowercase: bool = False) -> str:
    """NFC, each run of white space one space, none at either end. The case stays unless ``lowercase``."""
    text = unicodedata.normalize("NFC", text)
    if lowercase:
        text = unicodedata.normalize("NFC", text.lower())
    return " ".join(text.split())


def split(text: str, units: str) -> tuple[str, ...]:
    """A normalised text -> its units. An empty text has none."""
    return tuple(text) if units == "characters" else tuple(text.split())


def join(sequence: Iterable[str], units: str) -> str:
    """Units -> a normalised text: spaces at its ends, or several in a row, are none in a text."""
    return normalise(("" if units == "characters" else " ").join(sequence))


def codes_of(texts: Iterable[str], units: str, classes: Sequence[str]) -> list[tuple[int, ...]]:
    """Normalised texts -> the outputs of each one's units, 1..V-1; V = len(classes) + 1 for those that aren't among the
    classes."""
    known = {unit: code for code, unit in enumerate(classes, BLANK + 1)}
    return [tuple(known.get(unit, len(classes) + 1) for unit in split(text, units)) for text in texts]


def units_of(codes: Iterable[int], classes: Sequence[str]) -> tuple[str, ...]:
    """Outputs 1..V -> units; V is ``UNKNOWN``."""
    return tuple(classes[code - 1] if code <= len(classes) else UNKNOWN for code in codes)


def text_of(codes: Iterable[int], units: str, classes: Sequence[str]) -> str:
    """Outputs 1..V -> a normalised text."""
    return join(units_of(codes, classes), units)


def tokens_of(text: str) -> list[str]:
    """The words of a text by which errors are counted: what stands between spaces; each CJK character is one."""
    return CJK.sub(r" \g<0> ", normalise(text)).split()


def certain_blank(logits: Any) -> Any:
    """Logits or log-probabilities (..., V) -> (...) bool: frames after a row's end, or of a row without its recording.
    NumPy or torch alike."""
    return (logits[..., BLANK + 1 :] + (BLANK_GAP - GAP_TOLERANCE) <= logits[..., :1]).all(-1)

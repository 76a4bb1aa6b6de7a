"""A text without certain words: above all without those that name the label, so that a model must look elsewhere.

``words: labels`` cuts every word of every label of the training rows, the same words from every row. Cutting only
a row's own label would give the label away by what is missing, and couldn't be done for a row without one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..errors import UsageError
from ..files import package_file
from ..modalities.cell import Absent, Unreadable, is_empty
from ..registry import DeriveSettings, Statistics
from ..word_patterns import UNSPACED, stem, word_pattern

LABELS = "labels"


class Settings(DeriveSettings):
    """Settings of a text with words cut out."""

    FILES: ClassVar[tuple[str, ...]] = ("words",)

    kind: Literal["mask_words"] = "mask_words"
    words: str | tuple[str, ...] = LABELS  # `labels`, a list, or a file with one a line
    plurals: bool = True  # shoe cuts shoes too, and shoes shoe
    instead: str = Field("", max_length=20)  # what stands in a word's place

    def placed(self, base: Path) -> Settings:
        """A file's path from ``base``."""
        return self if self.words == LABELS else super().placed(base)


class Facts(Statistics):
    """What :func:`fit` has."""

    words: list[str] = Field(min_length=1)


def ready(settings: Settings) -> None:
    """It needs nothing."""


def fit(settings: Settings, labels: Sequence[str]) -> dict:
    """The words that are cut, sorted."""
    if isinstance(settings.words, tuple):
        phrases: Sequence[str] = settings.words
    elif settings.words == LABELS:
        phrases = labels
    else:
        phrases = _lines(package_file(settings.words, where="data.derive: words"))
    words = set()
    for phrase in set(phrases):
        for word in word_pattern().findall(unicodedata.normalize("NFC", phrase)):
            words.add(_form(word, settings.plurals))
    if not words:
        got = "no labels" if settings.words == LABELS else "no word"
        raise UsageError(
            "there are no words to cut", where=f"data.derive, words of column '{settings.column}'", got=got
        )
    return {"words": sorted(words)}


def make(settings: Settings, facts: dict, value: Any, root: Any) -> str:
    """A text without these words, upper or lower case, as whole words; in a script without spaces wherever they
    stand. White space is folded. Raises Absent where nothing is left."""
    text = _text(value)
    words, unspaced = _table(tuple(facts["words"]))
    gap = f" {settings.instead} "
    text = unspaced.sub(lambda match: gap, text) if unspaced else text
    text = word_pattern().sub(lambda w: gap if _form(w[0], settings.plurals) in words else w[0], text)
    masked = " ".join(text.split())
    if not masked:
        raise Absent("nothing is left without the masked words")
    return masked


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Unreadable(f"not UTF-8: {error.reason} at byte {error.start}") from None
    if is_empty(value):
        raise Absent("empty cell")
    if isinstance(value, (dict, list, tuple, np.ndarray)):
        raise Unreadable(f"expected a text, got {type(value).__name__}")
    return unicodedata.normalize("NFC", str(value))


def _form(word: str, plurals: bool) -> str:
    return stem(word) if plurals else word.casefold()


@lru_cache(maxsize=16)
def _table(words: tuple[str, ...]) -> tuple[frozenset[str], re.Pattern[str] | None]:
    """The words, and a pattern of those of scripts without spaces, the longest first."""
    unspaced = sorted((w for w in words if UNSPACED.search(w)), key=lambda w: (-len(w), w))
    return frozenset(words), re.compile("|".join(map(re.escape, unspaced)), re.I) if unspaced else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("can't read the words", where=file, got=getattr(error, "strerror", None) or error) from None

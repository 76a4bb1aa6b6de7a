"""Languages of the report: English in the code, a catalog for every other language.

As in gettext, the English sentence is the key, and its placeholders are named, ``%(rows)s``. Values that come from the
run (names, labels, texts) are never translated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "zh": "中文"}
FOLDER = Path(__file__).parent
UNSPACED = ("zh",)  # languages without spaces between words
HAN = re.compile(r"[\u3400-\u9fff]")
PLACEHOLDER = re.compile(
    rf"(?P<left>(?<={HAN.pattern}) )?(?P<field>%%|%\(\w+\)[-+ #0-9.]*[a-z])(?P<right> (?={HAN.pattern}))?"
)
_language: ContextVar[str] = ContextVar("language", default="en")
untranslated: set[str] = set()  # sentences that a catalog lacks; a test expects none


@contextmanager
def use_language(language: str) -> Iterator[None]:
    """Write in this language inside the block."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def current_language() -> str:
    """The language in use."""
    return _language.get()


def id_prefix() -> str:
    """Prefix of every HTML id, so that ids of two languages differ: empty for English."""
    return "" if _language.get() == "en" else f"{_language.get()}-"


def gettext(text: str) -> str:
    """The sentence in the language in use, with its placeholders; English where the catalog lacks it."""
    language = _language.get()
    if language == "en":
        return text
    translation = catalog(language).get(text)
    if translation is None:
        untranslated.add(text)
    return translation or text


def ngettext(singular: str, plural: str, number: int) -> str:
    """The sentence for this number."""
    return gettext(singular if number == 1 else plural)


def t(text: str, /, **values: object) -> str:
    """The sentence with its placeholders filled. With placeholders a percent sign is doubled.

    In Chinese, the spaces around an inserted value are removed on the sides where the value is Chinese.
    """
    translation = gettext(text)
    if not values or _language.get() not in UNSPACED:
        return translation % values if values else translation

    def fill(field: re.Match[str]) -> str:
        value = field["field"] % values
        left = "" if HAN.match(value[:1]) else field["left"]
        return (left or "") + value + ("" if HAN.match(value[-1:]) else field["right"] or "")

    return PLACEHOLDER.sub(fill, translation)


@cache
def catalog(language: str) -> dict[str, str]:
    """English -> another language."""
    return json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))

"""The page's languages: English is what the code says, other languages are catalogs of it.

As gettext does it: a sentence is its own key, and what changes in it is named, ``%(rows)s``. Values that come from the
run (names, labels, texts) are never translated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "zh": "中文"}
HERE = Path(__file__).parent
_spoken: ContextVar[str] = ContextVar("spoken", default="en")
missed: set[str] = set()  # sentences that were asked for and stand in no catalog; a test finds none


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within this, the page is written in this language."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def spoken() -> str:
    """The language that is spoken now."""
    return _spoken.get()


def place() -> str:
    """What stands before every id of the page, so that the languages' ids differ: nothing before English ones."""
    return "" if _spoken.get() == "en" else f"{_spoken.get()}-"


def gettext(text: str) -> str:
    """A sentence in the language spoken now, its places not yet filled; English where the catalog lacks it."""
    language = _spoken.get()
    if language == "en":
        return text
    found = catalog(language).get(text)
    if found is None:
        missed.add(text)
    return found or text


def ngettext(one: str, many: str, number: int) -> str:
    """The sentence for this number."""
    return gettext(one if number == 1 else many)


def t(text: str, /, **values: object) -> str:
    """A sentence with its places filled, for code. A percent sign is doubled where there are places."""
    found = gettext(text)
    return found % values if values else found


@cache
def catalog(language: str) -> dict[str, str]:
    """English -> another language."""
    return json.loads((HERE / f"{language}.json").read_text(encoding="utf-8"))

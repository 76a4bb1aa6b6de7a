"""The one way in which suffuse says that something is wrong.

A message tells what happened, where, what was got and what was expected; the way out follows on a line of
its own, behind ``hint:``. Bad usage and bad recipes end with exit code 2, everything else with 1.
"""

from __future__ import annotations

import errno
import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from heapq import nlargest

HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # control, format, half a pair, private, unassigned, separators
JOINERS = "\u200c\u200d"  # Persian words and emoji need them
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LISTED = 30  # names that a message lists at most
LONGEST_NAME = 60  # characters of a name that a message shows
COMPARED = 500  # names that difflib compares; it takes about 20 microseconds for each


class SuffuseError(Exception):
    """A failure that a user can act on; shown without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, where: object = "", got: object = "", expected: object = "", hint: str = ""):
        self.message, self.where, self.hint = message, str(where), hint
        self.got, self.expected = str(got), str(expected)
        super().__init__(self.line())

    def line(self) -> str:
        """The cause in one line."""
        parts = [self.message]
        if self.where:
            parts.append(f" ({self.where})")
        facts = [f"{word} {fact}" for word, fact in (("got", self.got), ("expected", self.expected)) if fact]
        if facts:
            parts.append(": " + ", ".join(facts))
        return visible(" ".join("".join(parts).split()))

    def text(self) -> str:
        """The cause, and the hint below it."""
        return self.line() + (f"\n\nhint: {visible(self.hint)}" if self.hint else "")


class UsageError(SuffuseError):
    """The command line or the recipe asks for something that can't be."""

    exit_code = 2


def visible(text: str) -> str:
    """A text from a table or a file as a terminal may show it: what would move the cursor, change colours, turn the
    direction of writing or is no character at all stands as an escape. White space becomes spaces."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if character in JOINERS or unicodedata.category(character) not in HIDDEN:
        return character
    return _escape(character)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def escape_controls(text: str) -> str:
    """A text for a file, which people may print in a terminal: control characters and halves of surrogate pairs stand
    as escapes, such as ``\\x1b``. Tabs, line ends and all other characters stay."""
    return CONTROLS.sub(lambda match: _escape(match[0]), text)


def from_system(error: OSError) -> SuffuseError:
    """What the operating system says, in the house's form."""
    hint = "make room, then call it again: it goes on from here" if error.errno in FULL else ""
    return SuffuseError(error.strerror or str(error), where=error.filename or "", hint=hint)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?``, or the list of what there is when nothing is near."""
    known = sorted(known)
    near = nearest(name, known, 1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else "there is: " + listed(known)


def nearest(name: str, known: Sequence[str], count: int = 5, cutoff: float = 0.0) -> list[str]:
    """The ``count`` known names most like ``name``, best first, with a difflib ratio of at least ``cutoff``.

    Of many names, difflib compares only those that share the most pairs of neighbouring characters with ``name``, so
    that 50,000 ids take some 0.1 s. Long names are compared, and returned, shortened.
    """
    name = name[:LONGEST_NAME]
    if len(known) > COMPARED:
        pairs = {name[at : at + 2] for at in range(len(name) - 1)} or {name}
        known = nlargest(COMPARED, known, key=lambda k: (sum(p in k for p in pairs), -abs(len(k) - len(name))))
    return get_close_matches(name, list(map(shortened, known)), count, cutoff)


def listed(names: Iterable[str], limit: int = LISTED) -> str:
    """``a, b, c and 48,245 more``: a message stays short however many names there are, and however long they are."""
    names = list(names)
    rest = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(map(shortened, names[:limit])) + rest


def shortened(name: str) -> str:
    """A name of at most 60 characters, the last three of which are dots where it is longer."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."

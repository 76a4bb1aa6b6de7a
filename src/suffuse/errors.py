"""The one way in which suffuse says that something is wrong.

A message tells what happened, where, what was got and what was expected; the way out follows on a line of
its own, behind ``hint:``. Bad usage and bad recipes end with exit code 2, everything else with 1.
"""

from __future__ import annotations

import errno
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # control, format, half a pair, private, unassigned, separators
JOINERS = "\u200c\u200d"  # Persian words and emoji need them
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SuffuseError(Exception):
    """A failure that a user can act on; shown without a traceback."""

    exit_code = 1

    def __init__(self, what: str, *, where: object = "", got: object = "", expected: object = "", hint: str = ""):
        self.what, self.where, self.hint = what, str(where), hint
        self.got, self.expected = str(got), str(expected)
        super().__init__(self.line())

    def line(self) -> str:
        """The cause in one line."""
        parts = [self.what]
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
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def from_system(error: OSError) -> SuffuseError:
    """What the operating system says, in the house's form."""
    hint = "make room, then call it again: it goes on from here" if error.errno in FULL else ""
    return SuffuseError(error.strerror or str(error), where=error.filename or "", hint=hint)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?``, or the list of what there is when nothing is near."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else "there is: " + ", ".join(known)

"""What a client did that the server doesn't take: a status, a code for programs, a sentence and a hint for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import did_you_mean, visible

LONGEST = 300  # characters of a message: what a client sent may stand in it


class Refusal(Exception):
    """A request that isn't answered. ``code`` is one word that stays the same from version to version."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", retry: int | None = None):
        super().__init__(message)
        self.status, self.code, self.retry = status, code, retry
        self.message, self.hint = short(message, LONGEST), short(hint, LONGEST)

    @property
    def headers(self) -> dict[str, str]:
        """When to come again, where that is known; a body that wasn't read ends the connection."""
        headers = {} if self.retry is None else {"Retry-After": str(self.retry)}
        return {**headers, "Connection": "close"} if self.status in (408, 413) else headers

    def friendly(self) -> dict[str, Any]:
        """As the routes of suffuse's own say it."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}

    def protocol(self) -> dict[str, Any]:
        """As the Open Inference Protocol says it: one text. The code goes before the sentence."""
        return {"error": f"{self.code}: {self.message}" + (f" ({self.hint})" if self.hint else "")}


def wrong(code: str, message: str, hint: str = "") -> Refusal:
    """A request that was read and can't be answered as it is: 422."""
    return Refusal(422, code, message, hint)


def short(text: str, most: int = 60) -> str:
    """What a client sent, as a message may show it. It is cut before anything else is done with it."""
    cut = text if len(text) <= most else text[: most - 3] + "..."
    return visible(cut.encode("utf-8", "replace").decode("utf-8"))


def near(name: str, known: Iterable[str]) -> str:
    """Which known name was meant, perhaps."""
    return did_you_mean(short(name), known)


def defect() -> Refusal:
    """What must not happen: 500. The log says more."""
    return Refusal(500, "defect", "a defect of the server", "its log says more")

"""A chat completion -> the class that it names, or why it names none.

An answer that keeps to the JSON schema is ``{"class": NAME}``. Endpoints that take no schema answer in words: a class
is found where the whole answer, or its last line, is its name, or where exactly one name stands in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

REFUSED, UNKNOWN, MALFORMED, EMPTY = "refused", "unknown class", "malformed answer", "empty answer"
REASONS = (REFUSED, UNKNOWN, MALFORMED, EMPTY)
FENCE = re.compile(r"^```\w*\s*|\s*```$")
THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)  # of models that think aloud
LINE = re.compile(r"^\W*class\W*?:\s*(.+)$", re.IGNORECASE)
APOLOGY = re.compile(r"^\W*(i['’]?m sorry|sorry|i can(['’]?t|not)|i am (unable|not able)|as an ai)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Parsed:
    """What an answer says: a class, or the reason why there is none."""

    name: str | None
    reason: str = ""
    rationale: str = ""


def json_schema(names: Sequence[str], rationale: bool) -> dict[str, Any]:
    """``response_format`` of an answer that is one of the names; with a ``rationale`` before it on request."""
    fields: dict[str, Any] = {"rationale": {"type": "string"}} if rationale else {}
    fields["class"] = {"type": "string", "enum": list(names)}
    schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def parse(completion: Any, names: Sequence[str]) -> Parsed:
    """A body of chat completions -> what its first choice says."""
    try:
        choice = completion["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())
    except (KeyError, IndexError, TypeError, AttributeError):
        return Parsed(None, MALFORMED)
    if refusal or choice.get("finish_reason") == "content_filter":
        return Parsed(None, REFUSED)
    return parse_text(text, names)


def parse_text(text: str, names: Sequence[str]) -> Parsed:
    """The content of an answer -> what it says."""
    text = FENCE.sub("", THOUGHT.sub("", text).strip()).strip()
    if not text:
        return Parsed(None, EMPTY)
    if text.startswith("{"):
        return _parse_json(text, names)
    lines = [line for line in text.splitlines() if line.strip()]
    labelled = next((match[1] for line in reversed(lines) if (match := LINE.match(line))), None)
    for candidate in filter(None, (labelled, text, lines[-1])):
        if name := _named(candidate, names):
            return Parsed(name, rationale=_before(text, candidate))
    mentioned = _mentioned(labelled or text, names)
    if len(mentioned) == 1:
        return Parsed(mentioned[0])
    return Parsed(None, REFUSED if APOLOGY.match(text) else UNKNOWN)


def _parse_json(text: str, names: Sequence[str]) -> Parsed:
    try:
        value: Any = json.loads(text)
        stated, rationale = value["class"], value.get("rationale", "")
    except (ValueError, KeyError, RecursionError):
        return Parsed(None, MALFORMED)
    if not isinstance(stated, str) or not isinstance(rationale, str):
        return Parsed(None, MALFORMED)
    name = _named(stated, names)
    return Parsed(name, "" if name else UNKNOWN, rationale.strip())


def _before(text: str, candidate: str) -> str:
    """What stands before the line that names the class."""
    lines = text.rpartition(candidate)[0].splitlines()
    return "\n".join(line for line in lines if not re.fullmatch(r"\W*class\W*", line, re.IGNORECASE)).strip()


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(" \"'`*.,:;!()[]").casefold()


def _named(text: str, names: Sequence[str]) -> str | None:
    """The class whose name this is, but for case, spaces and punctuation around it; the exact one where several are
    alike."""
    if (exact := text.strip()) in names:
        return exact
    alike = [name for name in names if _plain(name) == _plain(text)]
    return alike[0] if len(alike) == 1 else None


def _mentioned(text: str, names: Sequence[str]) -> list[str]:
    """The names that stand in a text as whole words, without those that are a part of a longer one there."""
    found, rest = [], text.casefold()
    for name in sorted(names, key=len, reverse=True):
        pattern = r"(?<!\w)" + re.escape(name.casefold()) + r"(?!\w)"
        if re.search(pattern, rest):
            found.append(name)
            rest = re.sub(pattern, "\0", rest)
    return found

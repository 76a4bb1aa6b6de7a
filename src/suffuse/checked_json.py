"""JSON files that hold a hash of their own content: a changed byte is noticed where they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import SuffuseError
from .files import PUT_BACK, read_json, write_json

KEY = "checksum"
LENGTH = 16  # bytes


def write_checked(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts and their checksum, atomically."""
    write_json(path, with_checksum(facts))


def with_checksum(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts and, last, the hash of all the others."""
    content = json.loads(json.dumps({key: value for key, value in facts.items() if key != KEY}))  # as it is read again
    return {**content, KEY: checksum(content)}


def read_checked(path: Path, hint: str = PUT_BACK) -> dict[str, Any] | None:
    """The facts, without the checksum; None where there is no file. A file of a version that wrote none is taken as it
    is.

    Raises SuffuseError where the file is no JSON object or isn't what was written.
    """
    facts = read_json(path, hint)
    if facts is None:
        return None
    if not isinstance(facts, dict):
        raise SuffuseError("a file isn't what was written", where=path, got=type(facts).__name__, hint=hint)
    expected = facts.pop(KEY, None)
    if expected == checksum(facts) or (expected is None and not _renamed(facts)):
        return facts
    raise SuffuseError("a file was changed after it was written", where=path, got="another checksum", hint=hint)


def checksum(content: Mapping[str, Any]) -> str:
    """Hash of the facts, whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=LENGTH).hexdigest()


def _renamed(facts: dict[str, Any]) -> bool:
    """Whether the checksum stands under another key: the changed byte is in the key's name."""
    hashes = [k for k, value in facts.items() if isinstance(value, str) and len(value) == 2 * LENGTH]
    return any(facts[k] == checksum({key: v for key, v in facts.items() if key != k}) for k in hashes)

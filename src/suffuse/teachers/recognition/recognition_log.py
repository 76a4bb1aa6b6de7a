"""What recognisers heard so far, by the recording: an append-only log, so that nothing is recognised twice.

A key is a hash of the recording's bytes, of how much of it is heard, of the recogniser's files and of its settings. So
a changed recipe, further rows or a killed run need only what isn't there yet.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...append_log import AppendLog

HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Heard:
    """One recording as one recogniser heard it."""

    key: str
    text: str | None  # as the recogniser writes it; None: it can't be recognised
    confidence: float | None = None  # 0 to 1
    reason: str = ""  # why there is no text


def recording_key(recording: str, facts: Mapping[str, Any]) -> str:
    """The key of a recording, by the hash of its bytes; ``facts``: all that decides what is heard in it."""
    return hashlib.sha256(json.dumps([recording, facts], sort_keys=True).encode()).hexdigest()


class RecognitionLog:
    """The log of a run. It is written by one thread."""

    def __init__(self, path: Path):
        self.log = AppendLog(path)
        self.heard = {heard.key: heard for heard in map(_heard, self.log.records()) if heard is not None}

    def add(self, heard: Heard) -> None:
        """Note what was heard."""
        self.heard[heard.key] = heard
        self.log.add(asdict(heard))

    def close(self) -> None:
        """Nothing is noted any more."""
        self.log.close()


def _heard(record: Mapping[str, Any]) -> Heard | None:
    """A record as it was written; None where it is something else."""
    try:
        heard = Heard(**record)
    except TypeError:
        return None
    sure = heard.confidence
    is_valid = isinstance(heard.key, str) and HASH.fullmatch(heard.key) and isinstance(heard.reason, str)
    is_number = sure is None or (isinstance(sure, float) and 0 <= sure <= 1)
    is_text = isinstance(heard.text, str) or (heard.text is None and heard.reason)
    return heard if is_valid and is_number and is_text else None

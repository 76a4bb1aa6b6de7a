"""A file of records that only grows, a line of JSON for each, so that a killed command goes on where it was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any


class AppendLog:
    """One file. Records are added by one thread."""

    def __init__(self, path: Path):
        self.path = path
        self.file: IO[str] | None = None

    def records(self) -> Iterator[dict[str, Any]]:
        """Every record, the oldest first. A line that was cut off is none, and the file is ended behind the last whole
        one; a line that holds no record is passed over."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with self.path.open("r+b") as opened:
                opened.truncate(len(whole))
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                record: Any = json.loads(line)
                if isinstance(record, dict):
                    yield record

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; it is with the operating system when this returns."""
        if self.file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a", encoding="utf-8")
        self.file.write(json.dumps(record, ensure_ascii=True) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Nothing is added any more."""
        if self.file is not None:
            self.file.close()
            self.file = None

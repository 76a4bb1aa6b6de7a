"""What became of each address so far: a line of JSON for each, so that a killed command goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..files import new_file
from ..paths import inside
from .download import SUFFIXES, Download

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Outcome:
    """What an address gave: a file, or the reason why there is none."""

    address: str
    kind: str
    file: str = ""  # in the folder; none of an address that failed
    sha256: str = ""
    reason: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What is fetched once."""
        return self.address, self.kind


class Journal:
    """The folder of files, and the outcomes in it. Outcomes are added by one thread."""

    def __init__(self, folder: Path):
        self.folder, self.outcomes = folder, _read(folder)
        self.file: IO[str] | None = None

    def store(self, address: str, kind: str, download: Download) -> Outcome:
        """Write a file into the folder, named by its address. May be called from several threads."""
        name = hashlib.sha256(f"{kind} {address}".encode()).hexdigest()[:32]
        file = f"{name[:2]}/{name}{download.suffix}"
        with new_file(self.folder / file) as out:
            out.write(download.content)
        return Outcome(address, kind, file, hashlib.sha256(download.content).hexdigest())

    def add(self, outcome: Outcome) -> None:
        """Note an outcome."""
        self.outcomes[outcome.key] = outcome
        if self.file is None:
            self.file = (self.folder / JOURNAL).open("a", encoding="utf-8")
        self.file.write(json.dumps(asdict(outcome), ensure_ascii=True) + "\n")
        self.file.flush()

    def forget_failures(self) -> None:
        """Let addresses that gave no file be tried again."""
        self.outcomes = {key: outcome for key, outcome in self.outcomes.items() if outcome.file}

    def close(self) -> None:
        """Nothing is noted any more."""
        if self.file is not None:
            self.file.close()
            self.file = None


def _read(folder: Path) -> dict[tuple[str, str], Outcome]:
    """Outcomes by address and kind, without those whose file is gone or was changed since. A line that was cut off is
    none, and the file is ended behind the last whole one."""
    file = folder / JOURNAL
    if not file.exists():
        return {}
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with file.open("r+b") as opened:
            opened.truncate(len(whole))
    outcomes = (_outcome(line) for line in whole.splitlines())
    latest = {outcome.key: outcome for outcome in outcomes if outcome}
    return {key: outcome for key, outcome in latest.items() if not outcome.file or _is_whole(folder, outcome)}


def _outcome(line: bytes) -> Outcome | None:
    try:
        facts: Any = json.loads(line)
        outcome = Outcome(**facts)
    except (ValueError, TypeError):
        return None
    return outcome if all(isinstance(value, str) for value in asdict(outcome).values()) else None


def _is_whole(folder: Path, outcome: Outcome) -> bool:
    """Whether the file of an outcome holds what was fetched."""
    if Path(outcome.file).suffix not in SUFFIXES.values():
        return False
    place = inside(folder, outcome.file)
    if not place.is_file():
        return False
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == outcome.sha256

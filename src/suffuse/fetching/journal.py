"""What became of each address so far: a line of JSON for each, so that a killed command goes on where it was."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..append_log import AppendLog
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
        self.folder, self.log = folder, AppendLog(folder / JOURNAL)
        self.outcomes = self._read()

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
        self.log.add(asdict(outcome))

    def forget_failures(self) -> None:
        """Let addresses that gave no file be tried again."""
        self.outcomes = {key: outcome for key, outcome in self.outcomes.items() if outcome.file}

    def close(self) -> None:
        """Nothing is noted any more."""
        self.log.close()

    def _read(self) -> dict[tuple[str, str], Outcome]:
        """Outcomes by address and kind, without those whose file is gone or was changed since."""
        latest = {outcome.key: outcome for record in self.log.records() if (outcome := _outcome(record))}
        return {key: o for key, o in latest.items() if not o.file or _is_whole(self.folder, o)}


def _outcome(record: dict[str, Any]) -> Outcome | None:
    try:
        outcome = Outcome(**record)
    except TypeError:
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

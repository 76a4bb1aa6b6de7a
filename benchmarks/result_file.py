"""Result files: what was measured, with the command, commit, processor and load that it was measured with."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from suffuse.environment import surroundings
from suffuse.files import write_json

RESULTS = Path(__file__).resolve().parent / "results"
STARTED_WITH = os.getloadavg()
KEYS = ("command", "commit", "processor", "load", "date", "machine")  # of every record


def provenance() -> dict[str, Any]:
    """:data:`KEYS` of a record: ``load`` is the load average of one minute when the script began and when the record
    was made, ``machine`` everything else that numbers may depend on (:func:`suffuse.environment.surroundings`)."""
    machine = surroundings(0)
    return {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(without_folder, sys.argv[1:])]),
        "commit": machine["commit"],
        "processor": machine["hardware"]["processor"],
        "load": {"at the start": round(STARTED_WITH[0], 2), "at the end": round(os.getloadavg()[0], 2)},
        "date": machine["written"][:10],
        "machine": machine,
    }


def without_folder(argument: str) -> str:
    """An absolute path as its last part: the folders above it are of one machine."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def write_result(name: str, facts: dict[str, Any], folder: Path = RESULTS) -> None:
    """``results/NAME.json``: the facts behind their provenance."""
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{name}.json", {**provenance(), **facts})

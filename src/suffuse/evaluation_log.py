"""``test_evaluations.json``: when the test rows were evaluated. Results that were chosen after the first evaluation may
have been chosen on test rows, so the number is part of every report.

The file is committed with the scores: a killed evaluation counts once, when it ends. Each stamp of ``evaluate`` holds
the list as well, so that a lost file doesn't start the count again.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from .checked_json import read_checked
from .errors import SuffuseError
from .files import read_json, write_json
from .integrity import LOG, read_stamp


def evaluations(folder: Path) -> list[str]:
    """Times of all evaluations of a run's test rows, as far as the file or a stamp records them, in order.

    Raises SuffuseError where one of these isn't what was written.
    """
    listed = read_json(folder / LOG) or []
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise SuffuseError("this is no list of evaluations", where=folder / LOG, expected="a list of times")
    found = {*listed, *recorded(folder)}
    for place in sorted(folder.glob("previous/*/evaluate.stamp.json")):
        found.update(_of((read_checked(place) or {}).get("evaluations")))
    return sorted(found, key=_moment)


def recorded(folder: Path) -> list[str]:
    """The times that the stamp of ``evaluate`` holds; the file of a finished run holds them too."""
    return _of((read_stamp(folder, "evaluate") or {}).get("evaluations"))


def earlier_seeds(folder: Path, seeds: int) -> list[int]:
    """Numbers of seeds, fewer than ``seeds``, that were evaluated before: by the stamps in ``previous/``."""
    evaluated, trained = set(), {}
    for place in sorted(folder.glob("previous/*/*.stamp.json")):
        facts = read_checked(place) or {}
        if place.name == "evaluate.stamp.json":
            evaluated.add(facts["inputs"].get("stage distill"))
        elif place.name == "distill.stamp.json":
            trained[facts["digest"]] = facts["inputs"].get("distill.num_seeds")
    return sorted({n for digest, n in trained.items() if digest in evaluated and n is not None and n < seeds})


def add(folder: Path, place: Path) -> None:
    """Write the run's list with this evaluation at its end into a working folder."""
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    write_json(place / LOG, [*evaluations(folder), now])


def _of(listed: object) -> list[str]:
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _moment(text: str) -> tuple[float, str]:
    try:
        return datetime.fromisoformat(text).timestamp(), text
    except ValueError:
        return 0.0, text

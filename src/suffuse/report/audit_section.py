"""The trust audit on the page: the items as ``audit.json`` holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..files import read_json
from ..run import Run
from .i18n import t

STATES = {"broken": "broken", "warning": "warning", "kept": "kept", "by tests": "by tests", "not there": "not there",
          "unchecked": "unchecked"}  # fmt: skip
AREAS = {"teacher": "teacher", "store": "knowledge store", "losses": "losses", "loop": "training loop",
         "evaluation": "evaluation", "rows": "rows used by trainings"}  # fmt: skip


def audited(run: Run, found: Sequence[dict] | None = None) -> dict[str, Any] | None:
    """Items by area, and how many stand how; None where there was no audit."""
    found = found if found is not None else read_json(run.path("audit.json"))
    if not found:
        return None
    count = Counter(one["state"] for one in found)
    return {
        "areas": [{"name": t(AREAS.get(str(area), str(area))), "items": [_item(x) for x in some]}
                  for area, some in groupby(found, key=lambda one: one["area"])],
        "counts": [{"state": state.replace(" ", "-"), "says": t(says), "number": count[state]}
                   for state, says in STATES.items() if count[state]],
    }  # fmt: skip


def _item(one: dict) -> dict[str, str]:
    state = str(one["state"])
    return {"number": one["number"], "says": t(one["says"]), "kind": state.replace(" ", "-"),
            "state": t(STATES.get(state, state)), "fact": one["fact"]}  # fmt: skip


def alerts(run: Run) -> list[dict[str, str]]:
    """What trainings noticed of themselves: a loss that teaches nothing, a gradient that vanished."""
    found: dict[str, list[str]] = {}
    for file in sorted(run.folder.glob("*/seed-*/training.json")):
        if file.parts[-3] not in (".partial", "previous"):
            for alert in (read_json(file) or {}).get("alerts") or ():
                found.setdefault(str(alert), []).append(f"{file.parts[-3]} {file.parts[-2].removeprefix('seed-')}")
    return [{"says": says, "where": ", ".join(where)} for says, where in found.items()]

"""What ``--set`` changed in the recipe of a run: recorded in run.json, shown, and compared before a stage is rebuilt.

The recipe file knows nothing of an override. A ``run`` on the file without it asks for another recipe than the run's,
and so for other results: the user reads which keys differ, what will be rebuilt, and how to keep the run.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import UsageError
from .recipe.yaml_io import read_yaml
from .run import Run, flat, recorded_overrides

Plan = Mapping[str, Sequence[str]]  # stage -> reasons to run; none where it is up to date
SHORT = 60  # characters of a value


def differing(run: Run) -> dict[str, tuple[Any, Any]]:
    """Keys that ``--set`` changed when the run was made and that have another value now -> then and now."""
    before = {key for key, value in recorded_overrides(run.folder).items() if run.overrides.get(key) != value}
    stored = _stored(run.path("recipe.yaml")) if before else {}
    if not stored:
        return {}
    now = flat(run.recipe.model_dump(mode="json"))
    keys = [key for key in {**stored, **now} if any(key == b or key.startswith(f"{b}.") for b in before)]
    return {key: (stored.get(key), now.get(key)) for key in keys if stored.get(key) != now.get(key)}


def notice(run: Run, plan: Plan) -> list[str]:
    """What a ``run`` by this recipe would undo of the overrides that the run was made with; nothing where it keeps
    them."""
    if not (changed := differing(run)):
        return []
    stale = [verb for verb, why in plan.items() if why]
    rebuilt = f"{', '.join(stale)} will be rebuilt; what they made moves to previous/" if stale else "no stage reads it"
    flags = _flags(recorded_overrides(run.folder))
    return [
        f"run       this run was made with {flags}",
        *(
            f"          {key}: the recipe has {_short(now)}, the run {_short(then)}"
            for key, (then, now) in changed.items()
        ),
        f"          by this recipe {rebuilt}",
        f"          to keep the run: suffuse run {_place(run)}, or repeat {flags}",
    ]


def repeat(run: Run, recipe: Path) -> str:
    """How the run is called again with its overrides."""
    folder = f"suffuse run {_place(run)}"
    with_flags = "" if recipe.is_dir() else f", or suffuse run {shlex.quote(str(recipe))} {_flags(run.overrides)}"
    return f"run       made with {_flags(run.overrides)}; to repeat it: {folder}{with_flags}"


def status_lines(run: Run, plan: Plan) -> list[str]:
    """For people: how the run was made, then a line for each stage."""
    made = recorded_overrides(run.folder)
    first = notice(run, plan) or ([f"run       made with {_flags(made)}"] if made else [])
    return [*first, *(f"{verb:<9} {'; '.join(why) or 'up to date'}" for verb, why in plan.items())]


def status_json(run: Run, plan: Plan) -> dict[str, Any]:
    """For programs: each stage, and ``overrides`` where the run was made with any."""
    found: dict[str, Any] = {verb: {"up_to_date": not why, "reasons": why} for verb, why in plan.items()}
    if made := recorded_overrides(run.folder):
        changed = {key: {"run": then, "recipe": now} for key, (then, now) in differing(run).items()}
        found["overrides"] = {"set": made, "differ": changed}
    return found


def _stored(path: Path) -> dict[str, Any]:
    """The recipe that a run was made by, flat; nothing where it can't be read: then the stages say what is wrong."""
    try:
        return flat(read_yaml(path))
    except (OSError, UsageError):
        return {}


def _flags(overrides: Mapping[str, str]) -> str:
    return " ".join(f"--set {shlex.quote(f'{key}={value}')}" for key, value in overrides.items())


def _place(run: Run) -> str:
    """The run folder, from here where it lies below."""
    here = Path.cwd()
    return shlex.quote(str(run.folder.relative_to(here) if run.folder.is_relative_to(here) else run.folder))


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= SHORT else text[: SHORT - 3] + "..."

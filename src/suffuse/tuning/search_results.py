"""What is kept and said of a search: the chosen recipe, which overwrites nothing, the trials, the front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checked_json import read_checked, write_checked
from ..files import bytes_facts, write_bytes
from ..recipe import Recipe, to_yaml
from ..run import Run
from .options import BASELINE, STUDENT, WROTE, refuse, wrote
from .pareto import LATENCY, QUALITY, SIZE, lines
from .study import Study


def points(study: Study) -> list[dict[str, Any]]:
    """The trials that were trained to their end: quality, latency, size, and what each changes."""
    found = []
    for trial in study.done():
        facts = trial.user_attrs["facts"]
        latency = facts[LATENCY] or None  # 0 where it can't be measured
        one = {"name": str(trial.number), QUALITY: facts[QUALITY], LATENCY: latency, SIZE: facts[SIZE]}
        found.append({**one, "overrides": trial.user_attrs["overrides"], "epochs": facts["epochs"]})
    return found


def counted(study: Study) -> dict[str, int]:
    """How the trials came out: told, and of those that were not finished why."""
    found = {"trials": study.ended(), "finished": len(study.done()), "open": len(study.running())}
    for trial in study.trials():
        if "pruned" in trial.user_attrs:
            kind = trial.user_attrs["pruned"]["kind"]
            found[kind] = found.get(kind, 0) + 1
    return found


def write_recipe(recipe: Recipe, run: Run, says: Sequence[str], out: Path | None) -> Path:
    """The chosen recipe as YAML, with what it came from as comments; nothing is lost by it.

    In the run's ``tuning/`` under a new name, where there is another one already; at ``out`` in place of what a search
    of this run left there, which moves to ``previous/``. The same text again changes nothing.
    """
    text = "".join(f"# {line}\n" for line in says) + to_yaml(recipe)
    content, place, number = text.encode(), run.path("tuning"), 1
    file = out or place / "recipe.yaml"
    while file.exists() and file.read_bytes() != content:
        if out is not None:
            refuse(out, run)
            write_bytes(run.previous(out.name), out.read_bytes())
            break
        number += 1
        file = place / f"recipe-{number}.yaml"
    if out is not None:
        _remember(out, content, run)
    write_bytes(file, content)
    return file


def _remember(out: Path, content: bytes, run: Run) -> None:
    """Before it is written: killed in between, the next call knows either file as a search's own."""
    facts, known = bytes_facts(content), wrote(out, run)
    if facts not in known:
        all_ = read_checked(run.path(WROTE)) or {}
        write_checked(run.path(WROTE), all_ | {str(out.resolve()): [*known, facts]})


def talk(result: dict[str, Any], run: Path) -> list[str]:
    """What the command line prints of a result."""
    counts, outcomes = result["trials"], result["outcomes"]
    pruned = ", ".join(f"{n} {kind}" for kind, n in outcomes.items() if kind not in ("trials", "finished", "open"))
    said = [
        f"{counts[STUDENT]} trials of the student ({outcomes['finished']} finished{', ' + pruned if pruned else ''}), "
        f"{counts[BASELINE]} of the baseline",
        "", "not beaten in validation, latency and size at once:",
        *lines(result["front"], result["metric"], result["own"]), "",
        *(f"{who}: {facts['words']}" for who, facts in result["chosen"].items()),
        f"wrote {result['recipe']}",
    ]  # fmt: skip
    if 0 < counts[BASELINE] < counts[STUDENT]:
        said.append("the baseline had fewer trials: call it again with more --minutes")
    looked = f" (earlier evaluations: {result['looks']})" if result["looks"] else ""
    said.append(
        f"next: suffuse run {result['recipe']} --out {run} trains it again and scores the test rows once{looked}"
    )
    return said

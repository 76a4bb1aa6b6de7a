"""What is kept and said of a search: the chosen recipe, which overwrites nothing, the trials, the front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import write_text
from ..recipe import Recipe, to_yaml
from .front import LATENCY, QUALITY, SIZE, lines
from .how import BASELINE, STUDENT, refuse
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


def write_recipe(recipe: Recipe, place: Path, says: Sequence[str], out: Path | None) -> Path:
    """The chosen recipe as YAML, with what it came from as comments; under a new name where there is one already."""
    file, number = out or place / "recipe.yaml", 1
    while file.exists():
        if out is not None:
            refuse(out)
        number += 1
        file = place / f"recipe-{number}.yaml"
    head = "".join(f"# {line}\n" for line in says)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, head + to_yaml(recipe))
    return file


def talk(result: dict[str, Any], run: Path) -> list[str]:
    """What the command line says of a result."""
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
    looked = f" (looks before this one: {result['looks']})" if result["looks"] else ""
    said.append(
        f"next: suffuse run {result['recipe']} --out {run} trains it anew and looks at the test rows once{looked}"
    )
    return said

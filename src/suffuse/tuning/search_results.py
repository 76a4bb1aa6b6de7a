"""Results of a search: the chosen recipe, which overwrites nothing, the trials on the front, the printed summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checked_json import read_checked, write_checked
from ..files import bytes_facts, write_bytes
from ..recipe import Recipe, to_yaml
from ..run import Run
from .options import BASELINE, OUTPUTS_FILE, STUDENT, check_output, own_outputs
from .pareto import LATENCY, QUALITY, SIZE, front_table
from .study import Study


def front_points(study: Study) -> list[dict[str, Any]]:
    """The completed trials: quality, latency, size, and what each changes."""
    points = []
    for trial in study.completed():
        facts = trial.user_attrs["facts"]
        latency = facts[LATENCY] or None  # 0 where it can't be measured
        costs = {"name": str(trial.number), QUALITY: facts[QUALITY], LATENCY: latency, SIZE: facts[SIZE]}
        points.append({**costs, "overrides": trial.user_attrs["overrides"], "epochs": facts["epochs"]})
    return points


def count_outcomes(study: Study) -> dict[str, int]:
    """How many trials ended, were finished, are open, and were pruned for each reason."""
    counts = {"trials": study.count_ended(), "finished": len(study.completed()), "open": len(study.running())}
    for trial in study.trials():
        if "pruned" in trial.user_attrs:
            kind = trial.user_attrs["pruned"]["kind"]
            counts[kind] = counts.get(kind, 0) + 1
    return counts


def write_recipe(recipe: Recipe, run: Run, comments: Sequence[str], out: Path | None) -> Path:
    """Write the chosen recipe as YAML, with its origin as comments; nothing is lost by it.

    In the run's ``tuning/`` it gets a new name where another recipe exists; at ``out`` it replaces what a search of
    this run left there, which moves to ``previous/``. Writing the same text again changes nothing.
    """
    text = "".join(f"# {line}\n" for line in comments) + to_yaml(recipe)
    content, folder, number = text.encode(), run.path("tuning"), 1
    file = out or folder / "recipe.yaml"
    while file.exists() and file.read_bytes() != content:
        if out is not None:
            check_output(out, run)
            write_bytes(run.previous(out.name), out.read_bytes())
            break
        number += 1
        file = folder / f"recipe-{number}.yaml"
    if out is not None:
        _remember(out, content, run)
    write_bytes(file, content)
    return file


def _remember(out: Path, content: bytes, run: Run) -> None:
    """Record an output before it is written: after a kill in between, the next call recognises either version."""
    facts, known = bytes_facts(content), own_outputs(out, run)
    if facts not in known:
        outputs = read_checked(run.path(OUTPUTS_FILE)) or {}
        write_checked(run.path(OUTPUTS_FILE), outputs | {str(out.resolve()): [*known, facts]})


def result_lines(result: dict[str, Any], run: Path) -> list[str]:
    """What the command line prints of a result."""
    counts, outcomes = result["trials"], result["outcomes"]
    pruned = ", ".join(f"{n} {kind}" for kind, n in outcomes.items() if kind not in ("trials", "finished", "open"))
    lines = [
        f"{counts[STUDENT]} trials of the student ({outcomes['finished']} finished{', ' + pruned if pruned else ''}), "
        f"{counts[BASELINE]} of the baseline",
        "", "not beaten in validation, latency and size at once:",
        *front_table(result["front"], result["metric"], result["own"]), "",
        *(f"{role}: {facts['words']}" for role, facts in result["chosen"].items()),
        f"wrote {result['recipe']}",
    ]  # fmt: skip
    if 0 < counts[BASELINE] < counts[STUDENT]:
        lines.append("the baseline had fewer trials: call it again with more --minutes")
    earlier = f" (earlier evaluations: {result['looks']})" if result["looks"] else ""
    lines.append(
        f"next: suffuse run {result['recipe']} --out {run}  # trains it again and scores the test rows once{earlier}"
    )
    return lines

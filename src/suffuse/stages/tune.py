"""tune: a better recipe, searched on what is stored of the teacher, and chosen on validation rows alone.

Works on a run whose rows are prepared and whose store is there. The teacher is never asked, the test rows are never
read. First the student is searched, then the best trials and the recipe as it is are trained again with fresh
seeds and one is chosen; then the labels-only baseline gets as many trials. Killed, it goes on.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..checked_json import read_checked, write_checked
from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.runtime import require_precision, settle
from ..errors import SuffuseError
from ..evaluation_log import evaluations
from ..files import bytes_facts, file_facts, write_text
from ..progress import progress, say
from ..recipe import to_yaml
from ..run import Run
from ..tuning import diagnostics, heuristics, search_results, search_space
from ..tuning.options import BASELINE, STUDENT, TuneOptions, check
from ..tuning.pareto import front
from ..tuning.samplers import SearchContext
from ..tuning.search_session import Session, short_hash
from ..tuning.trial import Search

_AGAIN = "remove the folder tuning: the search starts again"


def tune(run: Run, options: TuneOptions) -> dict[str, Any]:
    """Search, choose, write ``tuning/``, ``tuning.json`` and the chosen recipe; returns what the command line prints.

    Raises UsageError where the recipe's file is somebody else's, or no trial fits into the budget.
    """
    check(options, run)
    device = settle(run.recipe.compute.threads, run.recipe.compute)
    require_precision(device, run.recipe.distill.train.precision, "distill.train.precision")
    place = begin(run, options)
    feature_cache.foresee(run, run.recipe.student, Columns.open(run.path("data")))
    with progress("tune") as tell:
        session = Session(run, options, place, tell)
        student = session.search(STUDENT, place / "shipped.yaml", options.trials)
        chosen, told = session.finals(student)
        texts, counts = chosen["overrides"], {STUDENT: student.study.count_ended(), BASELINE: 0}
        found = {"student": told}
        if options.baseline:
            base = place / f"chosen-{short_hash(texts)}.yaml"
            write_text(base, to_yaml(search_space.read_point(place / "shipped.yaml", texts)))
            alone = session.search(BASELINE, base, counts[STUDENT])
            other, found["baseline"] = session.finals(alone)
            texts, counts[BASELINE] = [*texts, *other["overrides"]], alone.study.count_ended()
        tell(1.0, f"{counts[STUDENT]} trials of the student, {counts[BASELINE]} of the baseline")
    return finish(run, options, (student, texts, counts), found)


def begin(run: Run, options: TuneOptions) -> Path:
    """The search's folder; one of another recipe, of other data or goals is put aside. Says what is tried first."""
    place = run.path("tuning")
    identity = {
        "recipe": json.loads(run.recipe.model_dump_json(include={"seed", "modalities", "student", "distill"})),
        "made of": {verb: (run.stamp(verb) or {}).get("digest") for verb in ("prepare", "extract")},
        "objectives": list(options.objectives), "max_cost": options.max_cost, "max_epochs": options.max_epochs,
    }  # fmt: skip
    plan = read_checked(place / "plan.json", _AGAIN)
    if plan is not None and plan.get("shipped") not in (None, file_facts(place / "shipped.yaml")):
        raise SuffuseError("a file was changed after it was written", where=place / "shipped.yaml", hint=_AGAIN)
    if plan is not None and plan["identity"] != identity:
        say("tune      another recipe, store or goal than last time: that search moves to previous/")
        for name in ("tuning", "tuning.json"):
            if run.path(name).exists():
                run.put_aside(run.path(name), name)
        plan = None
    if plan is None:
        place.mkdir(parents=True, exist_ok=True)
        shipped = to_yaml(run.recipe)
        write_text(place / "shipped.yaml", shipped)
        facts, context = diagnostics.collect_facts(run, options.scorecards), SearchContext.of(run, options.max_epochs)
        found = heuristics.findings(facts, context)
        narrow = {name: bounds for one in found for name, bounds in one.narrow.items()}
        plan = {"identity": identity, "narrow": narrow, "evidence": facts, "because": [asdict(one) for one in found]}
        plan |= {"shipped": bytes_facts(shipped.encode())}
        plan |= {"objectives": list(options.objectives), "max_cost": options.max_cost, "max_epochs": options.max_epochs}
        write_checked(place / "plan.json", plan)
    for one in plan["because"]:
        say(f"because   {one['because']}")
    return place


def finish(
    run: Run, options: TuneOptions, outcome: tuple[Search, list[str], dict[str, int]], chosen: dict[str, dict]
) -> dict[str, Any]:
    """Write it all; returns it."""
    (student, texts, counts), place = outcome, run.path("tuning")
    plan = read_checked(place / "plan.json") or {}
    recipe = search_space.read_point(place / "shipped.yaml", texts)
    recipe = recipe.model_copy(update={"name": f"{recipe.name or run.folder.name}-tuned"})
    metric, best = plan["evidence"]["metric"], front(search_results.front_points(student.study))
    metric += ", mean over subsets" if student.context.by_subsets else ""
    measure = "ONNX Runtime, one row, one thread, median ms"
    write_checked(place / "front.json", {"metric": metric, "split": "validation", "latency": measure, "points": best})
    says = [f"Found by suffuse tune, on validation; trials: {counts[STUDENT]} student, {counts[BASELINE]} baseline."]
    says += [*(f"{role}: {facts['words']}" for role, facts in chosen.items()), *(f"  {text}" for text in texts)]
    file = search_results.write_recipe(recipe, run, says, options.out)
    write_checked(run.path("tuning.json"), counts)
    own = student.costs.of(student.costs.own)
    result = {
        "trials": counts,
        "outcomes": search_results.count_outcomes(student.study),
        "metric": metric,
        "objectives": list(options.objectives),
        "because": [one["because"] for one in plan["because"]],
        "front": best,
        "chosen": chosen,
        "overrides": texts,
        "recipe": str(file),
        "own": {"latency": own["latency_ms"], "size": own["parameters"]},
        "looks": len(evaluations(run.folder)),
    }
    write_checked(place / "result.json", result)
    return result

"""What `suffuse tune` finds in half an hour, of three scenarios: the chosen recipe against the shipped one, on test.

    python benchmarks/tune.py DATA [products] [orders] [questions] [--minutes 30] [--processes 2] [--seeds 5]
                              [--objective quality] [--no-baseline] [--out runs/tune] [--set a.b=c ...]
                              [--search-set a.b=c ...] [--write | --toy]

DATA is the folder with the data sets (each recipe's header says where they come from). Of each scenario the rows are
prepared, the teacher is trained and asked once; then the search has its minutes, on validation rows alone. The chosen
and the shipped recipe are trained anew with the same number of seeds, none of which the search or its finals used, and
look at the test rows once. The difference is paired: the same seeds' numbers, the same resamples of rows. Where the
search leaves the recipe as it is, there is nothing to test. ``--search-set`` counts for the search alone, e.g. more
validation rows to choose by: rows, teacher and store of what is tested are the recipe's own then. ``--write`` keeps the
numbers of the scenarios that ran, each with its date and hardware, in ``results/tune.json``. Call it again to go on.
``--toy`` is the smoke test of this script: DATA as ``toy_data.py`` writes them, one epoch, tiny networks, nothing
pretrained; where the search leaves the recipe as it is, another learning rate is tested.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from copies import copied
from result_file import provenance
from seeds import seed_logits
from shipped import add_cases, add_toy, arguments_of, opened
from suffuse import Run, run_stage, scores
from suffuse.activations import activate, main_metric
from suffuse.checked_json import read_checked
from suffuse.data.columns import Columns
from suffuse.evaluation.metrics import draw, measure
from suffuse.files import read_json, write_json, write_text
from suffuse.pipeline import run_tune
from suffuse.recipe import read_recipe, to_yaml
from suffuse.tuning.options import TuneOptions

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "tune.json"
SCENARIOS = {"products": "fashion9k", "orders": "coffee_orders619", "questions": None}
FILES = {"questions": "easy-vqa"}
STORED, LOOKED = ("prepare", "teach", "extract"), ("distill", "export", "evaluate")
TOY_CHOSEN = ("distill.train.learning_rate=0.01",)  # tested by --toy where the search leaves the recipe as it is
RESAMPLES, CONFIDENCE = 2000, 0.95


def scenario(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Search, train both recipes, test once."""
    place, data = asked.out.resolve() / name, SCENARIOS[name]
    overrides = [f"data.source={asked.data.resolve() / data / 'manifest.csv'}"] if data else []
    recipe = FILES.get(name, name)
    base = stored(recipe, (*overrides, *asked.set), place / ("base" if asked.search_set else "search"))
    search = stored(recipe, (*overrides, *asked.set, *asked.search_set), place / "search") if asked.search_set else base
    result = searched(search, asked)
    found = tuple(result["overrides"]) or (TOY_CHOSEN if asked.toy else ())
    facts = tested(base, place, found, asked) if found else {"verdict": "the recipe as it is stays", "looks": []}
    return facts | {
        "minutes": asked.minutes,
        "seconds": round(sum((read_checked(search.path("tuning", "spent.json")) or {}).values())),
        "set": asked.set,
        "set for the search": asked.search_set,
        "objectives": result["objectives"],
        "trials": result["trials"],
        "outcomes": result["outcomes"],
        "because": result["because"],
        "candidates": {who: one["candidates"] for who, one in result["chosen"].items()},
        "words": {who: one["words"] for who, one in result["chosen"].items()},
        "overrides": result["overrides"],
    }


def tested(base: Run, place: Path, found: tuple[str, ...], asked: argparse.Namespace) -> dict[str, Any]:
    """Both recipes trained anew with the same seeds, and held against each other on the test rows, once."""
    seeds = (f"distill.num_seeds={asked.seeds}", "distill.unimodal_baselines=false", "distill.label_fractions=[]")
    write_text(place / "shipped.yaml", to_yaml(base.recipe))
    shipped = done(base, place / "shipped", place / "shipped.yaml", seeds)
    chosen = done(base, place / "chosen", place / "shipped.yaml", (*found, *seeds))
    return compared(shipped, chosen) | {"shipped": table(shipped), "chosen": table(chosen)}


def stored(recipe: str, overrides: tuple[str, ...], folder: Path) -> Run:
    """A run of a shipped recipe whose teacher was asked."""
    run = opened(recipe, folder, overrides)
    for verb in STORED:
        run_stage(run, verb)
    return run


def searched(base: Run, asked: argparse.Namespace) -> dict[str, Any]:
    """The search's result; made once."""
    kept = read_checked(base.path("tuning", "result.json"))
    if kept is not None:
        return kept
    how = TuneOptions(asked.minutes, asked.trials, asked.processes, tuple(asked.objective), baseline=asked.baseline)
    return run_tune(base, how)


def done(base: Run, folder: Path, recipe: Path, overrides: tuple[str, ...]) -> Run:
    """A run of a recipe on a copy of what the search started from: the same rows, teacher and store."""
    run = Run(copied(base, folder), read_recipe(recipe, overrides))
    for verb in LOOKED:
        run_stage(run, verb)
    return run


def compared(shipped: Run, chosen: Run) -> dict[str, Any]:
    """Chosen less shipped, students on test: over seeds and groups of rows."""
    columns = Columns.open(shipped.path("data"))
    rows = columns.labelled("test")
    draws = draw(columns.group[rows], RESAMPLES, CONFIDENCE)
    metric = main_metric(columns.spec.heads)
    ours, theirs = (students(run, columns, rows, draws, metric) for run in (chosen, shipped))
    gap = ours - theirs
    times = np.random.default_rng(0).multinomial(len(gap), np.full(len(gap), 1 / len(gap)), size=RESAMPLES)
    spread = (gap[:, 1:] * times.T).sum(0) / len(gap)
    low, high = (float(v) for v in np.nanquantile(spread, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]))
    verdict = "better" if low > 0 else "worse" if high < 0 else "no evidence"
    return {
        "metric": metric, "rows": len(rows), "seeds": len(gap), "difference": float(gap[:, 0].mean()), "low": low,
        "high": high, "verdict": verdict, "looks": [len(looks(run)) for run in (shipped, chosen)],
    }  # fmt: skip


def students(run: Run, columns: Columns, rows: np.ndarray, draws: Any, metric: str) -> np.ndarray:
    """(S, R + 1): the metric of each seed on the rows and on their resamples."""
    found = []
    for said in seed_logits(run, columns, rows):
        found.append(measure(columns.spec, activate(columns.spec.heads, said), columns.target[rows], draws)[metric])
    return np.stack(found)


def looks(run: Run) -> list[str]:
    """When the test rows were looked at."""
    return read_json(run.path("test_evaluations.json")) or []


def table(run: Run) -> dict[str, Any]:
    """Teacher, student and baseline: every metric, size and latency."""
    found, kept = {}, ("mean", "low", "high", "per_seed")
    for who, card in scores(run).items():
        if who in ("teacher", "student", "baseline", "export"):
            metrics = {name: {k: m[k] for k in kept} for name, m in card["metrics"].items()}
            found[who] = {**metrics, **{k: card[k] for k in ("parameters", "bytes", "latency_ms") if k in card}}
    return found


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_cases(parser, "scenarios", SCENARIOS)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--objective", nargs="+", default=["quality"], help="at no more than the shipped one's cost")
    parser.add_argument("--no-baseline", dest="baseline", action="store_false")
    parser.add_argument("--out", type=Path, default=Path("runs/tune"))
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="an override of every recipe")
    parser.add_argument(
        "--search-set", action="append", default=[], metavar="a.b=c", help="the same, of the search alone"
    )
    parser.add_argument("--write", action="store_true")
    add_toy(parser)
    return arguments_of(parser)


def main() -> int:
    """Run what is asked for; 1 where a tuned recipe loses, or, of all three, none is better."""
    asked, found = arguments(), {}
    for name in asked.scenarios:
        facts = found[name] = scenario(name, asked)
        gap = ""
        if facts["looks"]:
            low, high = (f"{facts[end]:+.4f}" for end in ("low", "high"))
            gap = f"{facts['metric']} of the chosen recipe less the shipped one's, {facts['rows']:,} test rows, "
            gap += f"{facts['seeds']} seeds: {facts['difference']:+.4f} [{low}, {high}] "
        print(f"\n{name}, searched for {facts['seconds'] / 60:.1f} minutes: {gap}{facts['verdict']}")
        print("\n".join(f"  {line}" for line in (*facts["words"].values(), *facts["overrides"])))
        if asked.write:
            kept = (read_json(RESULT) or {}).get("scenarios", {})
            write_json(RESULT, {"scenarios": {**kept, name: {**provenance(), **facts}}})
    verdicts = [facts["verdict"] for facts in found.values()]
    nothing = len(verdicts) == len(SCENARIOS) and "better" not in verdicts
    return int("worse" in verdicts or nothing)


if __name__ == "__main__":
    sys.exit(main())

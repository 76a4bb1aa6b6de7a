"""The three scenarios on their real data, in full: run each recipe, print its table, and check what it must reach.

    python benchmarks/scenarios.py DATA [products] [questions] [orders] [--out runs] [--write | --toy]

DATA is the folder with the data sets (each recipe's header says where they come from). ``--write`` keeps the numbers,
with date and hardware, in ``benchmarks/results/``. Stages that are up to date are not run again.
``--toy`` is the smoke test of this script: DATA as ``toy_data.py`` writes them, one epoch, two folds, tiny networks,
nothing pretrained; what must be reached is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from result_file import write_result
from seeds import seed_logits
from shipped import add_cases, add_toy, arguments_of, folds_run, opened
from suffuse import Run, run_all, scores
from suffuse.data.columns import Columns
from suffuse.evaluation.intervals import SHARE
from suffuse.evaluation.metrics import draw
from suffuse.evaluation.predictions_file import SEPARATOR
from suffuse.evaluation.verdict import compare
from suffuse.types import heads_of

FOLDS, RESAMPLES = 5, 10_000
DISTILLED = ("student", "baseline")


@dataclass(frozen=True)
class Check:
    """What a scenario must reach: a number, and its bound."""

    what: str
    got: float
    least: float

    @property
    def reached(self) -> bool:
        """Whether it does."""
        return self.got >= self.least


def products(data: Path, out: Path) -> tuple[dict, list[Check]]:
    """Photo, masked title and attributes -> article type; the teacher's three seeds."""
    run = done("products", out / "products", f"data.source={data / 'fashion9k' / 'manifest.csv'}")
    card = scores(run)["teacher"]["metrics"]
    return table(run), [
        Check("teacher's accuracy, mean of 3 seeds", card["accuracy"]["mean"], 0.925),
        Check("teacher's macro-F1, mean of 3 seeds", card["macro_f1"]["mean"], 0.89),
    ]


def questions(data: Path, out: Path) -> tuple[dict, list[Check]]:
    """Picture and question -> answer (easy-VQA, from its package)."""
    run = done("easy-vqa", out / "easy-vqa")
    found = scores(run)
    return table(run), [
        Check("teacher's accuracy", found["teacher"]["metrics"]["accuracy"]["mean"], 0.995),
        Check("student's accuracy, mean of 3 seeds", found["student"]["metrics"]["accuracy"]["mean"], 0.99),
    ]


def orders(data: Path, out: Path) -> tuple[dict, list[Check]]:
    """Sound and transcript -> six slots, cross-validated over all rows, against the transcript alone."""
    source = data / "coffee_orders619" / "manifest.csv"
    rows: dict[str, dict[str, np.ndarray]] = {}
    for fold in folds_run(FOLDS):
        run = done("orders", out / f"orders-{fold}", f"data.source={source}", f"data.split.fold={fold}")
        for who, each in right(run).items():
            rows.setdefault(who, {}).update(each)
    ids = sorted(rows["teacher"])
    found = {who: np.stack([each[i] for i in ids]) for who, each in rows.items()}
    facts = {
        who: {"rows": len(ids), "mean": float(r.mean()), "targets": r.mean(0).tolist()} for who, r in found.items()
    }
    checks = []
    for other in ("TF-IDF and logistic regression", "teacher-only-transcript"):
        low, high = paired(found["teacher"].mean(1) - found[other].mean(1))
        gain = float(found["teacher"].mean() - found[other].mean())
        facts[f"teacher less {other}"] = {"mean": gain, "low": low, "high": high}
        checks.append(Check(f"lower end of teacher less {other}", low, 1e-9))
    gain = distilled(found)
    facts["student less baseline"] = {"mean": gain["difference"], **gain}
    drink = found["student"][:, 0].mean()
    return facts, [
        checks[0],
        Check("student's drink, from sound alone", float(drink), 0.93),
        Check("student less the same network on labels, six slots", gain["difference"], 0.05),
        Check("lower end of it", gain["low"], 1e-9),
    ]


def distilled(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Student less baseline, mean of the slots over all rows: paired seed by seed, on the same resamples of rows."""
    draws = draw(np.arange(len(found["student"])), RESAMPLES // 5, 0.95)
    ours, theirs = (seeds(found, who) @ draws.weight.T / draws.weight.sum(1) for who in DISTILLED)
    each = {"student": ours[:, 0].tolist(), "baseline": theirs[:, 0].tolist()}
    return compare(list(ours), list(theirs), 0.95, SHARE, draws.size) | each


def seeds(found: dict[str, np.ndarray], who: str) -> np.ndarray:
    """(S, N): the share of slots that each seed has right, of each row."""
    return np.stack([each.mean(1) for name, each in found.items() if name.startswith(f"{who}, seed ")])


def right(run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Who -> row id -> (T,) whether each target's answer is right, on the test rows; the words alone among them."""
    heads = heads_of(json.loads(run.path("data", "schema.json").read_text(encoding="utf-8"))["heads"])
    ids = pq.read_table(run.path("data", "rows.parquet"), columns=["id"]).column("id").to_pylist()
    read = pq.read_table(run.path("scores", "predictions.parquet"))
    target = np.array(read.column("target").to_pylist())
    names = [ids[row] for row in read.column("row").to_pylist()]
    found = {}
    for who in (name for name in read.column_names[2:] if SEPARATOR not in name):
        answers, at, parts = np.array(read.column(who).to_pylist()), 0, []
        for number, head in enumerate(heads):
            parts.append(answers[:, at : at + head.outputs].argmax(1) == target[:, number])
            at += head.outputs
        found[who] = dict(zip(names, np.stack(parts, axis=1), strict=True))
    columns, rows = Columns.open(run.path("data")), np.array(read.column("row").to_pylist())
    for who in DISTILLED:  # the table has their first seeds; here they are the mean of all, and each alone
        each = []
        for number, said in enumerate(seed_logits(run, columns, rows, who), 1):
            cuts = np.cumsum([head.outputs for head in heads])[:-1]
            answers = np.stack([part.argmax(1) for part in np.split(said, cuts, axis=1)], axis=1)
            each.append(answers == target)
            found[f"{who}, seed {number}"] = dict(zip(names, each[-1], strict=True))
        found[who] = dict(zip(names, np.mean(each, axis=0), strict=True))
    words = words_alone(run, names, [head.name for head in heads])
    return {**found, "TF-IDF and logistic regression": dict(zip(names, words, strict=True))}


def words_alone(run: Run, test: list[str], targets: list[str]) -> np.ndarray:
    """(rows, T) right answers of TF-IDF (one and two words) and logistic regression on the transcript, trained on the
    same rows: training and validation together, since it has nothing to choose."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from suffuse import sources

    rows = sources.read(run.recipe.data.source)
    column = {
        name: ["" if v is None else v for v in rows.table.column(name).to_pylist()] for name in rows.table.column_names
    }
    place = {name: n for n, name in enumerate(column[run.recipe.data.id or "id"])}
    there = {place[name] for name in test}
    used = pq.read_table(run.path("data", "rows.parquet"), columns=["id"]).column("id").to_pylist()
    train = [place[name] for name in used if place[name] not in there]
    text, found = column["text_asr"], []
    for target in targets:
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=30, max_iter=2000)
        )
        model.fit([text[n] for n in train], [column[target][n] for n in train])
        found.append(
            model.predict([text[place[name]] for name in test]) == [column[target][place[name]] for name in test]
        )
    return np.stack(found, axis=1)


def paired(gain: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of (N,) differences: rows drawn with replacement."""
    random = np.random.default_rng(0)
    means = gain[random.integers(0, len(gain), (RESAMPLES, len(gain)))].mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def done(recipe: str, folder: Path, *overrides: str) -> Run:
    """The recipe's run, every stage up to date."""
    run = opened(recipe, folder, overrides)
    run_all(run)
    return run


def table(run: Run) -> dict:
    """Every model's numbers, without intervals' raw material."""
    kept = ("mean", "low", "high", "per_seed")
    return {
        who: {
            **{name: {k: m[k] for k in kept} for name, m in card["metrics"].items()},
            **{k: card[k] for k in ("parameters", "bytes", "latency_ms") if k in card},
        }
        for who, card in scores(run).items()
    }


SCENARIOS: dict[str, Callable[[Path, Path], tuple[dict, list[Check]]]] = {
    "products": products,
    "questions": questions,
    "orders": orders,
}


def main() -> int:
    """Run what is asked for; 1 where something isn't reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_cases(parser, "scenarios", SCENARIOS)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--write", action="store_true")
    add_toy(parser)
    asked = arguments_of(parser)
    failed = False
    for name in asked.scenarios:
        facts, checks = SCENARIOS[name](asked.data.resolve(), asked.out)
        print(f"\n{name}")
        for who, numbers in facts.items():
            print(f"  {who:<44} " + "  ".join(f"{k} {short(v)}" for k, v in numbers.items() if short(v)))
        for check in checks:
            failed |= not check.reached
            said = "reached" if check.reached else "MISSED "
            print(f"  {said} {check.what}: {check.got:.4f}, at least {check.least:.4g}")
        if asked.write:
            told = [{"what": c.what, "got": c.got, "least": c.least, "reached": c.reached} for c in checks]
            write_result(f"scenario-{name}", {"results": facts, "checks": told})
    return int(failed)


def short(value: object) -> str:
    """A number, or the mean of several, in a few characters."""
    if isinstance(value, dict):
        return f"{value['mean']:.4f}" if "mean" in value else ""
    if isinstance(value, list):
        return " ".join(f"{v:.3f}" for v in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else ""


if __name__ == "__main__":
    sys.exit(main())

"""The table of results, for the terminal and the page alike."""

from __future__ import annotations

from dataclasses import dataclass

from ..files import read_json
from ..run import Run


@dataclass(frozen=True)
class Line:
    """One model's row of the table, as text."""

    who: str
    main: str
    second: str
    seeds: str
    parameters: str
    size: str
    latency: str


METRICS = {
    "accuracy": "accuracy",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "r2": "R2",
    "rmse": "RMSE",
    "mae": "MAE",
}
SECOND = {"accuracy": "macro_f1", "micro_f1": "macro_f1", "r2": "mae", "score": "macro_f1"}  # beside the main one
SHARES = ("accuracy", "micro_f1")  # shown as percent
COLUMNS = ("seeds", "parameters", "file", "1 row")
ORDER = {"majority": 0, "only": 1, "teacher-only": 1.5, "teacher": 2, "student": 3, "baseline": 4, "export": 9}


def scores(run: Run) -> dict[str, dict]:
    """Who -> scorecard, in the order of the table."""
    found = {p.stem: read_json(p) for p in run.path("scores").glob("*.json") if p.stem != "comparisons"}
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def headings(run: Run) -> tuple[str, ...]:
    """The table's head."""
    main = main_metric_of(run)
    named = METRICS.get(main, "mean score"), METRICS[SECOND[main]]
    several = len(run.recipe.data.targets)
    return ("model", f"{named[0]}, mean of {several}" if several > 1 else named[0], named[1], *COLUMNS)


def main_metric_of(run: Run) -> str:
    """The metric that models are compared by."""
    return next(iter(scores(run).values()), {"main": "accuracy"})["main"]


def value(metric: str, number: float) -> str:
    """A metric's value for people."""
    return f"{100 * number:.2f} %" if metric in SHARES else f"{number:.4g}"


def lines(run: Run) -> list[Line]:
    """The table's rows."""
    return [_line(who, facts) for who, facts in scores(run).items()]


def name(who: str) -> str:
    """A model's name for people."""
    if who.startswith("teacher-only-"):
        return f"teacher, {who.removeprefix('teacher-only-')} alone"
    kind, _, rest = who.partition("-")
    plain = {"majority": "majority answer", "export": "exported student", "baseline": "student, labels alone"}
    if kind == "only":
        return f"{rest} alone"
    return plain.get(kind, kind) + (f", {share(rest)} of the labels" if rest else "")


def share(fraction: str) -> str:
    """``0.05`` -> ``5 %``: a fraction as it stands in a model's name, for people."""
    return f"{100 * float(fraction):.3g} %"


def verdicts(run: Run) -> list[str]:
    """One sentence for each comparison; the one with all labels comes first."""
    return [f"{words}, {said} ({numbers})" for _, words, said, numbers in judged(run)]


def judged(run: Run) -> list[tuple[str, str, str, str]]:
    """(verdict, with which labels, what is said, the numbers) for each comparison."""
    found, cards = [], scores(run)
    percent = f"{100 * run.recipe.evaluate.confidence:g} %"
    for c in sorted(read_json(run.path("scores", "comparisons.json")) or [], key=lambda c: _order(c["who"])):
        _, _, fraction = c["who"].partition("-")
        metric = c["metric"]
        ours, theirs = (value(metric, cards[w]["metrics"][metric]["mean"]) for w in (c["who"], c["against"]))
        scale, unit = (100, " points") if metric in SHARES else (1, "")
        found.append(
            (
                c["verdict"],
                f"with {share(fraction)} of the labels" if fraction else "with all labels",
                f"distillation {_said(c['verdict'])}",
                f"{ours} against {theirs} for the same student on labels alone: {scale * c['difference']:+.2f}{unit}, "
                f"{percent} interval {scale * c['low']:+.2f} to {scale * c['high']:+.2f}",
            )
        )
    return found


def _order(who: str) -> tuple:
    if who.startswith("teacher-only-"):
        return (ORDER["teacher-only"], 0.0, 0, who)
    kind, _, rest = who.partition("-")
    if kind != "only" and rest:  # with fewer labels: after all models that had all of them, most labels first
        return (5, -float(rest), ORDER.get(kind, 8), who)
    return (ORDER.get(kind, 8), 0.0, 0, who)


def _said(verdict: str) -> str:
    return {"no evidence": "shows no evidence of a gain"}.get(verdict, verdict)


def _line(who: str, facts: dict) -> Line:
    main, second = facts["main"], SECOND[facts["main"]]
    first, other = facts["metrics"][main], facts["metrics"].get(second)
    low, high = (value(main, first[end]).removesuffix(" %") for end in ("low", "high"))
    latency = facts.get("latency_ms")
    return Line(
        name(who),
        f"{value(main, first['mean'])}  [{low}, {high}]",
        f"{other['mean']:.4f}" if other else "",
        str(len(facts["seeds"])) if who not in ("majority", "export") else "",
        f"{facts['parameters']:,}" if "parameters" in facts else "",
        f"{facts['bytes'] / 1000:,.1f} kB" if "bytes" in facts else "",
        f"{latency['p50']:.3f} ms" if latency else "",
    )

"""The table of results, for the terminal and the page alike."""

from __future__ import annotations

from dataclasses import dataclass

from ..run import Run, read_json


@dataclass(frozen=True)
class Line:
    """One model's row of the table, as text."""

    who: str
    accuracy: str
    macro_f1: str
    seeds: str
    parameters: str
    size: str
    latency: str


HEADINGS = ("model", "accuracy", "macro-F1", "seeds", "parameters", "file", "1 row")


def scores(run: Run) -> dict[str, dict]:
    """Who -> scorecard, in the order of the table."""
    found = {p.stem: read_json(p) for p in run.path("scores").glob("*.json") if p.stem != "comparisons"}
    order = {"majority": 0, "only": 1, "teacher": 2, "student": 3, "baseline": 4, "export": 9}
    few = {who: (5 if who.startswith("student-") else 6) for who in found if "-0" in who}
    return dict(
        sorted(found.items(), key=lambda item: (few.get(item[0], order.get(item[0].split("-")[0], 8)), item[0]))
    )


def lines(run: Run) -> list[Line]:
    """The table's rows."""
    return [_line(who, facts) for who, facts in scores(run).items()]


def name(who: str) -> str:
    """A model's name for people."""
    kind, _, rest = who.partition("-")
    plain = {"majority": "majority answer", "export": "exported student", "baseline": "student, labels alone"}
    if kind == "only":
        return f"{rest} alone"
    if rest:
        return f"{plain.get(kind, kind)}, {float(rest):.3g} of the labels".replace("0.05 of", "5 % of")
    return plain.get(kind, kind)


def verdicts(run: Run) -> list[str]:
    """One sentence for each comparison."""
    found = []
    for c in read_json(run.path("scores", "comparisons.json")) or []:
        gap = f"{100 * c['difference']:+.2f} points, interval {100 * c['low']:+.2f} to {100 * c['high']:+.2f}"
        found.append(f"{name(c['who'])} against {name(c['against'])}: distillation {_said(c['verdict'])} ({gap})")
    return found


def _said(verdict: str) -> str:
    return {"no evidence": "shows no evidence of a gain"}.get(verdict, verdict)


def _line(who: str, facts: dict) -> Line:
    accuracy, f1 = facts["metrics"]["accuracy"], facts["metrics"]["macro_f1"]
    latency = facts.get("latency_ms")
    return Line(
        name(who),
        f"{100 * accuracy['mean']:.2f} %  [{100 * accuracy['low']:.2f}, {100 * accuracy['high']:.2f}]",
        f"{f1['mean']:.4f}",
        str(len(facts["seeds"])) if who not in ("majority", "export") else "",
        f"{facts['parameters']:,}" if "parameters" in facts else "",
        f"{facts['bytes'] / 1000:,.1f} kB" if "bytes" in facts else "",
        f"{latency['p50']:.3f} ms" if latency else "",
    )

"""The table of results, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from ..files import read_json
from ..integrity import require
from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, Head
from . import metric_names
from .formatting import short
from .i18n import t
from .metric_names import METRICS
from .verdict_text import ABOUT, against, rests, settled, tuned


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


COLUMNS = ("seeds", "parameters", "file", "1 row")
ORDER = {
    "majority": 0,
    "only": 1,
    "teacher-only": 1.5,
    "teacher": 2,
    "ensemble": 2.5,
    "student": 3,
    "baseline": 4,
    "rival": 4.5,
    "export": 9,
}
OTHERS = ("comparisons", "label-curve")  # in scores/, and no model's
FLOORS = {CLASSES: "majority answer", LABELS: "training label frequencies", NUMBER: "mean of training rows"}
SAID = {
    "helps": "distillation helps",
    "hurts": "distillation hurts",
    "no evidence": "distillation shows no evidence of a gain",
}
SIDE_BY_SIDE = ("majority", "teacher", "ensemble", "student", "baseline", "export")  # target by target, in the terminal


def scores(run: Run) -> dict[str, dict]:
    """Who -> scorecard, in the order of the table. Raises SuffuseError where one isn't what evaluate wrote."""
    require(run.folder, "evaluate", under="scores/", remember=False)
    found = {p.stem: read_json(p) for p in run.path("scores").glob("*.json") if p.stem not in OTHERS}
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def headings(run: Run) -> tuple[str, ...]:
    """The table's head; nothing over a column that says nothing."""
    second = metric_names.second_of(run)
    return ("model", main_name(run), METRICS[second].name if second else "", *COLUMNS)


def main_name(run: Run) -> str:
    """The metric that models are compared by, as it is called in a sentence."""
    return t(METRICS[metric_names.main_of(run)].name) + metric_names.of_several(run)


def lines(run: Run) -> list[Line]:
    """The table's rows."""
    second = metric_names.second_of(run)
    return [_line(who, facts, second, metric_names.kinds(run)) for who, facts in scores(run).items()]


def blocks(run: Run) -> list[list[str]]:
    """What the terminal shows: the table, and below it, where there are several targets, each by itself."""
    found = [[headings(run), *(astuple(line) for line in lines(run))]]
    if len(run.recipe.data.targets) > 1:
        found.append(by_target(run))
    return [aligned(rows) for rows in found]


def by_target(run: Run) -> list[tuple[str, ...]]:
    """A row for each target, a column for each of the models that had all labels and all inputs."""
    cards = scores(run)
    models = [who for who in SIDE_BY_SIDE if who in cards]
    rows = [("target", "metric", *(name(who, metric_names.kinds(run)) for who in models))]
    for head in metric_names.kinds(run):
        metric = metric_names.OF_KIND[head.kind][0]
        means = (cards[who]["metrics"][f"{head.name}:{metric}"]["mean"] for who in models)
        rows.append((short(head.name, 40), METRICS[metric].name, *(metric_names.value(metric, m) for m in means)))
    return rows


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells -> lines of text: the first column to the left, numbers to the right; without a heading, no column."""
    rows = [[cell for cell, title in zip(row, rows[0], strict=True) if title] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.rjust(w) if n else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def name(who: str, heads: Sequence[Head] = ()) -> str:
    """A model's name for people; ``heads``: the targets that it answers, for the floor is called after what it says."""
    if who.startswith("teacher-only-"):
        return t("teacher, %(modality)s alone", modality=who.removeprefix("teacher-only-"))
    kind, _, rest = who.partition("-")
    if kind == "export" and rest:
        return t("exported student, %(form)s", form=rest)
    if kind == "majority":
        kinds = {head.kind for head in heads}
        return t(FLOORS[kinds.pop()] if len(kinds) == 1 else "training prior")
    plain = {"export": "exported student", "baseline": "student, labels only",
             "rival": "compute-matched baseline", "ensemble": "teacher, all seeds together"}  # fmt: skip
    if kind == "only":
        return t("%(modality)s alone", modality=rest)
    return t(plain.get(kind, kind)) + (t(", %(share)s of the labels", share=share(rest)) if rest else "")


def percent(run: Run) -> str:
    """The confidence of intervals, in words."""
    return f"{100 * run.recipe.evaluate.confidence:g} %"


def share(fraction: str) -> str:
    """``0.05`` -> ``5 %``: a fraction as it stands in a model's name, for people."""
    return f"{100 * float(fraction):.3g} %"


def verdicts(run: Run) -> list[str]:
    """One sentence for each comparison; the one with all labels comes first."""
    named = main_name(run)
    said = "" if named == "accuracy" else f"{named}: "
    return [f"{words}, {verdict} ({said}{numbers})" for _, words, verdict, numbers in judged(run)]


def judged(run: Run) -> list[tuple[str, str, str, str]]:
    """(verdict, with which labels, what is said, the numbers) for each comparison."""
    found, cards = [], scores(run)
    compared = read_json(run.path("scores", "comparisons.json")) or []
    some = [c for c in compared if c.get("about", "distillation") in ABOUT]
    for c in sorted(some, key=lambda c: _order(c["who"])):
        _, _, fraction = c["who"].partition("-")
        metric = c["metric"]
        ours, theirs = (
            metric_names.value(metric, cards[w]["metrics"][metric]["mean"]) for w in (c["who"], c["against"])
        )
        gap, low, high = (metric_names.difference(metric, c[key]) for key in ("difference", "low", "high"))
        interval = t("%(percent)s interval %(low)s to %(high)s", percent=percent(run), low=low, high=high)
        numbers = t(
            "%(ours)s against %(theirs)s for %(other)s: %(gap)s, %(about)s",
            ours=ours,
            theirs=theirs,
            other=against(run, c.get("about", "distillation")),
            gap=gap + metric_names.points(metric),
            about=t(", ").join(filter(None, (interval, rests(c), tuned(run)))),
        )
        found.append(
            (
                c["verdict"],
                t("with %(share)s of the labels", share=share(fraction)) if fraction else t("with all labels"),
                t(SAID[c["verdict"]]),
                numbers + settled(c),
            )
        )
    return found


def _order(who: str) -> tuple:
    if who.startswith("teacher-only-"):
        return (ORDER["teacher-only"], 0.0, 0, who)
    kind, _, rest = who.partition("-")
    if kind == "export":
        return (ORDER[kind], 0.0, bool(rest), who)
    if kind != "only" and rest:  # with fewer labels: after all models that had all of them, most labels first
        return (5, -float(rest), ORDER.get(kind, 8), who)
    return (ORDER.get(kind, 8), 0.0, 0, who)


def _line(who: str, facts: dict, second: str | None, heads: Sequence[Head]) -> Line:
    main = facts["main"]
    first, other = facts["metrics"][main], facts["metrics"].get(second)
    low, high = (metric_names.value(main, first[end]).removesuffix(" %") for end in ("low", "high"))
    latency = facts.get("latency_ms")
    return Line(
        name(who, heads),
        f"{metric_names.value(main, first['mean'])}  [{low}, {high}]",
        metric_names.value(second, other["mean"]) if second and other else "",
        str(len(facts["seeds"])) if who not in ("majority", "ensemble") and not who.startswith("export") else "",
        f"{facts['parameters']:,}" if "parameters" in facts else "",
        f"{facts['bytes'] / 1000:,.1f} kB" if "bytes" in facts else "",
        f"{latency['p50']:.3f} ms" if latency else "",
    )

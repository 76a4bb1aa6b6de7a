"""The table of results as the page shows it: with bars, and with every column explained."""

from __future__ import annotations

from collections.abc import Sequence

from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, Head
from . import metric_bars, metric_names, scores_table
from .formatting import kilobytes, listed, minus, short, times
from .i18n import t
from .metric_names import METRICS

USUAL = {
    CLASSES: "the most frequent class",
    LABELS: "the labels that most training rows have",
    NUMBER: "the training rows' mean",
}


def results(run: Run, heads: Sequence[Head]) -> dict:
    """The table, with the numbers that its bars need, and the comparison in words."""
    cards, lines = scores_table.scores(run), scores_table.lines(run)
    main, second = metric_names.main_of(run), metric_names.second_of(run)
    floor = metric_bars.floor_of([card["metrics"][main] for card in cards.values()])
    shown = {who: metric_bars.measured(main, card["metrics"][main], floor) for who, card in cards.items()}
    return {
        "main": t(METRICS[main].title),
        "named": metric_names.in_text(main),
        "aside": metric_names.aside(run),
        "of": metric_names.of_several(run),
        "second": t(METRICS[second].title) if second else "",
        "interval": metric_bars.interval(main, run.recipe.evaluate.confidence),
        "scale": metric_bars.scale(main, floor),
        "rows": [{"who": w, "line": line, **f} for (w, f), line in zip(shown.items(), lines, strict=True)],
        "ratios": ratios(cards, main),
        "terms": terms(heads, main, second, metric_names.of_several(run)),
    }


def ratios(cards: dict[str, dict], main: str) -> dict | None:
    """The exported student beside its teacher."""
    student, teacher = cards.get("export"), cards.get("teacher")
    if not student or not teacher:
        return None
    ours, theirs = student["metrics"][main]["mean"], teacher["metrics"][main]["mean"]
    quick, slow = student.get("latency_ms"), teacher.get("latency_ms")
    return {
        "what": t("right answers") if main == "accuracy" else metric_names.in_text(main),
        "score": metric_names.shown(main, ours),
        "teacher_score": metric_names.shown(main, theirs),
        "gap": minus(metric_names.difference(main, ours - theirs)) + metric_names.points(main),
        "size": kilobytes(student["bytes"]),
        "teacher_size": kilobytes(teacher["bytes"]) if "bytes" in teacher else "",
        "smaller": times(student["bytes"], teacher["bytes"], "smaller", "larger", "equally large")
        if "bytes" in teacher
        else "",
        "latency": f"{quick['p50']:.3f} ms" if quick else "",
        "teacher_latency": f"{slow['p50']:.3f} ms" if slow else "",
        "faster": times(quick["p50"], slow["p50"], "faster", "slower", "equally fast") if quick and slow else "",
        "threads": quick["threads"] if quick else 1,
    }


def terms(heads: Sequence[Head], main: str, second: str | None, of: str) -> list[tuple[str, str]]:
    """What the columns say."""
    means = metric_names.meaning(main, heads)
    if main == "score":
        judged = listed(
            [f"{t(METRICS[metric_names.OF_KIND[h.kind][0]].title)} ({short(h.name, 30)})" for h in heads], 8
        )
        means = t("the mean over the targets of what each is judged by: %(judged)s; 1 is perfect.", judged=judged)
    elif of:
        means = f"{means} {t('Here the mean over the targets.')}"
    drawn = t("The interval covers the test rows (whole groups of them are drawn again and again) and the seeds.")
    trained = t("how often the model was trained, each time from another random start.")
    usual = ", ".join(t(USUAL[k]) for k in USUAL if any(h.kind == k for h in heads))
    return [
        (t(METRICS[main].title), f"{means} {drawn}"),
        *([(t(METRICS[second].title), metric_names.meaning(second, heads))] if second else []),
        (t("Seeds"), f"{trained} {t('The %(metric)s is the mean.', metric=metric_names.in_text(main))}"),
        (t("Majority answer"), t("always says %(usual)s: what can be had without looking.", usual=usual)),
    ]

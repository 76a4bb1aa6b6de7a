"""Metrics as people read them: what each is called, how its values are written, and what it means."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..activations import MAIN, main_metric
from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, Head
from .formatting import JOIN, amount, minus
from .i18n import t

SHARE, SCORE, AMOUNT = "share", "score", "amount"  # in percent; at best 1; in the target's own unit


@dataclass(frozen=True)
class Metric:
    """One metric. ``name`` stands in sentences and in the terminal, ``title`` on the page."""

    name: str
    title: str
    form: str
    means: str


METRICS = {
    "accuracy": Metric("accuracy", "Accuracy", SHARE, "share of right answers."),
    "micro_f1": Metric(
        "micro-F1",
        "Micro-F1",
        SHARE,
        "of the labels that a model says and those that rows have, taken together, the share that agrees: twice the "
        "hits divided by both numbers; 100 % is perfect.",
    ),
    "r2": Metric(
        "R2",
        "R²",
        SCORE,
        "how much of the numbers' spread is accounted for: 1 is perfect, 0 is what always saying the rows' mean would "
        "get, below 0 is worse than that.",
    ),
    "score": Metric(
        "score", "Score", SCORE, "the mean over targets of the metric that each is judged by; 1 is perfect."
    ),
    "macro_f1": Metric(
        "macro-F1",
        "Macro-F1",
        SCORE,
        "how well each class is found and kept apart, averaged so that a rare class counts as much as a frequent one; "
        "1 is perfect.",
    ),
    "log_loss": Metric(
        "log loss",
        "Log loss",
        SCORE,
        "how improbable the truth was to the model, in nats; 0 is perfect, and being sure of what is wrong costs most.",
    ),
    "rmse": Metric(
        "RMSE", "RMSE", AMOUNT, "the root of the mean squared error, in the number's own unit; large errors count more."
    ),
    "mae": Metric("MAE", "MAE", AMOUNT, "the mean distance from the true number, in its own unit."),
    "balanced_accuracy": Metric(
        "balanced accuracy",
        "Balanced accuracy",
        SHARE,
        "the mean over classes of the share of its rows that are found: rare classes count as much as frequent ones.",
    ),
    "top_3_accuracy": Metric(
        "top-3", "Top 3", SHARE, "share of rows whose class is among the three likeliest answers."
    ),
    "top_5_accuracy": Metric("top-5", "Top 5", SHARE, "share of rows whose class is among the five likeliest answers."),
    "auroc": Metric(
        "AUROC",
        "AUROC",
        SCORE,
        "how often a row that has a class is given more of it than a row that doesn't: 1 is perfect, 0.5 is chance.",
    ),
    "average_precision": Metric(
        "average precision",
        "Average precision",
        SCORE,
        "precision, averaged over the ranks at which the rows of a class are found; 1 is perfect.",
    ),
    "exact_match": Metric("exact match", "Exact match", SHARE, "share of rows of which every label is right."),
}
FURTHER = ("balanced_accuracy", "top_3_accuracy", "top_5_accuracy", "exact_match", "auroc", "average_precision")
OF_KIND = {  # what is shown of a target by itself; the one that it is judged by comes first
    CLASSES: (MAIN[CLASSES], "macro_f1", "log_loss"),
    LABELS: (MAIN[LABELS], "macro_f1", "log_loss"),
    NUMBER: (MAIN[NUMBER], "rmse", "mae"),
}
SECOND = {"accuracy": "macro_f1", "micro_f1": "macro_f1", "r2": "mae"}  # beside the main one


def value(metric: str, number: float) -> str:
    """A metric's value, in ASCII; a dash where there was nothing to measure."""
    if math.isnan(number):
        return "-"
    form = METRICS[metric].form
    if form == AMOUNT:
        return amount(number, pad=True)
    return f"{100 * number:.2f} %" if form == SHARE else f"{number:.4f}"


def difference(metric: str, number: float) -> str:
    """A difference of two values, with its sign and without a unit: points where the metric is in percent."""
    if math.isnan(number):
        return "-"
    return f"{100 * number:+.2f}" if METRICS[metric].form == SHARE else f"{number:+.4f}"


def points(metric: str) -> str:
    """The unit of a difference."""
    return t(" points") if METRICS[metric].form == SHARE else ""


def shown(metric: str, number: float) -> str:
    """A metric's value as the page writes it."""
    return minus(value(metric, number)).replace(" %", f"{JOIN}%")


def main_of(run: Run) -> str:
    """The metric that models are compared by."""
    return main_metric(kinds(run))


def second_of(run: Run) -> str | None:
    """The metric beside it; none where a mean over several targets would mix units or kinds."""
    main, several = main_of(run), len(run.recipe.data.targets) > 1
    return None if several and main in ("r2", "score") else SECOND[main]


def of_several(run: Run) -> str:
    """What follows a metric's name where it is a mean: in the head of a table."""
    several = len(run.recipe.data.targets)
    return t(", mean of %(several)s", several=several) if several > 1 else ""


def aside(run: Run) -> str:
    """The same in a sentence."""
    several = len(run.recipe.data.targets)
    return t(" (mean over %(several)s targets)", several=several) if several > 1 else ""


def meaning(metric: str, heads: Iterable[Head]) -> str:
    """What a metric says of these targets."""
    means, there = METRICS[metric].means, {head.kind for head in heads}
    if LABELS not in there:
        return t(means)
    return t(
        means.replace("each class", "each class or label" if CLASSES in there else "each label").replace(
            "a rare class", "a rare one" if CLASSES in there else "a rare label"
        )
    )


def in_text(metric: str) -> str:
    """A metric's title in the middle of a sentence: abbreviations stay as they are."""
    title = t(METRICS[metric].title)
    return title if title[1:2].isupper() or title == "R²" else title[0].lower() + title[1:]


def kinds(run: Run) -> list[Head]:
    """The targets by name and kind, without what training rows say of them."""
    return [Head(name, run.recipe.data.task(name).kind) for name in run.recipe.data.targets]

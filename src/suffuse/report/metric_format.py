"""Metrics and their values as text: names, units, intervals; ASCII for the terminal, typographic for the page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..activations import MAIN, main_metric
from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, TOKENS, Head
from .formatting import NBSP, amount, count, minus, percent
from .i18n import t

SHARE, SCORE, AMOUNT = "share", "score", "amount"  # in percent; at most 1; in the target's own unit


@dataclass(frozen=True)
class Metric:
    """One metric. ``name`` is used in sentences and in the terminal, ``title`` on the page."""

    name: str
    title: str
    form: str
    meaning: str


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
    "word_accuracy": Metric(
        "word accuracy",
        "Word accuracy",
        SHARE,
        "100 % less the word error rate; below 0 where more words are wrong or added than there are.",
    ),
    "word_error_rate": Metric(
        "word error rate",
        "Word error rate",
        SHARE,
        "words that are replaced, missing or added, for each word of the true transcripts.",
    ),
    "substitutions": Metric("substitutions", "Substitutions", SHARE, "replaced words, for each true word."),
    "deletions": Metric("deletions", "Deletions", SHARE, "missing words, for each true word."),
    "insertions": Metric("insertions", "Insertions", SHARE, "added words, for each true word."),
    "character_error_rate": Metric(
        "character error rate",
        "Character error rate",
        SHARE,
        "characters that are replaced, missing or added, for each character of the true transcripts.",
    ),
}
FURTHER = (
    "balanced_accuracy", "top_3_accuracy", "top_5_accuracy", "exact_match", "auroc", "average_precision",
    "substitutions", "deletions", "insertions",
)  # fmt: skip
OF_KIND = {  # metrics of a single target by its kind; the main metric first
    CLASSES: (MAIN[CLASSES], "macro_f1", "log_loss"),
    LABELS: (MAIN[LABELS], "macro_f1", "log_loss"),
    NUMBER: (MAIN[NUMBER], "rmse", "mae"),
    TOKENS: (MAIN[TOKENS], "word_error_rate", "character_error_rate"),
}
SECOND = {
    "accuracy": "macro_f1",
    "micro_f1": "macro_f1",
    "r2": "mae",
    "word_accuracy": "character_error_rate",
}  # shown next to the main metric


def is_share(metric: str) -> bool:
    """Whether a metric is in percent."""
    return METRICS[metric].form == SHARE


def ascii_value(metric: str, value: float) -> str:
    """A metric's value; a hyphen where it is undefined."""
    if math.isnan(value):
        return "-"
    if METRICS[metric].form == AMOUNT:
        return amount(value, pad=True)
    return f"{100 * value:.2f} %" if is_share(metric) else f"{value:.4f}"


def ascii_score(metric: str, facts: dict) -> str:
    """``90.12 %  [88.00, 92.30]``: mean and interval."""
    low, high = (ascii_value(metric, facts[end]).removesuffix(" %") for end in ("low", "high"))
    return f"{ascii_value(metric, facts['mean'])}  [{low}, {high}]"


def ascii_difference(metric: str, value: float) -> str:
    """A signed difference without its unit: in points where the metric is in percent."""
    if math.isnan(value):
        return "-"
    return f"{100 * value:+.2f}" if is_share(metric) else f"{value:+.4f}"


def difference_unit(metric: str) -> str:
    """The unit of a difference."""
    return t(" points") if is_share(metric) else ""


def ascii_interval(metric: str, facts: dict, confidence: float) -> str:
    """``95 % interval +0.10 to +2.30``, of a difference."""
    low, high = (ascii_difference(metric, facts[end]) for end in ("low", "high"))
    return t("%(percent)s interval %(low)s to %(high)s", percent=f"{100 * confidence:g} %", low=low, high=high)


def value_text(metric: str, value: float) -> str:
    """A metric's value as the page writes it."""
    return minus(ascii_value(metric, value)).replace(" %", f"{NBSP}%")


def difference_text(metric: str, value: float) -> str:
    """A difference with its sign and unit as the page writes it."""
    return minus(ascii_difference(metric, value)) + difference_unit(metric)


def range_text(low: object, high: object) -> str:
    """``1 to 2``."""
    return t("%(low)s to %(high)s", low=low, high=high)


def interval_text(metric: str, facts: dict) -> str:
    """``90.1 to 92.3``; empty where there is no interval."""
    if any(facts.get(end) is None or math.isnan(facts[end]) for end in ("low", "high")):
        return ""
    return range_text(*(value_text(metric, facts[end]).removesuffix(f"{NBSP}%") for end in ("low", "high")))


def calibration_text(facts: dict, key: str) -> str:
    """``1.23 % (1.10 to 1.40)``: an ECE or Brier score with its interval, where it has one."""
    value, interval = percent(facts[key]) if key == "ece" else f"{facts[key]:.4f}", calibration_interval(facts, key)
    return f"{value} ({interval})" if interval else value


def calibration_interval(facts: dict, key: str, decimals: int = 2) -> str:
    """``1.10 to 1.40``: the interval of an ECE (in percent, with these decimals) or Brier score; empty without one."""
    interval = (facts.get("intervals") or {}).get(key)
    if interval is None or math.isnan(interval["low"]):
        return ""
    ends = (interval[end] for end in ("low", "high"))
    return range_text(*(percent(v, decimals).removesuffix(f"{NBSP}%") if key == "ece" else f"{v:.4f}" for v in ends))


def rows_text(card: dict) -> str:
    """The number of rows of a measurement: ``100 test rows``, or ``50 of 100 test rows``."""
    total = card.get("of", card["rows"])
    text = count(total, "test row")
    return text if card["rows"] == total else t("%(part)s of %(all)s", part=f"{card['rows']:,}", all=text)


def subset_name(name: str) -> str:
    """A subset of modalities as the page writes it."""
    return t("nothing: what training rows are like") if name == "nothing" else name.replace("+", " + ")


def subset_size(name: str) -> int:
    """The number of modalities in a subset."""
    return 0 if name == "nothing" else name.count("+") + 1


def probe_results(cards: dict[str, dict], probe: str) -> dict[str, Any]:
    """Model -> result of a probe, for the models that have one."""
    return {model: card[probe] for model, card in cards.items() if card.get(probe)}


def main_metric_of(run: Run) -> str:
    """The metric by which models are compared."""
    return main_metric(target_kinds(run))


def second_metric_of(run: Run) -> str | None:
    """The metric next to it; None where a mean over several targets would mix units or kinds."""
    main, several = main_metric_of(run), len(run.recipe.data.targets) > 1
    return None if several and main in ("r2", "score") else SECOND[main]


def mean_suffix(run: Run) -> str:
    """Follows a metric's name in a table's head where it is a mean over targets."""
    several = len(run.recipe.data.targets)
    return t(", mean of %(several)s", several=several) if several > 1 else ""


def mean_note(run: Run) -> str:
    """The same in a sentence."""
    several = len(run.recipe.data.targets)
    return t(" (mean over %(several)s targets)", several=several) if several > 1 else ""


def meaning(metric: str, heads: Iterable[Head]) -> str:
    """What a metric means for these targets."""
    text, kinds = METRICS[metric].meaning, {head.kind for head in heads}
    if LABELS not in kinds:
        return t(text)
    return t(
        text.replace("each class", "each class or label" if CLASSES in kinds else "each label").replace(
            "a rare class", "a rare one" if CLASSES in kinds else "a rare label"
        )
    )


def title_in_sentence(metric: str) -> str:
    """A metric's title inside a sentence: abbreviations keep their capitals."""
    title = t(METRICS[metric].title)
    return title if title[1:2].isupper() or title == "R²" else title[0].lower() + title[1:]


def target_kinds(run: Run) -> list[Head]:
    """The targets with name and kind alone."""
    return [Head(name, run.recipe.data.task(name).kind) for name in run.recipe.data.targets]

"""Scores on the page: the table of results with bars, each target alone, all metrics, and metrics per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..data.columns import SPLITS
from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, TOKENS, Head
from . import metric_format, scores_table
from .dataset_view import DatasetView
from .formatting import (
    NBSP,
    count,
    join_names,
    kilobytes,
    minus,
    percent,
    ratio_text,
    sentence_space,
    short,
    two_decimals,
)
from .i18n import t
from .metric_format import METRICS, range_text
from .scores_table import model_name
from .seed_scores import seed_table

CONSTANT_PREDICTION = {
    CLASSES: "the most frequent class",
    LABELS: "the labels that most training rows have",
    NUMBER: "the training rows' mean",
    TOKENS: "nothing",
}
LOWEST = -1.0  # lowest start of the bars: an unbounded score would leave the others no room
ENDS = ("mean", "low", "high")
MAX_CLASSES = 100  # lines of a table of classes
PER_CLASS_MODELS = ("teacher", "export")


def results(run: Run, heads: Sequence[Head]) -> dict:
    """The table of results, the comparison with the teacher in words, and the meaning of every column."""
    cards, rows = scores_table.scores(run), scores_table.result_rows(run)
    main, second = metric_format.main_metric_of(run), metric_format.second_metric_of(run)
    start = bar_start([card["metrics"][main] for card in cards.values()])
    return {
        "main": t(METRICS[main].title),
        "metric": metric_format.title_in_sentence(main),
        "mean_suffix": metric_format.mean_suffix(run),
        "second": t(METRICS[second].title) if second else "",
        "interval": interval_heading(main, run.recipe.evaluate.confidence),
        "scale": bar_heading(main, start),
        "rows": [
            {"model": model, "line": row, **score_cell(main, card["metrics"][main], start)}
            for (model, card), row in zip(cards.items(), rows, strict=True)
        ],
        "ratios": ratios(cards, main),
        "seeds": seed_table(run),
        "terms": terms(heads, main, second, metric_format.mean_suffix(run)),
    }


def bar_start(scores: Sequence[dict]) -> float:
    """Where the bars of a table begin: the lowest end of an interval, rounded down to a tenth."""
    low = min((s["low"] for s in scores if not math.isnan(s["low"])), default=0.0)
    return max(math.floor(low * 10) / 10, LOWEST)


def bar_heading(metric: str, start: float) -> str:
    """The heading over the bars."""
    if metric_format.is_share(metric):
        return range_text(percent(start, 0), "100 %")
    return range_text(minus(f"{start:g}"), 1)


def interval_heading(metric: str, confidence: float) -> str:
    """The heading over the intervals."""
    unit = t(", ") + "%" if metric_format.is_share(metric) else ""
    return t("%(percent)s interval", percent=f"{100 * confidence:g} %") + unit


def score_cell(metric: str, facts: dict, start: float) -> dict:
    """A score as text and as a bar; no bar where it is undefined."""
    mean, low, high = (metric_format.value_text(metric, facts[end]) for end in ENDS)
    defined = not any(math.isnan(facts[end]) for end in ENDS)
    return {
        "mean": mean,
        "interval": range_text(low.removesuffix(f"{NBSP}%"), high.removesuffix(f"{NBSP}%")),
        "label": f"{mean}, {range_text(low, high)}",
        "bar": {end: bar_position(facts[end], start) for end in ENDS} if defined else None,
    }


def bar_position(value: float, start: float) -> str:
    """A value between the bars' start and 1 as a width; values below the start are drawn at it."""
    share = (value - start) / (1 - start) if start < 1 else 1.0
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def ratios(cards: dict[str, dict], main: str) -> dict | None:
    """Score, size and latency of the exported student against the teacher's; None where one of them is missing."""
    student, teacher = cards.get("export"), cards.get("teacher")
    if not student or not teacher:
        return None
    score = student["metrics"][main]["mean"]
    teacher_score = cards.get("ensemble", teacher)["metrics"][main]["mean"]  # of all that teaches
    size, teacher_size = student["bytes"], teacher.get("bytes")
    latency, teacher_latency = student.get("latency_ms"), teacher.get("latency_ms")
    smaller = faster = ""
    if teacher_size is not None:
        smaller = ratio_text(size, teacher_size, "smaller", "larger", "equally large")
    if latency and teacher_latency:
        faster = ratio_text(latency["p50"], teacher_latency["p50"], "faster", "slower", "equally fast")
    return {
        "metric": t("right answers") if main == "accuracy" else metric_format.title_in_sentence(main),
        "score": metric_format.value_text(main, score),
        "teacher_score": metric_format.value_text(main, teacher_score),
        "difference": metric_format.difference_text(main, score - teacher_score),
        "size": kilobytes(size),
        "teacher_size": kilobytes(teacher_size) if teacher_size is not None else "",
        "smaller": smaller,
        "latency": f"{latency['p50']:.3f} ms" if latency else "",
        "teacher_latency": f"{teacher_latency['p50']:.3f} ms" if teacher_latency else "",
        "faster": faster,
        "threads": latency["threads"] if latency else 1,
    }


def terms(heads: Sequence[Head], main: str, second: str | None, mean_suffix: str) -> list[tuple[str, str]]:
    """The meaning of the table's columns."""
    meaning, space = metric_format.meaning(main, heads), sentence_space()
    if main == "score":
        names = [f"{t(METRICS[metric_format.OF_KIND[h.kind][0]].title)} ({short(h.name, 30)})" for h in heads]
        judged = join_names(names, 8)
        meaning = t("the mean over the targets of what each is judged by: %(judged)s; 1 is perfect.", judged=judged)
    elif mean_suffix:
        meaning = meaning + space + t("Here the mean over the targets.")
    interval = t("The interval covers the test rows (whole groups of them are drawn again and again) and the seeds.")
    seeds = t("how often the model was trained, each time from another random start.")
    kinds = {head.kind for head in heads}
    usual = ", ".join(t(text) for kind, text in CONSTANT_PREDICTION.items() if kind in kinds)
    return [
        (t(METRICS[main].title), meaning + space + interval),
        *([(t(METRICS[second].title), metric_format.meaning(second, heads))] if second else []),
        (t("Seeds"), seeds + space + t("The %(metric)s is the mean.", metric=metric_format.title_in_sentence(main))),
        (t("Majority answer"), t("always says %(usual)s: what can be had without looking.", usual=usual)),
    ]


def task(head: Head) -> str:
    """``one of 4 classes``, ``any of 2 labels``, ``a number``."""
    if head.kind == NUMBER:
        return t("a number")
    if head.kind == TOKENS:
        return t("a transcript")
    if head.kind == LABELS:
        return t("any of %(labels)s", labels=count(len(head.classes), "label"))
    return t("one of %(classes)s", classes=count(len(head.classes), "class", "classes"))


def target_tables(run: Run, dataset: DatasetView) -> list[dict]:
    """A table for each target; empty with a single target."""
    spec = dataset.columns.spec
    if len(spec.heads) == 1:
        return []
    cards = {model: card for model, card in scores_table.scores(run).items() if _has_all_labels(model)}
    test = dataset.columns.split == SPLITS.index("test")
    tables = []
    for head, target in spec.targets(dataset.columns.target[test]):
        main, *others = metric_format.OF_KIND[head.kind]
        scores = {model: card["metrics"][f"{head.name}:{main}"] for model, card in cards.items()}
        start = bar_start(list(scores.values()))
        lines = [
            {
                "model": model_name(model, [head]),
                **score_cell(main, scores[model], start),
                "others": [metric_format.value_text(m, card["metrics"][f"{head.name}:{m}"]["mean"]) for m in others],
            }
            for model, card in cards.items()
        ]
        tables.append(
            {
                "name": head.name,
                "task": task(head),
                "rows": int(head.known(target).sum()),
                "main": t(METRICS[main].title),
                "interval": interval_heading(main, run.recipe.evaluate.confidence),
                "scale": bar_heading(main, start),
                "others": [t(METRICS[m].title) for m in others],
                "lines": lines,
            }
        )
    return tables


def _has_all_labels(model: str) -> bool:
    return model.partition("-")[0] not in ("student", "baseline") or "-" not in model


def target_terms(heads: Sequence[Head]) -> list[tuple[str, str]]:
    """The meaning of the metrics of these targets."""
    kinds = [kind for kind in (CLASSES, LABELS, NUMBER, TOKENS) if any(head.kind == kind for head in heads)]
    metrics = dict.fromkeys(metric for kind in kinds for metric in metric_format.OF_KIND[kind])
    return [(t(METRICS[metric].title), metric_format.meaning(metric, heads)) for metric in metrics]


def all_metrics(run: Run) -> list[dict[str, Any]]:
    """A table of all metrics over targets and, with several targets, one for each: a row per model."""
    cards = {model: card for model, card in scores_table.scores(run).items() if _has_all_labels(model)}
    groups: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for card in cards.values() for key in card["metrics"]):
        target, _, metric = key.rpartition(":")
        if metric in METRICS:
            groups.setdefault(target, []).append(metric)
    heads = metric_format.target_kinds(run)
    return [_metrics_table(cards, target, metrics, heads) for target, metrics in groups.items()]


def _metrics_table(cards: dict[str, dict], target: str, metrics: list[str], heads: list[Head]) -> dict[str, Any]:
    heads, prefix = [head for head in heads if target in ("", head.name)], f"{target}:" if target else ""

    def cell(card: dict, metric: str) -> tuple[str, str]:
        facts = card["metrics"].get(prefix + metric)
        if not facts:
            return "", ""
        return metric_format.value_text(metric, facts["mean"]), metric_format.interval_text(metric, facts)

    lines = [
        {"model": model_name(model, heads), "cells": [cell(card, m) for m in metrics]} for model, card in cards.items()
    ]
    return {"target": target, "titles": [t(METRICS[m].title) for m in metrics], "lines": lines}


def further_terms(run: Run) -> list[tuple[str, str]]:
    """The meaning of the metrics that no other table shows."""
    keys = {key.rpartition(":")[2] for card in scores_table.scores(run).values() for key in card["metrics"]}
    return [(t(METRICS[m].title), t(METRICS[m].meaning)) for m in metric_format.FURTHER if m in keys]


def per_class(run: Run) -> list[dict[str, Any]]:
    """For each target of classes or labels: precision, recall and F1 of every class, teacher and exported student."""
    cards = scores_table.scores(run)
    if any(not (cards.get(model) or {}).get("per_class") for model in PER_CLASS_MODELS):
        return []
    targets, tables = run.recipe.data.targets, []
    for name in targets:
        by_model = [cards[model]["per_class"] for model in PER_CLASS_MODELS]
        by_model = [classes.get(name) or {} for classes in by_model] if len(targets) > 1 else by_model
        support = {c: facts["support"] for c, facts in by_model[0].items()}
        order = sorted(support, key=lambda c: -support[c])
        lines = [
            {
                "name": c,
                "rows": support[c],
                "scores": [v for classes in by_model for v in _class_scores(classes.get(c))],
            }
            for c in order[:MAX_CLASSES]
        ]
        if lines:
            tables.append({"target": name, "lines": lines, "all": len(order)})
    return tables


def _class_scores(facts: dict | None) -> list[str]:
    return [two_decimals((facts or {}).get(key)) for key in ("precision", "recall", "f1")]

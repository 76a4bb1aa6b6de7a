"""Training on the page: the validation score by epoch, each loss's share, and alerts."""

from __future__ import annotations

import numpy as np

from ..files import read_json, read_lines
from ..losses import load_loss
from ..registry import is_loaded
from ..run import Run
from . import charts, metric_format, scores_table
from .finetuning_choice import teacher_choice
from .formatting import count, percent
from .i18n import current_language, t

AXIS = {  # axis labels: fixed words, nothing of the run
    "accuracy": "right answers on validation rows",
    "micro_f1": "micro-F1 on validation rows",
    "r2": "R² on validation rows",
    "word_accuracy": "word accuracy on validation rows",
    "score": "mean score on validation rows",
}


def training(run: Run) -> dict:
    """Charts and legends of the section on training."""
    folders = {p.name.partition("-")[2] for p in run.folder.glob("student*") if p.is_dir()}
    fractions = sorted(folders, key=lambda fraction: -float(fraction or 1))
    metric = metric_format.main_metric_of(run)
    return {
        "metric": metric,
        "title": t(metric_format.METRICS[metric].title),
        "mean_note": metric_format.mean_note(run),
        "scores": [_score_chart(run, fraction, n) for n, fraction in enumerate(fractions)],
        "alerts": alerts(run),
        "choice": teacher_choice(run),
        "losses": [
            _loss_chart(run, fraction, n)
            for n, fraction in enumerate(fractions)
            if histories(run, with_fraction("student", fraction))
        ],
    }


def with_fraction(model: str, fraction: str) -> str:
    """``student-0.5``; an empty fraction: all labels."""
    return f"{model}-{fraction}" if fraction else model


def histories(run: Run, model: str) -> list[list[dict]]:
    """One list of epochs for each seed of a model. A teacher of several seeds is in ``teachers/``."""
    folder = run.path(model)
    if model == "teacher" and run.path("teachers").is_dir():
        folder = run.path("teachers")
    seeds = sorted(folder.glob("seed-*/metrics.jsonl"), key=lambda file: int(file.parent.name.removeprefix("seed-")))
    epochs = [read_lines(file) for file in (folder / "metrics.jsonl", *seeds) if file.exists()]
    return [history for history in epochs if history]


def validation_curve(seeds: list[list[dict]], color: str) -> charts.Series:
    """Mean, lowest and highest over seeds; a seed that stopped early counts up to its last epoch."""
    values = np.full((len(seeds), max(map(len, seeds))), np.nan)
    for row, history in zip(values, seeds, strict=True):
        row[: len(history)] = [next(iter(epoch["validation"].values())) for epoch in history]
    epochs = np.arange(1, values.shape[1] + 1)
    return charts.Series(color, epochs, np.nanmean(values, 0), np.nanmin(values, 0), np.nanmax(values, 0))


def loss_terms(seeds: list[list[dict]]) -> tuple[list[str], np.ndarray]:
    """Names, and (K, E) the mean over seeds of every weighted loss term, up to the first seed's end."""
    names, epochs = list(seeds[0][0]["terms"]), min(map(len, seeds))
    values = [[[history[e]["terms"][name] for e in range(epochs)] for name in names] for history in seeds]
    return names, np.array(values, dtype=float).mean(0)


def alerts(run: Run) -> list[dict[str, str]]:
    """Alerts that trainings recorded: a loss without an effect, a gradient that vanished."""
    trainings: dict[str, list[str]] = {}
    for file in sorted(run.folder.glob("*/seed-*/training.json")):
        if file.parts[-3] not in (".partial", "previous"):
            for alert in (read_json(file) or {}).get("alerts") or ():
                trainings.setdefault(str(alert), []).append(f"{file.parts[-3]} {file.parts[-2].removeprefix('seed-')}")
    return [{"text": text, "where": ", ".join(where)} for text, where in trainings.items()]


def _score_chart(run: Run, fraction: str, number: int) -> dict:
    metric, title = metric_format.main_metric_of(run), _labels_title(fraction)
    models = ("teacher", with_fraction("student", fraction), with_fraction("baseline", fraction))
    seeds = {model: history for model in models if (history := histories(run, model))}
    curves = {model: validation_curve(history, model.partition("-")[0]) for model, history in seeds.items()}
    legend = [
        charts.legend_entry(curve.color, scores_table.model_name(model), _score_note(metric, curve, len(seeds[model])))
        for model, curve in curves.items()
    ]
    name = t("Validation %(metric)s by epoch", metric=scores_table.main_metric_name(run))
    label, lines = charts.describe(f"{name}, {title}", legend), list(curves.values())
    percents = metric_format.is_share(metric)
    chart = charts.epoch_chart(lines, AXIS[metric], label, f"curve{number}", percent=percents)
    cut = not percents and charts.axis_start(lines) is not None
    return {"title": title, "chart": chart, "legend": legend, "cut": cut}


def _score_note(metric: str, curve: charts.Series, seeds: int) -> str:
    score = metric_format.value_text(metric, float(curve.mean[-1]))
    text = t("%(score)s after %(epochs)s", score=score, epochs=count(len(curve.mean), "epoch"))
    return text + (t(", mean of %(seeds)s", seeds=count(seeds, "seed")) if seeds > 1 else "")


def _loss_chart(run: Run, fraction: str, number: int) -> dict:
    names, values = loss_terms(histories(run, with_fraction("student", fraction)))
    total, title = values.sum(0), _labels_title(fraction)
    shares = values / np.maximum(total, 1e-12)
    legend = []
    for n, name in enumerate(names):
        first, last = (percent(shares[n, epoch], 0) for epoch in (0, -1))
        note = t("%(meaning)s; %(first)s of the loss in the first epoch, %(last)s in the last",
                 meaning=_meaning(run, name), first=first, last=last)  # fmt: skip
        legend.append(charts.legend_entry(f"series{n % charts.NUM_SERIES}", name, note))
    label = t("Each loss's share by epoch, %(labels)s", labels=title)
    first, last = f"{total[0]:.3g}", f"{total[-1]:.3g}"
    return {
        "title": title,
        "chart": charts.loss_share_chart(values, label, f"loss{number}"),
        "legend": legend,
        "total": t("The whole loss went from %(first)s to %(last)s.", first=first, last=last)
        if len(total) > 1
        else t("The whole loss was %(only)s in the only epoch.", only=first),
    }


def _meaning(run: Run, name: str) -> str:
    loss = run.recipe.distill.losses.get(name)
    if loss is None:
        return t("a loss that the recipe no longer names")
    if not is_loaded(loss):
        return t("a loss of the user's own")
    meaning = load_loss(loss.kind).DOCS.meaning
    return meaning.get(current_language()) or meaning["en"]


def _labels_title(fraction: str) -> str:
    return t("%(share)s of the labels", share=scores_table.label_share(fraction)) if fraction else t("all labels")

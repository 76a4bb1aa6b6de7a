"""How the trainings went: the validation score by epoch, and each loss's share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..files import read_lines
from ..run import Run
from . import charts, metric_names, scores_table
from .audit_section import alerts
from .formatting import count, percent
from .i18n import t

MEANING = {
    "task": "the given labels",
    "kd": "the teacher's soft labels",
    "multilabel_kd": "the teacher's probability of each label",
    "regression_kd": "the teacher's numbers",
    "hard_label": "the teacher's answers as labels",
    "dkd": "the teacher's soft labels, the right class apart from the others",
    "nkd": "the teacher's soft labels, the right class apart from the others",
    "dist": "the order of the teacher's soft labels",
    "lskd": "the teacher's soft labels, standardised",
    "js": "the teacher's soft labels",
    "reverse_kd": "the teacher's soft labels, where the student is sure",
    "hint": "the teacher's inner features",
    "modality_hints": "the teacher's features of each modality",
    "attention_transfer": "where the teacher's features are strong",
    "look_transfer": "where the teacher's queries look",
    "similarity": "which rows are alike for the teacher",
    "rkd_distance": "how far rows are from each other for the teacher",
    "rkd_angle": "the angles between the teacher's rows",
    "crd": "which of the teacher's rows is one's own",
    "cka": "the shape of the teacher's features",
    "affinity": "which rows the teacher finds near",
    "gate_transfer": "how much the teacher counts on each modality",
    "cross_modal_relation": "how the teacher's modalities relate",
    "entropy_relations": "which rows are alike for the teacher, most where it is unsure",
    "subset_consistency": "the student's own answer on all modalities",
}
AXIS = {  # what stands at the axis: fixed words, nothing of the run
    "accuracy": "right answers on validation rows",
    "micro_f1": "micro-F1 on validation rows",
    "r2": "R² on validation rows",
    "score": "mean score on validation rows",
}


def training(run: Run) -> dict:
    """Charts and legends for the section on training."""
    fractions = sorted(
        {p.name.partition("-")[2] for p in run.folder.glob("student*") if p.is_dir()},
        key=lambda f: -float(f or 1),
    )
    metric = metric_names.main_of(run)
    return {
        "metric": metric,
        "title": t(metric_names.METRICS[metric].title),
        "aside": metric_names.aside(run),
        "scores": [_scores(run, f, n) for n, f in enumerate(fractions)],
        "alerts": alerts(run),
        "losses": [_losses(run, f, n) for n, f in enumerate(fractions) if histories(run, "student" + (f and f"-{f}"))],
    }


def histories(run: Run, who: str) -> list[list[dict]]:
    """One list of epochs for each seed of a model. A teacher of several seeds stands in ``teachers/``."""
    place = run.path(who)
    if who == "teacher" and run.path("teachers").is_dir():
        place = run.path("teachers")
    files = [place / "metrics.jsonl", *sorted(place.glob("seed-*/metrics.jsonl"), key=_seed)]
    found = [read_lines(file) for file in files if file.exists()]
    return [h for h in found if h]


def curve(found: list[list[dict]], paint: str) -> charts.Curve:
    """Mean, lowest and highest over seeds; a seed that stopped early counts while it lasts."""
    values = np.full((len(found), max(map(len, found))), np.nan)
    for row, history in zip(values, found, strict=True):
        row[: len(history)] = [next(iter(epoch["validation"].values())) for epoch in history]
    return charts.Curve(paint, np.nanmean(values, 0), np.nanmin(values, 0), np.nanmax(values, 0))


def terms(found: list[list[dict]]) -> tuple[list[str], np.ndarray]:
    """Names, and (K, E) the mean over seeds of every weighted loss term; as long as all seeds last."""
    names, epochs = list(found[0][0]["terms"]), min(map(len, found))
    values = [[[h[e]["terms"][name] for e in range(epochs)] for name in names] for h in found]
    return names, np.array(values, dtype=float).mean(0)


def _scores(run: Run, fraction: str, number: int) -> dict:
    suffix, metric = f"-{fraction}" if fraction else "", metric_names.main_of(run)
    people = {who: histories(run, who) for who in ("teacher", f"student{suffix}", f"baseline{suffix}")}
    found = {who: curve(h, who.partition("-")[0]) for who, h in people.items() if h}
    legend = [
        {
            "paint": c.paint,
            "name": scores_table.name(who),
            "note": t(
                "%(score)s after %(epochs)s",
                score=metric_names.shown(metric, float(c.mean[-1])),
                epochs=count(len(c.mean), "epoch"),
            )
            + (t(", mean of %(seeds)s", seeds=count(len(people[who]), "seed")) if len(people[who]) > 1 else ""),
        }
        for who, c in found.items()
    ]
    title = _title(fraction)
    of = t("Validation %(metric)s by epoch", metric=scores_table.main_name(run))
    label = f"{of}, {title}: " + "; ".join(f"{x['name']} {x['note']}" for x in legend)
    lines, percents = list(found.values()), metric_names.METRICS[metric].form == metric_names.SHARE
    chart = charts.curves(lines, AXIS[metric], label, f"curve{number}", percent=percents)
    cut = charts.lowest(lines) if not percents else None
    return {"title": title, "chart": chart, "legend": legend, "cut": cut is not None}


def _losses(run: Run, fraction: str, number: int) -> dict:
    names, values = terms(histories(run, "student" + (f"-{fraction}" if fraction else "")))
    part = values / np.maximum(values.sum(0), 1e-12)
    legend = [
        {
            "paint": f"series{n % charts.SERIES}",
            "name": name,
            "note": t(
                "%(means)s; %(first)s of the loss in the first epoch, %(last)s in the last",
                means=_meaning(run, name),
                first=percent(part[n, 0], 0),
                last=percent(part[n, -1], 0),
            ),
        }
        for n, name in enumerate(names)
    ]
    total, title = values.sum(0), _title(fraction)
    return {
        "title": title,
        "chart": charts.shares(values, t("Each loss's share by epoch, %(labels)s", labels=title), f"loss{number}"),
        "legend": legend,
        "total": t("The whole loss went from %(first)s to %(last)s.", first=f"{total[0]:.3g}", last=f"{total[-1]:.3g}")
        if len(total) > 1
        else t("The whole loss was %(only)s in the only epoch.", only=f"{total[0]:.3g}"),
    }


def _meaning(run: Run, name: str) -> str:
    loss = run.recipe.distill.losses.get(name)
    if loss is None:
        return t("a loss that the recipe no longer names")
    return t(MEANING[loss.kind]) if loss.kind in MEANING else t("kind %(kind)s", kind=loss.kind)


def _title(fraction: str) -> str:
    return t("%(share)s of the labels", share=scores_table.share(fraction)) if fraction else t("all labels")


def _seed(file: Path) -> int:
    return int(file.parent.name.removeprefix("seed-"))

"""Scorecards, the names of models, and the table of results, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from ..files import read_json
from ..integrity import require
from ..model_names import parse_trained
from ..run import Run
from ..types import CLASSES, LABELS, NUMBER, TOKENS, Head
from . import metric_format
from .formatting import align_columns, short
from .i18n import t
from .metric_format import METRICS


@dataclass(frozen=True)
class ResultRow:
    """A model's row of the table, as text."""

    model: str
    main: str
    second: str
    seeds: str
    parameters: str
    size: str
    latency: str


COLUMNS = ("seeds", "parameters", "file", "1 row")
ORDER = {
    "majority": 0,
    "classical": 0.5,
    "only": 1,
    "teacher-only": 1.5,
    "teacher": 2,
    "ensemble": 2.5,
    "student": 3,
    "baseline": 4,
    "rival": 4.5,
    "export": 9,
}
NOT_SCORECARDS = ("comparisons", "label-curve", "readiness")  # further files in scores/
FLOORS = {
    CLASSES: "majority answer",
    LABELS: "training label frequencies",
    NUMBER: "mean of training rows",
    TOKENS: "empty transcript",
}
NAMES = {"classical": "scikit-learn",
         "export": "exported student", "baseline": "student, labels only", "rival": "compute-matched baseline",
         "ensemble": "teacher, all members together"}  # fmt: skip
TARGET_TABLE_MODELS = ("majority", "classical", "teacher", "ensemble", "student", "baseline", "export")


def scores(run: Run) -> dict[str, dict]:
    """Model -> scorecard, in the order of the table. Raises SuffuseError where a file was changed."""
    require(run.folder, "evaluate", under="scores/", remember=False)
    cards = {p.stem: read_json(p) for p in run.path("scores").glob("*.json") if p.stem not in NOT_SCORECARDS}
    return dict(sorted(cards.items(), key=lambda item: model_order(item[0])))


def model_order(model: str) -> tuple:
    """Sort key of a model."""
    if model.startswith("teacher-only-"):
        return (ORDER["teacher-only"], 0.0, 0, model)
    if model.startswith("classical-only-"):
        return (ORDER["classical"], 0.0, 0, model)
    kind, _, rest = model.partition("-")
    if kind == "export":
        return (ORDER[kind], 0.0, bool(rest), model)
    if trained := parse_trained(model):
        kind, rest, factor = trained
        place = ORDER[kind] + factor / 1000  # a longer baseline follows the one of the student's length
        return (5, -float(rest), place, model) if rest else (place, 0.0, 0, model)
    if kind != "only" and rest:  # label fractions follow the models with all labels, the largest first
        return (5, -float(rest), ORDER.get(kind, 8), model)
    return (ORDER.get(kind, 8), 0.0, 0, model)


def is_main_model(model: str) -> bool:
    """Teacher, student, its baselines and exported forms; not unimodal baselines and label fractions."""
    return model in ("teacher", "student", "baseline", "rival") or model.startswith("export")


def model_name(model: str, heads: Sequence[Head] = ()) -> str:
    """A model's displayed name. ``heads``: its targets, which name the constant prediction."""
    if model.startswith("teacher-only-"):
        return t("teacher, %(modality)s alone", modality=model.removeprefix("teacher-only-"))
    if model.startswith("classical-only-"):
        return t("scikit-learn, %(modality)s alone", modality=model.removeprefix("classical-only-"))
    kind, _, rest = model.partition("-")
    if kind == "export" and rest:
        return t("exported student, %(form)s", form=rest)
    if kind == "majority":
        kinds = {head.kind for head in heads}
        return t(FLOORS[kinds.pop()] if len(kinds) == 1 else "training prior")
    if kind == "only":
        return t("%(modality)s alone", modality=rest)
    factor = 1
    if trained := parse_trained(model):
        kind, rest, factor = trained
    name = t(NAMES.get(kind, kind)) + (t(", %(factor)s times the epochs", factor=factor) if factor > 1 else "")
    return name + (t(", %(share)s of the labels", share=label_share(rest)) if rest else "")


def fraction_of(model: str) -> str:
    """The share of the labels in a student's or baseline's key; empty for all."""
    trained = parse_trained(model)
    return trained[1] if trained else ""


def label_share(fraction: str) -> str:
    """``0.05`` -> ``5 %``: the fraction in a model's key as text."""
    return f"{100 * float(fraction):.3g} %"


def main_metric_name(run: Run) -> str:
    """The name of the main metric in a sentence."""
    return t(METRICS[metric_format.main_metric_of(run)].name) + metric_format.mean_suffix(run)


def headings(run: Run) -> tuple[str, ...]:
    """The table's head; an empty heading drops its column."""
    second = metric_format.second_metric_of(run)
    return ("model", main_metric_name(run), METRICS[second].name if second else "", *COLUMNS)


def result_rows(run: Run) -> list[ResultRow]:
    """The table's rows."""
    second, heads = metric_format.second_metric_of(run), metric_format.target_kinds(run)
    return [_row(model, card, second, heads) for model, card in scores(run).items()]


def _row(model: str, card: dict, second: str | None, heads: Sequence[Head]) -> ResultRow:
    main, latency = card["main"], card.get("latency_ms")
    second_score = card["metrics"].get(second)
    trained = model not in ("majority", "ensemble") and not model.startswith(("export", "classical"))
    return ResultRow(
        model_name(model, heads),
        metric_format.ascii_score(main, card["metrics"][main]),
        metric_format.ascii_value(second, second_score["mean"]) if second and second_score else "",
        str(len(card["seeds"])) if trained else "",
        f"{card['parameters']:,}" if "parameters" in card else "",
        f"{card['bytes'] / 1000:,.1f} kB" if "bytes" in card else "",
        f"{latency['p50']:.3f} ms" if latency else "",
    )


def text_tables(run: Run) -> list[list[str]]:
    """Lines for the terminal: the table and, with several targets, a table by target."""
    tables = [[headings(run), *(astuple(row) for row in result_rows(run))]]
    if len(run.recipe.data.targets) > 1:
        tables.append(target_rows(run))
    return [align_columns(rows) for rows in tables]


def target_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each target, a column for each model with all labels and all inputs."""
    cards, heads = scores(run), metric_format.target_kinds(run)
    models = [model for model in TARGET_TABLE_MODELS if model in cards]
    rows = [("target", "metric", *(model_name(model, heads) for model in models))]
    for head in heads:
        metric = metric_format.OF_KIND[head.kind][0]
        means = (cards[model]["metrics"][f"{head.name}:{metric}"]["mean"] for model in models)
        values = (metric_format.ascii_value(metric, mean) for mean in means)
        rows.append((short(head.name, 40), METRICS[metric].name, *values))
    return rows

"""Ablations on the test rows as tables for the page and the terminal: each modality blank or shuffled, slices by a
column's values, and the label curve."""

from __future__ import annotations

from typing import Any

from ..files import read_json
from ..run import Run
from . import charts, metric_format, scores_table, verdict_text
from .formatting import TextTable
from .i18n import t
from .metric_format import METRICS, ascii_difference, ascii_score, ascii_value, range_text
from .scores_table import model_name

CURVE_MODELS = ("student", "baseline")


def text_tables(run: Run) -> list[list[str]]:
    """Lines for the terminal."""
    tables = [*slices(run), label_curve(run), controls(run)]
    return [table.lines() for table in tables if table]


def controls(run: Run, intervals: bool = False) -> TextTable | None:
    """Scores with each modality blank, and shuffled among the test rows; with ``intervals`` of the loss where there is
    room for them."""
    rows, metric = [], "accuracy"
    for model, card in scores_table.scores(run).items():
        results = card.get("controls")
        if results:
            metric = results["metric"]
            full = ascii_value(metric, card["metrics"][metric]["mean"])
            for modality, facts in results["modalities"].items():
                cells = (_control_cell(metric, facts[control], intervals) for control in ("blank", "shuffled"))
                rows.append((model_name(model), modality, full, *cells))
    unchanged = t("%(metric)s as it is", metric=t(METRICS[metric].name))
    headings = (t("model"), t("modality"), unchanged, t("blank"), t("shuffled"))
    return TextTable(t("What each modality is worth"), headings, rows) if rows else None


def _control_cell(metric: str, facts: dict, interval: bool) -> str:
    # the change of the score is the negative cost, so the interval's ends swap; + 0.0 turns -0.0 into 0.0
    change, low, high = (
        ascii_difference(metric, round(-facts["cost"][key], 6) + 0.0) for key in ("difference", "high", "low")
    )
    suffix = f"; {range_text(low, high)}" if interval else ""
    return f"{ascii_value(metric, facts['mean'])}  ({change}{suffix})"


def slices(run: Run) -> list[TextTable]:
    """For each column of ``evaluate.slice_by``: every model's main metric on the rows of each of its values, and how
    much each student differs from its baseline there."""
    cards = metric_format.probe_results(scores_table.scores(run), "by")
    metric, tables = metric_format.main_metric_of(run), []
    for column in run.recipe.evaluate.slice_by:
        by_model = {model: by[column] for model, by in cards.items() if column in by}
        if by_model:
            values = next(iter(by_model.values()))
            rows = [
                (model_name(model), *(_slice_cell(metric, facts[value]) for value in values))
                for model, facts in by_model.items()
            ]
            rows += [
                (f"{model_name(c['who'])} - {model_name(c['against'])}", *(_gain_cell(metric, by, v) for v in values))
                for c in verdict_text.compared(run)
                if (by := c.get("by", {}).get(column))
            ]
            title = t("%(metric)s by %(column)s", metric=t(METRICS[metric].name), column=column.replace("_", " "))
            headings = (t("model"), *(f"{value} ({facts['rows']:,})" for value, facts in values.items()))
            tables.append(TextTable(title[0].upper() + title[1:], headings, rows))
    return tables


def _slice_cell(metric: str, facts: dict) -> str:
    score = facts["metrics"].get(metric)
    return ascii_value(metric, score["mean"]) if score else ""


def _gain_cell(metric: str, by: dict[str, dict], value: str) -> str:
    """A paired difference with its interval; empty where nothing was scored."""
    if value not in by:
        return ""
    gain, low, high = (ascii_difference(metric, by[value][key]) for key in ("difference", "low", "high"))
    return f"{gain}; {range_text(low, high)}"


def label_curve(run: Run) -> TextTable | None:
    """Scores by the share of the labels, a row for each; None where the run has no curve."""
    results = read_json(run.path("scores", "label-curve.json"))
    if not results:
        return None
    metric, rows = results["metric"], []
    for point in results["points"]:
        verdict = point["verdict"]
        gain, low, high = (ascii_difference(metric, verdict[key]) for key in ("difference", "low", "high"))
        rows.append(
            (
                f"{100 * point['share']:.3g} %",
                f"{point['labels']:,}",
                *(ascii_score(metric, point[model]) for model in CURVE_MODELS),
                longest_text(metric, point),
                f"{gain} [{low}, {high}]",
                t(verdict["verdict"]),
                equivalent_text(point.get("equivalent")),
            )
        )
    longest = t("labels only, longest") if any(longest_text(metric, point) for point in results["points"]) else ""
    headings = (t("share of labels"), t("rows"), t("student"), t("labels only"), longest, t("difference"),
                t("distillation"), t("labels only needs"))  # fmt: skip
    return TextTable(t("Label efficiency: %(metric)s", metric=t(METRICS[metric].name)), headings, rows)


def longest_text(metric: str, point: dict) -> str:
    """The score of the longest baseline; empty where none was trained longer."""
    longer = "-x" in point.get("longest_model", "")
    return ascii_score(metric, point["longest"]) if longer else ""


def equivalent_text(equivalent: dict | None) -> str:
    """``31 % [24, 40]``: the share of the labels with which labels-only training scores as well."""
    if not equivalent:
        return "-"
    share, low, high = (_end_text(equivalent, end) for end in ("share", "low", "high"))
    return f"{share} % [{low}, {high}]"


def equivalences(run: Run) -> list[str]:
    """A sentence for each smaller share of the labels: with how many of them labels-only training scores as well."""
    results, texts = read_json(run.path("scores", "label-curve.json")), []
    for point in (results or {"points": []})["points"]:
        equivalent = point.get("equivalent")
        if equivalent and point["share"] < 1:
            values = {end: _end_text(equivalent, end) for end in ("low", "high")}
            values["own"] = f"{100 * point['share']:.3g} %"
            values["needed"] = f"{_end_text(equivalent, 'share')} %"
            values["percent"] = f"{100 * run.recipe.evaluate.confidence:g} %"
            texts.append(t("the student with %(own)s of the labels scores as labels-only training with %(needed)s "
                           "(%(percent)s interval %(low)s to %(high)s)", **values))  # fmt: skip
    return texts


def _end_text(equivalent: dict, end: str) -> str:
    beyond = equivalent["beyond"]
    sign = "<" if end in beyond["below"] else ">" if end in beyond["above"] else ""
    return f"{sign}{100 * equivalent[end]:.2g}" if equivalent[end] < 0.995 else f"{sign}100"


def label_curve_chart(run: Run) -> dict[str, Any] | None:
    """The label curve as a chart; None with fewer than two shares."""
    results = read_json(run.path("scores", "label-curve.json"))
    if not results or len(results["points"]) < 2:
        return None
    metric, points = results["metric"], sorted(results["points"], key=lambda point: point["share"])
    shares, legend, lines = [point["share"] * 100 for point in points], [], []
    for model in CURVE_MODELS:
        lines.append(charts.make_series(model, shares, [point[model] for point in points]))
        first, last = (metric_format.value_text(metric, points[at][model]["mean"]) for at in (0, -1))
        note = t("%(first)s with the fewest labels, %(last)s with all", first=first, last=last)
        legend.append(charts.legend_entry(model, model_name(model), note))
    label, axes = (
        charts.describe(t("Score by the share of the labels"), legend),
        ("labels, in percent", METRICS[metric].name),
    )
    percent = metric_format.is_share(metric)
    chart = charts.line_chart(lines, axes, label, "label-curve", log=True, percent_y=percent)
    return {"chart": chart, "legend": legend}

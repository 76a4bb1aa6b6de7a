"""Several runs side by side: on a page, in the terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..errors import UsageError
from ..integrity import require
from ..run import Run, flat
from . import charts, metric_format, paired_runs, scores_table
from .contribution_section import bars
from .cost_section import AXES, CostPoint, cost_chart, cost_of
from .formatting import align_columns, kilobytes, minus, short
from .i18n import LANGUAGES, t
from .metric_format import METRICS
from .robustness_section import heat_map
from .templates import render_page, render_template

MODELS = ("teacher", "baseline", "student", "export")
MAX_DIFFERENCES = 80  # recipe keys on the page
MAX_TERMINAL_DIFFERENCES = 20
RUN_COLORS = tuple(f"series{n}" for n in range(charts.NUM_SERIES))


def open_runs(folders: Sequence[Path]) -> dict[str, Run]:
    """Name -> run: the folder's name, numbered where two are equal. Raises UsageError where one holds no scores,
    SuffuseError where a file was changed after it was written."""
    if len(folders) < 2:
        raise UsageError("one run alone can't be compared", where="suffuse compare", expected="two run folders or more")
    runs: dict[str, Run] = {}
    for folder in folders:
        require(folder.resolve(), "prepare", "evaluate")
        if not (folder / "recipe.yaml").exists() or not scores_table.scores(run := Run.open(folder)):
            raise UsageError("no scores there", where=folder, expected="a run folder", hint="`suffuse run` makes them")
        name = short(folder.resolve().name, 40)
        runs[name if name not in runs else f"{name} ({len(runs) + 1})"] = run
    return runs


def compared_cards(run: Run) -> dict[str, dict]:
    """Scorecards of the models that are compared."""
    cards = scores_table.scores(run)
    return {model: card for model, card in cards.items() if model in MODELS or model.startswith("export-")}


def score_rows(runs: dict[str, Run]) -> list[tuple[str, ...]]:
    """The table of models by run, its head first."""
    rows = [(t("run"), t("model"), t("metric"), t("score"), t("interval"), t("parameters"), t("file"), t("1 row"))]
    for name, run in runs.items():
        main = metric_format.main_metric_of(run)
        for model, card in compared_cards(run).items():
            facts, latency = card["metrics"][main], card.get("latency_ms")
            rows.append((
                name, scores_table.model_name(model), t(METRICS[main].name),
                metric_format.ascii_value(main, facts["mean"]), metric_format.interval_text(main, facts),
                f"{card['parameters']:,}" if "parameters" in card else "",
                kilobytes(card["bytes"]) if "bytes" in card else "", f"{latency['p50']:.3f} ms" if latency else "",
            ))  # fmt: skip
    return rows


def recipe_differences(runs: dict[str, Run]) -> list[tuple[str, list[str]]]:
    """Recipe keys whose values differ, with each run's value; a dash where a run lacks the key."""
    recipes = [flat(run.recipe.model_dump(mode="json"), "") for run in runs.values()]
    values = {
        key.lstrip("."): [short(recipe.get(key, "–"), 60) for recipe in recipes] for recipe in recipes for key in recipe
    }
    return [(key, texts) for key, texts in values.items() if len(set(texts)) > 1 and key != "name"]


def to_json(runs: dict[str, Run]) -> dict[str, Any]:
    """Scores by run, paired differences, recipe keys that differ, warnings."""
    return {
        "runs": {name: str(run.folder) for name, run in runs.items()},
        "scores": {name: compared_cards(run) for name, run in runs.items()},
        "paired": paired_runs.paired_differences(runs),
        "differences": {key: dict(zip(runs, values, strict=True)) for key, values in recipe_differences(runs)},
        "warnings": paired_runs.warnings(runs),
    }


def terminal_lines(runs: dict[str, Run]) -> list[str]:
    """The comparison in the terminal."""
    sentences = [paired_runs.sentence(facts) for facts in paired_runs.paired_differences(runs)]
    scores = [[cell.replace("\u00a0", " ").replace("−", "-") for cell in row] for row in score_rows(runs)]
    warnings = [f"WARNING: {warning}" for warning in paired_runs.warnings(runs)]
    return [
        *sentences,
        "",
        *align_columns(scores),
        "",
        *_difference_lines(runs),
        *([""] if warnings else []),
        *warnings,
    ]


def _difference_lines(runs: dict[str, Run]) -> list[str]:
    differences, limit = recipe_differences(runs), MAX_TERMINAL_DIFFERENCES
    if not differences:
        return ["the recipes are the same"]
    further = [f"and {len(differences) - limit} more keys"] if len(differences) > limit else []
    return [*align_columns([("recipe", *runs), *((key, *values) for key, values in differences[:limit])]), *further]


def render(runs: dict[str, Run], languages: tuple[str, ...] = tuple(LANGUAGES)) -> str:
    """The page. The same runs give the same bytes."""
    return render_page(lambda: _title(runs), lambda: body(runs), languages)


def _title(runs: dict[str, Run]) -> str:
    return t("%(number)s runs compared", number=len(runs))


def body(runs: dict[str, Run]) -> Markup:
    """All sections in the language in use."""
    head, *rows = score_rows(runs)
    differences = recipe_differences(runs)
    probes = {"cost": cost(runs), "subsets": subsets(runs), "contribution": contribution(runs)}
    return render_template(
        "compare",
        title=_title(runs),
        sections=_sections(probes),
        **probes,
        runs=list(runs),
        comparisons=[
            {"kind": facts.get("verdict", "").split(" ")[0], "text": paired_runs.sentence(facts, minus)}
            for facts in paired_runs.paired_differences(runs)
        ],
        warnings=paired_runs.warnings(runs),
        head=head,
        rows=rows,
        differences=differences[:MAX_DIFFERENCES],
        num_differences=len(differences),
    )


def _sections(probes: dict[str, Any]) -> dict[str, str]:
    """The sections of the page in order: id -> title in the list at the top."""
    table = (
        ("models", t("Models"), True),
        ("cost", t("Cost"), probes["cost"]),
        ("subsets", t("Missing inputs"), probes["subsets"]),
        ("contribution", t("Contributions"), probes["contribution"]),
        ("recipes", t("Recipes"), True),
    )
    return {name: title for name, title, shown in table if shown}


def cost(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """Every run's models as points, a colour for each run."""
    drawn = []
    for axis in AXES:
        points = []
        for number, (name, run) in enumerate(runs.items()):
            main, color = metric_format.main_metric_of(run), RUN_COLORS[number % len(RUN_COLORS)]
            for model, card in compared_cards(run).items():
                if value := cost_of(card, axis):
                    title = f"{name}: {scores_table.model_name(model)}"
                    points.append(CostPoint(color, title, value, main, card["metrics"][main]))
        drawn += cost_chart(points, axis, f"runs-{axis}")
    return drawn


def subsets(runs: dict[str, Run]) -> dict[str, Any] | None:
    """Scores on subsets of the modalities: teacher and exported student of each run."""
    results = _probe_results(runs, "missing")
    if not any(len(card["subsets"]) > 2 for card in results.values()):
        return None
    return {"models": list(results), "rows": heat_map(results)}


def contribution(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """Shapley values as bars, teacher and exported student of each run."""
    results = {name: card for name, card in _probe_results(runs, "contribution").items() if card.get("shapley")}
    return bars(results, name=str) if results else []


def _probe_results(runs: dict[str, Run], probe: str) -> dict[str, dict]:
    return {
        f"{name}: {scores_table.model_name(model)}": card[probe]
        for name, run in runs.items()
        for model, card in compared_cards(run).items()
        if model in ("teacher", "export") and card.get(probe)
    }

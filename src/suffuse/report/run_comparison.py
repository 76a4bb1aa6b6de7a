"""Several runs on one page, in the terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..errors import UsageError
from ..integrity import require
from ..run import Run, flat
from . import contribution_section, metric_names, paired_runs, plots, score_format, scores_table, subsets_section
from .charts import drawn_once
from .cost_section import AXES
from .formatting import kilobytes, minus, short
from .i18n import LANGUAGES, place, speaking, spoken, t
from .metric_names import METRICS
from .page import HERE, environment

MODELS = ("teacher", "baseline", "student", "export")
MOST_DIFFERENCES = 80
COLOURS = tuple(f"series{n}" for n in range(8))


def opened(places: Sequence[Path]) -> dict[str, Run]:
    """Name -> run: of two with one name, the folders' names, else numbered. Raises UsageError where one holds no
    scores, SuffuseError where a file was changed after it was written."""
    if len(places) < 2:
        raise UsageError("one run alone can't be compared", where="suffuse compare", expected="two run folders or more")
    runs: dict[str, Run] = {}
    for folder in places:
        require(folder.resolve(), "prepare", "evaluate")
        if not (folder / "recipe.yaml").exists() or not scores_table.scores(run := Run.open(folder)):
            raise UsageError("no scores there", where=folder, expected="a run folder", hint="`suffuse run` makes them")
        name = short(folder.resolve().name, 40)
        runs[name if name not in runs else f"{name} ({len(runs) + 1})"] = run
    return runs


def chosen(run: Run) -> dict[str, dict]:
    """The scorecards that are set side by side."""
    return {who: card for who, card in scores_table.scores(run).items() if who in MODELS or who.startswith("export-")}


def rows(runs: dict[str, Run]) -> list[tuple[str, ...]]:
    """The table of models by run, head first."""
    head = (t("run"), t("model"), t("metric"), t("score"), t("interval"), t("parameters"), t("file"), t("1 row"))
    found = [head]
    for name, run in runs.items():
        main = metric_names.main_of(run)
        for who, card in chosen(run).items():
            facts, latency = card["metrics"][main], card.get("latency_ms")
            found.append((
                name, scores_table.name(who), t(METRICS[main].name), metric_names.value(main, facts["mean"]),
                score_format.span(main, facts), f"{card['parameters']:,}" if "parameters" in card else "",
                kilobytes(card["bytes"]) if "bytes" in card else "", f"{latency['p50']:.3f} ms" if latency else "",
            ))  # fmt: skip
    return found


def differences(runs: dict[str, Run]) -> list[tuple[str, list[str]]]:
    """Recipe keys that aren't the same in all runs, with each run's value; a key that a run lacks has a dash."""
    recipes = [flat(run.recipe.model_dump(mode="json"), "") for run in runs.values()]
    keys = dict.fromkeys(key for one in recipes for key in one)
    found = [(key.lstrip("."), [short(r.get(key, "–"), 60) for r in recipes]) for key in keys]
    return [(key, values) for key, values in found if len(set(values)) > 1 and key != "name"]


def plain(runs: dict[str, Run]) -> dict[str, Any]:
    """For programs: scores by run, paired differences, recipe keys that differ, warnings."""
    return {
        "runs": {name: str(run.folder) for name, run in runs.items()},
        "scores": {name: chosen(run) for name, run in runs.items()},
        "paired": paired_runs.pairs(runs),
        "differences": {key: dict(zip(runs, values, strict=True)) for key, values in differences(runs)},
        "warnings": paired_runs.warnings(runs),
    }


def lines(runs: dict[str, Run]) -> list[str]:
    """What the terminal shows."""
    said = [paired_runs.sentence(one) for one in paired_runs.pairs(runs)]
    found = differences(runs)
    many = [("recipe", *runs), *((key, *values) for key, values in found[:20])]
    more = [f"and {len(found) - 20} more keys"] if len(found) > 20 else []
    told = [f"WARNING: {one}" for one in paired_runs.warnings(runs)]
    ascii_rows = [[cell.replace("\u00a0", " ").replace("−", "-") for cell in row] for row in rows(runs)]
    recipe = [*scores_table.aligned(many), *more] if found else ["the recipes are the same"]
    return [*said, "", *scores_table.aligned(ascii_rows), "", *recipe, *([""] if told else []), *told]


def render(runs: dict[str, Run], languages: tuple[str, ...] = tuple(LANGUAGES)) -> str:
    """The page. The same runs give the same bytes."""
    bodies = []
    with drawn_once():
        for language in languages:
            with speaking(language):
                bodies.append({"language": language, "called": LANGUAGES[language], "html": body(runs)})
    with speaking(languages[0]):
        title = t("%(many)s runs compared", many=len(runs))
    css = Markup((HERE / "style.css").read_text(encoding="utf-8"))
    return environment().get_template("page.html.jinja").render(css=css, title=title, bodies=bodies)


def body(runs: dict[str, Run]) -> Markup:
    """All sections, in the language spoken now."""
    head, *found = rows(runs)
    values = {
        "language": spoken(),
        "place": place(),
        "title": t("%(many)s runs compared", many=len(runs)),
        "runs": list(runs),
        "said": [
            {"kind": p.get("verdict", "").split(" ")[0], "text": paired_runs.sentence(p, minus)}
            for p in paired_runs.pairs(runs)
        ],
        "warnings": paired_runs.warnings(runs),
        "head": head,
        "rows": found,
        "cost": cost(runs),
        "subsets": missing(runs),
        "contribution": shares(runs),
        "differences": differences(runs)[:MOST_DIFFERENCES],
        "all": len(differences(runs)),
    }
    return Markup(environment().get_template("compare.html.jinja").render(values))


def cost(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """Every run's models as dots: a colour for each run."""
    made = []
    for key, title in (("latency", t("Time of an answer")), ("size", t("Size of the file"))):
        dots, legend = [], []
        for number, (name, run) in enumerate(runs.items()):
            main, colour = metric_names.main_of(run), COLOURS[number % len(COLOURS)]
            for who, card in chosen(run).items():
                x = (card.get("latency_ms") or {}).get("p50") if key == "latency" else card.get("bytes", 0) / 1000
                if x:
                    facts = card["metrics"][main]
                    dots.append(plots.line(colour, [x], [facts]))
                    size = f"{x:.3f} ms" if key == "latency" else kilobytes(round(1000 * x))
                    note = t("%(first)s, %(second)s", first=metric_names.shown(main, facts["mean"]), second=size)
                    legend.append({"paint": colour, "name": f"{name}: {scores_table.name(who)}", "note": note})
        if len(dots) > 1:
            label = f"{title}: " + "; ".join(f"{x['name']} {x['note']}" for x in legend)
            main = metric_names.main_of(next(iter(runs.values())))
            chart = plots.points(
                dots, (AXES[key], METRICS[main].name), label, f"runs-{key}", percent=score_format.share(main)
            )
            made.append({"title": title, "chart": chart, "legend": legend})
    return made


def missing(runs: dict[str, Run]) -> dict[str, Any] | None:
    """The heat map of subsets: teacher and exported student of each run."""
    found = _each(runs, "missing")
    if not any(len(card["subsets"]) > 2 for card in found.values()):
        return None
    return {"models": list(found), "rows": subsets_section.heat(found)}


def shares(runs: dict[str, Run]) -> list[dict[str, Any]]:
    """Contribution bars, run beside run."""
    found = {name: card for name, card in _each(runs, "contribution").items() if card.get("shapley")}
    return contribution_section.bars(found, named=str) if found else []


def _each(runs: dict[str, Run], field: str) -> dict[str, dict]:
    return {
        f"{name}: {scores_table.name(who)}": card[field]
        for name, run in runs.items()
        for who, card in chosen(run).items()
        if who in ("teacher", "export") and card.get(field)
    }

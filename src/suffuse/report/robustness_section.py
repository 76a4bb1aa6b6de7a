"""How models do where a modality is damaged, and on a group that training never saw."""

from __future__ import annotations

from typing import Any

from ..run import Run
from . import metric_names, plots, score_format, scores_table
from .i18n import t
from .metric_names import METRICS


def robustness(run: Run) -> dict[str, Any] | None:
    """None where nothing was measured."""
    found = score_format.of(scores_table.scores(run), "robustness")
    if not found:
        return None
    first = next(iter(found.values()))
    names = dict.fromkeys(name for card in found.values() for name in card.get("modalities") or ())
    return {
        "on": score_format.on(first) if "rows" in first else "",
        "charts": [picture(found, name, number) for number, name in enumerate(names)],
        "held": [_held(who, card) for who, card in found.items() if card.get("held_out")],
        "group": next((card["held_out"] for card in found.values() if card.get("held_out")), None),
    }


def picture(found: dict[str, dict], name: str, number: int) -> dict[str, Any]:
    """One modality: a line for each model that reads it."""
    there = {who: card for who, card in found.items() if (card.get("modalities") or {}).get(name)}
    colours, metric = plots.paints(list(there)), next(iter(there.values()))["metric"]
    curves = [
        plots.line(colours[w], [s["severity"] for s in _steps(c, name)], _steps(c, name)) for w, c in there.items()
    ]
    legend = [
        {"paint": colours[w], "name": scores_table.name(w), "note": _note(metric, c, name)} for w, c in there.items()
    ]
    label = t("Score by severity of damage to %(name)s", name=name) + ": "
    label += "; ".join(f"{x['name']} {x['note']}" for x in legend)
    chart = plots.lines(curves, ("severity", METRICS[metric].name), label, f"damage{number}",
                        percent_y=score_format.share(metric))  # fmt: skip
    return {"name": name, "chart": chart, "legend": legend}


def _steps(card: dict, name: str) -> list[dict]:
    return card["modalities"][name]


def _note(metric: str, card: dict, name: str) -> str:
    last, kept = _steps(card, name)[-1], (card.get("retained") or {}).get(name)
    said = t(
        "%(score)s at severity %(severity)s", score=metric_names.shown(metric, last["mean"]), severity=last["severity"]
    )
    return said if kept is None else t("%(said)s; %(kept)s kept", said=said, kept=f"{100 * kept:.0f}\u00a0%")


def _held(who: str, card: dict) -> dict[str, str]:
    facts, metric = card["held_out"], card["metric"]
    return {
        "who": scores_table.name(who),
        **{key: metric_names.shown(metric, facts[key]["mean"]) for key in ("test", "validation")},
        "gap": score_format.gap(metric, facts["difference"]["mean"]),
        "span": score_format.span(metric, facts["difference"]),
    }

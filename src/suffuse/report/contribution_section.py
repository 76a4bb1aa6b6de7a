"""What each modality contributes, model beside model: Shapley values as bars, and how faithful they are to the
teacher's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..run import Run
from . import plots, score_format, scores_table
from .formatting import percent
from .i18n import t
from .metric_names import METRICS


def contribution(run: Run) -> dict[str, Any] | None:
    """None where no model that reads several modalities was measured."""
    found = score_format.of(scores_table.scores(run), "contribution")
    shared = {who: card for who, card in found.items() if card.get("shapley")}
    if not any(len(card["shapley"]) > 1 for card in shared.values()):
        return None
    first = next(iter(shared.values()))
    return {
        "metric": t(METRICS[first["metric"]].title),
        "on": score_format.on(first),
        "bars": bars(shared),
        "pairs": pairs(shared),
        "changed": changed(shared),
        "fidelity": [_fidelity(who, card) for who, card in shared.items() if card.get("fidelity")],
        "emap": [_emap(who, card) for who, card in shared.items() if card.get("emap")],
        "gates": gates(shared),
    }


def bars(found: dict[str, dict], named: Callable[[str], str] = scores_table.name) -> list[dict[str, Any]]:
    """For each modality a bar of each model that reads it; all share one scale, which holds 0."""
    names = dict.fromkeys(name for card in found.values() for name in card["shapley"])
    values = [card["shapley"][n] for card in found.values() for n in card["shapley"]]
    low = min(0.0, *(v["low"] for v in values))
    high = max(0.0, *(v["high"] for v in values))
    scale, colours = (low, max(high - low, 1e-9)), plots.paints(list(found))
    return [
        {
            "name": name,
            "rows": [
                {"who": named(who), "paint": colours[who], **bar(card["metric"], card["shapley"][name], scale)}
                for who, card in found.items()
                if name in card["shapley"]
            ],
        }
        for name in names
    ]


def bar(metric: str, facts: dict, scale: tuple[float, float]) -> dict[str, str]:
    """Where a bar from 0 to the mean lies, and its interval over it, in percent of the scale (lowest, width)."""

    def at(value: float) -> float:
        return 100 * min(max((value - scale[0]) / scale[1], 0.0), 1.0)

    start, end = sorted((at(0.0), at(facts["mean"])))
    low, high = at(facts["low"]), at(facts["high"])
    return {
        "left": f"{start:.2f}%",
        "width": f"{end - start:.2f}%",
        "zero": f"{at(0.0):.2f}%",
        "low": f"{low:.2f}%",
        "reach": f"{high - low:.2f}%",
        "value": score_format.gap(metric, facts["mean"]),
        "span": score_format.span(metric, facts),
    }


def pairs(found: dict[str, dict]) -> dict[str, Any]:
    """What modalities are worth together, beyond what each brings: a column for each pair."""
    names = list(dict.fromkeys(name for card in found.values() for name in card.get("interaction") or ()))[:6]
    rows = [
        {
            "who": scores_table.name(who),
            "beyond": _signed(card["metric"], card.get("cooperation")),
            "each": [_signed(card["metric"], (card.get("interaction") or {}).get(n)) for n in names],
        }
        for who, card in found.items()
    ]
    return {"names": [score_format.subset(n) for n in names], "rows": rows}


def changed(found: dict[str, dict]) -> dict[str, Any] | None:
    """Shares of rows that a modality turns right, and wrong; None where right and wrong aren't measured."""
    there = {who: card for who, card in found.items() if card.get("helped")}
    if not there:
        return None
    names = list(dict.fromkeys(name for card in there.values() for name in card["helped"]))
    rows = [
        {
            "who": scores_table.name(who),
            "each": [[_part(card[kind].get(n)) for kind in ("helped", "hurt")] for n in names],
        }
        for who, card in there.items()
    ]
    return {"names": names, "rows": rows}


def _part(facts: dict | None) -> dict[str, str]:
    """``12.3 %``, and ``11.0 to 13.5``."""
    if not facts:
        return {"text": "", "span": ""}
    low, high = (f"{100 * facts[end]:.1f}" for end in ("low", "high"))
    return {"text": percent(facts["mean"], 1), "span": t("%(low)s to %(high)s", low=low, high=high)}


def _signed(metric: str, facts: dict | None) -> dict[str, str]:
    if not facts:
        return {"text": "", "span": ""}
    return {"text": score_format.gap(metric, facts["mean"]), "span": score_format.span(metric, facts)}


def _fidelity(who: str, card: dict) -> dict[str, Any]:
    facts = card["fidelity"]
    found = {key: _plain(facts.get(key)) for key in ("cosine", "rank", "difference")}
    return {"who": scores_table.name(who), **found, "same_first": _part(facts.get("same_first"))}


def _plain(facts: dict | None) -> dict[str, str]:
    """``0.912``, and ``0.900 to 0.921``."""
    if not facts:
        return {"text": "", "span": ""}
    mean, low, high = (f"{facts[key]:.3f}".replace("-", "−") for key in ("mean", "low", "high"))
    return {"text": mean, "span": t("%(low)s to %(high)s", low=low, high=high)}


def _emap(who: str, card: dict) -> dict[str, str]:
    facts, metric = card["emap"], card["metric"]
    return {"who": scores_table.name(who), "gap": score_format.gap(metric, facts["gap"]["mean"]),
            "span": score_format.span(metric, facts["gap"]), "rows": f"{facts['rows']:,}"}  # fmt: skip


def gates(found: dict[str, dict]) -> dict[str, Any] | None:
    """The fusion's mean weights beside each modality's share of the Shapley values."""
    there = {who: card for who, card in found.items() if card.get("gates")}
    if not there:
        return None
    names = list(dict.fromkeys(name for card in there.values() for name in card["gates"]))
    rows = [
        {
            "who": scores_table.name(who),
            "each": [(_percent(card["gates"].get(n)), _percent(share(card, n))) for n in names],
        }
        for who, card in there.items()
    ]
    return {"names": names, "rows": rows}


def share(card: dict, name: str) -> float | None:
    """A modality's part of the sum of the Shapley values' sizes."""
    whole = sum(abs(v["mean"]) for v in card["shapley"].values())
    return abs(card["shapley"][name]["mean"]) / whole if whole and name in card["shapley"] else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f}\u00a0%"

"""What an answer costs against how good it is: latency and size of the models that have them."""

from __future__ import annotations

import math
from typing import Any

from ..run import Run
from . import metric_names, plots, scores_table
from .formatting import kilobytes
from .i18n import t
from .metric_names import METRICS
from .score_format import share

AXES = {"latency": "milliseconds a row", "size": "kilobytes"}


def cost(run: Run) -> dict[str, Any] | None:
    """Two pictures with their lists; None where fewer than two models have either. A model without a score (R2 of test
    rows that all have one number) stands in none of them."""
    cards = {who: card for who, card in scores_table.scores(run).items() if shown(who)}
    main = metric_names.main_of(run)
    scored = {who: card for who, card in cards.items() if math.isfinite(card["metrics"][main]["mean"])}
    latency = {who: card["latency_ms"]["p50"] for who, card in scored.items() if card.get("latency_ms")}
    size = {who: card["bytes"] / 1000 for who, card in scored.items() if card.get("bytes")}
    taken = (("latency", t("Time of an answer"), latency), ("size", t("Size of the file"), size))
    charts = [picture(run, cards, key, title, found) for key, title, found in taken if len(found) > 1]
    if not charts:
        return None
    more = [
        _more(scores_table.name(who), card) for who, card in cards.items() if card.get("latency") or card.get("memory")
    ]
    return {"charts": charts, "more": more}


def shown(who: str) -> bool:
    """Floors and students with fewer labels cost what their kin do, and would press the others together."""
    return who in ("teacher", "student", "baseline", "rival") or who.startswith("export")


def picture(run: Run, cards: dict[str, dict], key: str, title: str, found: dict[str, float]) -> dict[str, Any]:
    """Every model as a point: to the right what it costs, upwards how good it is."""
    main, colours = metric_names.main_of(run), plots.paints(list(found))
    dots = [plots.line(colours[who], [x], [cards[who]["metrics"][main]]) for who, x in found.items()]
    legend = [
        {
            "paint": colours[who],
            "name": scores_table.name(who),
            "note": t("%(first)s, %(second)s", first=metric_names.shown(main, cards[who]["metrics"][main]["mean"]),
                      second=f"{x:.3f} ms" if key == "latency" else kilobytes(round(1000 * x))),
        }
        for who, x in found.items()
    ]  # fmt: skip
    label = f"{title}: " + "; ".join(f"{x['name']} {x['note']}" for x in legend)
    says = (AXES[key], METRICS[main].name)
    chart = plots.points(dots, says, label, f"cost-{key}", percent=share(main))
    return {"title": title, "chart": chart, "legend": legend}


def _more(name: str, card: dict) -> dict[str, Any]:
    """Batches, the first answer, memory and multiplications of one model."""
    batches = card.get("latency", {}).get("batches", {})
    cold, memory = card.get("latency", {}).get("cold_start_ms", {}), card.get("memory", {})
    one = batches.get("1", {})
    return {
        "name": name,
        "tails": " / ".join(f"{one[p]:.3f}" for p in ("p50", "p95", "p99")) if one else "",
        "rates": [f"{batches[n]['rows_per_second']:,.0f}" if n in batches else "" for n in ("1", "8", "64")],
        "cold": f"{cold['process']:,.0f} ms" if cold.get("process") is not None else "",
        "memory": kilobytes(memory["model_bytes"]) if memory.get("model_bytes") is not None else "",
        "macs": f"{card['macs']['per_row']:,}" if card.get("macs", {}).get("per_row") is not None else "",
    }

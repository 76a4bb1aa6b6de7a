"""Scores with modalities missing, and what each contributes, in two small tables for the terminal."""

from __future__ import annotations

from ..run import Run
from . import metric_names, scores_table
from .formatting import count
from .i18n import t
from .metric_names import METRICS
from .modality_ablation import Block

MOST = 8  # subsets of modalities that are shown
SHOWN = (0.3, 0.5)  # rates of loss


def blocks(run: Run) -> list[list[str]]:
    """What the terminal shows of it, as lines of text."""
    found = [block for block in (missing(run), contribution(run)) if block]
    return [[block.title, *scores_table.aligned([block.headings, *block.rows])] for block in found]


def missing(run: Run) -> Block | None:
    """A row for each model: its score on subsets of modalities, and at two rates of loss."""
    cards = {who: card["missing"] for who, card in scores_table.scores(run).items() if card.get("missing")}
    wide = {who: card for who, card in cards.items() if len(card["subsets"]) > 2}
    if not wide:
        return None
    first = max(wide.values(), key=lambda card: len(card["subsets"]))
    named = chosen(list(first["subsets"]))
    rows = []
    for who, card in wide.items():
        each = [_value(card, card["subsets"].get(name)) for name in named]
        rates = [_value(card, one) for one in card["rates"] if one["rate"] in SHOWN]
        rows.append((scores_table.name(who), *each, *rates))
    title = t(
        "%(metric)s with modalities missing (%(rows)s)", metric=t(METRICS[first["metric"]].title), rows=_rows(first)
    )
    lost = [t("%(rate)s lost", rate=f"{100 * rate:g} %") for rate in SHOWN]
    return Block(title, (t("model"), *named, *lost), rows)


def chosen(subsets: list[str]) -> list[str]:
    """All of them, the largest first; of many the whole, those that lack one, and nothing."""
    order = sorted(subsets, key=lambda name: -_size(name))
    if len(order) <= MOST:
        return order
    most = _size(order[0])
    return [name for name in order if _size(name) >= most - 1 or not _size(name)]


def contribution(run: Run) -> Block | None:
    """A row for each model: the Shapley value of each modality, what they are worth together beyond the best one, and
    how much like its teacher it uses them."""
    cards = {who: card["contribution"] for who, card in scores_table.scores(run).items() if card.get("contribution")}
    shared = {who: card for who, card in cards.items() if card.get("shapley")}
    if not shared:
        return None
    names = list(max((card["shapley"] for card in shared.values()), key=len))
    first, rows = next(iter(shared.values())), []
    for who, card in shared.items():
        metric = card["metric"]
        each = [
            metric_names.difference(metric, card["shapley"][n]["mean"]) if n in card["shapley"] else "" for n in names
        ]
        beyond = metric_names.difference(metric, card["cooperation"]["mean"])
        alike = card.get("fidelity", {}).get("cosine")
        rows.append((scores_table.name(who), *each, beyond, f"{alike['mean']:.2f}" if alike else ""))
    named = t(METRICS[first["metric"]].name)
    title = t(
        "What each modality contributes: Shapley values of %(metric)s (%(rows)s)", metric=named, rows=_rows(first)
    )
    alike = t("as its teacher") if any(row[-1] for row in rows) else ""
    return Block(title, (t("model"), *names, t("beyond the best one"), alike), rows)


def _size(name: str) -> int:
    return 0 if name == "nothing" else name.count("+") + 1


def _value(card: dict, found: dict | None) -> str:
    return metric_names.value(card["metric"], found["mean"]) if found else ""


def _rows(card: dict) -> str:
    whole = count(card["of"], "test row")
    if card["rows"] == card["of"]:
        return whole
    return t("%(some)s of %(all)s", some=f"{card['rows']:,}", all=whole)

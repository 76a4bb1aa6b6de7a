"""What each modality is worth, scores of parts of the test rows, and warnings: for the terminal and the page alike."""

from __future__ import annotations

from dataclasses import dataclass

from ..files import read_json
from ..run import Run
from . import metrics, table
from .language import t
from .metrics import METRICS

SMALL = 0.01  # of the main metric: an interval that ends below it says that shuffling costs nothing


@dataclass(frozen=True)
class Block:
    """A small table: its heading, its head and its rows, as text."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def blocks(run: Run) -> list[list[str]]:
    """What the terminal shows of it, as lines of text."""
    found = [*parts(run), *([block] if (block := controls(run)) else [])]
    return [[block.title, *table.aligned([block.headings, *block.rows])] for block in found]


def controls(run: Run) -> Block | None:
    """Teacher and student with each modality blank, and shuffled among the test rows."""
    rows, metric = [], "accuracy"
    for who, card in table.scores(run).items():
        found = card.get("controls")
        if found:
            metric = found["metric"]
            full = metrics.value(metric, card["metrics"][metric]["mean"])
            for name, one in found["modalities"].items():
                rows.append((table.name(who), name, full, *(_control(metric, one[c]) for c in ("blank", "shuffled"))))
    as_is = t("%(metric)s as it is", metric=t(METRICS[metric].name))
    headings = (t("model"), t("modality"), as_is, t("blank"), t("shuffled"))
    return Block(t("What each modality is worth"), headings, rows) if rows else None


def parts(run: Run) -> list[Block]:
    """For each column of ``evaluate.by``: every model's main metric on the rows of each of its values."""
    cards = {who: card for who, card in table.scores(run).items() if card.get("by")}
    blocks = []
    for column in run.recipe.evaluate.by:
        found = {who: card["by"][column] for who, card in cards.items() if column in card["by"]}
        if found:
            named = {value: f"{value} ({part['rows']:,})" for value, part in next(iter(found.values())).items()}
            metric = metrics.main_of(run)
            rows = [(table.name(who), *(_part(metric, one[value]) for value in named)) for who, one in found.items()]
            title = t("%(metric)s by %(column)s", metric=t(METRICS[metric].name), column=column.replace("_", " "))
            blocks.append(Block(title[0].upper() + title[1:], (t("model"), *named.values()), rows))
    return blocks


def warnings(run: Run) -> list[str]:
    """Where the teacher is weaker than its student or knows its rows by heart, where the modalities together are no
    better than the best one alone, and where a model doesn't use one."""
    return [*teacher(run), *fusion(run), *unused(run)]


def teacher(run: Run) -> list[str]:
    """What validation and training rows said against the teacher."""
    told, judged = [], read_json(run.path("judged.json")) or {}
    facts = read_json(run.path("teacher", "training.json")) or {}
    if judged.get("weak"):
        theirs, ours = (metrics.value(judged["metric"], judged[who]) for who in ("teacher", "label_only"))
        told.append(f"on validation the teacher is weaker than the student on labels alone ({theirs} against {ours})")
    folds = run.recipe.trained.folds if run.recipe.trained else None
    if facts.get("by_heart") and not folds:
        metric, seen = next(iter(facts["training"].items()))
        unseen = facts["validation"][metric]
        if seen - unseen >= SMALL:
            values = f"{metrics.value(metric, seen)} there, {metrics.value(metric, unseen)} on validation"
            told.append(
                f"the teacher knows its training rows by heart ({values}): its answers there are nearly the labels"
            )
    return told


def fusion(run: Run) -> list[str]:
    """A sentence for each network that sees all modalities and isn't shown to beat its best single one."""
    cards, told = table.scores(run), []
    compared = [c for c in read_json(run.path("scores", "comparisons.json")) or [] if c.get("about") == "fusion"]
    for who in dict.fromkeys(c["who"] for c in compared):
        some = [c for c in compared if c["who"] == who]
        best = max(some, key=lambda c: cards[c["against"]]["metrics"][c["metric"]]["mean"])
        if best["verdict"] != "helps":
            ours, theirs = (table.name(best[end]) for end in ("who", "against"))
            what = "is worse than" if best["verdict"] == "hurts" else "shows no evidence of beating"
            values = (metrics.value(best["metric"], cards[best[end]]["metrics"][best["metric"]]["mean"])
                      for end in ("who", "against"))  # fmt: skip
            told.append(
                f"fusion doesn't pay here: {ours}, with all modalities, {what} {theirs} ({' against '.join(values)}: "
                f"{_numbers(run, best['metric'], best)})"
            )
    return told


def unused(run: Run) -> list[str]:
    """A sentence for each modality that can be shuffled at no cost."""
    told = []
    for who, card in table.scores(run).items():
        found = card.get("controls") or {}
        for name, one in found.get("modalities", {}).items():
            cost = one["shuffled"]["cost"]
            numbers = _numbers(run, found["metric"], cost)
            if cost["low"] <= 0 and cost["high"] < SMALL:
                says = f"costs nothing ({numbers}): the model doesn't use {name}"
                told.append(f"{table.name(who)}: shuffling {name} among the test rows {says}")
            elif cost["low"] <= 0:
                says = f"can't be told to cost anything ({numbers}): there is no evidence that the model uses {name}"
                told.append(f"{table.name(who)}: shuffling {name} among the test rows {says}")
    return told


def _numbers(run: Run, metric: str, facts: dict) -> str:
    gap, low, high = (metrics.difference(metric, facts[key]) for key in ("difference", "low", "high"))
    percent = f"{100 * run.recipe.evaluate.confidence:g} %"
    return f"{gap}{metrics.points(metric)}, {percent} interval {low} to {high}"


def _control(metric: str, facts: dict) -> str:
    lost = round(-facts["cost"]["difference"], 6) + 0.0  # never -0
    return f"{metrics.value(metric, facts['mean'])}  ({metrics.difference(metric, lost)})"


def _part(metric: str, facts: dict) -> str:
    found = facts["metrics"].get(metric)
    return metrics.value(metric, found["mean"]) if found else ""

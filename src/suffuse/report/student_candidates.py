"""The candidates for the student, their scores on validation rows, and which one was selected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..files import read_json
from ..recipe import PROPOSED
from ..run import SELECTION, Run
from . import metric_format
from .formatting import TextTable
from .i18n import t

# rules by which one was selected
ONLY, UNLABELLED, UNRIVALLED, BEST, SMALLEST = "only", "unlabelled", "unrivalled", "best", "smallest"
REASONS = {
    ONLY: "the student is %(name)s, the only network within the budget (%(parameters)s parameters)",
    UNLABELLED: "the student is %(name)s (%(parameters)s parameters): no validation row has a label to select by",
    UNRIVALLED: "the student is %(name)s (%(parameters)s parameters): of %(count)s networks no other was promising "
    "after a short training",
    BEST: "the student is %(name)s, the best of %(count)s networks on validation (%(parameters)s parameters)",
    SMALLEST: "the student is %(name)s, the smallest of %(count)s networks within one standard error of the best on "
    "validation (%(parameters)s parameters)",
}
UNREAD = "; it doesn't read %(names)s"
NARROWER = "; its widths are %(scale)s times those of the recipe, to fit the budget"


def selection_facts(run: Run) -> dict[str, Any] | None:
    """What ``distill`` wrote of the selection; None where the recipe has no candidates and no budget."""
    return read_json(run.path(SELECTION))


def selection_sentence(facts: Mapping[str, Any]) -> str:
    """Which network was selected, and by which rule."""
    counted = max((len(one["candidates"]) for one in facts["rounds"]), default=1)
    values = {"name": _name(facts["selected"]), "count": counted, "parameters": f"{facts['parameters']:,}"}
    sentence = t(REASONS[facts["rule"]], **values)
    if facts["scale"] != 1:
        sentence += t(NARROWER, scale=f"{facts['scale']:g}")
    if facts["unread"]:
        sentence += t(UNREAD, names=", ".join(facts["unread"]))
    return sentence


def candidates_table(run: Run) -> TextTable | None:
    """A row for each candidate in each round, and for those that don't fit the budget. None where none was compared."""
    facts = selection_facts(run)
    if facts is None or not (facts["rounds"] or facts["left_out"]):
        return None
    rows: list[tuple[str, ...]] = []
    for number, one in enumerate(facts["rounds"]):
        last = number == len(facts["rounds"]) - 1
        for candidate in one["candidates"]:
            mark = t("selected") if last and candidate["name"] == facts["selected"] else ""
            rows.append((*_cells(candidate), _epochs(one), *_scores(facts["metric"], candidate), mark))
    rows += [(*_cells(candidate), "", "", "", t("over the budget")) for candidate in facts["left_out"]]
    headings = ("network", "modalities", "parameters", "epochs", "validation", "to the best", "")
    return TextTable(t("Networks that the student was selected from"), tuple(t(h) if h else "" for h in headings), rows)


def _cells(candidate: Mapping[str, Any]) -> tuple[str, str, str]:
    name = _name(candidate["name"])
    if candidate["scale"] != 1:
        name += f" x {candidate['scale']:g}"
    return name, ", ".join(candidate["modalities"]), f"{candidate['parameters']:,}"


def _epochs(one: Mapping[str, Any]) -> str:
    return f"{one['share']:.0%} x {one['seeds']}"


def _scores(metric: str, candidate: Mapping[str, Any]) -> tuple[str, str]:
    score = metric_format.ascii_value(metric, candidate["score"])
    error = metric_format.ascii_value(metric, candidate["standard_error"])
    return score, f"{metric_format.ascii_difference(metric, candidate['to_best'])} +- {error}"


def _name(name: str) -> str:
    return t("the proposed network") if name == PROPOSED else name

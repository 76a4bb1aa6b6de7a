"""Intervals of finished runs end where metrics do: in scorecards, on the page, in the terminal and the model card."""

from __future__ import annotations

import html
import json
import re

import pytest
from range_tools import intervals, outside

from suffuse.report import model_card, scores_table, terminal
from suffuse.run import Run

FURTHER = [pytest.param(name, marks=pytest.mark.long) for name in ("classes_run", "labels_run", "mixed_run")]
RUNS = ("finished_run", "plain_run", "number_run", *FURTHER)
PERCENT = re.compile(r"([−-]?\d[\d,]*\.\d+)\s?%")


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue(request.param)


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def words(page: str) -> str:
    """The text of a page, without its pictures and styles."""
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.S)))


def test_every_interval_of_every_scorecard_lies_in_its_range(run: Run):
    found = {who: json.loads((run.path("scores") / f"{who}.json").read_text()) for who in scores_table.scores(run)}
    main = next(iter(found.values()))["main"]
    assert {who: outside(card, main) for who, card in found.items() if outside(card, main)} == {}
    assert sum(len(list(intervals(card))) for card in found.values()) >= 20
    for name in ("comparisons", "label-curve"):
        file = run.path("scores", f"{name}.json")
        assert not file.exists() or outside({"verdict": json.loads(file.read_text())}, main) == []


def test_no_percentage_beyond_100_stands_on_the_page_in_the_terminal_or_the_model_card(run: Run):
    page = words(run.path("report.html").read_text(encoding="utf-8"))
    for text in (page, "\n".join(terminal.terminal_lines(run)), model_card.model_card(run)):
        assert [p for p in PERCENT.findall(text) if abs(number(p)) > 100] == []

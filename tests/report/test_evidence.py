"""What the page and the card say of the probes is what the scorecards hold; what wasn't measured is left out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from report_tools import restamp
from test_kinds import rows_of

from suffuse.audit import ITEMS
from suffuse.files import read_json
from suffuse.report import charts, contribution_section, metric_format, robustness_section, scores_table
from suffuse.report.model_card import model_card
from suffuse.report.page import render
from suffuse.run import Run

FIELDS = (
    "missing", "contribution", "robustness", "agreement", "temperature", "latency", "latency_ms", "memory", "macs",
    "per_class",
)  # fmt: skip


@pytest.fixture
def page(english_page: str) -> str:
    return english_page


@pytest.fixture
def bare(finished_run: Run, tmp_path: Path) -> Run:
    """The same run as an older version, or one without probes, left it."""
    shutil.copytree(finished_run.folder, tmp_path / "run")
    for file in (tmp_path / "run" / "scores").glob("*.json"):
        card = read_json(file)
        if isinstance(card, dict):
            file.write_text(json.dumps({k: v for k, v in card.items() if k not in FIELDS}))
    (tmp_path / "run" / "audit.json").unlink()
    (tmp_path / "run" / "scores" / "label-curve.json").unlink()
    restamp(tmp_path / "run", "evaluate")
    return Run.open(tmp_path / "run")


def test_every_subset_stands_in_the_heat_map_with_its_score(page: str, finished_run: Run):
    cards = metric_format.probe_results(scores_table.scores(finished_run), "missing")
    found = rows_of(page, "Scores on subsets of the modalities") if "<tr>" in page else {}
    first = next(iter(cards.values()))["subsets"]
    assert set(found) == {metric_format.subset_name(name) for name in first}
    for name in first:
        for cell, card in zip(found[metric_format.subset_name(name)], cards.values(), strict=True):
            assert cell.startswith(metric_format.value_text("accuracy", card["subsets"][name]["mean"]))


def test_shades_go_from_the_lowest_score_to_the_highest():
    def one(mean: float) -> dict:
        return {"mean": mean, "low": mean, "high": mean}

    card = {"metric": "accuracy", "subsets": {"nothing": one(0.2), "a": one(0.4), "a+b": one(1.0)}}
    lines = robustness_section.heat_map({"teacher": card, "other": {"metric": "accuracy", "subsets": {"a": one(0.6)}}})
    assert lines[0]["name"] == "a + b" and lines[-1]["name"].startswith("nothing")
    assert [line["cells"][0]["depth"] for line in lines] == ["1.00", "0.25", "0.00"]
    assert [line["cells"][1]["text"] for line in lines] == ["", "60.00\u00a0%", ""]


def test_a_bar_reaches_from_zero_to_the_mean_also_to_the_left():
    facts = {"mean": -0.1, "low": -0.2, "high": 0.1}
    bar = contribution_section.bar("accuracy", facts, (-0.2, 1.0))
    assert (bar["left"], bar["width"], bar["zero"]) == ("10.00%", "10.00%", "20.00%")
    assert (bar["low"], bar["reach"], bar["value"]) == ("0.00%", "30.00%", "−10.00 points")


def test_the_shapley_values_on_the_page_are_those_that_were_measured(page: str, finished_run: Run):
    part = page[page.index('<section id="contribution">') : page.index('<section id="worth">')]
    for card in metric_format.probe_results(scores_table.scores(finished_run), "contribution").values():
        for facts in card["shapley"].values():
            assert metric_format.difference_text("accuracy", facts["mean"]) in part
    assert "Weights alone aren't faithful" in part or "gates" not in json.dumps(scores_table.scores(finished_run))


def test_agreement_on_the_page_is_what_was_measured(page: str, finished_run: Run):
    found = rows_of(page, "Agreement with the teacher on answer")
    for who in ("student", "baseline", "export"):
        facts = scores_table.scores(finished_run)[who]["agreement"]
        assert found[scores_table.model_name(who)][0].startswith(f"{100 * facts['same']['mean']:.2f}\u00a0%")


def test_all_items_of_the_audit_are_there_and_it_is_kept_in_the_run(page: str, finished_run: Run):
    part = page[page.index('<section id="audit">') : page.index('<section id="reproduce">')]
    assert len(re.findall(r"<li>", part)) == len(ITEMS) == len(read_json(finished_run.path("audit.json")) or [])
    assert "broken" not in part


def test_a_run_without_probes_has_a_page_and_a_card_all_the_same(bare: Run):
    page = render(bare)
    for name in ("cost", "subsets", "contribution", "agreement", "robustness", "audit"):
        assert (f'<section id="{name}">' in page) == (name == "cost")  # sizes are always there
    assert "All metrics" in page and "Every class" not in page
    assert "## Scores" in model_card(bare) and "## Robustness" not in model_card(bare)


def test_the_card_says_what_the_scorecards_hold_and_what_it_is_not_for(finished_run: Run, finished_page: str):
    card = model_card(finished_run)
    assert card == finished_run.path("model-card.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert heads == ["Can it be shipped?", "What it is", "Intended use", "Data", "Scores",
                     "On parts of the inputs and rows", "Calibration",
                     "Robustness", "Limits", "How it was made"]  # fmt: skip
    facts = scores_table.scores(finished_run)["export"]["metrics"]["accuracy"]
    assert metric_format.value_text("accuracy", facts["mean"]) in card
    assert "Not for rows of another kind" in card
    linked = finished_run.path("report.html").parent / "model-card.md"
    assert linked.read_text(encoding="utf-8") == card and 'href="model-card.md"' in finished_page
    assert "\\<b\\>red\\</b\\>" in card and "<b>" not in card


def test_a_chart_is_drawn_once_for_all_languages_and_its_words_are_translated(finished_page: str):
    english, chinese = finished_page.split('<main lang="zh">')
    assert english.count('<svg class="chart"') == chinese.count('<svg class="chart"')
    assert ">severity</text>" in english and ">强度</text>" in chinese
    assert charts._drawings.get() is None


def test_what_lies_somewhere_is_rounded_and_what_is_said_is_not():
    svg = '<svg viewBox="0 0 9 9"><path d="M 1.23456 7.5"/><text x="3.14159">0.00123</text></svg>'
    assert '<path d="M 1.23 7.5"/><text x="3.14">0.00123</text>' in charts.inline_svg(svg, "a", "k")

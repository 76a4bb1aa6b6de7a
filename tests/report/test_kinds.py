"""The page of every kind of target: what it says is what was measured, and nothing is said that wasn't."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from browser_tools import WIDTHS, look
from report_tools import outline, without_script
from sklearn.metrics import precision_recall_fscore_support
from targets_tools import CLASSES, LABELS, LONG, NUMBER, OTHERS

from suffuse.engine.seed_selection import best_seed
from suffuse.report import confusion, metric_format, scores_table, stored_predictions
from suffuse.report.dataset_view import DatasetView
from suffuse.report.formatting import short
from suffuse.report.i18n import use_language
from suffuse.report.model_card import model_card
from suffuse.report.page import render
from suffuse.run import Run
from suffuse.types import Head

WORTH = "What each modality is worth"  # where there are several
SEVERAL = {"Where modalities are missing", "What each modality contributes", "Label efficiency: score"}
ALWAYS = {
    "Results",
    "What an answer costs",
    "Does it say what the teacher says?",
    "Where inputs are damaged",
    "What made an answer",
    "The trust audit",
    "Training",
    "Test rows, one by one",
    "Export and knowledge store",
    "How to reproduce this",
}
BY_KIND = {
    "mixed": {
        "Each target",
        "Can the stated confidence be trusted?",
        "How far off are the numbers?",
        "Which classes are confused",
        "Which labels are found",
        "What the teacher knows beyond the labels",
    },
    "classes": {
        "Each target",
        "Can the stated confidence be trusted?",
        "Which classes are confused",
        "What the teacher knows beyond the labels",
    },
    "labels": {"Can the stated confidence be trusted?", "Which labels are found"},
    "number": {"How far off are the numbers?"},
}
LONG_KIND = [pytest.mark.slow, pytest.mark.long]  # a run of its own
KINDS = [pytest.param(k, marks=() if k == "number" else LONG_KIND) for k in BY_KIND]


@pytest.fixture(scope="module", params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def run(kind: str, request) -> Run:
    return request.getfixturevalue(f"{kind}_run")


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return render(run, ("en",))


@pytest.fixture(scope="module")
def mixed_page(mixed_run: Run) -> str:
    return render(mixed_run, ("en",))


def cards(run: Run) -> dict[str, dict]:
    return scores_table.scores(run)


def rows_of(page: str, label: str) -> dict[str, list[str]]:
    """The body of the table in the box with this label: first cell -> the others' texts."""
    box = re.search(rf'aria-label="{re.escape(label)}">(.*?)</table>', page, re.DOTALL)
    assert box, label
    lines = re.findall(r"<tr>(.*?)</tr>", box[1].split("<tbody>")[1], re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL) for line in lines]
    return {first: [re.sub(r"<[^>]*>|[ \n]+", " ", c).strip(" ") for c in rest] for first, *rest in cells}


def test_the_sections_are_those_of_its_targets_and_the_list_at_the_top_leads_to_them(kind: str, page: str):
    titles = [title for level, title, _ in outline(page) if level == "h2"]
    beside = {WORTH, *SEVERAL} if kind == "mixed" else set()
    assert set(titles) - {"Data: what was left out, and why", *beside} == ALWAYS | BY_KIND[kind]
    assert all(after in ("p", "section") for level, _, after in outline(page) if level in ("h1", "h2"))
    wanted = re.findall(r'<li><a href="#(\w+)">', page)
    assert wanted.pop(0) == "summary"
    assert wanted == re.findall(r'<section id="(\w+)">', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


FLOORS = {
    "mixed": {"training prior", "majority answer", "training label frequencies", "mean of training rows"},
    "classes": {"majority answer"},
    "labels": {"training label frequencies"},
    "number": {"mean of training rows"},
}


def test_the_floor_is_called_after_what_it_says(kind: str, page: str, run: Run):
    """In every table of the page, on the terminal, in the model card; of a single number there is no majority."""
    names = set.union(*FLOORS.values())
    heads = set(re.findall(r'<th scope="row">([^<]*)</th>', page)) & names
    assert heads == FLOORS[kind]
    shown = "\n".join(line for block in scores_table.text_tables(run) for line in block)
    card = model_card(run)
    first = "training prior" if kind == "mixed" else next(iter(FLOORS[kind]))
    assert first in shown and first in card
    assert not any(name in shown + card for name in names - {first})


def test_the_floor_is_called_after_what_it_says_in_chinese_too():
    wanted = {"classes": "多数答案", "labels": "训练行的标签频率", "number": "训练行的平均值"}
    with use_language("zh"):
        for kind, said in wanted.items():
            assert scores_table.model_name("majority", [Head("y", kind)]) == said
        assert scores_table.model_name("majority", [Head("y", kind) for kind in wanted]) == "训练行的先验"


def test_the_task_is_told_target_by_target(kind: str, page: str):
    task = re.search(r"<dt>Task</dt><dd>(.*?)</dd>", page, re.DOTALL)
    assert task
    said = re.sub(r"</?code>", "", task[1])
    colours = "one of 3 classes: &lt;b&gt;red&lt;/b&gt;, black, green &amp; blue"
    tags = "any of 3 labels: &lt;i&gt;warm&lt;/i&gt;, big, plain"
    cut, name = LONG[:59] + "…", LONG[:39] + "…"
    others = f"shape (one of 2 classes: cube, disc), {cut} (one of 2 classes: large, small), place (one of 3 classes: "
    assert {
        "mixed": f"predict 3 columns: colour &lt;of&gt; ({colours}), tags &amp; more ({tags}), "
        "price &#34;net&#34; (a number)",
        "classes": f"predict 4 columns: colour &lt;of&gt; ({colours}), {others}{name}, {name}, {name})",
        "labels": f"predict the column tags &amp; more, {tags}",
        "number": "predict the column price &#34;net&#34;, a number",
    }[kind] == said


def test_models_are_judged_by_the_metric_of_the_targets_and_by_no_other(kind: str, page: str, run: Run):
    main = {"mixed": "score", "classes": "accuracy", "labels": "micro_f1", "number": "r2"}[kind]
    title = {"mixed": "Score, mean of 3", "classes": "Accuracy, mean of 4", "labels": "Micro-F1", "number": "R²"}[kind]
    found = rows_of(page, "Table of results")
    for who, card in cards(run).items():
        assert card["main"] == main
        mean = metric_format.value_text(main, card["metrics"][main]["mean"])
        assert found[scores_table.model_name(who, metric_format.target_kinds(run))][0] == mean
    assert f'<th scope="col" class="number">{title}</th>' in page
    assert f"{title.partition(',')[0]} on the test rows" in page
    if kind in ("labels", "number"):
        assert "ccuracy" not in page
        assert "right answers" not in page
    if kind == "number":
        assert "robabilit" not in page.partition('<section id="export">')[0]
        assert "✓ right" not in page


def test_every_target_has_its_own_table_of_what_was_measured(kind: str, page: str, run: Run):
    names = {"mixed": [CLASSES, LABELS, NUMBER], "classes": [CLASSES, *OTHERS]}.get(kind, [])
    assert len(re.findall(r'aria-label="Metrics of ', page)) == len(names)
    for name in names:
        escaped = short(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
        found = rows_of(page, f"Metrics of {escaped}")
        wanted = metric_format.OF_KIND[run.recipe.data.task(name).kind]
        whole = {who for who in cards(run) if not who.startswith(("student-", "baseline-"))}
        heads = [Head(name, run.recipe.data.task(name).kind)]
        assert set(found) == {scores_table.model_name(who, heads) for who in whole}
        for who in whole:
            facts = cards(run)[who]["metrics"]
            main, _, _, *others = found[scores_table.model_name(who, heads)]
            shown = [metric_format.value_text(m, facts[f"{name}:{m}"]["mean"]) for m in wanted]
            assert [main, *others] == shown


def test_charts_are_those_of_the_targets(kind: str, page: str):
    charts = re.findall(r'<svg class="chart".*?</svg>', page, re.DOTALL)
    training = 4 if kind == "mixed" else 2  # with all labels, and in one run with half of them
    own = {"mixed": 4 + 4 + 3, "classes": 4 * 4, "labels": 4, "number": 3}[kind]
    heated = 4 * {"mixed": 2, "classes": 2, "labels": 1, "number": 0}[kind]  # of the first two targets
    probed = {"mixed": 2 + 1 + 3}.get(kind, 2 + 1)  # costs; rates of loss; damage
    assert len(charts) - training == own + heated + probed
    assert all("#0a0b" not in c and "aria-label=" in c for c in charts)
    axis = {"mixed": "mean score", "classes": "right answers", "labels": "micro-F1", "number": "R²"}[kind]
    first = page[page.index('<section id="training">') :]
    assert f"{axis} on validation rows" in first[: first.index("</svg>")]


def test_what_comes_from_the_run_is_inert(page: str):
    assert "<b>red" not in page
    assert "<i>warm" not in page
    assert "colour <of>" not in page
    assert not re.search(r"<script|\son\w+\s*=\s*[\"']", without_script(page))


@pytest.mark.slow
@pytest.mark.long
def test_the_same_run_gives_the_same_bytes(page: str, run: Run):
    assert render(Run.open(run.folder), ("en",)) == page
    assert render(run) == run.path("report.html").read_text(encoding="utf-8")


def test_the_terminal_shows_the_targets_below_the_table(kind: str, run: Run):
    blocks = scores_table.text_tables(run)
    assert len(blocks) == (2 if kind in ("mixed", "classes") else 1)
    assert len(blocks[0]) == 1 + len(cards(run))
    head = {"mixed": "score, mean of 3", "classes": "accuracy, mean of 4", "labels": "micro-F1", "number": "R2"}[kind]
    assert head in blocks[0][0]
    assert ("macro-F1" in blocks[0][0], "MAE" in blocks[0][0]) == (kind in ("classes", "labels"), kind == "number")
    for line, name in zip(blocks[-1][1:], run.recipe.data.targets, strict=False):
        if len(blocks) == 2:
            metric = metric_format.OF_KIND[run.recipe.data.task(name).kind][0]
            shown = [who for who in scores_table.TARGET_TABLE_MODELS if who != "ensemble"]  # its teacher has one seed
            means = [cards(run)[w]["metrics"][f"{name}:{metric}"]["mean"] for w in shown]
            assert line.startswith(short(name, 40))
            assert line.split("  ")[-1].strip() == metric_format.ascii_value(metric, means[-1])
            assert all(metric_format.ascii_value(metric, m) in line for m in means)
    assert all(line == line.rstrip() for block in blocks for line in block)


def test_calibration_is_kept_for_classes_and_labels_and_not_for_numbers(kind: str, run: Run):
    for card in cards(run).values():
        if kind in ("labels", "number"):
            assert ("calibration" in card) == (kind == "labels")
            assert "calibrations" not in card
        else:
            assert set(card["calibrations"]) == {CLASSES, *(OTHERS if kind == "classes" else [LABELS])}
            assert "calibration" not in card


def test_the_answers_read_back_are_those_that_were_scored(run: Run):
    for predictions in stored_predictions.read(run, DatasetView.open(run), "teacher", "export"):
        name = f"{predictions.head.name}:" if len(run.recipe.data.targets) > 1 else ""
        facts = cards(run)["export"]["metrics"]
        if predictions.head.kind == "number":
            gap = predictions.outputs["export"][predictions.known] - predictions.target[predictions.known]
            assert np.abs(gap).mean() == pytest.approx(facts[f"{name}mae"]["mean"], rel=1e-4)
        elif predictions.head.kind == "classes":
            right = predictions.correct("export")[predictions.known].mean()
            assert right == pytest.approx(facts[f"{name}accuracy"]["mean"])
        else:
            said, true = predictions.predicted("export")[predictions.known], predictions.target[predictions.known] > 0
            micro = 2 * (said & true).sum() / (said.sum() + true.sum())
            assert micro == pytest.approx(facts[f"{name}micro_f1"]["mean"])


@pytest.mark.slow
@pytest.mark.long
def test_the_teacher_of_several_seeds_is_the_one_that_taught(mixed_run: Run):
    best = best_seed(mixed_run.path("teachers"))
    assert (mixed_run.path("teacher", "model.safetensors")).read_bytes() == mixed_run.path(
        "teachers", best, "model.safetensors"
    ).read_bytes()
    seeds = sorted(p.name for p in mixed_run.path("teachers").iterdir())
    mae = cards(mixed_run)["teacher"]["metrics"][f"{NUMBER}:mae"]["per_seed"]
    predictions = stored_predictions.read(mixed_run, DatasetView.open(mixed_run), "teacher")[2]
    gap = np.abs(predictions.outputs["teacher"][predictions.known] - predictions.target[predictions.known]).mean()
    assert gap == pytest.approx(mae[seeds.index(best)], rel=1e-4)
    assert "mean of 2 seeds" in mixed_run.path("report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.long
def test_who_reads_what_is_told(mixed_page: str):
    page = mixed_page
    assert (
        "question (text), picture (image, read by the teacher alone), thumb (image, read by the student alone)" in page
    )
    assert "<dt>teacher, picture alone</dt>" in page
    assert '<th scope="row">teacher, question alone</th>' in page


@pytest.mark.slow
@pytest.mark.long
def test_labels_are_counted_as_the_reference_counts_them(mixed_run: Run):
    predictions = stored_predictions.of_kind(
        stored_predictions.read(mixed_run, DatasetView.open(mixed_run), "teacher", "export"), "labels"
    )[0]
    found = confusion._of_labels(predictions)
    true = (predictions.target[predictions.known] > 0).astype(int)
    for at, who in enumerate(("teacher", "export")):
        expected = precision_recall_fscore_support(
            true, predictions.predicted(who)[predictions.known].astype(int), zero_division=np.nan
        )
        for line in found["lines"]:
            c = predictions.head.classes.index(line["name"])
            assert line["rows"] == expected[3][c]
            for said, value in zip(line["scores"][3 * at : 3 * at + 3], (e[c] for e in expected[:3]), strict=True):
                assert said == ("–" if np.isnan(value) else f"{value:.2f}")
    assert found["all_right"]["export"] == (predictions.predicted("export")[predictions.known] == true).all(1).sum()


@pytest.mark.slow
@pytest.mark.long
def test_the_fourth_target_of_classes_is_listed_and_its_mistakes_are_the_real_ones(classes_run: Run):
    predictions = stored_predictions.read(classes_run, DatasetView.open(classes_run), "teacher", "export")
    found = confusion.confusion(predictions)
    assert [bool(f["matrices"]) for f in found] == [True, True, True, False]
    last = predictions[3]
    for pair in found[3]["pairs"]:
        true, said = (last.head.classes.index(pair[key]) for key in ("true", "predicted"))
        assert pair["export"] == ((last.target == true) & (last.predicted("export") == said)).sum()
    assert sum(p["export"] for p in found[3]["pairs"]) <= found[3]["wrong"]["export"]


@pytest.mark.slow
@pytest.mark.long
def test_examples_say_what_is_true_and_what_is_said_of_every_target(mixed_run: Run, mixed_page: str):
    page = mixed_page
    part = page[page.index('<section id="examples">') : page.index('<section id="data">')]
    cards_ = re.findall(r'<article class="card">(.*?)</article>', part, re.DOTALL)
    assert cards_
    for card in cards_:
        assert card.count('<ul class="answers">') == 3
        assert len(re.findall(r"too (high|low)\)", card)) in (0, 2)  # none where the number isn't known
    assert "not known of this row" in part
    assert "(never in training, so no model can be right)" in part
    assert "in a target of classes or labels" in part
    table_ = pq.read_table(mixed_run.path("scores", "predictions.parquet"))
    assert table_.column("target").type.value_type.bit_width == 32
    assert "✓ right" in part
    assert "✗ wrong" in part


@pytest.mark.slow
@pytest.mark.long
def test_a_browser_shows_them_all_on_screen_and_phone(chromium: str, request, tmp_path: Path):
    runs = {k: request.getfixturevalue(f"{k}_run") for k in BY_KIND}
    pages = {k: r.path("report.html").read_text(encoding="utf-8") for k, r in runs.items()}
    looks, console = look(chromium, pages, tmp_path)
    assert console == []
    assert {(one["page"], one["width"]) for one in looks} == {(k, w) for k in BY_KIND for w in WIDTHS}
    for one in looks:
        assert one["out"] == []
        assert one["wide"] <= one["width"]
        assert one["broken"] == 0
        assert (one["pictures"] > 0) == (one["page"] == "mixed")

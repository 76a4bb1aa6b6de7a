"""The page: one file, offline, inert, the same every time, and readable on a phone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from browser_tools import WIDTHS, act, look
from report_tools import outline, without_script

from suffuse.errors import CONTROLS
from suffuse.report.page import render
from suffuse.report.templates import environment
from suffuse.report.terminal import terminal_lines
from suffuse.report.verdict_text import sentences
from suffuse.run import Run

SECTIONS = (
    "Results",
    "What an answer costs",
    "Where modalities are missing",
    "What each modality contributes",
    "Label efficiency: accuracy",
    "What each modality is worth",
    "Does it say what the teacher says?",
    "Training",
    "Can the stated confidence be trusted?",
    "Where inputs are damaged",
    "Which classes are confused",
    "What the teacher knows beyond the labels",
    "What made an answer",
    "Test rows, one by one",
    "Data: what was left out, and why",
    "Export and knowledge store",
    "The trust audit",
    "How to reproduce this",
)
LARGEST = 3_000_000
SCREENS = 5  # of 900 pixels, as the page opens


@pytest.fixture
def page(english_page: str) -> str:
    return english_page


def test_nothing_is_asked_for_from_elsewhere(page: str):
    assert not re.search(r"""(src|href|srcset|action|data)\s*=\s*["']?\s*(https?:)?//""", page, re.IGNORECASE)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", page)
    assert "http://" not in page
    assert "https://" not in page
    wanted = re.findall(r"""(?:src|href)=["']([^"']*)["']""", page)
    assert wanted
    assert all(w.startswith(("data:", "#")) for w in wanted if w != "model-card.md")
    assert (
        page.count('<a href="model-card.md">') == wanted.count("model-card.md") == 1
    )  # a link beside it, followed by hand


def test_the_policy_forbids_everything_but_its_own_pictures_and_styles(page: str):
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy
    rules = [rule.strip() for rule in policy[1].split(";")]
    assert rules[:3] == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]
    assert rules[3].startswith("script-src 'sha256-") and "unsafe" not in rules[3]
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_it_is_small(page: str):
    assert len(page.encode()) < LARGEST


def test_the_same_run_gives_the_same_bytes(page: str, finished_run: Run):
    assert render(Run.open(finished_run.folder), ("en",)) == page


def test_control_characters_stand_as_escapes():
    made = environment().from_string("<p>{{ text }}</p>").render(text="<\x1b]0;title\x07\x9b\tend\n")
    assert made == "<p>&lt;\\x1b]0;title\\x07\\x9b\tend\n</p>"


def test_what_comes_from_the_run_is_inert(page: str):
    assert "&lt;b&gt;red&lt;/b&gt;" in page
    assert "green &amp; blue" in page
    assert "&lt;script&gt;alert(&#39;boo&#39;)&lt;/script&gt;" in page
    page = without_script(page)
    assert not CONTROLS.search(page) and r"\x1b[7m" in page
    assert "<b>red</b>" not in page
    assert "<i>no picture" not in page
    assert not re.search(r"<[^>]*\son\w+\s*=", page)


def test_every_section_is_there_in_order_and_says_how_to_read_it(page: str):
    found = outline(page)
    assert [title for level, title, _ in found if level == "h2"] == list(SECTIONS)
    assert [title for level, title, _ in found if level == "h1"] == ["tiny: distillation report"]
    assert [after for level, _, after in found if level == "h1"] == ["p"]
    assert all(re.search(rf"<h2>{re.escape(title)}</h2></summary>\n<section id=[^>]*>\n<p", page) for title in SECTIONS)


def test_the_verdict_stands_before_everything_else(page: str, finished_run: Run):
    assert len(sentences(finished_run)) == 2
    assert page.index("With all labels, distillation") < page.index("With 50 % of the labels, distillation")
    assert page.index("With 50 % of the labels, distillation") < page.index('<section id="results"')


def test_the_table_names_every_model_and_compares_student_and_teacher(page: str):
    for name in ("majority answer", "teacher", "student", "student, labels only", "exported student"):
        assert f'<th scope="row">{name}</th>' in page
    assert re.search(r"times (smaller|larger)|equally large", page)
    assert re.search(r"times (faster|slower)|equally fast", page)


def test_charts_use_the_colours_of_the_page_and_names_stand_in_legends(page: str):
    charts = re.findall(r'<svg class="chart".*?</svg>', page, re.DOTALL)
    own = 2 + 2 + 4 + 4  # accuracy and losses, with all labels and half; four models' reliability, as is and tempered
    probed = 2 + 1 + 1 + 2  # latency and size; rates of loss; the label curve; damage to two modalities
    assert len(charts) == own + probed
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert "var(--ink)" in chart
        assert "#0a0b" not in chart
        assert "aria-label=" in chart
    for name in ("soft", "labels", "hint"):
        assert f"<strong>{name}</strong>" in page


def test_pictures_have_words_and_absent_ones_are_named(page: str):
    explained = re.compile(r'<div class="over[^>]* role="img" aria-label="[^"]+">\n<img src="data:[^>]* alt=""[^>]*>')
    pictures = re.findall(r"<img [^>]*>", explained.sub("", page))
    assert pictures
    assert all(re.search(r'alt="picture of row r&lt;\d+&gt;"', p) for p in pictures)
    assert '<span class="quiet">picture: </span><span class="absent">absent</span>' in page
    assert "what colour is thing" in page
    assert "请问" in page


def test_right_and_wrong_are_words(page: str):
    assert "✓ right" in page
    assert "✗ wrong" in page
    assert "never seen" in page
    assert "(never in training" in page


def test_what_was_wrong_with_the_data_is_told(page: str):
    assert "absent in" in page
    assert "unlabelled: 1 note" in page
    assert "label not in training" in page


def test_how_many_rows_are_left_out_stands_on_the_first_screen(page: str, finished_run: Run, tmp_path: Path):
    count = sum(json.loads(finished_run.path("data", "schema.json").read_text(encoding="utf-8"))["rows"].values())
    assert f"<dt>Quarantined</dt><dd>1 of {count + 1} rows (" in page.partition("<nav")[0]
    shutil.copytree(finished_run.folder, tmp_path / "run")
    place = tmp_path / "run" / "data" / "schema.json"
    schema = json.loads(place.read_text(encoding="utf-8"))
    reasons = {"duplicate row": 2 * count, "<b>id</b>: no id": count, **{f"reason {n}": 1 for n in range(5)}}
    schema["notes"]["quarantined"] = reasons
    place.write_text(json.dumps(schema), encoding="utf-8")
    (tmp_path / "run" / "audit.json").unlink()
    run = Run.open(tmp_path / "run")
    share = f"{3 * count + 5} of {4 * count + 5} rows (75 %)"
    for main, part in zip(render(run).split("<main ")[1:], (share, f"{3 * count + 5} 行（75 %）"), strict=True):
        first = re.search(r'<dd class="warning">(.*?)</dd>', main.partition("<nav")[0])
        assert first and part in first[1] and re.search(rf"duplicate row</span>(?: \(|（){2 * count}[)）]", first[1])
        assert "&lt;b&gt;id" in first[1] and 'data">' in first[1] and "reason 3" not in first[1]
    assert f"quarantined: {share}: duplicate row: {2 * count}; <b>id</b>: no id: {count}" in "\n".join(
        terminal_lines(run)
    )


@pytest.mark.slow
def test_a_run_with_one_modality_and_nothing_beside(plain_run: Run):
    page = render(plain_run, ("en",))
    wanted = [title for title in SECTIONS if "modalit" not in title and "Label eff" not in title]
    assert [title for level, title, _ in outline(page) if level == "h2"] == wanted
    assert "<img" not in page
    assert "thing" in page
    without_script(page)
    assert "of the labels, distillation" not in page


def test_what_is_missing_is_left_out(finished_run: Run, tmp_path: Path):
    shutil.copytree(finished_run.folder, tmp_path / "run")
    for name in (
        "knowledge",
        "export-teacher",
        "student-0.5",
        "baseline-0.5",
        "scores/predictions.parquet",
        "run.json",
    ):
        place = tmp_path / "run" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    for name in ("test_evaluations.json", "data/quarantine.csv", "scores/comparisons.json", "teacher/metrics.jsonl"):
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / "audit.json").unlink()
    page = render(Run.open(tmp_path / "run"), ("en",))
    wanted = [title for title in SECTIONS if title not in ("The trust audit", "What made an answer")]
    assert [title for level, title, _ in outline(page) if level == "h2"] == wanted


@pytest.mark.slow
def test_a_browser_shows_it_without_complaint_on_screen_and_phone(chromium: str, page: str, tmp_path: Path):
    looks, console = look(chromium, {"report": page}, tmp_path)
    assert console == []
    assert [(one["page"], one["width"]) for one in looks] == [("report", w) for w in WIDTHS]
    for one in looks:
        assert one["out"] == []
        assert one["wide"] <= one["width"]
        assert one["broken"] == 0
        assert one["pictures"] > 0
        assert one["high"] <= SCREENS * 900


@pytest.mark.slow
def test_a_link_in_the_contents_opens_its_section(chromium: str, page: str, tmp_path: Path):
    script = """
      const page = frame.contentDocument, link = page.querySelector('nav a[href="#confusion"]');
      const open = () => [...page.querySelectorAll("details.section[open] > section")].map(e => e.id);
      const seen = [open()];
      link.click(); await turn(); seen.push(open());
      const top = page.getElementById("confusion").getBoundingClientRect().top;
      page.querySelector("#confusion").closest("details").open = false;
      link.click(); await turn(); seen.push(open());
      page.querySelector("button.open-all").click(); seen.push(open().length);
      const contents = page.querySelector("nav").getBoundingClientRect();
      return {seen, top, sections: page.querySelectorAll("details.section").length, contents: contents.top};"""
    found = act(chromium, page, tmp_path / "browser", script)
    assert found["seen"] == [["results"], ["results", "confusion"], ["results", "confusion"], found["sections"]]
    assert 0 < found["top"] < 450 and found["contents"] == 0  # in sight, and the contents with it
    assert found["sections"] == len(SECTIONS)


@pytest.mark.slow
@pytest.mark.long
def test_an_explained_picture_stands_beside_its_heat_map(chromium: str, page: str, tmp_path: Path):
    script = """
      const page = frame.contentDocument;
      page.querySelectorAll("details").forEach(e => { e.open = true; });
      await turn();
      const pair = page.querySelector("#explained .pair:not(.strips)");
      const [plain, heat] = [...pair.children].map(e => e.getBoundingClientRect());
      return {overlap: heat.left - plain.right, level: heat.top - plain.top, width: plain.width,
              marked: pair.children[0].querySelectorAll("svg").length};"""
    found = act(chromium, page, tmp_path / "browser", script)
    assert found["overlap"] >= 0 and found["level"] == 0 and found["width"] > 80 and found["marked"] == 0

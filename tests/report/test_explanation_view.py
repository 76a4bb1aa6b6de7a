"""The page explains some answers by itself: every kind of target, both languages, within its size."""

from __future__ import annotations

import re

import pytest

from suffuse.files import read_json
from suffuse.report import explanation_view, scores_table
from suffuse.report import page as pages
from suffuse.report.explanation_view import part_name
from suffuse.report.i18n import use_language
from suffuse.report.page import render
from suffuse.run import Run

MARKUP = "<script>alert('boo')</script>"  # that the table's texts hold
SECTION = re.compile(
    r'<section id="((?:zh-)?explained)">(.*?)\n</section>\n</details>\n(?=<details class="section")', re.DOTALL
)


def sections(page: str) -> dict[str, str]:
    return dict(SECTION.findall(page))


@pytest.fixture(scope="module")
def plain_page(plain_run: Run) -> str:
    return render(plain_run)


def test_three_rows_stand_there_teacher_and_student_side_by_side_in_both_languages(
    finished_run: Run, finished_page: str
):
    explained = read_json(finished_run.path("scores", "student.json"))["explained"]
    found = sections(finished_page)
    assert set(found) == {"explained", "zh-explained"} and 1 <= len(explained) <= 3
    for html, names in zip(found.values(), (("teacher", "student"), ("教师", "学生")), strict=True):
        assert html.count('<article class="explained">') == len(explained)
        assert html.count(f"<h4>{names[0]}</h4>") == html.count(f"<h4>{names[1]}</h4>") == len(explained)
        assert html.count("<mark ") > 0 and html.count("<rect ") > 0 and "data:image/png;base64," in html
        assert MARKUP not in html and not re.search(r"r<\d", html)
        assert f'--row "#{explained[0]["number"]}"' in html
    english, chinese = found.values()
    assert (
        explanation_view.RULES[explained[0]["why"]][0] in english
        and explanation_view.RULES[explained[0]["why"]][0] not in chinese
    )
    assert "By occlusion, in log-odds" in english and "遮挡" in chinese and "row 1, column" not in chinese


@pytest.mark.slow
@pytest.mark.long
def test_of_numbers_and_of_several_targets_it_says_what_it_is_about(number_run: Run, mixed_run: Run, labels_run: Run):
    numbers, mixed, labels = (
        sections(r.path("report.html").read_text(encoding="utf-8"))["explained"]
        for r in (number_run, mixed_run, labels_run)
    )
    assert "in standard deviations" in numbers and " sure)" not in numbers
    assert "the first target" in mixed and "the first target" not in numbers
    assert " sure)" in labels and "in log-odds" in labels


def test_one_modality_is_enough(plain_page: str):
    assert "question: 100\u00a0%" in sections(plain_page)["explained"]


def test_without_the_probe_there_is_no_section(plain_run: Run, monkeypatch: pytest.MonkeyPatch):
    cards = scores_table.scores(plain_run)
    less = {who: {k: v for k, v in card.items() if k != "explained"} for who, card in cards.items()}
    monkeypatch.setattr(scores_table, "scores", lambda run: less)
    page = render(plain_run)
    assert not sections(page) and 'href="#explained"' not in page


def test_what_makes_the_page_too_large_is_left_out(plain_run: Run, plain_page: str, monkeypatch: pytest.MonkeyPatch):
    assert len(plain_page.encode()) < pages.MAX_BYTES
    monkeypatch.setattr(pages, "MAX_BYTES", 1)
    assert sections(plain_page) and not sections(render(plain_run, ("en",)))


def test_a_text_of_the_run_in_an_explanation_stays_a_text(plain_run: Run, monkeypatch: pytest.MonkeyPatch):
    cards = scores_table.scores(plain_run)
    for one in cards["teacher"]["explained"]:
        one["note"], one["answer"] = MARKUP, MARKUP
    monkeypatch.setattr(scores_table, "scores", lambda run: cards)
    page = render(plain_run, ("en",))
    assert MARKUP not in page and "&lt;script&gt;alert" in sections(page)["explained"]


def test_parts_are_called_by_where_they_lie():
    boxes = [[0, r / 8, c / 8, 1 / 8, 1 / 8] for r in range(8) for c in range(8)]
    picture = {"kind": "image", "boxes": boxes, "pictures": 1}
    assert (
        part_name(picture, 0) == "top left (row 1, column 1)"
        and part_name(picture, 63) == "bottom right (row 8, column 8)"
    )
    assert part_name({**picture, "pictures": 2}, 27) == "middle (row 4, column 4) of picture 1"
    steps = {"kind": "sequence", "times": [[0, 1], [1, 3]]}
    assert [part_name(steps, n) for n in (0, 1)] == ["step 1", "steps 2 to 3"]
    assert part_name({"kind": "audio", "times": [[0.5, 0.6]]}, 0) == "0.50 to 0.60 s"
    with use_language("zh"):
        assert part_name(picture, 0) == "左上（第 1 行，第 1 列）"
        assert part_name({"kind": "text", "labels": ["middle"]}, 0) == "middle"

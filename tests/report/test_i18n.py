"""Two languages on one page: every sentence is in the catalog, its places agree, and a reader sees one of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from browser_tools import act, look
from language_tools import COUNTED, of_code, of_tables, of_templates

from suffuse.report import i18n
from suffuse.report.i18n import FOLDER, LANGUAGES, catalog, t, use_language
from suffuse.report.page import render
from suffuse.report.templates import environment
from suffuse.run import Run

PLACE = re.compile(r"%\((\w+)\)s|%%")


def test_every_sentence_of_templates_and_code_is_in_the_catalog():
    wanted = of_templates() | of_code() | of_tables() | {n for one in COUNTED for n in (one, one + "s")}
    assert len(wanted) > 250
    assert sorted(wanted - set(catalog("zh"))) == []


def test_a_translation_has_the_places_of_its_sentence():
    for text, said in catalog("zh").items():
        assert sorted(PLACE.findall(text)) == sorted(PLACE.findall(said)), text
        assert re.findall(r"</?\w+>", text) == re.findall(r"</?\w+>", said), text


def test_a_name_that_stands_twice_in_the_catalog_is_found():
    pairs = json.loads((FOLDER / "zh.json").read_text(encoding="utf-8"), object_pairs_hook=list)
    assert len({key for key, _ in pairs}) == len(pairs)


def test_what_the_run_holds_is_not_translated_and_what_we_say_is(finished_run: Run):
    i18n.untranslated.clear()
    page = render(finished_run)
    assert i18n.untranslated == set()
    english, chinese = page.split('<main lang="zh">')
    for part in (english, chinese):
        assert "what colour is thing" in part and "green &amp; blue" in part
    assert "Which classes are confused" in english and "哪些类别被混淆" in chinese
    chinese = re.sub(r"<script.*", "", chinese, flags=re.DOTALL)
    words = re.sub(r'<(code|pre)\b.*?</\1>|<span lang="en">.*?</span>|<[^>]+>|&\w+;', " ", chinese, flags=re.DOTALL)
    assert not re.search(r"\b(the|of|rows|that|which)\b", words), re.search(
        r".{40}\b(the|of|rows|that|which)\b.{40}", words
    )


def test_ids_differ_between_the_languages_and_links_stay_in_one(finished_page: str):
    page = finished_page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    chinese = page.split('<main lang="zh">')[1]
    assert all(link.startswith("zh-") for link in re.findall(r'<a href="#([^"]+)"', chinese))


def test_outside_of_a_page_english_is_spoken():
    assert t("%(rows)s beyond the picture.", rows="3 rows") == "3 rows beyond the picture."
    with use_language("zh"):
        assert t("Training") == "训练"
    assert t("Training") == "Training"


MARKS = re.compile(r"[:;,.!?()]")
TAG = re.compile(r"<(?!<)/?[a-z!][^>]*>")


def test_templates_hold_no_punctuation_of_their_own():
    """A mark between two values is translated like a word: in Chinese it is full-width."""
    for file in sorted(FOLDER.glob("*.jinja")):
        text = re.sub(r"\{#.*?#\}|\{% trans.*?endtrans %\}", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = TAG.sub("", re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL))
        text = re.sub(r"&#?\w+;|model-card\.md", "", text)
        if file.name != "explanation_page.html.jinja":  # English alone
            assert [line for line in text.splitlines() if MARKS.search(line)] == [], file.name


def test_punctuation_after_chinese_is_full_width(finished_page: str):
    chinese = finished_page.split('<main lang="zh">')[1].partition("<script")[0]
    text = re.sub(r'<(code|pre)\b.*?</\1>|<span lang="en">.*?</span>', "", chinese, flags=re.DOTALL)
    text = re.sub(r"</?(?:small|strong|em|b|span|a)\b[^>]*>", "", text)
    wrong = re.findall(r".{0,30}(?:[\u4e00-\u9fff][:;,!?(]|\([\u4e00-\u9fff]).{0,30}", re.sub(r"<[^>]+>", "\n", text))
    assert wrong == []
    assert re.findall(r".*。 [^\s<].*", text) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("学生", "教师", "没有证据表明学生与教师有差异（1 %）"),
        ("学生", "scikit-learn", "没有证据表明学生与 scikit-learn 有差异（1 %）"),
        ("红 色", "b", "没有证据表明红 色与 b 有差异（1 %）"),  # a value stays as it is
    ],
)
def test_chinese_has_spaces_beside_latin_words_only(first: str, second: str, expected: str) -> None:
    text = "no evidence of a difference between %(first)s and %(second)s (%(numbers)s)"
    with use_language("zh"):
        assert t(text, first=first, second=second, numbers="1 %") == expected
    english = f"no evidence of a difference between {first} and {second} (1 %)"
    assert t(text, first=first, second=second, numbers="1 %") == english


def test_the_space_between_two_sentences_is_none_in_chinese():
    template = environment().from_string(
        "{% trans %}Training{% endtrans %} {% if x %}{% trans %}Results{% endtrans %}{% endif %}"
    )
    assert template.render(x=True) == "Training Results"
    with use_language("zh"):
        assert template.render(x=True) == "训练结果"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "shown"),
    [
        pytest.param("en-US", "en", marks=pytest.mark.long),
        ("zh-TW", "zh"),
        pytest.param("fr-FR", "en", marks=pytest.mark.long),
    ],
)
def test_the_page_opens_in_the_language_of_the_browser(chromium, finished_page: str, tmp_path: Path, language, shown):
    looks, console = look(chromium, {"page": finished_page}, tmp_path, language)
    assert console == [] and len(looks) == 2 and len(LANGUAGES) == 2
    for one in looks:
        assert one["out"] == [] and one["wide"] <= one["width"] and one["shown"] == [shown]


@pytest.mark.slow
def test_the_switch_overrides_the_language_of_the_browser_and_stays(chromium: str, finished_page: str, tmp_path: Path):
    script = """
      const before = shown();
      frame.contentDocument.querySelector('label[for="language-zh"]').click();
      const after = shown(), lang = frame.contentDocument.documentElement.lang;
      await reloaded();
      return {before, after, lang, again: shown()};"""
    found = act(chromium, finished_page, tmp_path / "browser", script)
    assert found == {"before": ["en"], "after": ["zh"], "lang": "zh", "again": ["zh"]}

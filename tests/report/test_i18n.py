"""Two languages on one page: every sentence is in the catalog, its places agree, and a reader sees one of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from browser_tools import look
from language_tools import COUNTED, of_code, of_tables, of_templates

from suffuse.report import i18n
from suffuse.report.i18n import FOLDER, LANGUAGES, catalog, t, use_language
from suffuse.report.page import render
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
    words = re.sub(r"<details.*?</details>|<code>.*?</code>|<[^>]+>|&\w+;", " ", chinese, flags=re.DOTALL)
    assert not re.search(r"\b(the|of|rows|that|which)\b", words), re.search(
        r".{40}\b(the|of|rows|that|which)\b.{40}", words
    )


def test_ids_differ_between_the_languages_and_links_stay_in_one(finished_run: Run):
    page = render(finished_run)
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


@pytest.mark.slow
def test_a_browser_shows_one_language_at_a_time(chromium: str, finished_run: Run, tmp_path: Path):
    page = render(finished_run)
    other = page.replace('id="language-en" checked', 'id="language-en"').replace(
        'id="language-zh"', 'id="language-zh" checked'
    )
    looks, console = look(chromium, {"first": page, "chosen": other}, tmp_path)
    assert console == []
    assert len(looks) == 4 and len(LANGUAGES) == 2
    for one in looks:
        assert one["out"] == [] and one["wide"] <= one["width"]
        assert one["shown"] == (["en"] if one["page"] == "first" else ["zh"])

"""What the page is made of: nothing from elsewhere, nothing that a strict policy forbids, both languages whole."""

from __future__ import annotations

import re

import pytest

from suffuse.serving import page

SCRIPTS = [name for name in page.files() if name.endswith(".js")]
TEXT = {name: (page.content(name) or b"").decode() for name in page.files()}


def words(language: str) -> dict[str, str]:
    block = re.search(rf"^const {language} = \{{\n(.*?)^\}};", TEXT["words.js"], re.M | re.S)
    assert block
    lines = [line for line in block[1].splitlines() if line.strip()]
    found = [re.fullmatch(r'  (?:"([^"]+)"|(\w+)): "(.*)",', line) for line in lines]
    assert all(found)
    pairs = [(m[1] or m[2], m[3]) for m in found if m]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_both_languages_say_the_same_things_with_the_same_arguments() -> None:
    english, chinese = words("en"), words("zh")
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        arguments = [sorted(re.findall(r"\{\w+\}", said)) for said in (text, chinese[key])]
        assert arguments[0] == arguments[1] or key == "up_to_pixels", key  # millions there, ten thousands here
    same = {key for key in english if english[key] == chinese[key]}
    assert not same


def test_every_word_that_is_asked_for_is_there_and_every_word_is_asked_for() -> None:
    known = words("en")
    asked = set(re.findall(r'data-word="([\w.]+)"', TEXT["index.html"]))
    for name in SCRIPTS:
        if name != "words.js":
            asked |= set(re.findall(r'(?:\bword|\blabel): "([\w. ]+)"', TEXT[name]))
            asked |= set(re.findall(r'\b(?:t|say)\((?:[\w.()"]+, )?"([\w. ]+)"', TEXT[name]))
    assert asked <= known.keys(), asked - known.keys()
    literal = "\n".join(TEXT[name] for name in TEXT if name != "words.js")
    plain = {key for key in known if "." not in key}
    assert all(re.search(rf'"{key}"', literal) for key in plain), [k for k in plain if f'"{k}"' not in literal]


def test_nothing_comes_from_elsewhere_and_nothing_stands_inline() -> None:
    for name, text in TEXT.items():
        outside = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text.replace("http://www.w3.org/2000/svg", ""))
        assert not outside, (name, outside)
        assert "innerHTML" not in text and "eval(" not in text and "insertAdjacentHTML" not in text
    index = TEXT["index.html"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", index)
    assert not re.findall(r'(?:src|href)="/', index)  # a proxy's prefix stays before every address
    for made in re.findall(r'(?:src|href)="static/([^"]+)"', index):
        assert made in page.files()
    for name in SCRIPTS:
        for other in re.findall(r'from "\./([^"]+)"', TEXT[name]):
            assert other in page.files()


def test_only_the_page_is_given() -> None:
    assert page.INDEX in page.files()
    assert page.content("__init__.py") is None
    assert page.content("../page/page.css") is None
    assert page.content("/etc/passwd") is None
    assert all("unsafe" not in value for value in page.HEADERS.values())


@pytest.mark.parametrize("name", SCRIPTS)
def test_functions_and_files_stay_small(name: str) -> None:
    lines = TEXT[name].splitlines()
    assert len(lines) <= 400
    assert max(map(len, lines)) <= 140

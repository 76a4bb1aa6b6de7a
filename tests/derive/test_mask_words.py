"""Words are cut whole, in any script and case, the same ones from every text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.derive import mask_words
from suffuse.errors import UsageError
from suffuse.modalities.cell import Absent, Unreadable
from suffuse.word_patterns import stem, word_pattern


def masked(text: object, *words: str, **more) -> str:
    settings = mask_words.Settings(column="c", words=words, **more)
    return mask_words.make(settings, mask_words.fit(settings, []), text, Path())


@pytest.mark.parametrize(
    ("text", "words", "left"),
    [
        ("A red shirt", ["shirt"], "A red"),
        ("Red SHIRTS, shirtless; T-shirt", ["Shirt"], "Red , shirtless; T-"),
        ("track pants for a track", ["Track Pants"], "for a"),
        ("watches and a watch", ["Watch"], "and a"),
        ("glasses glass", ["glass"], None),
        ("the Übergröße ÜBERGRÖSSE", ["übergröße"], "the"),
        ("cafe\u0301 CAFÉ x", ["café"], "x"),
        ("snake_case shoe_size", ["shoe"], "snake_case _size"),
        ("红色鞋子，很好的鞋子", ["鞋子"], "红色 ，很好的"),
        ("白T恤和t恤", ["T恤"], "白 和"),
        ("هذا حذاء جميل", ["حذاء"], "هذا جميل"),
        ("यह किताब और किताबें", ["किताब"], "यह और किताबें"),
        ("यह कि", ["क"], "यह कि"),  # a letter with its vowel sign is one word
        ("กางเกงสีแดง", ["กางเกง"], "สีแดง"),
        ("size 7, 17", ["7"], "size , 17"),
        ("🎉 party", ["party"], "🎉"),
    ],
)
def test_whole_words_go(text, words, left):
    if left is None:
        with pytest.raises(Absent, match="nothing is left"):
            masked(text, *words)
    else:
        assert masked(text, *words) == left


def test_plurals_and_what_stands_instead_are_settings():
    assert masked("shirts and a shirt", "shirt", plurals=False) == "shirts and a"
    assert masked("a shirt here", "shirt", instead="[thing]") == "a [thing] here"


def test_the_words_of_all_labels_are_cut_from_every_text():
    settings = mask_words.Settings(column="c")
    facts = mask_words.fit(settings, ["Track Pants", "Shirts", "Shirts", "T恤"])
    assert facts == {"words": ["pant", "shirt", "track", "t恤"]}
    for text in ("shirt with pants", "pants with shirts"):
        assert mask_words.make(settings, facts, text, Path()) == "with"
    with pytest.raises(UsageError, match=r"no words to cut .*: got no labels"):
        mask_words.fit(settings, [])


def test_words_from_a_file(tmp_path):
    (tmp_path / "words.txt").write_text("\ufeffred\r\nbig shoes\n\n", encoding="utf-8")
    settings = mask_words.Settings(column="c", words="words.txt").placed(tmp_path)
    assert mask_words.fit(settings, ["x"]) == {"words": ["big", "red", "shoe"]}
    with pytest.raises(UsageError, match="no such file"):
        mask_words.fit(mask_words.Settings(column="c", words=str(tmp_path / "gone")), [])
    assert mask_words.Settings(column="c").placed(tmp_path).words == "labels"


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan")])
def test_nothing_comes_of_nothing(cell):
    with pytest.raises(Absent, match="empty cell"):
        masked(cell, "x")


def test_what_is_no_text():
    with pytest.raises(Unreadable, match="expected a text, got list"):
        masked(["a"], "x")
    with pytest.raises(Unreadable, match="not UTF-8"):
        masked(b"\xff", "x")
    assert masked(b"a x", "x") == "a"


word = st.text(st.characters(categories=("L", "M", "N", "P", "Zs")), min_size=1, max_size=8)


@budget(deadline=None, max_examples=200)
@given(st.lists(word, max_size=8), st.lists(word, min_size=1, max_size=3), st.booleans())
def test_what_is_cut_is_gone_and_the_rest_stays_in_order(texts, words, plurals):
    settings = mask_words.Settings(column="c", words=tuple(words), plurals=plurals)
    try:
        facts = mask_words.fit(settings, [])
    except UsageError:
        return
    try:
        made = mask_words.make(settings, facts, " ".join(texts), Path())
    except Absent:
        return
    form = stem if plurals else str.casefold
    kept = [form(w) for w in word_pattern().findall(made)]
    assert not set(kept) & set(facts["words"])
    again = mask_words.make(settings, facts, made, Path())
    assert again == made

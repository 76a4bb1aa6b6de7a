"""Texts in any script, however odd."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tokenizers import Tokenizer

from suffuse.modalities import text
from suffuse.modalities.cell import Absent, Unreadable

TRAINING = ["what colour is the circle?", "is there a red square", "how many things are there", "这是什么颜色"] * 3
FITTED = {
    kind: (
        chosen := text.Settings(column="c", tokens=kind, vocabulary=320, length=40),
        text.fit(chosen, TRAINING),
    )
    for kind in ("words", "bpe")
}


def read(value: object, **more) -> str:
    return text.load(text.Settings(column="c", **more), value, Path())[1]


def ids(kind: str, value: str) -> list[int]:
    chosen, statistics = FITTED[kind]
    return text.encode(chosen, statistics, [value])[0].tolist()


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("  What   colour?\n", "what colour?"),
        ("这是 什么", "这是 什么"),
        ("ما هذا", "ما هذا"),
        ("🎉👩‍👩‍👧", "🎉👩‍👩‍👧"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("a\0b", "a b"),
        ("a\u00a0\u2003b", "a b"),
        (b"bytes \xc3\xa9", "bytes é"),
        (3.5, "3.5"),
        (7, "7"),
        (True, "true"),
        ("\ud800x", "?x"),
    ],
)
def test_cells_and_what_is_made_of_them(cell, expected):
    assert read(cell) == expected


def test_case_is_kept_where_the_recipe_says_so():
    assert read("Who Is NATO", lowercase=False) == "Who Is NATO"


@pytest.mark.parametrize("cell", [None, "", " ", "\t\r\n", "\0", "\u2003\u00a0", float("nan"), b"  "])
def test_blank_cells_are_absent(cell):
    with pytest.raises(Absent):
        read(cell)


@pytest.mark.parametrize("cell", [["a"], {"a": 1}, ("a",), np.array(["a"])])
def test_what_is_no_text_is_unreadable(cell):
    with pytest.raises(Unreadable, match="expected a text"):
        read(cell)


def test_bytes_in_another_encoding_say_where():
    with pytest.raises(Unreadable, match=r"not UTF-8: .* at byte 3"):
        read("caf\xe9".encode("latin-1"))


def test_the_same_text_composed_or_not_is_one_entry():
    one, other = (text.load(FITTED["bpe"][0], v, Path()) for v in ("é", "e\u0301"))
    assert one == other


def test_a_text_without_end_is_cut():
    assert len(read("ab " * 1_000_000)) <= text.MAX_CHARACTERS


anything = st.text(st.characters(exclude_categories=()), max_size=60)


@budget(deadline=None, max_examples=150)
@given(anything)
def test_any_string_is_read_or_absent(value):
    try:
        made = read(value)
    except Absent:
        assert not value.replace("\0", " ").strip()
        return
    made.encode("utf-8")
    assert made == " ".join(made.split())
    assert made


@budget(deadline=None, max_examples=150)
@given(anything, st.sampled_from(["words", "bpe"]), st.booleans())
def test_padding_stands_at_the_end_only(value, kind, lowercase):
    try:
        made = read(value, lowercase=lowercase)
    except Absent:
        return
    found = np.array(ids(kind, made))
    assert found.min() >= 0 and found.max() < FITTED[kind][1]["vocabulary"]
    assert (found != 0).all()  # alone, so nothing is padded


@pytest.mark.parametrize("kind", ["words", "bpe"])
@pytest.mark.parametrize("value", ["[PAD]", "a [PAD] b", "[UNK]", "x[PAD][PAD]y"])
def test_a_text_that_spells_a_special_token_is_only_a_text(kind, value):
    found = ids(kind, value)
    assert 0 not in found
    if kind == "bpe":
        assert text.UNKNOWN not in found


@budget(deadline=None, max_examples=150)
@given(anything)
def test_byte_pairs_know_every_script_and_lose_nothing(value):
    try:
        made = read(value)
    except Absent:
        return
    statistics = FITTED["bpe"][1]
    found = ids("bpe", made)
    assert text.UNKNOWN not in found
    if len(found) < statistics["length"]:
        whole = Tokenizer.from_str(statistics["tokenizer"]).decode(found, skip_special_tokens=False)
        assert whole.strip() == made.strip()


def test_words_that_training_never_saw_are_unknown_and_its_own_are_not():
    assert ids("words", "zebra quagga") == [text.UNKNOWN, text.UNKNOWN]
    assert text.UNKNOWN not in ids("words", "what colour is the circle ?")
    assert 0 not in ids("words", "what colour is the circle ?")


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_length_is_the_longest_of_training_and_the_recipe_s_at_most(kind):
    longest = text.Settings(column="c", tokens=kind, vocabulary=320, length=3)
    statistics = text.fit(longest, TRAINING)
    assert statistics["length"] == 3
    assert text.encode(longest, statistics, ["a b c d e f g", "a"]).shape == (2, 3)
    assert FITTED["words"][1]["length"] == 6
    assert text.encode(*FITTED["words"], ["one two three four five six seven eight"]).shape == (1, 6)


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_vocabulary_is_what_the_embedding_must_hold(kind):
    chosen = text.Settings(column="c", tokens=kind, vocabulary=300, length=64)
    many = [f"word{n} thing{n}" for n in range(900)]
    statistics = text.fit(chosen, many)
    assert statistics["vocabulary"] <= 300
    assert text.encode(chosen, statistics, many).max() < statistics["vocabulary"]


def test_normal_form_is_nfc():
    for value in ("Å", "e\u0301\u0323", "한글", "ﬁ"):
        assert unicodedata.is_normalized("NFC", read(value, lowercase=False))

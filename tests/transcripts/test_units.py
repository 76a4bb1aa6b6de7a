"""Texts to units and back."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from suffuse.transcripts.units import (
    BLANK_GAP,
    UNITS,
    UNKNOWN,
    certain_blank,
    codes_of,
    join,
    normalise,
    split,
    text_of,
    tokens_of,
)

KINDS = pytest.mark.parametrize("units", UNITS)


@pytest.mark.parametrize(("text", "expected"), [
    ("  two \t five\n\u00a0nine ", "two five nine"),
    ("e\u0301te\u0301", "été"),
    ("Ja", "Ja"),
    ("", ""),
    (" \u3000 ", ""),
])  # fmt: skip
def test_a_text_is_normalised(text, expected):
    assert normalise(text) == expected


def test_lower_case_is_a_choice():
    assert normalise("ZWEI Straße", lowercase=True) == "zwei straße"
    assert normalise("I\u0307", lowercase=True) == normalise("\u0130", lowercase=True)


@given(st.text(), st.booleans())
def test_what_is_normalised_stays(text, lowercase):
    once = normalise(text, lowercase)
    assert normalise(once, lowercase) == once and unicodedata.is_normalized("NFC", once)


@KINDS
@given(text=st.text())
def test_units_give_back_their_text(units, text):
    text = normalise(text)
    assert join(split(text, units), units) == text
    classes = sorted(set(split(text, units)))
    codes = codes_of([text], units, classes)[0]
    assert text_of(codes, units, classes) == text
    assert all(1 <= code <= len(classes) for code in codes)


def test_units_of_either_kind():
    assert split("ab c", "characters") == ("a", "b", " ", "c") and split("ab c", "words") == ("ab", "c")
    assert split("", "characters") == split("", "words") == ()
    assert join([" ", "a", " ", " ", "b", " "], "characters") == "a b"


def test_a_unit_that_no_training_row_has():
    assert codes_of(["ax b"], "characters", [" ", "a", "b"])[0] == (2, 4, 1, 3)
    assert text_of((2, 4, 1, 3), "characters", [" ", "a", "b"]) == f"a{UNKNOWN} b"
    assert text_of(codes_of(["one ten"], "words", ["one"])[0], "words", ["one"]) == f"one {UNKNOWN}"


@pytest.mark.parametrize(("text", "words"), [
    ("turn  it off", ["turn", "it", "off"]),
    ("打开 the 灯光", ["打", "开", "the", "灯", "光"]),
    ("play音乐now", ["play", "音", "乐", "now"]),
    ("テレビ", ["テ", "レ", "ビ"]),
    ("켜 주세요", ["켜", "주세요"]),
    ("", []),
])  # fmt: skip
def test_words_by_which_errors_are_counted(text, words):
    assert tokens_of(text) == words


def test_a_frame_is_certainly_blank_in_numpy_and_torch_alike():
    logits = np.zeros((2, 3, 4), dtype=np.float32)
    logits[:, 1, 1:] = -BLANK_GAP
    logits[0, 2, 1:] = [-40, -30, -29.8]
    logits[1, 2] = [-np.inf, 3, -40, -np.inf]
    expected = [[False, True, False], [False, True, False]]
    shifted = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for given_logits in (logits, shifted, (logits + 5).astype(np.float16), (logits - 0.05).astype(np.float16)):
        assert certain_blank(given_logits).tolist() == expected
        assert certain_blank(torch.from_numpy(given_logits)).tolist() == expected

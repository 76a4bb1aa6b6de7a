"""Words with their frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suffuse.transcripts.ctc_decoding import Hypothesis
from suffuse.transcripts.spoken_words import Word, words_of
from suffuse.transcripts.units import text_of, tokens_of

CLASSES = (" ", "a", "b", "打")


def heard(codes: list[int]) -> Hypothesis:
    """Unit number k has frames 2 k and 2 k + 1, and confidence k / 10."""
    frames = tuple((2 * k, 2 * k + 2) for k in range(len(codes)))
    return Hypothesis(tuple(codes), 0.0, frames, tuple(k / 10 for k in range(len(codes))), 0.0, 0.0)


def test_characters_are_merged_between_spaces():
    found = words_of(heard([1, 2, 3, 1, 1, 3, 4, 2]), "characters", CLASSES)
    assert [(w.text, w.start, w.end) for w in found] == [
        ("ab", 2, 6), ("b", 10, 12), ("打", 12, 14), ("a", 14, 16)
    ]  # fmt: skip
    assert [w.confidence for w in found] == pytest.approx([0.15, 0.5, 0.6, 0.7])


def test_words_are_as_they_are():
    assert words_of(heard([2, 1]), "words", ("yes", "no")) == [Word("no", 0, 2, 0.0), Word("yes", 2, 4, 0.1)]
    assert words_of(heard([]), "words", ("yes",)) == words_of(heard([1, 1]), "characters", CLASSES) == []


@given(st.lists(st.integers(1, 5), max_size=12))
def test_they_are_the_words_of_the_text(codes):
    assert [w.text for w in words_of(heard(codes), "characters", CLASSES)] == tokens_of(
        text_of(codes, "characters", CLASSES)
    )

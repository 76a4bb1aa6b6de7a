"""Texts as hashed n-grams: what the ids are, and that a text's words can be told from them."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from pydantic import ValidationError

from suffuse.explaining.segments import segment_entry
from suffuse.modalities import text
from suffuse.modalities.text_ngrams import Hashing, ngram_ids, split_words
from suffuse.types import Field

TEXTS = ["a red circle", "a blue circle, big", "the red square", "这是什么颜色", "हिन्दी में लिखो"]
SETTINGS = text.Settings(column="c", tokens="ngrams", vocabulary=4000, length=300)
STATISTICS = text.fit(SETTINGS, TEXTS)
HASHING = SETTINGS.hashing
assert HASHING is not None


def ids(value: str) -> list[int]:
    return text.encode(SETTINGS, STATISTICS, [value])[0].tolist()


def bucket(prefix: bytes, ngram: str, first: int, end: int) -> int:
    return first + crc32(prefix + ngram.encode()) % (end - first)


def test_ids_are_the_hashes_of_words_neighbours_and_characters():
    expected = {bucket(b"w", w, 2, HASHING.words) for w in ("a", "red")}
    expected |= {bucket(b"b", "a red", HASHING.words, 4000)}
    expected |= {bucket(b"c", c, HASHING.words, 4000) for c in ("<a>", "<re", "red", "ed>", "<red", "red>", "<red>")}
    assert set(ids("a red")) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("it's $5.40!!", ["it", "'", "s", "$", "5", ".", "40", "!!"]),
        ("Mac电脑", ["Mac", "电", "脑"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("snake_case", ["snake", "_", "case"]),
        ("x" * 100, ["x" * 64]),
    ],
)
def test_a_text_is_split_in_any_script(value, words):
    assert split_words(value) == words


@budget(deadline=None, max_examples=100)
@given(st.text(max_size=80), st.integers(1, 4))
def test_ids_are_distinct_and_in_range(value, orders):
    hashing = Hashing.of(500, orders, (2, 4))
    found = ngram_ids(hashing, value)
    assert len(set(found)) == len(found) and min(found) >= 1 and max(found) < 500
    assert (found == [1]) == (not split_words(value))
    assert ngram_ids(hashing, value + " ") == found


def test_the_order_of_words_is_in_the_neighbours_only():
    assert set(ids("red a circle")) != set(ids("a red circle"))
    single = text.Settings(column="c", tokens="ngrams", vocabulary=4000, word_ngrams=1, length=300)
    a, b = text.encode(single, STATISTICS, ["red a circle", "a red circle"])
    assert set(a) == set(b)


def test_frequent_ids_weigh_less_and_padding_nothing():
    idf = np.array(STATISTICS["idf"])
    assert idf[:2].tolist() == [0, 0]
    assert idf[HASHING.word_id("blue")] == pytest.approx(np.log(6 / 2) + 1, abs=0.01)
    assert idf[HASHING.word_id("red")] == pytest.approx(np.log(6 / 3) + 1, abs=0.01)
    assert len(idf) == STATISTICS["vocabulary"] == 4000


def test_a_long_text_is_cut_and_batches_are_padded_to_the_longest():
    short = text.encode(SETTINGS, {**STATISTICS, "length": 4}, ["a red circle", "a"])
    assert short.shape == (2, 4) and short[0].tolist() == ids("a red circle")[:4]
    many = ["a"] * 5000 + ["a red circle"]
    assert text.encode(SETTINGS, STATISTICS, many)[-1].tolist() == ids("a red circle")


def test_words_are_told_from_ids():
    entry = text.encode(SETTINGS, STATISTICS, ["the red unheard circle"])
    assert text.texts(SETTINGS, STATISTICS, entry) == ["the red circle"]
    segments = segment_entry(Field("c", "text", STATISTICS), SETTINGS, entry[0])
    assert segments is not None
    assert segments.labels == ("the", "red", "[unknown word]", "circle")
    without = segments.without(entry[0], 1)
    assert HASHING.word_id("red") not in without and HASHING.word_id("the") in without
    assert not set(ids("red")) & set(without.tolist())


def test_damaged_texts_keep_their_shape():
    entries = text.encode(SETTINGS, STATISTICS, TEXTS)
    damaged = text.corrupt(SETTINGS, STATISTICS, entries, 5, 0)
    assert damaged.shape == entries.shape and (damaged != entries).any()
    assert (damaged == text.corrupt(SETTINGS, STATISTICS, entries, 5, 0)).all()


def test_lengths_of_ngrams_that_cannot_be_are_refused():
    with pytest.raises(ValidationError, match="char_ngrams: got \\[5, 3\\]"):
        text.Settings(column="c", tokens="ngrams", char_ngrams=(5, 3))


def test_statistics_of_another_vocabulary_are_refused():
    other = text.Settings(column="c", tokens="ngrams", vocabulary=5000)
    with pytest.raises(ValueError, match="vocabulary: got 4,000, expected the settings' 5,000"):
        text.Statistics.model_validate(STATISTICS).check(other)

"""Errors of words and characters against an edit distance of our own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suffuse.transcripts.error_rates import (
    DELETED,
    EQUAL,
    INSERTED,
    SUBSTITUTED,
    character_alignments,
    character_errors,
    word_alignments,
    word_errors,
)


def distance(a, b) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


def test_errors_of_words():
    counts = word_errors(["one two three", "four", "five six", "", "", "打开灯"],
                         ["one too three", "four  for", "six", "", "seven", "打关灯"])  # fmt: skip
    assert counts.substitutions.tolist() == [1, 0, 0, 0, 0, 1]
    assert counts.insertions.tolist() == [0, 1, 0, 0, 1, 0]
    assert counts.deletions.tolist() == [0, 0, 1, 0, 0, 0]
    assert counts.reference.tolist() == [3, 1, 2, 0, 0, 3]
    assert counts.errors.tolist() == [1, 1, 1, 0, 1, 1]
    assert counts.rate == pytest.approx(5 / 9)


def test_errors_of_characters():
    counts = character_errors(["e\u0301t", "a b"], ["et", "ab"])
    assert counts.substitutions.tolist() == [1, 0] and counts.deletions.tolist() == [0, 1]
    assert counts.reference.tolist() == [2, 3] and counts.rate == pytest.approx(2 / 5)


def test_case_and_punctuation_count():
    assert word_errors(["Yes, Sir."], ["yes Sir"]).errors.tolist() == [2]


@given(st.lists(st.tuples(st.text("abc 打\u0301", max_size=12), st.text("abc 打\u0301", max_size=12)), max_size=5))
def test_errors_are_the_edit_distance_and_alignments_give_both_texts(pairs):
    from suffuse.transcripts.units import normalise, tokens_of

    references, hypotheses = [a for a, _ in pairs], [b for _, b in pairs]
    for count, align, cut in (
        (word_errors, word_alignments, tokens_of),
        (character_errors, character_alignments, lambda t: list(normalise(t))),
    ):
        counts = count(references, hypotheses)
        assert counts.errors.tolist() == [distance(cut(a), cut(b)) for a, b in pairs]
        assert counts.reference.tolist() == [len(cut(a)) for a, _ in pairs]
        for (a, b), steps in zip(pairs, align(references, hypotheses), strict=True):
            assert [t for step in steps for t in step.reference] == cut(a)
            assert [t for step in steps for t in step.hypothesis] == cut(b)
            for step in steps:
                assert (step.reference == step.hypothesis) == (step.kind == EQUAL)
                assert (not step.reference) == (step.kind == INSERTED)
                assert (not step.hypothesis) == (step.kind == DELETED)
                assert step.kind != SUBSTITUTED or len(step.reference) == len(step.hypothesis)


def test_many_rows_are_counted_in_parts():
    random = np.random.default_rng(0)
    words = [" ".join(random.choice(["a", "b", "c", "d"], size=5)) for _ in range(2600)]
    counts = word_errors(words, words[1:] + words[:1])
    expected = [distance(a.split(), b.split()) for a, b in zip(words, words[1:] + words[:1], strict=True)]
    assert counts.errors.tolist() == expected


def test_no_rows_have_no_rate():
    counts = word_errors([], [])
    assert np.isnan(counts.rate) and len(counts.errors) == 0
    with pytest.raises(ValueError, match="1 references, but 2 hypotheses"):
        word_errors(["a"], ["a", "b"])


def test_what_predicts_loads_neither_jiwer_nor_torch():
    code = (
        "import sys; from suffuse.transcripts import arpa_file, ctc_decoding, error_rates\n"
        "from suffuse.transcripts import ngram_language_model, spoken_words, units\n"
        "assert not {'torch', 'jiwer', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

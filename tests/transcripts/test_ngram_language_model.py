"""Interpolated Witten-Bell against nltk's and against the formula, and its use in a beam."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.lm.models import InterpolatedLanguageModel
from nltk.lm.smoothing import WittenBell

from suffuse import UsageError
from suffuse.transcripts.ctc_decoding import beam_search, log_softmax
from suffuse.transcripts.ngram_language_model import END, NEVER, START, UNKNOWN_UNIT, OutputLanguageModel, train

TEXTS = ["one two two", "two one", "three one two", "one", "", "two two two one three"]
SEQUENCES = [tuple(text.split()) for text in TEXTS]
KNOWN = ("one", "two", "three", END)


def ngrams(order: int) -> list[tuple[str, ...]]:
    """Every n-gram that ends in a unit or in the end."""
    found = []
    for sequence in SEQUENCES:
        padded = (START, *sequence, END)
        for place in range(1, len(padded)):
            found += [padded[place - n : place + 1] for n in range(min(order - 1, place) + 1)]
    return found


class Floored(WittenBell):
    """nltk's stops at the unigrams' frequencies: here they are interpolated with 1 / |V| as all others are."""

    def unigram_score(self, word: str) -> float:
        counts, size = self.counts.unigrams, 5  # three units, the end and the unknown unit
        kinds = len(counts)
        return (counts[word] + kinds / size) / (counts.N() + kinds)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_it_is_nltk_s_model(order):
    model, expected = train(SEQUENCES, order), InterpolatedLanguageModel(Floored, order)
    expected.fit([ngrams(order)], vocabulary_text=[*KNOWN, START])
    histories = [h for n in range(4) for h in product(("one", "two", "three"), repeat=n)]
    for history, unit in product(histories, KNOWN):
        wanted = expected.unmasked_score(
            unit, (START, *history)[max(0, len(history) + 2 - order) :] if order > 1 else ()
        )
        assert math.exp(model.score(history, unit)) == pytest.approx(wanted, abs=1e-9)


def test_it_is_the_formula():
    """p(two | one) by hand: after `one` come two, END, two, END and three."""
    units = Counter(unit for sequence in SEQUENCES for unit in (*sequence, END))
    low = (units["two"] + 4 / 5) / (units.total() + 4)
    after = Counter(b for s in SEQUENCES for a, b in pairwise((*s, END)) if a == "one")
    assert after == {"two": 2, END: 2, "three": 1}
    assert math.exp(train(SEQUENCES, 2).score(("one",), "two")) == pytest.approx((2 + 3 * low) / (5 + 3))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@given(st.lists(st.text("abc", max_size=6), max_size=8), st.text("abcx", max_size=6))
def test_probabilities_sum_to_1_after_any_history(order, texts, history):
    model = train(texts, order)
    state = model.start
    for unit in history:
        state = model.advance(state, model.number(unit))
    values = model.log_probabilities(state)
    assert np.exp(values).sum() == pytest.approx(1)
    for number, unit in enumerate(model.vocabulary):
        assert values[number] == pytest.approx(model.log_probability(state, number))
        assert values[number] == pytest.approx(model.score(history, unit))
    assert values[model.number(START)] <= NEVER and values[model.number(UNKNOWN_UNIT)] > NEVER


def test_states_are_as_short_as_what_is_known():
    model = train(SEQUENCES, 3)
    one, two, three = (model.number(unit) for unit in ("one", "two", "three"))
    assert model.advance((three,), one) == (three, one)
    assert model.advance((three,), three) == (three,)  # three three was never seen
    assert model.advance((one, two), model.number("ten")) == ()
    assert train(SEQUENCES, 1).start == ()


def test_a_sequence_s_score_has_its_end():
    model = train(SEQUENCES, 3)
    expected = model.score((), "two") + model.score(("two",), "one") + model.score(("two", "one"), END)
    assert model.score_sequence(("two", "one")) == pytest.approx(expected)
    assert model.score_sequence(()) == pytest.approx(model.score((), END))


@pytest.mark.parametrize("unit", [START, END, UNKNOWN_UNIT])
def test_a_unit_that_the_model_has_for_itself_is_refused(unit):
    with pytest.raises(UsageError, match=unit):
        train([("a", unit)], 2)


def test_an_order_of_0_is_refused():
    with pytest.raises(UsageError, match="got 0, expected 1 or more"):
        train(SEQUENCES, 0)


def test_over_outputs_it_scores_what_the_units_do():
    model = train(SEQUENCES, 3)
    outputs = OutputLanguageModel(model, ("two", "ten", "one"))
    state, history = outputs.start, []
    for code, unit in ((1, "two"), (3, "one"), (2, "ten"), (1, "two")):
        values = outputs.scores(state)
        assert values[0] == 0 and len(values) == 4
        assert values[1:] == pytest.approx([model.score(history, u) for u in ("two", "ten", "one")])
        assert outputs.end(state) == pytest.approx(model.score(history, END))
        state, history = outputs.advance(state, code), [*history, unit]


def test_in_a_beam_it_decides_what_the_frames_leave_open():
    model = OutputLanguageModel(train([tuple("abab"), tuple("ab")], 3), ("a", "b"))
    log_probs = log_softmax(np.array([[0, 5.2, 5.0], [9, 0, 0], [0, 5.1, 5.0], [9, 0, 0]]))
    plain, guided = beam_search(log_probs, 8)[0], beam_search(log_probs, 8, model, weight=1.0)[0]
    assert plain.units == (1, 1) and guided.units == (1, 2)
    assert guided.score == pytest.approx(guided.log_probability + model.model.score_sequence("ab"))

"""Decoding against sums and maxima over all paths."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

from suffuse.transcripts.ctc_decoding import (
    _Search,
    align,
    beam_search,
    greedy,
    greedy_batch,
    log_probabilities,
    log_probability,
    log_softmax,
)
from suffuse.transcripts.units import BLANK_GAP

SEEDS = pytest.mark.parametrize("seed", range(8))
ALL = 10**6  # prefixes of a beam that prunes nothing


def frames(length: int, outputs: int, seed: int, sharpness: float = 2.0) -> np.ndarray:
    return log_softmax(sharpness * np.random.default_rng(seed).normal(size=(length, outputs)))


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(unit for unit, _ in groupby(path) if unit)


def by_paths(log_probs: np.ndarray) -> dict[tuple[int, ...], list[tuple[float, tuple[int, ...]]]]:
    """Units -> log p of each of their paths."""
    found: dict[tuple[int, ...], list[tuple[float, tuple[int, ...]]]] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        value = sum(log_probs[t, output] for t, output in enumerate(path))
        found.setdefault(collapsed(path), []).append((float(value), path))
    return found


def total(paths: list[tuple[float, tuple[int, ...]]]) -> float:
    return float(np.logaddexp.reduce([value for value, _ in paths]))


def blanks(count: int, outputs: int) -> np.ndarray:
    logits = np.full((count, outputs), -BLANK_GAP)
    logits[:, 0] = 0
    return log_softmax(logits)


@SEEDS
@pytest.mark.parametrize(("length", "outputs"), [(1, 2), (3, 2), (4, 3), (5, 4)])
def test_probabilities_are_sums_over_paths(length, outputs, seed):
    log_probs = frames(length, outputs, seed)
    expected = by_paths(log_probs)
    assert np.logaddexp.reduce([total(paths) for paths in expected.values()]) == pytest.approx(0, abs=1e-12)
    together = log_probabilities(log_probs, list(expected))
    for value, (units, paths) in zip(together, expected.items(), strict=True):
        assert value == pytest.approx(total(paths), abs=1e-12)
        assert log_probability(log_probs, units) == value


@SEEDS
@pytest.mark.parametrize(("length", "outputs"), [(1, 2), (4, 3), (5, 4)])
def test_a_beam_of_all_prefixes_is_exact(length, outputs, seed):
    log_probs = frames(length, outputs, seed)
    expected = {units: total(paths) for units, paths in by_paths(log_probs).items()}
    found = beam_search(log_probs, ALL, n_best=ALL)
    assert [h.units for h in found] == sorted(expected, key=lambda units: -expected[units])
    for hypothesis in found:
        assert hypothesis.log_probability == hypothesis.score == pytest.approx(expected[hypothesis.units], abs=1e-12)


@SEEDS
def test_prefixes_have_the_sums_of_their_paths(seed):
    """What pruning compares: paths that end in a blank and those that end in the unit, apart."""
    log_probs = np.concatenate([frames(2, 3, seed), blanks(1, 3), frames(2, 3, seed + 50)])
    search, expected = _Search(None, 0.0, 0.0), by_paths(log_probs)
    for number, frame in enumerate(log_probs):
        search.skip() if number == 2 else search.step(frame, ALL)
    assert len(search.prefixes) > 15
    for prefix, *found in zip(search.prefixes, search.ends_blank, search.ends_unit, strict=True):
        for value, in_unit in zip(found, (False, True), strict=True):
            paths = [pair for pair in expected[prefix] if bool(pair[1][-1]) == in_unit]
            wanted = np.exp(total(paths)) if paths else 0.0
            assert np.exp(value) == pytest.approx(wanted, rel=1e-9, abs=1e-11)


@SEEDS
def test_frames_are_those_of_the_best_path(seed):
    log_probs = frames(5, 3, seed)
    for units, paths in by_paths(log_probs).items():
        _, expected = max(paths)
        spans, path = align(log_probs, units)
        assert tuple(path) == expected
        assert [expected[a:b] for a, b in spans] == [
            (unit,) * (b - a) for unit, (a, b) in zip(units, spans, strict=True)
        ]
        assert all(a == 0 or expected[a - 1] != u for u, (a, _) in zip(units, spans, strict=True))
        assert all(b == 5 or expected[b] != u for u, (_, b) in zip(units, spans, strict=True))


@SEEDS
def test_greedy_is_the_best_path_s_groups(seed):
    log_probs = np.stack([frames(12, 4, 10 * seed + n) for n in range(5)])
    for row, hypothesis in zip(log_probs, greedy_batch(log_probs), strict=True):
        path = row.argmax(1).tolist()
        assert hypothesis.units == collapsed(tuple(path))
        assert hypothesis.log_probability == hypothesis.score == pytest.approx(row.max(1).sum())
        assert hypothesis.confidence == pytest.approx(np.exp(row.max(1)).mean())
        place, spans = 0, []
        for unit, run in groupby(path):
            end = place + len(list(run))
            spans += [(place, end)] if unit else []
            place = end
        assert list(hypothesis.frames) == spans
        assert hypothesis.confidences == pytest.approx([np.exp(row[a:b].max(1)).mean() for a, b in spans])
        assert hypothesis == greedy(row)


def test_a_repeated_unit_needs_a_blank_between():
    path = [1, 1, 0, 1, 2, 2, 0, 0, 2]
    assert greedy(log_softmax(9 * np.eye(3)[path])).units == (1, 1, 2, 2)
    assert log_probability(frames(2, 2, 0), (1, 1)) == -np.inf
    with pytest.raises(ValueError, match="2 units don't fit into 2 frames"):
        align(frames(2, 2, 0), (1, 1))


@SEEDS
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_a_beam_is_never_worse_than_greedy(beam, seed):
    log_probs = frames(20, 5, seed)
    path = greedy(log_probs)
    (best,) = beam_search(log_probs, beam)
    assert best.log_probability >= log_probability(log_probs, path.units) >= path.log_probability


@SEEDS
def test_frames_after_the_end_change_no_bit(seed):
    log_probs = frames(9, 4, seed)
    longer = np.concatenate([log_probs, blanks(7, 4)])
    assert greedy(longer) == greedy(log_probs)
    assert greedy_batch(np.stack([longer, frames(16, 4, 99)]))[0] == greedy(log_probs)
    assert beam_search(longer, 4, n_best=3) == beam_search(log_probs, 4, n_best=3)
    assert log_probability(longer, (1, 2)) == log_probability(log_probs, (1, 2))


@SEEDS
def test_certain_blanks_between_part_repeated_units(seed):
    log_probs = np.concatenate([frames(2, 3, seed), blanks(2, 3), frames(2, 3, seed + 100)])
    expected = {units: total(paths) for units, paths in by_paths(log_probs).items()}
    for hypothesis in beam_search(log_probs, ALL, n_best=5):
        assert hypothesis.log_probability == pytest.approx(expected[hypothesis.units], abs=1e-9)
    assert greedy(
        np.concatenate([log_softmax(9 * np.eye(3)[[1]]), blanks(1, 3), log_softmax(9 * np.eye(3)[[1]])])
    ).units == (1, 1)


@pytest.mark.parametrize("log_probs", [blanks(5, 3), np.zeros((0, 3))], ids=["no recording", "no frames"])
def test_nothing_is_said_where_nothing_is_heard(log_probs):
    for hypothesis in (greedy(log_probs), *beam_search(log_probs)):
        assert (hypothesis.units, hypothesis.frames, hypothesis.confidences) == ((), (), ())
        assert (hypothesis.log_probability, hypothesis.confidence) == (0.0, 0.0)


def test_a_unit_of_probability_0_is_in_no_hypothesis():
    log_probs = frames(6, 4, 3)
    log_probs[:, 2] = -np.inf
    assert all(2 not in h.units for h in beam_search(log_probs, ALL, n_best=ALL))


class Bigram:
    """A language model over two outputs, as a table."""

    start = 0
    table = np.log(np.array([[1, 0.6, 0.3, 0.1], [1, 0.1, 0.8, 0.1], [1, 0.5, 0.1, 0.4]]))  # end in the last column

    def scores(self, state):
        return self.table[state, :3]

    def advance(self, state, unit):
        return unit

    def end(self, state):
        return self.table[state, 3]


@SEEDS
@pytest.mark.parametrize(("weight", "bonus"), [(0.0, 0.0), (0.7, 0.0), (1.5, 0.9)])
def test_the_language_model_and_the_bonus_are_in_the_score(weight, bonus, seed):
    log_probs, model = frames(5, 3, seed), Bigram()

    def score(units: tuple[int, ...], value: float) -> float:
        pairs = zip((0, *units), (*units, 3), strict=True)
        return value + weight * sum(model.table[a, b] for a, b in pairs) + bonus * len(units)

    expected = {units: score(units, total(paths)) for units, paths in by_paths(log_probs).items()}
    found = beam_search(log_probs, ALL, model, weight, bonus, n_best=ALL)
    assert [h.units for h in found] == sorted(expected, key=lambda units: -expected[units])
    assert all(h.score == pytest.approx(expected[h.units], abs=1e-12) for h in found)
    narrow = beam_search(log_probs, 3, model, weight, bonus)[0]
    assert narrow.score == pytest.approx(expected[narrow.units], abs=1e-12)

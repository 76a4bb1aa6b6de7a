"""From frames to units: greedy and prefix beam search over the outputs of CTC (Graves et al. 2006).

A path has one output a frame. It stands for the units that are left when repeated outputs are merged and blanks are
then removed; a unit's probability is the sum over its paths. Frames that are certainly blank
(:func:`suffuse.transcripts.units.certain_blank`) are read as blank with probability 1: those after a row's end change
no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from ..types import BLANK
from .units import certain_blank

NEVER = -np.inf  # log 0


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A sequence of units that the frames may stand for."""

    units: tuple[int, ...]  # outputs 1..V-1
    log_probability: float  # of the units, over all paths; of a greedy one, of its path alone
    frames: tuple[tuple[int, int], ...]  # of each unit its first frame, and the one after its last
    confidences: tuple[float, ...]  # of each unit, the mean of its probability over its frames
    confidence: float  # the mean over all frames of what its path has there; certain blanks aside, 0 where no other is
    score: float  # what a beam is sorted by: the log-probability, with the language model and the bonus


class UnitScorer(Protocol):
    """A language model over the outputs 1..V-1. Its states are its own matter."""

    @property
    def start(self) -> Any:
        """The state before the first unit."""
        ...

    def scores(self, state: Any) -> np.ndarray:
        """(V,) log-probability of each output as the next unit; what stands at ``BLANK`` isn't read."""
        ...

    def advance(self, state: Any, unit: int) -> Any:
        """The state after one more unit."""
        ...

    def end(self, state: Any) -> float:
        """Log-probability that the sequence ends here."""
        ...


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logits (..., V) -> float64 log-probabilities (..., V)."""
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def greedy(log_probs: np.ndarray) -> Hypothesis:
    """Log-probabilities (T, V) -> the most probable path's units."""
    return greedy_batch(np.asarray(log_probs)[None])[0]


def greedy_batch(log_probs: np.ndarray) -> list[Hypothesis]:
    """Log-probabilities (N, T, V) -> the units of each row's most probable path."""
    log_probs = np.asarray(log_probs, dtype=np.float64)
    count, length, _ = log_probs.shape
    if not length:
        return [Hypothesis((), 0.0, (), (), 0.0, 0.0) for _ in range(count)]
    best, real = log_probs.argmax(2), ~certain_blank(log_probs)
    top = np.where(real, np.take_along_axis(log_probs, best[..., None], 2)[..., 0], 0.0)
    # running sums: frames after the end add 0 to them, so padding changes no bit
    sums, parts = top.cumsum(1)[:, -1], np.where(real, np.exp(top), 0.0).cumsum(1)
    confidences = parts[:, -1] / np.maximum(real.sum(1), 1)
    edge = np.full((count, 1), BLANK)
    before, after = np.hstack([edge, best[:, :-1]]), np.hstack([best[:, 1:], edge])
    is_unit = best != BLANK
    rows, starts = np.nonzero(is_unit & (best != before))
    _, ends = np.nonzero(is_unit & (best != after))
    means = (parts[rows, ends] - np.where(starts > 0, parts[rows, starts - 1], 0.0)) / (ends - starts + 1)
    bounds = np.searchsorted(rows, np.arange(count + 1)).tolist()
    units, spans = best[rows, starts].tolist(), list(zip(starts.tolist(), (ends + 1).tolist(), strict=True))
    of_units, made = means.tolist(), []
    for row, (a, b) in enumerate(pairwise(bounds)):
        value, confidence = float(sums[row]), float(confidences[row])
        made.append(Hypothesis(tuple(units[a:b]), value, tuple(spans[a:b]), tuple(of_units[a:b]), confidence, value))
    return made


def log_probability(log_probs: np.ndarray, units: Sequence[int]) -> float:
    """Log-probabilities (T, V), units -> log p(units), the sum over all paths; -inf where they don't fit into the
    frames."""
    return float(log_probabilities(log_probs, [units])[0])


def log_probabilities(log_probs: np.ndarray, sequences: Sequence[Sequence[int]]) -> np.ndarray:
    """Log-probabilities (T, V), K sequences of units -> (K,) log p(units): the last of the forward variables of Graves
    et al. (2006)."""
    frames, (places, skips) = _real_frames(log_probs), _lattice(sequences)
    state = np.full(places.shape, NEVER)
    state[:, 0] = 0.0  # before the first frame: nothing but blanks
    for frame in frames:
        state = np.logaddexp.reduce(_moves(state, skips)) + frame[places]
    last = np.array([2 * len(units) for units in sequences])[:, None]
    ends = np.where(last > 0, np.take_along_axis(state, np.maximum(last - 1, 0), 1), NEVER)
    return np.logaddexp(np.take_along_axis(state, last, 1), ends)[:, 0]


def align(log_probs: np.ndarray, units: Sequence[int]) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Log-probabilities (T, V), units -> each unit's first frame and the one after its last, on the most probable path
    of these units; and that path (T,). Raises ValueError where the units don't fit into the frames."""
    frames, (places, skips) = _real_frames(log_probs), _lattice([units])
    state, moves = np.full(places.shape, NEVER), np.zeros((len(frames), places.shape[1]), dtype=np.int8)
    state[:, 0] = 0.0
    for number, frame in enumerate(frames):
        options = _moves(state, skips)
        moves[number] = options.argmax(0)
        state = options.max(0) + frame[places]
    at = int(state[0, -2:].argmax()) + max(places.shape[1] - 2, 0)
    if state[0, at] == NEVER:
        raise ValueError(f"{len(units)} units don't fit into {len(frames)} frames")
    path, spans = np.full(len(log_probs), BLANK), [(0, 0)] * len(units)
    for number in range(len(frames) - 1, -1, -1):
        path[number] = places[0, at]
        if at % 2:
            spans[at // 2] = (number, spans[at // 2][1] or number + 1)
        at -= int(moves[number, at])
    return spans, path


def beam_search(
    log_probs: np.ndarray,
    beam: int = 16,
    language_model: UnitScorer | None = None,
    weight: float = 0.5,
    bonus: float = 0.0,
    n_best: int = 1,
) -> list[Hypothesis]:
    """Log-probabilities (T, V) -> the best hypotheses, by

        score = log p(units | frames) + weight log p_lm(units, end) + bonus * number of units

    ``beam`` prefixes are kept after each frame (Graves & Jaitly 2014, Hannun et al. 2014). The probabilities of what is
    left are then computed without pruning, and greedy decoding's units are always among it: without a language model no
    result is less probable than those.
    """
    log_probs = np.asarray(log_probs, dtype=np.float64)
    search = _Search(language_model, weight, bonus)
    blank_only = certain_blank(log_probs)
    for frame, is_blank in zip(log_probs[: _real_length(blank_only)], blank_only, strict=False):
        if is_blank:
            search.skip()
        else:
            search.step(frame, beam)
    candidates = sorted({*search.prefixes, greedy(log_probs).units})
    values = log_probabilities(log_probs, candidates).tolist()
    scored = [(search.final(units, value), value, units) for value, units in zip(values, candidates, strict=True)]
    ranked = sorted(scored, key=_order)
    return [_hypothesis(log_probs, units, value, score) for score, value, units in ranked[:n_best] if value > NEVER]


def _order(candidate: tuple[float, float, tuple[int, ...]]) -> tuple[float, tuple[int, ...]]:
    """Best first; of equal ones the first in the order of their units."""
    return -candidate[0], candidate[2]


@dataclass
class _Search:
    """The prefixes of a beam: (K,) log-probabilities of paths that end in a blank and in the last unit."""

    language_model: UnitScorer | None
    weight: float
    bonus: float
    prefixes: list[tuple[int, ...]] = field(default_factory=lambda: [()])
    ends_blank: np.ndarray = field(default_factory=lambda: np.zeros(1))
    ends_unit: np.ndarray = field(default_factory=lambda: np.full(1, NEVER))
    prior: np.ndarray = field(default_factory=lambda: np.zeros(1))  # of the language model and the bonus
    states: dict[tuple[int, ...], Any] = field(default_factory=dict)

    def __post_init__(self):
        self.states[()] = self.language_model.start if self.language_model is not None else None

    def skip(self) -> None:
        """A frame that is certainly blank: what follows may repeat the last unit."""
        self.ends_blank = np.logaddexp(self.ends_blank, self.ends_unit)
        self.ends_unit = np.full(len(self.prefixes), NEVER)

    def step(self, frame: np.ndarray, beam: int) -> None:
        """One frame (V,): every prefix stays or has one unit more, and the best ``beam`` remain."""
        count, width = len(self.prefixes), len(frame)
        total = np.logaddexp(self.ends_blank, self.ends_unit)
        last = np.array([prefix[-1] if prefix else BLANK for prefix in self.prefixes])
        longer = total[:, None] + frame  # (K, V): a unit more
        has_last, rows = last != BLANK, np.arange(count)
        longer[rows, last] = np.where(has_last, self.ends_blank + frame[last], NEVER)  # only after a blank
        longer[:, BLANK] = NEVER
        stays_unit = np.where(has_last, self.ends_unit + frame[last], NEVER)
        place = {prefix: row for row, prefix in enumerate(self.prefixes)}
        for row, prefix in enumerate(self.prefixes):  # a prefix that is another's, one unit longer: their paths meet
            parent = place.get(prefix[:-1]) if prefix else None
            if parent is not None:
                stays_unit[row] = np.logaddexp(stays_unit[row], longer[parent, prefix[-1]])
                longer[parent, prefix[-1]] = NEVER
        stays_blank = total + frame[BLANK]
        priors = self.prior[:, None] + self._gains(width)
        candidates = np.concatenate([np.logaddexp(stays_blank, stays_unit) + self.prior, (longer + priors).ravel()])
        kept = _largest(candidates, beam)
        old, new = kept[kept < count], kept[kept >= count] - count
        parents, units = np.divmod(new, width)
        self._keep(old, parents, units)
        self.ends_blank = np.concatenate([stays_blank[old], np.full(len(new), NEVER)])
        self.ends_unit = np.concatenate([stays_unit[old], longer[parents, units]])
        self.prior = np.concatenate([self.prior[old], priors[parents, units]])

    def _gains(self, width: int) -> np.ndarray:
        """(K, V) what one more unit adds to the score beside its frames."""
        if self.language_model is None:
            return np.full((1, width), self.bonus)
        scores = np.stack([self.language_model.scores(self.states[prefix]) for prefix in self.prefixes])
        return self.weight * scores + self.bonus

    def _keep(self, old: np.ndarray, parents: np.ndarray, units: np.ndarray) -> None:
        before, states, model = self.prefixes, self.states, self.language_model
        self.prefixes = [before[row] for row in old.tolist()]
        self.states = {prefix: states[prefix] for prefix in self.prefixes}
        for row, unit in zip(parents.tolist(), units.tolist(), strict=True):
            prefix = (*before[row], unit)
            self.prefixes.append(prefix)
            self.states[prefix] = model.advance(states[before[row]], unit) if model is not None else None

    def final(self, units: tuple[int, ...], log_p: float) -> float:
        """The score of a whole sequence, whose end the language model scores too."""
        score = log_p + self.bonus * len(units)
        if self.language_model is None:
            return score
        state, prior = self.language_model.start, 0.0
        for unit in units:
            prior += float(self.language_model.scores(state)[unit])
            state = self.language_model.advance(state, unit)
        return score + self.weight * (prior + self.language_model.end(state))


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the largest values in rising order; -inf is none."""
    if len(values) > count:
        kept = np.sort(np.argpartition(-values, count - 1)[:count])
        return kept[values[kept] > NEVER]
    return np.flatnonzero(values > NEVER)


def _real_length(blank_only: np.ndarray) -> int:
    """Frames up to the last that isn't certainly blank."""
    real = np.flatnonzero(~blank_only)
    return int(real[-1]) + 1 if len(real) else 0


def _real_frames(log_probs: np.ndarray) -> np.ndarray:
    """Log-probabilities (T, V) up to the last frame that isn't certainly blank; in one before it that is, blank has
    probability 1."""
    log_probs = np.asarray(log_probs, dtype=np.float64)
    blank_only = certain_blank(log_probs)
    certain = np.where(np.arange(log_probs.shape[1]) == BLANK, 0.0, NEVER)
    return np.where(blank_only[:, None], certain, log_probs)[: _real_length(blank_only)]


def _lattice(sequences: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """K sequences -> (K, 2 L + 1) blank, unit, blank, ..., blank; and which of these a path may enter from two before:
    units unlike the one before. Shorter sequences end in blanks, which nothing reads."""
    places = np.full((len(sequences), 2 * max(map(len, sequences)) + 1), BLANK)
    for row, units in zip(places, sequences, strict=True):
        row[1 : 2 * len(units) : 2] = units
    skips = np.zeros(places.shape, dtype=bool)
    skips[:, 3::2] = places[:, 3::2] != places[:, 1:-2:2]
    return places, skips


def _moves(state: np.ndarray, skips: np.ndarray) -> np.ndarray:
    """(K, S) of the frame before -> (3, K, S): what stays, what comes from the place before, and from two before."""
    padded = np.pad(state, ((0, 0), (2, 0)), constant_values=NEVER)
    return np.stack([state, padded[:, 1:-1], np.where(skips, padded[:, :-2], NEVER)])


def _hypothesis(log_probs: np.ndarray, units: tuple[int, ...], value: float, score: float) -> Hypothesis:
    """With the frames of the most probable path of its units."""
    frames, path = align(log_probs, units)
    real = ~certain_blank(log_probs)
    p = np.where(real, np.exp(log_probs[np.arange(len(path)), path]), 0.0)
    of_units = tuple(float(p[a:b].mean()) for a, b in frames)
    confidence = float(p.cumsum()[-1] / max(real.sum(), 1)) if len(p) else 0.0
    return Hypothesis(units, value, tuple(frames), of_units, confidence, score)

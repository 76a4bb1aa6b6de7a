"""N-gram language models over units, in the form of ARPA files: log-probabilities of what was seen, and back-offs.

Training is interpolated Witten-Bell (Witten & Bell 1991; Chen & Goodman 1998):

    p(w | h) = (c(h w) + N(h) p(w | h')) / (c(h) + N(h))

c are counts, N(h) how many different units follow h, h' is h without its first unit. Below the empty history lies
1 / |V|, V the training's units, the end of a sequence and the unknown unit, which so has a probability too. As a
back-off model it is the same: what was seen after h has this probability, all else the factor N(h) / (c(h) + N(h))
times its probability after h'.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import UsageError
from ..types import BLANK

START, END, UNKNOWN_UNIT = RESERVED = "<s>", "</s>", "<unk>"
NEVER = -99 * math.log(10)  # how ARPA files write a probability of 0
CACHED = 2**22  # log-probabilities that a model over outputs keeps at most

State = tuple[int, ...]  # the last units, as many as the model knows something after


@dataclass(frozen=True)
class NgramLanguageModel:
    """Natural logarithms. Units are numbers, their places in the vocabulary."""

    order: int  # units of the longest n-gram
    vocabulary: tuple[str, ...]  # RESERVED and the units
    followers: Mapping[State, Mapping[int, float]]  # history -> what was seen after it -> log p
    backoffs: Mapping[State, float]  # history -> log of the factor of all else
    numbers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "numbers", {unit: number for number, unit in enumerate(self.vocabulary)})

    @property
    def start(self) -> State:
        """The state at the beginning of a sequence."""
        return self.shortened((self.numbers[START],))

    def number(self, unit: str) -> int:
        """A unit's place in the vocabulary: that of the unknown one where the model doesn't know it."""
        return self.numbers.get(unit, self.numbers[UNKNOWN_UNIT])

    def shortened(self, units: State) -> State:
        """The longest end of a history after which the model knows something: no shorter one says less."""
        units = units[max(0, len(units) - self.order + 1) :] if self.order > 1 else ()
        while units and units not in self.followers and units not in self.backoffs:
            units = units[1:]
        return units

    def advance(self, state: State, number: int) -> State:
        """The state after one more unit."""
        return self.shortened((*state, number))

    def log_probability(self, state: State, number: int) -> float:
        """log p of a unit after a state."""
        total = 0.0
        while number not in self.followers.get(state, {}):
            if not state:
                return total + NEVER
            total += self.backoffs.get(state, 0.0)
            state = state[1:]
        return total + self.followers[state][number]

    def score(self, history: Sequence[str], unit: str) -> float:
        """log p(unit | history): a sequence's units from its beginning on; ``END`` is a unit here."""
        state = self.start
        for before in history:
            state = self.advance(state, self.number(before))
        return self.log_probability(state, self.number(unit))

    def score_sequence(self, sequence: Sequence[str]) -> float:
        """log p of a whole sequence, its end included."""
        state, total = self.start, 0.0
        for unit in (*sequence, END):
            total += self.log_probability(state, self.number(unit))
            state = self.advance(state, self.number(unit))
        return total

    def log_probabilities(self, state: State) -> np.ndarray:
        """(|vocabulary|,) log p of every unit after a state."""
        if state:
            values = self.log_probabilities(state[1:]) + self.backoffs.get(state, 0.0)
        else:
            values = np.full(len(self.vocabulary), NEVER)
        if known := self.followers.get(state):
            values[list(known)] = list(known.values())
        return values


def train(sequences: Iterable[Sequence[str]], order: int) -> NgramLanguageModel:
    """Sequences of units -> their model of n-grams of up to ``order`` units.

    Raises UsageError where the order is less than 1, or a unit is one of ``RESERVED``.
    """
    if order < 1:
        raise UsageError("an n-gram has one unit or more", where="order", got=order, expected="1 or more")
    sequences = [tuple(sequence) for sequence in sequences]
    units = sorted({unit for sequence in sequences for unit in sequence})
    if taken := [unit for unit in units if unit in RESERVED]:
        raise UsageError("a language model has this unit for itself", got=f"'{taken[0]}'", hint="write it otherwise")
    vocabulary = (*RESERVED, *units)
    numbers = {unit: number for number, unit in enumerate(vocabulary)}
    counts: defaultdict[State, Counter[int]] = defaultdict(Counter)
    for sequence in sequences:
        coded = (numbers[START], *(numbers[unit] for unit in sequence), numbers[END])
        for place in range(1, len(coded)):
            for length in range(min(order - 1, place) + 1):
                counts[coded[place - length : place]][coded[place]] += 1
    return _smoothed(order, vocabulary, counts)


def _smoothed(order: int, vocabulary: tuple[str, ...], counts: Mapping[State, Counter[int]]) -> NgramLanguageModel:
    """Counts of what follows each history -> the interpolated model."""
    root = counts.get((), Counter())
    total, kinds, start = root.total(), len(root), vocabulary.index(START)
    each = kinds / (total + kinds) / (len(vocabulary) - 1) if kinds else 1 / (len(vocabulary) - 1)
    p: dict[State, dict[int, float]] = {
        (): {w: root[w] / max(total + kinds, 1) + each for w in range(len(vocabulary)) if w != start}
    }
    factors: dict[State, float] = {}
    for history in sorted(counts, key=lambda h: (len(h), h)):
        if not history:
            continue
        own = counts[history]
        total, kinds = own.total(), len(own)
        shorter, factors[history] = p[history[1:]], kinds / (total + kinds)  # what follows h follows h' too
        p[history] = {w: (own[w] + kinds * shorter[w]) / (total + kinds) for w in sorted(own)}
    followers = {history: {w: math.log(value) for w, value in known.items()} for history, known in p.items()}
    return NgramLanguageModel(order, vocabulary, followers, {h: math.log(factor) for h, factor in factors.items()})


@dataclass(frozen=True)
class OutputLanguageModel:
    """A language model over a head's outputs, as :class:`suffuse.transcripts.ctc_decoding.UnitScorer` says: output k is
    unit ``classes[k - 1]``."""

    model: NgramLanguageModel
    classes: tuple[str, ...]
    places: np.ndarray = field(init=False, repr=False)
    known: dict[State, np.ndarray] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self):
        places = [self.model.number(UNKNOWN_UNIT), *map(self.model.number, self.classes)]  # the first is blank's
        object.__setattr__(self, "places", np.array(places))

    @property
    def start(self) -> State:
        """The state before the first unit."""
        return self.model.start

    def scores(self, state: State) -> np.ndarray:
        """(V,) log-probability of each output as the next unit; 0 at ``BLANK``."""
        if state not in self.known:
            if len(self.known) >= max(1, CACHED // len(self.places)):
                self.known.clear()
            values = self.model.log_probabilities(state)[self.places]
            values[BLANK] = 0.0
            self.known[state] = values
        return self.known[state]

    def advance(self, state: State, unit: int) -> State:
        """The state after one more output."""
        return self.model.advance(state, int(self.places[unit]))

    def end(self, state: State) -> float:
        """Log-probability that the sequence ends here."""
        return self.model.log_probability(state, self.model.number(END))

"""Variations of a modality's items, of which synthetic rows are made: runs of words, and tables with swapped cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..registry import optional

SHORTEST = 2  # words of a run
SWAPPED = 0.3  # chance of a cell to be swapped
NEIGHBOURS = 10  # near rows of which one lends its cells
CHARACTERS = 12  # of a word on average, above which a text is cut between characters: its language has no spaces


def runs_of_words(items: Sequence[str], copies: int, random: np.random.Generator) -> Iterator[list[str]]:
    """``copies`` times a run of each text's words. Its length is log-uniform, from ``SHORTEST`` words to the text's
    own; the place is uniform. A text in a script without spaces is cut between characters."""
    for _ in range(copies):
        draws = random.random((len(items), 2))
        yield [_run(text, length, place) for text, (length, place) in zip(items, draws.tolist(), strict=True)]


def _run(text: str, length: float, place: float) -> str:
    words = text.split(" ")
    separator = " "
    if len(text) > CHARACTERS * len(words):
        words, separator = list(text), ""
    if len(words) <= SHORTEST:
        return text
    kept = round(math.exp(math.log(SHORTEST) + length * (math.log(len(words)) - math.log(SHORTEST))))
    start = min(int(place * (len(words) - kept + 1)), len(words) - kept)
    return separator.join(words[start : start + kept]).strip() or text


def swapped_cells(
    items: Sequence[str], encoded: np.ndarray, separator: str, copies: int, random: np.random.Generator
) -> Iterator[list[str]]:
    """``copies`` times each row of a table, in which each cell is, with a chance of ``SWAPPED``, that of a near row
    (MUNGE: Bucila, Caruana & Niculescu-Mizil 2006; one of ``NEIGHBOURS`` here, and numbers without noise). ``encoded``
    (U, D): numbers in which distances are measured."""
    cells = [item.split(separator) for item in items]
    near = _neighbours(encoded)
    for _ in range(copies):
        other = near[np.arange(len(cells)), random.integers(near.shape[1], size=len(cells))].tolist()
        swapped = random.random((len(cells), len(cells[0]))) < SWAPPED
        yield [
            separator.join(
                lent if is_swapped else own for own, lent, is_swapped in zip(row, cells[n], marks, strict=True)
            )
            for row, n, marks in zip(cells, other, swapped.tolist(), strict=True)
        ]


def _neighbours(encoded: np.ndarray) -> np.ndarray:
    """(U, K) positions of the nearest other rows; of a single row itself."""
    count = min(NEIGHBOURS, len(encoded) - 1)
    if count < 1:
        return np.zeros((len(encoded), 1), dtype=np.int64)
    search: Any = optional("sklearn.neighbors", "train").NearestNeighbors(n_neighbors=count).fit(encoded)
    return search.kneighbors(return_distance=False)

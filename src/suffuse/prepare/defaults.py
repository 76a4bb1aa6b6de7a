"""How large things should be, measured on the table: texts, pictures, epochs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from ..modalities import text
from ..word_patterns import UNSPACED
from .column_types import sample

SIDES = (32, 64, 96)  # pixels of a picture; more is slow without a GPU
LONGEST = 256  # tokens
MOST_WORDS = 3000  # in a vocabulary of whole words
PIECE = re.compile(r"\w+|[^\w\s]+")  # how ``tokens: words`` cuts a text
TOKENS_IN_PICTURE = 200  # tokens that cost about as much as a picture of 64 pixels
STEPS = (600, 2500)  # fewest and most steps of a training
PICTURES = 400_000  # that a training may look at: some minutes for teacher and students on two cores


def picture_size(side: int) -> int:
    """The size nearest to the pictures' shorter side."""
    return min(SIDES, key=lambda size: abs(size - side))


def text_settings(cells: Sequence[str | None]) -> dict:
    """tokens, vocabulary and length for the texts of a column (None: no text)."""
    distinct = [" ".join(cell.split())[:4000].lower() for cell in dict.fromkeys(cells) if cell]
    texts = sample(distinct, 20_000)
    pieces = [PIECE.findall(t) for t in texts]
    lengths = [len(p) for p in pieces]
    whole = {piece for found in pieces for piece in found}
    unspaced = sum(len(UNSPACED.findall(t)) for t in texts) / max(sum(map(len, texts)), 1)
    if unspaced < 0.1 and len(whole) < MOST_WORDS and np.median(lengths) <= 64:
        return {"tokens": "words", "vocabulary": MOST_WORDS, "length": _length(lengths)}
    vocabulary = 2000 if len(distinct) < 5000 else 4000 if len(distinct) < 50_000 else 8000
    return {"tokens": "bpe", "vocabulary": vocabulary, "length": _length(_pair_lengths(texts, vocabulary))}


def batch_size(rows: int) -> int:
    """Rows in a step: small tables need small ones, to make steps enough."""
    return 64 if rows < 2000 else 256


def epochs(rows: int, cost: float) -> int:
    """Epochs for so many training rows, of which each costs as much as so many pictures of 64 pixels."""
    batch = batch_size(rows)
    steps = min(max(PICTURES / max(batch * cost, 1), STEPS[0]), STEPS[1])
    return int(min(max(round(steps / math.ceil(rows / batch)), 8), 60))


def picture_cost(size: int) -> float:
    """In pictures of 64 pixels; one of 32 isn't halved first, so it costs the same."""
    return (max(size, 64) / 64) ** 2


def text_cost(length: float) -> float:
    """In pictures of 64 pixels."""
    return length / TOKENS_IN_PICTURE


def _pair_lengths(texts: list[str], vocabulary: int) -> list[int]:
    """Lengths in byte pairs, of texts that the pairs were not made from."""
    part = sample(texts, 1000)
    settings = text.Settings(column="", tokens="bpe", vocabulary=vocabulary, length=4096)
    ids = text.encode(settings, text.fit(settings, part[::2]), part[1::2])
    return (ids != text.PAD).sum(1).tolist()


def _length(lengths: list[int]) -> int:
    """Nearly all of them with a margin, in steps of 8."""
    wanted = math.ceil(1.25 * float(np.percentile(lengths, 99)) / 8) * 8
    return min(max(wanted, 8), LONGEST)

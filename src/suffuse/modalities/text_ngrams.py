"""Texts as hashed n-grams: words, neighbouring words, and the character n-grams of each word.

Every n-gram is hashed into one of V - 2 buckets (the hashing trick, Weinberger et al. 2009), so no n-gram is unknown
and no dictionary is exported. The n-grams are those of fastText (Joulin et al. 2017; Bojanowski et al. 2017): a word
``w`` gives itself, the runs of words that start with it, and the n-grams of ``<w>``. In scripts without spaces between
words every character is a word. The hash is CRC-32 (ISO 3309) of the n-gram's UTF-8 bytes after one byte for its type.

Ids: 0 is padding, 1 is a text without any n-gram; words have the ids from 2 to ``words``, excluded; all other n-grams
those from ``words`` to V. So a word's own id marks where the ids of that word start. Each id stands once in a text, at
its first occurrence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple
from zlib import crc32

import numpy as np

from ..word_patterns import UNSPACED, word_pattern

FIRST = 2  # id of the first bucket
WORDS_OF = 4  # one in so many buckets is for words
LONGEST_WORD = 64  # characters; of a longer one only the first are read


class Hashing(NamedTuple):
    """How n-grams become ids: V ids in all, those of words below ``words``, the orders of n-grams."""

    vocabulary: int
    words: int
    word_ngrams: int
    char_ngrams: tuple[int, int] | None

    @classmethod
    def of(cls, vocabulary: int, word_ngrams: int, char_ngrams: tuple[int, int] | None) -> Hashing:
        """Split V ids among words and other n-grams."""
        return cls(vocabulary, FIRST + (vocabulary - FIRST) // WORDS_OF, word_ngrams, char_ngrams)

    def word_id(self, word: str) -> int:
        """Id of a word, from 2 to ``words``."""
        return FIRST + crc32(b"w" + word.encode("utf-8")) % (self.words - FIRST)

    def ngram_id(self, kind: bytes, ngram: str) -> int:
        """Id of another n-gram, from ``words`` to V. ``kind``: b"c" of characters, b"b" of words."""
        return self.words + crc32(kind + ngram.encode("utf-8")) % (self.vocabulary - self.words)


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    """A word, or a run of punctuation."""
    return re.compile(rf"{word_pattern().pattern}|(?:[^\w\s]|_)+")


def split_words(text: str) -> list[str]:
    """Words and runs of punctuation; each character of a script without spaces is a word."""
    words = (word[:LONGEST_WORD] for word in _pattern().findall(text))
    if text.isascii():
        return list(words)
    return [piece for word in words for piece in (_characters(word) if UNSPACED.search(word) else (word,))]


def _characters(word: str) -> list[str]:
    """``Mac电脑`` -> ``Mac``, ``电``, ``脑``."""
    return [piece for piece in re.split(f"({UNSPACED.pattern})", word) if piece]


@lru_cache(maxsize=200_000)
def word_ids(hashing: Hashing, word: str) -> tuple[int, ...]:
    """Ids of a word and of its character n-grams."""
    ids = [hashing.word_id(word)]
    if hashing.char_ngrams and word[0].isalnum() and not UNSPACED.match(word):
        low, high = hashing.char_ngrams
        marked = f"<{word}>"
        for n in range(low, min(high, len(marked)) + 1):
            ids += [hashing.ngram_id(b"c", marked[i : i + n]) for i in range(len(marked) - n + 1)]
    return tuple(ids)


def ngram_ids(hashing: Hashing, text: str) -> list[int]:
    """Ids of a text's n-grams in the order of its words, each once; [1] of a text without any."""
    words = split_words(text)
    ids: list[int] = []
    for position, word in enumerate(words):
        ids += word_ids(hashing, word)
        for n in range(2, hashing.word_ngrams + 1):
            if position + n <= len(words):
                ids.append(hashing.ngram_id(b"b", " ".join(words[position : position + n])))
    return list(dict.fromkeys(ids)) or [1]


def fit(hashing: Hashing, texts: Iterable[str]) -> tuple[dict[str, int], list[float]]:
    """Training texts -> the most frequent word of each word's bucket, and the inverse document frequency (V,) of every
    id: log((1 + N) / (1 + n)) + 1 of an id that n of N texts have, 0 of padding and of a text without n-grams."""
    counts: Counter[str] = Counter()
    texts_with = np.zeros(hashing.vocabulary, np.int64)
    total = 0
    for text in texts:
        counts.update(split_words(text))
        texts_with[ngram_ids(hashing, text)] += 1
        total += 1
    words: dict[int, str] = {}
    for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        words.setdefault(hashing.word_id(word), word)
    idf = np.log((1 + total) / (1 + texts_with)) + 1
    idf[:FIRST] = 0
    return {word: number for number, word in sorted(words.items())}, [round(float(value), 2) for value in idf]


def encode(hashing: Hashing, length: int, texts: Sequence[str]) -> np.ndarray:
    """Texts -> (U, L) int32 ids, padded with 0; of a longer text the first ``length`` ids."""
    rows = [ngram_ids(hashing, text)[:length] for text in texts]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.zeros((len(rows), lengths.max(initial=1)), dtype=np.int32)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum())
    return ids

"""Segments of a modality's entry: patches of a picture, words, tenths of a second, columns.

A removed segment is replaced by what the modality uses for absence. A patch gets the mean colour of the training
pictures, a stretch of sound or of a sequence the training mean of each feature, a word of the run's own tokenizer
becomes the unknown word (with a pretrained tokenizer it is deleted), a column is missing. Black patches or empty
strings, by contrast, would be inputs that the model was never trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..modalities.tabular import MISSING
from ..modalities.text import PAD, UNKNOWN, swap
from ..types import Field

PATCHES = 8  # along each side of a picture
SECONDS = 0.1  # of a stretch of sound
STRETCHES = 20  # of a sequence whose steps have no time
MAX_SEGMENTS = 200  # of a sound; the stretches of a longer clip are longer


@dataclass(frozen=True)
class Segments:
    """K segments of one entry; ``index`` holds the segment of each position (the entry's first axes), -1: none."""

    labels: tuple[str, ...]
    index: np.ndarray
    removed: np.ndarray  # the entry with every segment removed, in its own shape
    facts: dict[str, Any] = field(default_factory=dict)  # positions of the segments, for drawing them
    delete: bool = False  # a removed segment leaves no gap

    def without(self, entry: np.ndarray, segment: int) -> np.ndarray:
        """The entry without one segment."""
        mask = self.index == segment
        if self.delete:
            kept = entry[~mask]
            return np.concatenate([kept, np.full(len(entry) - len(kept), PAD, dtype=entry.dtype)])
        mask = mask.reshape(*mask.shape, *[1] * (entry.ndim - mask.ndim))
        return np.where(mask, self.removed, entry).astype(entry.dtype)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Values of the positions, or of the numbers in them -> (K,) sums over the segments."""
        flat = values.reshape(*self.index.shape, -1).sum(-1)
        return np.array([flat[self.index == segment].sum() for segment in range(len(self.labels))])


def segment_entry(modality: Field, settings: Any, entry: np.ndarray) -> Segments | None:
    """The segments of an entry as a network reads it: a picture (H, W, 3) or several (P, H, W, 4), ids (L,), steps
    (L, F + 1), a row (K,). None for a kind without segments."""
    functions: dict[str, Callable[..., Segments]] = {
        "image": _patches,
        "text": _words,
        "audio": _seconds,
        "sequence": _steps,
        "tabular": _columns,
    }
    function = functions.get(modality.kind)
    return function(modality.statistics, settings, entry) if function else None


def _patches(statistics: dict, settings: Any, entry: np.ndarray) -> Segments:
    several = entry.ndim == 4
    real = [p for p in range(len(entry)) if entry[p, 0, 0, 3]] if several else [0]
    height, width = entry.shape[-3:-1]
    rows = [r.tolist() for r in np.array_split(np.arange(height), min(PATCHES, height))]
    cols = [c.tolist() for c in np.array_split(np.arange(width), min(PATCHES, width))]
    index, labels, boxes = np.full(entry.shape[:-1], -1), [], []
    for p in real:
        for i, r in enumerate(rows):
            for j, c in enumerate(cols):
                place = (slice(r[0], r[-1] + 1), slice(c[0], c[-1] + 1))
                index[(p, *place) if several else place] = len(labels)
                labels.append(
                    _patch_label(i / len(rows), j / len(cols), i, j) + (f" of picture {p + 1}" if several else "")
                )
                boxes.append([p, r[0] / height, c[0] / width, len(r) / height, len(c) / width])
    removed = entry.copy()
    removed[..., :3] = np.rint(255 * np.array(statistics["mean"]))
    return Segments(tuple(labels), index, removed, {"boxes": boxes, "pictures": len(entry) if several else 1})


def _patch_label(y: float, x: float, row: int, column: int) -> str:
    """``top left (row 1, column 2)``; ``y`` and ``x`` from 0 to 1."""
    vertical = "top" if y < 0.34 else "bottom" if y >= 0.62 else "middle"
    horizontal = "left" if x < 0.34 else "right" if x >= 0.62 else "centre"
    return f"{vertical} {horizontal} (row {row + 1}, column {column + 1})"


def _words(statistics: dict, settings: Any, entry: np.ndarray) -> Segments:
    tokenizer, own = Tokenizer.from_str(statistics["tokenizer"]), settings.tokenizer is None
    ids, hashing = swap(entry, statistics.get("pad", PAD)), settings.hashing
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special} - (
        {UNKNOWN} if own else set()
    )
    index, words = np.full(len(entry), -1), []
    for position in np.flatnonzero(entry != PAD):
        token = tokenizer.id_to_token(int(ids[position])) or ""
        if not own and int(ids[position]) in special:
            continue
        # hashed n-grams of a word stand after the word
        continues = ids[position] >= hashing.words if hashing else _continues_word(token, tokenizer)
        if not words or not continues or index[position - 1] < 0:
            words.append([])
        index[position] = len(words) - 1
        words[-1].append(int(ids[position]))
    labels = tuple(_word_label(tokenizer, word[:1] if hashing else word, own) for word in words)
    removed = np.where(index >= 0, UNKNOWN if own else PAD, entry).astype(entry.dtype)
    return Segments(labels, index, removed, delete=not own)


def _continues_word(token: str, tokenizer: Tokenizer) -> bool:
    """Whether a token continues the word before it: WordPiece marks such tokens, byte-level BPE and SentencePiece mark
    the others; a word-level token never does."""
    if token.startswith("##"):
        return True
    kind = type(tokenizer.model).__name__
    return kind in ("BPE", "Unigram") and not token.startswith(("\u0120", "\u2581", "\u010a"))


def _word_label(tokenizer: Tokenizer, ids: list[int], own: bool) -> str:
    if own and ids == [UNKNOWN]:
        return "[unknown word]"
    if tokenizer.decoder is not None:
        return tokenizer.decode(ids).strip() or "".join(tokenizer.id_to_token(i) or "" for i in ids)
    return " ".join(tokenizer.id_to_token(i) or "[unknown word]" for i in ids)


def _seconds(statistics: dict, settings: Any, entry: np.ndarray) -> Segments:
    real = int((entry[:, -1] > 0).sum())
    size = max(round(SECONDS / settings.step), -(-real // MAX_SEGMENTS), 1)
    spans = [(start, min(start + size, real)) for start in range(0, real, size)]
    times = [[start * settings.step, end * settings.step] for start, end in spans]
    labels = [f"{start:.2f} to {end:.2f} s" for start, end in times]
    return _stretches(statistics, entry, spans, labels, {"times": times})


def _steps(statistics: dict, settings: Any, entry: np.ndarray) -> Segments:
    real = int((entry[:, -1] > 0).sum())
    size = max(-(-real // STRETCHES), 1)
    spans = [(start, min(start + size, real)) for start in range(0, real, size)]
    labels = [f"step {a + 1}" if b == a + 1 else f"steps {a + 1} to {b}" for a, b in spans]
    return _stretches(statistics, entry, spans, labels, {"times": [list(span) for span in spans]})


def _stretches(statistics: dict, entry: np.ndarray, spans: list, labels: list[str], facts: dict) -> Segments:
    index = np.full(len(entry), -1)
    for segment, (start, end) in enumerate(spans):
        index[start:end] = segment
    removed = entry.copy()
    removed[index >= 0, :-1] = np.array(statistics["mean"])
    return Segments(tuple(labels), index, removed, facts)


def _columns(statistics: dict, settings: Any, entry: np.ndarray) -> Segments:
    count, removed = statistics["numbers"], np.zeros_like(entry)
    removed[count : 2 * count], removed[2 * count :] = 1, MISSING
    index, number, category = np.full(len(entry), -1), 0, 2 * count
    for segment, column in enumerate(statistics["columns"]):
        if column["type"] == "category":
            index[category] = segment
            category += 1
        else:
            width = len(column["mean"])
            index[number : number + width] = index[count + number : count + number + width] = segment
            number += width
    return Segments(tuple(c["name"] for c in statistics["columns"]), index, removed)

"""A modality's entry, cut into the parts that people speak of: patches, words, tenths of a second, columns.

Each kind keeps to what its modality means by absence. A patch that is taken out has the training pictures' mean colour,
a stretch of sound or of a sequence the training mean of each feature, a word of our own tokenizers is the unknown word
(one of a pretrained tokenizer goes, and the text closes up), a column is missing. So nothing stands there that a model
was not made to read, as black patches or empty strings would be.
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

ACROSS = 8  # patches along each side of a picture
SECONDS = 0.1  # of a stretch of sound
STRETCHES = 20  # of a sequence whose steps have no time
MOST = 200  # parts of an entry; of a longer clip the stretches are longer


@dataclass(frozen=True)
class Parts:
    """K parts of one entry; ``which`` says of each place (the entry's first axes) whose it is, -1: no part's."""

    labels: tuple[str, ...]
    which: np.ndarray
    gone: np.ndarray  # the entry with every part taken out, in its own shape
    facts: dict[str, Any] = field(default_factory=dict)  # where they lie: for who draws them
    drop: bool = False  # a part that is taken out leaves no place

    def without(self, entry: np.ndarray, part: int) -> np.ndarray:
        """The entry, less one part."""
        out = self.which == part
        if self.drop:
            kept = entry[~out]
            return np.concatenate([kept, np.full(len(entry) - len(kept), PAD, dtype=entry.dtype)])
        return np.where(out.reshape(*out.shape, *[1] * (entry.ndim - out.ndim)), self.gone, entry).astype(entry.dtype)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Values of the places, or of the numbers in them -> (K,) of the parts."""
        flat = values.reshape(*self.which.shape, -1).sum(-1)
        return np.array([flat[self.which == part].sum() for part in range(len(self.labels))])


def parts(one: Field, settings: Any, entry: np.ndarray) -> Parts | None:
    """Of an entry as a network reads it: a picture (H, W, 3) or several (P, H, W, 4), ids (L,), steps (L, F + 1), a row
    (K,). None of a kind that has no parts."""
    known: dict[str, Callable[..., Parts]] = {
        "image": _pictures,
        "text": _words,
        "audio": _seconds,
        "sequence": _steps,
        "tabular": _columns,
    }
    return known[one.kind](one.statistics, settings, entry) if one.kind in known else None


def _pictures(statistics: dict, settings: Any, entry: np.ndarray) -> Parts:
    several = entry.ndim == 4
    real = [p for p in range(len(entry)) if entry[p, 0, 0, 3]] if several else [0]
    high, wide = entry.shape[-3:-1]
    rows = [r.tolist() for r in np.array_split(np.arange(high), min(ACROSS, high))]
    cols = [c.tolist() for c in np.array_split(np.arange(wide), min(ACROSS, wide))]
    which, labels, boxes = np.full(entry.shape[:-1], -1), [], []
    for p in real:
        for i, r in enumerate(rows):
            for j, c in enumerate(cols):
                place = (slice(r[0], r[-1] + 1), slice(c[0], c[-1] + 1))
                which[(p, *place) if several else place] = len(labels)
                labels.append(_where(i / len(rows), j / len(cols), i, j) + (f" of picture {p + 1}" if several else ""))
                boxes.append([p, r[0] / high, c[0] / wide, len(r) / high, len(c) / wide])
    gone = entry.copy()
    gone[..., :3] = np.rint(255 * np.array(statistics["mean"]))
    return Parts(tuple(labels), which, gone, {"boxes": boxes, "pictures": len(entry) if several else 1})


def _where(down: float, right: float, row: int, column: int) -> str:
    """``top left (row 1, column 2)``."""
    high = "top" if down < 0.34 else "bottom" if down >= 0.62 else "middle"
    side = "left" if right < 0.34 else "right" if right >= 0.62 else "centre"
    return f"{high} {side} (row {row + 1}, column {column + 1})"


def _words(statistics: dict, settings: Any, entry: np.ndarray) -> Parts:
    tokenizer, own = Tokenizer.from_str(statistics["tokenizer"]), settings.tokenizer is None
    ids = swap(entry, statistics.get("pad", PAD))
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special} - (
        {UNKNOWN} if own else set()
    )
    which, groups = np.full(len(entry), -1), []
    for place in np.flatnonzero(entry != PAD):
        piece = tokenizer.id_to_token(int(ids[place])) or ""
        if not own and int(ids[place]) in special:
            continue
        if not groups or not _continues(piece, tokenizer) or which[place - 1] < 0:
            groups.append([])
        which[place] = len(groups) - 1
        groups[-1].append(int(ids[place]))
    labels = tuple(_said(tokenizer, group, own) for group in groups)
    gone = np.where(which >= 0, UNKNOWN if own else PAD, entry).astype(entry.dtype)
    return Parts(labels, which, gone, drop=not own)


def _continues(piece: str, tokenizer: Tokenizer) -> bool:
    """Whether a token goes on with the word before it: WordPiece marks such tokens, byte-level and SentencePiece the
    others; a word-level one never does."""
    if piece.startswith("##"):
        return True
    kind = type(tokenizer.model).__name__
    return kind in ("BPE", "Unigram") and not piece.startswith(("\u0120", "\u2581", "\u010a"))


def _said(tokenizer: Tokenizer, ids: list[int], own: bool) -> str:
    if own and ids == [UNKNOWN]:
        return "[unknown word]"
    if tokenizer.decoder is not None:
        return tokenizer.decode(ids).strip() or "".join(tokenizer.id_to_token(i) or "" for i in ids)
    return " ".join(tokenizer.id_to_token(i) or "" for i in ids)


def _seconds(statistics: dict, settings: Any, entry: np.ndarray) -> Parts:
    real = int((entry[:, -1] > 0).sum())
    size = max(round(SECONDS / settings.step), -(-real // MOST), 1)
    spans = [(start, min(start + size, real)) for start in range(0, real, size)]
    times = [[start * settings.step, end * settings.step] for start, end in spans]
    labels = [f"{start:.2f} to {end:.2f} s" for start, end in times]
    return _stretches(statistics, entry, spans, labels, {"times": times})


def _steps(statistics: dict, settings: Any, entry: np.ndarray) -> Parts:
    real = int((entry[:, -1] > 0).sum())
    size = max(-(-real // STRETCHES), 1)
    spans = [(start, min(start + size, real)) for start in range(0, real, size)]
    labels = [f"step {a + 1}" if b == a + 1 else f"steps {a + 1} to {b}" for a, b in spans]
    return _stretches(statistics, entry, spans, labels, {"times": [list(span) for span in spans]})


def _stretches(statistics: dict, entry: np.ndarray, spans: list, labels: list[str], facts: dict) -> Parts:
    which = np.full(len(entry), -1)
    for part, (start, end) in enumerate(spans):
        which[start:end] = part
    gone = entry.copy()
    gone[which >= 0, :-1] = np.array(statistics["mean"])
    return Parts(tuple(labels), which, gone, facts)


def _columns(statistics: dict, settings: Any, entry: np.ndarray) -> Parts:
    count, gone = statistics["numbers"], np.zeros_like(entry)
    gone[count : 2 * count], gone[2 * count :] = 1, MISSING
    which, number, category = np.full(len(entry), -1), 0, 2 * count
    for part, column in enumerate(statistics["columns"]):
        if column["type"] == "category":
            which[category] = part
            category += 1
        else:
            width = len(column["mean"])
            which[number : number + width] = which[count + number : count + number + width] = part
            number += width
    return Parts(tuple(c["name"] for c in statistics["columns"]), which, gone)

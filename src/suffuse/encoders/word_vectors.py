"""Word vectors in word2vec's formats (Mikolov et al. 2013), text or binary, and GloVe's (Pennington et al. 2014).

Text: a word and its numbers on each line, with or without a first line "count width"; so are fastText's ``.vec``.
Binary: that first line, then a word, a blank and float32 numbers each. ``.gz`` is unpacked. What gensim's own
``save`` writes is pickle and is not read: ``KeyedVectors.save_word2vec_format`` writes what is.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from torch import nn

LONGEST = 2000  # bytes of a word; what goes beyond is no such file
CHUNK = 1 << 20


def read(path: Path, words: set[str]) -> dict[str, np.ndarray]:
    """The vectors (D,) float32 of those words that the file has.

    Raises ValueError with "got ..., expected ..." where it is no such file.
    """
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as opened:
        file = cast(IO[bytes], opened)
        first = file.readline(CHUNK)
        if first.startswith(b"\x80"):
            hint = "use KeyedVectors.save_word2vec_format"
            raise ValueError(f"got pickle in {path.name}, expected word2vec's text or binary form: {hint}")
        header = _header(first)
        pairs: Iterator[tuple[bytes, np.ndarray | bytes]]
        if header and ".bin" in path.suffixes[-2:]:
            pairs = _binary(file, *header)
        else:
            pairs = _text(file, b"" if header else first)
        return _chosen(
            pairs, {w.encode("utf-8"): w for w in words}, path.name, header[1] if header else len(first.split()) - 1
        )


def load_embedding(path: Path, statistics: dict, embedding: nn.Module) -> str:
    """Give the words of a text modality's tokenizer their vectors; says how many have one.

    Raises ValueError where none has, or the file's width isn't the embedding's.
    """
    import torch
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_str(statistics["tokenizer"]).get_vocab()
    ids, vectors = vectors_of(path, tokens)
    if not len(ids):
        raise ValueError(f"got none of {len(tokens):,} tokens in {path.name}, expected some")
    weight = embedding.get_parameter("weight")  # (V, D)
    if vectors.shape[1] != weight.shape[1]:
        raise ValueError(f"got embedding {weight.shape[1]}, expected {vectors.shape[1]} as in {path.name}")
    pad = statistics.get("pad", 0)  # the modality swaps it with 0
    ids = np.where(ids == pad, 0, np.where(ids == 0, pad, ids))
    with torch.no_grad():
        kept = ids != 0
        weight[torch.from_numpy(ids[kept])] = torch.from_numpy(vectors[kept])
    return f"{len(ids):,} of {len(tokens):,} tokens have a vector in {path.name}"


def vectors_of(path: Path, tokens: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens with their ids -> ids (K,) of those that are words of the file, and their vectors (K, D).

    In vocabularies that mark where a word begins (``Ġ`` of byte-level, ``▁`` of SentencePiece) only such tokens are
    words; ``##`` marks the inside of one.
    """
    marked = next((mark for mark in ("Ġ", "▁") if any(t.startswith(mark) and len(t) > 1 for t in tokens)), "")
    named: dict[str, int] = {}
    for token, number in tokens.items():
        if token.startswith(marked) and not token.startswith("##"):
            named[_plain(token[len(marked) :]) if marked == "Ġ" else token[len(marked) :]] = number
    vectors = read(path, set(named) - {""})
    ids = np.array([named[w] for w in vectors], dtype=np.int64)
    return ids, np.stack(list(vectors.values())) if vectors else np.zeros((0, 0), dtype=np.float32)


def _plain(token: str) -> str:
    """Byte-level characters -> the word that they spell; empty where they are half of one."""
    from tokenizers import decoders

    word = decoders.ByteLevel().decode([token])
    return "" if "�" in word else word


def _chosen(
    pairs: Iterator[tuple[bytes, np.ndarray | bytes]], vocabulary: dict[bytes, str], name: str, width: int
) -> dict[str, np.ndarray]:
    vectors: dict[str, np.ndarray] = {}
    for word, numbers in pairs:
        if word not in vocabulary or vocabulary[word] in vectors:  # the first of several is the more frequent
            continue
        parts = numbers.split() if isinstance(numbers, bytes) else numbers
        if len(parts) > width:  # GloVe has words with blanks in them: this one only begins like a word of ours
            continue
        try:
            vector = np.array(parts, dtype=np.float32)
        except ValueError:
            raise ValueError(f"got {numbers[:30]!r} after {vocabulary[word]!r} in {name}, expected numbers") from None
        if len(vector) < width or not np.isfinite(vector).all():
            raise ValueError(
                f"got {len(vector)} numbers after {vocabulary[word]!r} in {name}, expected {width} finite ones"
            )
        vectors[vocabulary[word]] = vector
    return vectors


def _header(line: bytes) -> tuple[int, int] | None:
    parts = line.split()
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() else None


def _text(file: IO[bytes], first: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in chain([first] if first else [], file):
        word, _, numbers = line.rstrip().partition(b" ")
        yield word, numbers


def _binary(file: IO[bytes], count: int, width: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """word SPACE width x float32 [NEWLINE], ``count`` times."""
    buffer, at, size = b"", 0, 4 * width
    for _ in range(count):
        while (end := buffer.find(b" ", at, at + LONGEST)) < 0 or len(buffer) < end + 1 + size:
            data = file.read(CHUNK)
            if not data or (end < 0 and len(buffer) - at > LONGEST):
                raise ValueError("got a file that ends too early, expected word2vec's binary form")
            buffer, at = buffer[at:] + data, 0
        yield buffer[at:end].lstrip(b"\n"), np.frombuffer(buffer, dtype="<f4", count=width, offset=end + 1)
        at = end + 1 + size

"""What goes into a network that knows nothing of suffuse: cells -> the arrays of its inputs.

``image``: float32 (B, 3, S, S) or (B, S, S, 3), (pixel / scale - mean) / std; ``numbers``: float32 (B, K), one for
each column; ``text``: strings (B, 1); ``tokens`` and ``mask``: int64 (B, L), a tokenizer's ids, and 1 where one is
real; ``audio``: float32 (B, samples), cut or filled with zeros. What is empty or can't be read is absent, and zeros
stand for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from ..errors import UsageError
from ..files import absolute_file
from ..modalities.cell import Absent, Root, Unreadable, is_empty
from ..registry import NameList, Settings

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows


class Feed(Settings):
    """One input: which cells, and in which form."""

    read: Literal["image", "numbers", "text", "tokens", "mask", "audio"]
    column: NameList = Field(min_length=1)  # of numbers there may be several
    size: int = Field(default=224, ge=1)  # pixels, both sides
    layout: Literal["nchw", "nhwc"] = "nchw"
    scale: float = Field(default=255.0, gt=0)  # that a pixel is divided by
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)  # of each channel, after that
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    tokenizer: str | None = None  # a tokenizer.json
    length: int = Field(default=128, ge=1)  # tokens
    rate: int = Field(default=16_000, ge=1000)  # samples a second
    seconds: float = Field(default=10.0, gt=0, le=600)

    @field_validator("mean", "std")
    @classmethod
    def _channels(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) != 3:
            raise ValueError(f"got {len(value)} numbers, expected 3: red, green, blue")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Feed:
        if len(self.column) > 1 and self.read != "numbers":
            raise ValueError(f"got {len(self.column)} columns to read as {self.read}, expected one")
        if self.read in ("tokens", "mask") and self.tokenizer is None:
            raise ValueError(f"got {self.read} without a tokenizer, expected its tokenizer.json")
        return self

    def placed(self, base: Path) -> Feed:
        """The tokenizer's path from ``base``."""
        return self.model_copy(update={"tokenizer": absolute_file(self.tokenizer, base)}) if self.tokenizer else self


def references(feeds: Mapping[str, Feed]) -> dict[str, str]:
    """The files that inputs name."""
    return {f"inputs.{name}.tokenizer": feed.tokenizer for name, feed in feeds.items() if feed.tokenizer}


def columns(feeds: Mapping[str, Feed]) -> list[str]:
    """The columns that they read, each once."""
    return list(dict.fromkeys(column for feed in feeds.values() for column in feed.column))


def make(
    feeds: Mapping[str, Feed], raw: RawRows, rows: np.ndarray, hidden: Collection[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rows (B,) -> the array of each input, and (B,) bool: whether anything that the network reads is there."""
    records, arrays, present = raw.records(columns(feeds), rows, hidden), {}, np.zeros(len(rows), dtype=bool)
    for name, feed in feeds.items():
        cells = [[record[column] for column in feed.column] for record in records]
        arrays[name], there = READERS[feed.read](feed, cells, raw.root)
        present |= there
    return arrays, present


def _image(feed: Feed, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    from ..modalities import image

    settings = image.Settings.model_validate({"column": feed.column[0], "size": feed.size})
    found, there = np.zeros((len(cells), feed.size, feed.size, 3), np.float32), np.zeros(len(cells), dtype=bool)
    for row, (cell,) in enumerate(cells):
        try:
            pixels = np.asarray(image.load(settings, cell, root)[1], np.float32)
        except (Absent, Unreadable):
            continue
        found[row] = (pixels / feed.scale - np.array(feed.mean)) / np.array(feed.std)
        there[row] = True
    return (found.transpose(0, 3, 1, 2).copy() if feed.layout == "nchw" else found), there


def _numbers(feed: Feed, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    found = np.array([[_number(cell) for cell in row] for row in cells], np.float32).reshape(len(cells), -1)
    there = np.asarray(~np.isnan(found).all(1))
    return np.nan_to_num(found, nan=0.0), there


def _number(cell: Any) -> float:
    try:
        value = math.nan if is_empty(cell) else float(cell)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _text(feed: Feed, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    found = [["" if cell is None else str(cell)] for (cell,) in cells]
    return np.array(found, dtype=object), np.array([bool(text.strip()) for (text,) in found], dtype=bool)


def _tokens(feed: Feed, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    texts, there = _text(feed, cells, root)
    tokenizer = _tokenizer(str(feed.tokenizer))
    found = np.zeros((len(cells), feed.length), np.int64)
    for row, one in enumerate(tokenizer.encode_batch(texts[:, 0].tolist())):
        ids = (one.ids if feed.read == "tokens" else [1] * len(one.ids))[: feed.length]
        found[row, : len(ids)] = ids
    return found, there


@lru_cache(maxsize=4)
def _tokenizer(file: str) -> Any:
    from tokenizers import Tokenizer

    try:
        made = Tokenizer.from_file(file)
    except Exception as error:  # the library raises plain Exceptions
        raise UsageError("can't read this tokenizer", where="inputs", got=str(error).splitlines()[0]) from None
    made.no_padding()
    return made


def _audio(feed: Feed, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    found = np.zeros((len(cells), max(round(feed.seconds * feed.rate), 1)), np.float32)
    there = np.zeros(len(cells), dtype=bool)
    for row, (cell,) in enumerate(cells):
        samples = heard(cell, root, feed.rate, feed.seconds)
        if samples is not None:
            found[row, : len(samples)] = samples[: found.shape[1]]
            there[row] = True
    return found, there


def heard(cell: Any, root: Root, rate: int, seconds: float) -> np.ndarray | None:
    """Samples (N,) of a recording at this rate; None where there is none that can be read."""
    from ..modalities import audio, audio_ops
    from ..modalities.cell import content

    try:
        found = content(audio.packed(audio.Settings.model_validate({"column": "sound", "rate": rate}), cell), root)
        samples, theirs, _ = audio_ops.read(found, seconds)
        return audio_ops.check(audio_ops.resample(audio_ops.check(samples), theirs, rate))
    except (Absent, Unreadable, ValueError):
        return None


READERS = {"image": _image, "numbers": _numbers, "text": _text, "tokens": _tokens, "mask": _tokens, "audio": _audio}

"""Input arrays of networks that know nothing of suffuse: cells -> the arrays of their inputs.

``image``: float32 (B, 3, S, S) or (B, S, S, 3), (pixel / scale - mean) / std; ``numbers``: float32 (B, K), one for
each column; ``text``: strings (B, 1); ``tokens`` and ``mask``: int64 (B, L), a tokenizer's ids, and 1 where one is
real; ``audio``: float32 (B, samples), cut or padded with zeros. A cell that is empty or can't be read is absent, and
its values are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from ..errors import UsageError, listed
from ..files import absolute_file
from ..modalities.cell import Absent, Root, Unreadable, is_empty
from ..registry import NameList, Settings

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows


class InputSettings(Settings):
    """One input of a network: which cells it reads, and in which form."""

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
    def _consistent(self) -> InputSettings:
        if len(self.column) > 1 and self.read != "numbers":
            raise ValueError(f"got {len(self.column)} columns to read as {self.read}, expected one")
        if self.read in ("tokens", "mask") and self.tokenizer is None:
            raise ValueError(f"got {self.read} without a tokenizer, expected its tokenizer.json")
        return self

    def placed(self, base: Path) -> InputSettings:
        """The tokenizer's path from ``base``."""
        return self.model_copy(update={"tokenizer": absolute_file(self.tokenizer, base)}) if self.tokenizer else self


def references(feeds: Mapping[str, InputSettings]) -> dict[str, str]:
    """The files that inputs name."""
    return {f"inputs.{name}.tokenizer": feed.tokenizer for name, feed in feeds.items() if feed.tokenizer}


def columns(feeds: Mapping[str, InputSettings]) -> list[str]:
    """The columns that all inputs read, each once."""
    return list(dict.fromkeys(column for feed in feeds.values() for column in feed.column))


def make_inputs(
    feeds: Mapping[str, InputSettings], raw: RawRows, rows: np.ndarray, hidden: Collection[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rows (B,) -> the array of each input, and (B,) bool: whether any of the cells is there."""
    records, arrays, present = raw.records(columns(feeds), rows, hidden), {}, np.zeros(len(rows), dtype=bool)
    for name, feed in feeds.items():
        cells = [[record[column] for column in feed.column] for record in records]
        arrays[name], is_present = READERS[feed.read](feed, cells, raw.root)
        present |= is_present
    return arrays, present


def check_inputs(expected: Sequence[str], feeds: Mapping[str, InputSettings], owner: str, where: str) -> None:
    """Raise UsageError where the mapped inputs aren't the expected ones of the model or file (``owner``)."""
    for name in (*(n for n in feeds if n not in expected), *(n for n in expected if n not in feeds)):
        got, hint = f"'{name}'", f"the {owner}'s inputs: {listed(expected)}"
        raise UsageError(f"inputs that aren't the {owner}'s", where=f"{where}.inputs", got=got, hint=hint)


def batched_logits(
    source: Any, rows: np.ndarray, hidden: Collection[str], run: Callable[[dict], np.ndarray]
) -> np.ndarray:
    """(N, T) float32 of a source with settings, raw rows and T outputs, ``settings.batch`` rows at a time; NaN where a
    row has none of the cells that are read. ``run``: arrays (B, ...) of the inputs -> (B, T)."""
    settings, logits = source.settings, np.full((len(rows), len(source.outputs)), np.nan, np.float32)
    for start in range(0, len(rows), settings.batch):
        arrays, present = make_inputs(settings.inputs, source.raw, rows[start : start + settings.batch], hidden)
        if present.any():
            logits[start + np.flatnonzero(present)] = run({name: array[present] for name, array in arrays.items()})
    return logits


def _image(feed: InputSettings, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    from ..modalities import image

    settings = image.Settings.model_validate({"column": feed.column[0], "size": feed.size})
    images, is_present = np.zeros((len(cells), feed.size, feed.size, 3), np.float32), np.zeros(len(cells), dtype=bool)
    for row, (cell,) in enumerate(cells):
        try:
            pixels = np.asarray(image.load(settings, cell, root)[1], np.float32)
        except (Absent, Unreadable):
            continue
        images[row] = (pixels / feed.scale - np.array(feed.mean)) / np.array(feed.std)
        is_present[row] = True
    return (images.transpose(0, 3, 1, 2).copy() if feed.layout == "nchw" else images), is_present


def _numbers(feed: InputSettings, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.array([[_number(cell) for cell in row] for row in cells], np.float32).reshape(len(cells), -1)
    is_present = np.asarray(~np.isnan(numbers).all(1))
    return np.nan_to_num(numbers, nan=0.0), is_present


def _number(cell: Any) -> float:
    try:
        value = math.nan if is_empty(cell) else float(cell)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _text(feed: InputSettings, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    texts = [["" if cell is None else str(cell)] for (cell,) in cells]
    return np.array(texts, dtype=object), np.array([bool(text.strip()) for (text,) in texts], dtype=bool)


def _tokens(feed: InputSettings, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    texts, is_present = _text(feed, cells, root)
    tokenizer = _tokenizer(str(feed.tokenizer))
    ids_or_mask = np.zeros((len(cells), feed.length), np.int64)
    for row, encoding in enumerate(tokenizer.encode_batch(texts[:, 0].tolist())):
        ids = (encoding.ids if feed.read == "tokens" else [1] * len(encoding.ids))[: feed.length]
        ids_or_mask[row, : len(ids)] = ids
    return ids_or_mask, is_present


@lru_cache(maxsize=4)
def _tokenizer(file: str) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(file)
    except Exception as error:  # the library raises plain Exceptions
        raise UsageError("can't read this tokenizer", where="inputs", got=str(error).splitlines()[0]) from None
    tokenizer.no_padding()
    return tokenizer


def _audio(feed: InputSettings, cells: list[list], root: Root) -> tuple[np.ndarray, np.ndarray]:
    waveforms = np.zeros((len(cells), max(round(feed.seconds * feed.rate), 1)), np.float32)
    is_present = np.zeros(len(cells), dtype=bool)
    for row, (cell,) in enumerate(cells):
        samples = read_audio(cell, root, feed.rate, feed.seconds)
        if samples is not None:
            waveforms[row, : len(samples)] = samples[: waveforms.shape[1]]
            is_present[row] = True
    return waveforms, is_present


def read_audio(cell: Any, root: Root, rate: int, seconds: float) -> np.ndarray | None:
    """Samples (N,) of a recording at this rate; None where it can't be read."""
    from ..modalities import audio, audio_ops
    from ..modalities.cell import content

    try:
        content_bytes = content(
            audio.packed(audio.Settings.model_validate({"column": "sound", "rate": rate}), cell), root
        )
        samples, source_rate, _ = audio_ops.read(content_bytes, seconds)
        return audio_ops.check(audio_ops.resample(audio_ops.check(samples), source_rate, rate))
    except (Absent, Unreadable, ValueError):
        return None


READERS = {"image": _image, "numbers": _numbers, "text": _text, "tokens": _tokens, "mask": _tokens, "audio": _audio}

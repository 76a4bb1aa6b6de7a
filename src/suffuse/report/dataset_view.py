"""Prepared rows as people see them: pictures, sounds and texts instead of arrays."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tokenizers import Tokenizer

from ..data.columns import Columns
from ..files import parsing, read_json
from ..modalities import tabular
from ..modalities.text import swap
from ..run import Run
from ..types import Field
from .formatting import short
from .i18n import t
from .source_audio import SourceAudio, sound_uri

MAX_SIDE = 160  # pixels of a picture's longer side on the page
MAX_PIXELATED = 64  # up to this side a picture is lossless and drawn without smoothing; larger ones become JPEG
MAX_TEXT = 300  # characters


@dataclass(frozen=True)
class Cell:
    """One modality of one row. ``picture``, ``sound`` and ``text`` are empty where it is absent."""

    name: str
    kind: str
    picture: str = ""  # data URI
    sound: str = ""  # data URI
    text: str = ""
    pixelated: bool = False

    @property
    def absent(self) -> bool:
        """Whether the row lacks this modality."""
        return not (self.picture or self.sound or self.text)


@dataclass(frozen=True)
class DatasetView:
    """The data folder of a run: its columns, and how their rows are shown."""

    folder: Path
    columns: Columns
    audio: SourceAudio | None = None  # original recordings

    @classmethod
    def open(cls, run: Run) -> DatasetView:
        """Map the arrays that prepare wrote."""
        return cls(run.path("data"), Columns.open(run.path("data")), SourceAudio(run))

    @cached_property
    def schema(self) -> dict:
        """``schema.json``: rows by split, what was quarantined and why."""
        return read_json(self.folder / "schema.json")

    @cached_property
    def _tokenizers(self) -> dict[str, Tokenizer]:
        statistics = {field.name: field.statistics for field in self.columns.spec.fields}
        return {name: Tokenizer.from_str(s["tokenizer"]) for name, s in statistics.items() if "tokenizer" in s}

    @cached_property
    def _source_columns(self) -> pa.Table:
        with parsing(self.folder / "rows.parquet"):
            return pq.read_table(self.folder / "rows.parquet", columns=["id", "label"])

    def id(self, row: int) -> str:
        """The row's id in the source."""
        return short(self._source_columns["id"][int(row)].as_py(), 40)

    def label(self, row: int) -> str:
        """The row's label in the source, also one that training never saw."""
        return short(self._source_columns["label"][int(row)].as_py(), 60)

    def item(self, modality: str, row: int) -> np.ndarray:
        """The row's encoded entry of a modality."""
        m = self.columns.spec.names.index(modality)
        return np.asarray(self.columns.entries[modality][self.columns.entry[row, m]])

    def cells(self, row: int) -> list[Cell]:
        """Every modality of a row."""
        present = self.columns.present[int(row)]
        return [
            self._cell(field, int(row)) if present[m] else Cell(field.name, field.kind)
            for m, field in enumerate(self.columns.spec.fields)
        ]

    def _cell(self, field: Field, row: int) -> Cell:
        name, kind, item = field.name, field.kind, self.item(field.name, row)
        if kind == "image":
            pixels = tile(item) if item.ndim == 4 else item
            return Cell(name, kind, picture=data_uri(pixels), pixelated=max(pixels.shape[:2]) <= MAX_PIXELATED)
        if kind == "audio" and item.shape[1] == 2:  # a waveform
            return Cell(name, kind, sound=sound_uri(item[:, 0], field.statistics["rate"]))
        if kind == "audio":
            sound = self.audio.short_clip(name, row) if self.audio else ""
            return Cell(name, kind, picture=data_uri(spectrogram(item[:, :-1])), sound=sound)
        if kind == "sequence":
            text = steps_text(item[:, :-1])
        elif kind == "tabular":
            text = short(tabular.describe(field.statistics, item), MAX_TEXT)
        elif name in self._tokenizers:
            text = short(decode(self._tokenizers[name], item, field.statistics.get("pad", 0)), MAX_TEXT)
        else:
            text = t("present, can't be shown here")
        return Cell(name, kind, text=text)


def decode(tokenizer: Tokenizer, ids: np.ndarray, pad: int = 0) -> str:
    """Token ids -> the text as the model reads it, truncated and normalised.

    ``pad`` is the tokenizer's own id of padding, which the model has as 0.
    """
    kept = [int(i) for i in swap(ids[ids != 0], pad)]
    if tokenizer.decoder is not None:
        return tokenizer.decode(kept).strip() or "…"
    words = filter(None, map(tokenizer.id_to_token, kept))  # of hashed n-grams only words have a token
    return " ".join(t("[unknown word]") if word == "[UNK]" else word for word in words)


def data_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 -> a small picture as a data URI."""
    picture, file = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    kind = "png" if max(pixels.shape[:2]) <= MAX_PIXELATED else "jpeg"
    picture.save(file, kind, **({"optimize": True} if kind == "png" else {"quality": 82}))
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def tile(item: np.ndarray) -> np.ndarray:
    """(P, H, W, 4) -> the real pictures in a square grid, white in empty places."""
    pictures = [picture[..., :3] for picture in item if picture[0, 0, 3]]
    side = math.isqrt(max(len(pictures) - 1, 0)) + 1
    pictures += [np.full_like(pictures[0], 255)] * (side**2 - len(pictures))
    return np.concatenate([np.concatenate(pictures[n : n + side], 1) for n in range(0, side**2, side)])


def spectrogram(steps: np.ndarray) -> np.ndarray:
    """(L, bands) -> (H, W, 3) uint8: time to the right, high frequencies on top, loud is dark."""
    low, high = float(steps.min()), float(steps.max())
    gray = 255 - 255 * (steps.T[::-1] - low) / max(high - low, 1e-6)
    picture = Image.fromarray(gray.astype(np.uint8)).resize((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture.convert("RGB"))


def steps_text(steps: np.ndarray) -> str:
    """(L, F) -> its shape and first numbers."""
    first = "; ".join(" ".join(f"{x:.3g}" for x in step[:8]) + (" …" if len(step) > 8 else "") for step in steps[:4])
    return f"{len(steps)} × {steps.shape[1]}: {first}" + (" …" if len(steps) > 4 else "")

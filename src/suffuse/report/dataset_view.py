"""The prepared rows as people see them: pictures, sounds and texts instead of arrays. No torch: a page is quick."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from tokenizers import Tokenizer

from ..files import parsing, read_array, read_json
from ..modalities import audio_ops, tabular
from ..modalities.ragged import open_column
from ..modalities.text import swap
from ..run import Run
from ..types import Spec, heads_of
from .formatting import short
from .i18n import t
from .source_audio import Originals

SPLITS = ("train", "validation", "test")
LARGEST = 160  # pixels of a picture's longer side on the page
SHARP = 64  # up to this size a picture is kept to the pixel; what is larger becomes a JPEG
MOST_TEXT = 300  # characters
SOUND_RATE, SOUND_SECONDS = 8000, 2  # of a clip that is kept on the page, in 8 bits: 16 kB


@dataclass(frozen=True)
class Cell:
    """One modality of one row. Nothing in ``picture``, ``sound`` and ``text`` where it is absent."""

    name: str
    kind: str
    picture: str = ""  # data URI
    sound: str = ""  # data URI
    text: str = ""
    sharp: bool = False  # a small picture, to be drawn to the pixel

    @property
    def absent(self) -> bool:
        """Whether the row lacks this modality."""
        return not (self.picture or self.sound or self.text)


@dataclass(frozen=True)
class Prepared:
    """The data folder of a run. N rows, M modalities."""

    folder: Path
    schema: dict
    entry: np.ndarray  # (N, M) which entry a row has
    present: np.ndarray  # (N, M) bool
    target: np.ndarray  # (N,) -1 unlabelled, C for a label never seen in training; or (N, W), see Spec
    split: np.ndarray  # (N,) position in SPLITS
    key: np.ndarray  # (N,) uint64
    originals: Originals | None = None  # sounds as they were recorded

    @classmethod
    def open(cls, run: Run) -> Prepared:
        """Map the arrays that prepare wrote."""
        folder = run.path("data")
        arrays = (read_array(folder / f"{name}.npy", "r") for name in ("entry", "present", "target", "split", "key"))
        return cls(folder, read_json(folder / "schema.json"), *arrays, originals=Originals(run))

    @cached_property
    def spec(self) -> Spec:
        """The targets, and how they stand in arrays; the modalities are left out."""
        return Spec((), heads_of(self.schema["heads"]), tuple(self.schema["log_prior"]))

    @cached_property
    def columns(self) -> dict[str, Any]:
        """Modality -> its distinct entries, an array or Ragged."""
        return {f["name"]: open_column(self.folder, f) for f in self.schema["fields"]}

    @cached_property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """Text modality -> its tokenizer."""
        return {n: Tokenizer.from_str(s["tokenizer"]) for n, s in self.statistics.items() if "tokenizer" in s}

    @cached_property
    def statistics(self) -> dict[str, dict]:
        """Modality -> what was measured on its training rows."""
        return read_json(self.folder / "statistics.json")

    @cached_property
    def _names(self) -> tuple:
        with parsing(self.folder / "rows.parquet"):
            table = pq.read_table(self.folder / "rows.parquet", columns=["id", "label"])
        return table.column("id"), table.column("label")

    def id(self, row: int) -> str:
        """The row's id in the source."""
        return short(self._names[0][int(row)].as_py(), 40)

    def label(self, row: int) -> str:
        """The row's label as it stands in the source, also one that training never saw."""
        return short(self._names[1][int(row)].as_py(), 60)

    def cells(self, row: int) -> list[Cell]:
        """Every modality of a row."""
        return [self._cell(m, field, int(row)) for m, field in enumerate(self.schema["fields"])]

    def _cell(self, m: int, field: dict, row: int) -> Cell:
        name, kind = field["name"], field["kind"]
        if not self.present[row, m]:
            return Cell(name, kind)
        item = np.asarray(self.columns[name][self.entry[row, m]])
        if kind == "image":
            pixels = side_by_side(item) if item.ndim == 4 else item
            return Cell(name, kind, picture=data_uri(pixels), sharp=max(pixels.shape[:2]) <= SHARP)
        if kind == "audio" and item.shape[1] == 2:
            return Cell(name, kind, sound=sound_uri(item[:, 0], self.statistics[name]["rate"]))
        if kind == "audio":
            found = self.originals.sound(name, row) if self.originals else None
            heard = sound_uri(*found) if found else ""
            return Cell(name, kind, picture=data_uri(spectrogram(item[:, :-1])), sound=heard)
        if kind == "sequence":
            return Cell(name, kind, text=steps_text(item[:, :-1]))
        if kind == "tabular":
            return Cell(name, kind, text=short(tabular.describe(self.statistics[name], item), MOST_TEXT))
        if name in self.tokenizers:
            pad = self.statistics[name].get("pad", 0)
            return Cell(name, kind, text=short(text(self.tokenizers[name], item, pad), MOST_TEXT))
        return Cell(name, kind, text=t("present, can't be shown here"))


def text(tokenizer: Tokenizer, ids: np.ndarray, pad: int = 0) -> str:
    """Token ids -> the text that the model reads: cut and folded as it was for the model.

    ``pad`` is the tokenizer's own id of padding, which the model has as 0.
    """
    kept = [int(i) for i in swap(ids[ids != 0], pad)]
    if tokenizer.decoder is not None:
        return tokenizer.decode(kept).strip() or "…"
    words = (tokenizer.id_to_token(i) or "" for i in kept)
    return " ".join(t("[unknown word]") if w == "[UNK]" else w for w in words)


def data_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 -> a small picture that stands in the page itself."""
    picture, file = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((LARGEST, LARGEST))
    kind = "png" if max(pixels.shape[:2]) <= SHARP else "jpeg"
    picture.save(file, kind, **({"optimize": True} if kind == "png" else {"quality": 82}))
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def side_by_side(item: np.ndarray) -> np.ndarray:
    """(P, H, W, 4) -> the real pictures in a square of squares, white where there is none."""
    found = [picture[..., :3] for picture in item if picture[0, 0, 3]]
    across = math.isqrt(max(len(found) - 1, 0)) + 1
    found += [np.full_like(found[0], 255)] * (across**2 - len(found))
    return np.concatenate([np.concatenate(found[n : n + across], 1) for n in range(0, across**2, across)])


def spectrogram(steps: np.ndarray) -> np.ndarray:
    """(L, bands) -> (H, W, 3) uint8: time to the right, high tones on top, loud is dark."""
    low, high = float(steps.min()), float(steps.max())
    gray = 255 - 255 * (steps.T[::-1] - low) / max(high - low, 1e-6)
    picture = Image.fromarray(gray.astype(np.uint8)).resize((LARGEST, LARGEST), Image.Resampling.BILINEAR)
    return np.asarray(picture.convert("RGB"))


def sound_uri(samples: np.ndarray, rate: int) -> str:
    """(N,) -> its first seconds as a small WAV that stands in the page itself."""
    samples = audio_ops.resample(samples[: SOUND_SECONDS * rate].astype(np.float32), rate, min(rate, SOUND_RATE))
    coarse = np.clip(np.rint(127 * samples) + 128, 0, 255).astype(np.uint8)
    return f"data:audio/wav;base64,{base64.b64encode(audio_ops.as_wav(coarse, min(rate, SOUND_RATE))).decode()}"


def steps_text(steps: np.ndarray) -> str:
    """(L, F) -> how many there are, and the first numbers."""
    first = "; ".join(" ".join(f"{x:.3g}" for x in step[:8]) + (" …" if len(step) > 8 else "") for step in steps[:4])
    return f"{len(steps)} × {steps.shape[1]}: {first}" + (" …" if len(steps) > 4 else "")

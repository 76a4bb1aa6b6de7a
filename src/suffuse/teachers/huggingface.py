"""A classification model of transformers (Wolf et al. 2020) for texts, pictures or sound as the teacher, with its own
processor: tokenizer, picture or feature extractor as the model was trained with.

``name`` is a local folder, one in a package (``package:NAME``), or a hub name that lies in the Hugging Face cache
already: nothing is downloaded, no code of a model's is run, weights are safetensors. Classes are the configuration's
``id2label``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ..encoders.huggingface import local_folder, placed_model
from ..errors import UsageError
from ..registry import NameList, TeacherSettings
from ..types import Head
from .input_adapters import read_audio
from .matching import LOGITS
from .pretrained import open_pretrained, open_processor, read_picture, small_files_hash

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows

AUTO = {  # what a model reads -> its class, and that of its processor
    "text": ("AutoModelForSequenceClassification", "AutoTokenizer"),
    "image": ("AutoModelForImageClassification", "AutoImageProcessor"),
    "audio": ("AutoModelForAudioClassification", "AutoFeatureExtractor"),
}


class Settings(TeacherSettings):
    """Which model, and what it reads."""

    kind: Literal["huggingface"] = "huggingface"
    FILES: ClassVar = ("name",)
    name: str  # a folder, package:NAME, or a name in the cache
    reads: Literal["text", "image", "audio"]
    column: NameList = Field(min_length=1)  # of texts there may be two: a pair
    length: int | None = Field(default=None, ge=1)  # tokens at the most; the tokenizer's own limit where none is said
    seconds: float = Field(default=30.0, gt=0, le=600)  # of a recording, at the most
    batch: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _first_few(self) -> Settings:
        if len(self.column) > (2 if self.reads == "text" else 1):
            raise ValueError(f"got {len(self.column)} columns of {self.reads}, expected one" + " or a pair of texts")
        return self

    def placed(self, base: Path) -> Settings:
        """A folder's path from ``base``; other names stay names."""
        return self.model_copy(update={"name": placed_model(self.name, base)})


@dataclass(frozen=True)
class HuggingFaceSource:
    """A model and its processor."""

    settings: Settings
    model: Any
    processor: Any
    raw: RawRows
    content: str  # hash of the folder's small files: configuration, tokenizer, processor
    outputs: tuple[str, ...]
    form: str = LOGITS

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of its columns."""
        return self.raw.named(self.settings.column)

    def fingerprint(self) -> str:
        """Hash of the weights, of the processor's files and of what is read."""
        from ..engine.training_record import weights_hash

        facts = self.settings.model_dump(mode="json", include={"reads", "column", "length", "seconds"})
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update((self.content + weights_hash(self.model)).encode())
        return digest.hexdigest()

    def facts(self) -> dict:
        """Its number of parameters."""
        return {"parameters": sum(p.numel() for p in self.model.parameters())}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """Logits, a batch at a time; NaN for a row whose cells are empty or can't be read."""
        import torch

        from ..data.device_transfer import to_array
        from ..engine.runtime import explained

        logits = np.full((len(rows), len(self.outputs)), np.nan, np.float32)
        for start in range(0, len(rows), self.settings.batch):
            records = self.raw.records(self.settings.column, rows[start : start + self.settings.batch], hidden)
            items = [READERS[self.settings.reads](self, list(record.values())) for record in records]
            usable = [n for n, item in enumerate(items) if item is not None]
            if usable:
                inputs = self._processed([items[n] for n in usable]).to(self.model.device)
                with torch.inference_mode(), explained(self.model.device):
                    logits[[start + n for n in usable]] = to_array(self.model(**inputs).logits)
        return {"logits": logits}

    def _processed(self, items: list) -> Any:
        """The inputs that the model's own processor makes."""
        reads, options = self.settings.reads, {"return_tensors": "pt"}
        if reads == "image":
            return self.processor(images=items, **options)
        if reads == "audio":
            return self.processor(items, sampling_rate=self.processor.sampling_rate, padding=True, **options)
        limit = {"max_length": self.settings.length} if self.settings.length else {}
        columns = [list(column) for column in zip(*items, strict=True)]
        return self.processor(*columns, padding=True, truncation=True, **limit, **options)


def _read_texts(source: HuggingFaceSource, cells: list) -> list[str] | None:
    texts = ["" if cell is None else str(cell) for cell in cells]
    return texts if any(text.strip() for text in texts) else None


def _read_image(source: HuggingFaceSource, cells: list) -> Any:
    return read_picture(cells[0], source.raw.root)


def _read_audio(source: HuggingFaceSource, cells: list) -> np.ndarray | None:
    if cells[0] is None:
        return None
    return read_audio(cells[0], source.raw.root, source.processor.sampling_rate, source.settings.seconds)


READERS: dict[str, Callable[[HuggingFaceSource, list], Any]] = {
    "text": _read_texts,
    "image": _read_image,
    "audio": _read_audio,
}


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> HuggingFaceSource:
    """Load model and processor from this machine. Raises UsageError where they aren't there or don't fit."""
    from ..engine.runtime import device_of

    model, processor = AUTO[settings.reads]
    network, missing = open_pretrained(settings.name, model, f"{where}.name")
    if missing:
        got = f"no weights for {missing[0]}"
        raise UsageError("this model is no finished classifier", where=f"{where}.name", got=got)
    reader = open_processor(settings.name, processor, f"{where}.name")
    names = {int(number): str(name) for number, name in network.config.id2label.items()}
    content = small_files_hash(local_folder(settings.name))
    outputs = tuple(names[number] for number in sorted(names))
    network = network.to(device_of(raw.run.recipe.compute))
    return HuggingFaceSource(settings, network, reader, raw, content, outputs)

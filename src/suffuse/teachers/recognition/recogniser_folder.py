"""A recogniser's folder: which library reads it, how long a recording may be, and what its content is."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...encoders.huggingface import local_folder
from ...encoders.whisper_spectrogram import POSITION, RATE
from ...errors import SuffuseError, UsageError
from ...files import read_json

TRANSFORMERS, FASTER_WHISPER = "transformers", "faster_whisper"
CTRANSLATE2_WEIGHTS = "model.bin"
WINDOW = 30.0  # seconds that Whisper reads at once
EXPECTED = "config.json beside safetensors of a CTC network or of Whisper, or beside model.bin of CTranslate2"


class Recogniser(Protocol):
    """The interface of an opened recogniser."""

    def recognise(self, recordings: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """Samples (N,) float32 at ``RATE`` of each recording -> its text and confidence, 0 to 1."""
        ...


@dataclass(frozen=True)
class RecogniserModel:
    """Which recogniser, and what decides the text that it writes."""

    name: str  # as a report calls it
    folder: Path
    library: str
    language: str | None
    beam: int
    batch: int  # recordings that are recognised together
    where: str  # the recipe's key

    @property
    def config(self) -> dict[str, Any]:
        """Of ``config.json``."""
        try:
            config = read_json(self.folder / "config.json")
        except SuffuseError as error:
            raise _no_recogniser(self.folder, self.where, error.line()) from None
        return config if isinstance(config, dict) else {}

    @property
    def is_whisper(self) -> bool:
        """Whether it is Whisper, which reads recordings in a window."""
        return self.library == FASTER_WHISPER or self.config.get("model_type") == "whisper"

    @property
    def seconds(self) -> float:
        """Of the longest recording that it can read."""
        if not self.is_whisper:
            return math.inf
        positions = self.config.get("max_source_positions") if self.library == TRANSFORMERS else None
        return positions * POSITION / RATE if isinstance(positions, int) else WINDOW

    def facts(self) -> dict[str, Any]:
        """What decides a text: files and settings. The batch doesn't."""
        return {
            "files": files_hash(self.folder), "library": self.library, "language": self.language, "beam": self.beam
        }  # fmt: skip


def find_recogniser(name: str, library: str | None, where: str) -> tuple[Path, str]:
    """The folder of a model of this name, and its library where none is named. Raises UsageError where it isn't on this
    machine, or holds no recogniser."""
    try:
        folder = local_folder(name)
    except SuffuseError as error:
        raise UsageError("no such recogniser", where=f"{where}.name", got=f"'{name}'", expected=EXPECTED,
                         hint=error.hint) from None  # fmt: skip
    held = [
        kind
        for kind, pattern in ((TRANSFORMERS, "*.safetensors"), (FASTER_WHISPER, CTRANSLATE2_WEIGHTS))
        if any(folder.glob(pattern))
    ]
    if not held or (library is not None and library not in held):
        got = f"'{name}' with library {library}" if held else f"'{name}'"
        raise _no_recogniser(folder, where, got)
    return folder, library or held[0]


def open_recogniser(model: RecogniserModel, device: Any, threads: int) -> Recogniser:
    """Load it. Raises UsageError where its library isn't installed, it is no recogniser, or settings don't go with
    it."""
    if model.library == FASTER_WHISPER:
        from .ctranslate2_recogniser import open_ctranslate2

        return open_ctranslate2(model, device, threads)
    if model.is_whisper:
        from .whisper_recogniser import open_whisper

        return open_whisper(model, device)
    from .ctc_recogniser import open_ctc

    return open_ctc(model, device)


def files_hash(folder: Path) -> str:
    """Hash of a folder's files: weights, configuration, tokenizer."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.is_file()):
        with file.open("rb") as opened:
            digest.update(file.name.encode() + hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _no_recogniser(folder: Path, where: str, got: str) -> UsageError:
    return UsageError("this folder holds no recogniser", where=f"{where}.name", got=got, expected=EXPECTED)

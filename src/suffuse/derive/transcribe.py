"""Speech -> text, by pocketsphinx (Huggins-Daines et al. 2006), offline: its English models come with the package.

Each recording is heard by itself (features are normalised over it alone), so its text doesn't depend on the ones
before it. Text that a person wrote is far better: what a small recogniser hears is a weak view of the sound.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..errors import UsageError
from ..modalities import audio_ops, cell
from ..modalities.cell import Absent, Root, Unreadable
from ..registry import DeriveSettings, Statistics, optional

LIBRARY = "pocketsphinx"  # another version may hear other words
RATE = 16_000  # samples a second, which the models expect
_HEARING = threading.Lock()  # a recogniser hears one recording at a time


class Settings(DeriveSettings):
    """Settings of a transcript."""

    FILES: ClassVar[tuple[str, ...]] = ("model", "dictionary", "language")
    OPENED: ClassVar[tuple[str, ...]] = FILES

    kind: Literal["transcribe"] = "transcribe"
    seconds: float = Field(60.0, gt=0, le=3600)  # of a recording that are heard at the most
    model: str | None = None  # folder of another acoustic model; with it go a dictionary and a language model
    dictionary: str | None = None  # file: words and how they are spoken
    language: str | None = None  # file: a language model


class Facts(Statistics):
    """Nothing is learnt."""


def ready(settings: Settings) -> None:
    """Raises UsageError where the recogniser isn't installed or its models aren't there."""
    _recogniser(settings.model, settings.dictionary, settings.language)


def fit(settings: Settings, labels: Any) -> dict:
    """Nothing is learnt."""
    return {}


def content(settings: Settings, value: Any, root: Path | Root) -> bytes:
    """The recording's bytes."""
    return cell.content(value, root)


def make(settings: Settings, facts: dict, value: Any, root: Path | Root) -> str:
    """What is said in a recording, in lower case. Raises Absent where no word was recognised."""
    samples = _samples(content(settings, value, root), settings.seconds)
    recogniser = _recogniser(settings.model, settings.dictionary, settings.language)
    with _HEARING:
        recogniser.reinit_feat()  # forgets the loudness of the recording before
        recogniser.start_utt()
        recogniser.process_raw(samples, no_search=False, full_utt=True)
        recogniser.end_utt()
        hypothesis = recogniser.hyp()
    if hypothesis is None or not hypothesis.hypstr.strip():
        raise Absent("no word was recognised")
    return hypothesis.hypstr


@lru_cache(maxsize=2)
def _recogniser(model: str | None, dictionary: str | None, language: str | None) -> Any:
    sphinx = optional("pocketsphinx", "transcribe")
    files = {"hmm": model, "dict": dictionary, "lm": language}
    settings = {"samprate": RATE, "cmn": "batch", "loglevel": "FATAL", **{k: v for k, v in files.items() if v}}
    try:
        return sphinx.Decoder(sphinx.Config(**settings))
    except (RuntimeError, ValueError) as error:
        got = ", ".join(v for v in files.values() if v) or "its own models"
        raise UsageError("the recogniser can't be started", where="data.derive", got=f"{got}: {error}") from None


def _samples(content: bytes, seconds: float) -> bytes:
    """A file's sound as 16-bit samples, one channel, 16 kHz."""
    try:
        samples, rate, _ = audio_ops.read(content, seconds)
        heard = audio_ops.resample(audio_ops.check(samples), rate, RATE)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    return (np.clip(heard, -1, 1) * 32767).astype("<i2").tobytes()

"""Speech -> text, by pocketsphinx (Huggins-Daines et al. 2006), offline: its English models come with the package.

Each recording is heard by itself (features are normalised over it alone), so its text doesn't depend on the ones
before it. Text that a person wrote is far better: what a small recogniser hears is a weak view of the sound.
"""

from __future__ import annotations

import io
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..errors import UsageError
from ..modalities.cell import Absent, Unreadable, is_empty
from ..parts import DeriveSettings, optional

LIBRARY = "pocketsphinx"  # another version may hear other words
RATE = 16_000  # samples a second, which the models expect
_HEARING = threading.Lock()  # a recogniser hears one recording at a time


class Settings(DeriveSettings):
    """Settings of a transcript."""

    FILES: ClassVar[tuple[str, ...]] = ("model", "dictionary", "language")

    kind: Literal["transcribe"] = "transcribe"
    seconds: float = Field(60.0, gt=0, le=3600)  # of a recording that are heard at the most
    model: str | None = None  # folder of another acoustic model; with it go a dictionary and a language model
    dictionary: str | None = None  # file: words and how they are spoken
    language: str | None = None  # file: a language model


def ready(settings: Settings) -> None:
    """Raises UsageError where the recogniser isn't installed or its models aren't there."""
    _recogniser(settings.model, settings.dictionary, settings.language)


def fit(settings: Settings, labels: Any) -> dict:
    """Nothing is learnt."""
    return {}


def content(settings: Settings, value: Any, root: Path) -> bytes:
    """The recording's bytes."""
    if isinstance(value, dict):  # the Hugging Face form
        value = value.get("bytes") or value.get("path")
    if is_empty(value) or value == b"":
        raise Absent("empty cell")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    try:
        return (root / str(value)).read_bytes()
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"can't read the file: {getattr(error, 'strerror', None) or error}") from None


def make(settings: Settings, facts: dict, value: Any, root: Path) -> str:
    """What is said in a recording, in lower case. Raises Absent where no word was recognised."""
    sound = _samples(content(settings, value, root), settings.seconds)
    recogniser = _recogniser(settings.model, settings.dictionary, settings.language)
    with _HEARING:
        recogniser.reinit_feat()  # forgets the loudness of the recording before
        recogniser.start_utt()
        recogniser.process_raw(sound, no_search=False, full_utt=True)
        recogniser.end_utt()
        found = recogniser.hyp()
    if found is None or not found.hypstr.strip():
        raise Absent("no word was recognised")
    return found.hypstr


@lru_cache(maxsize=2)
def _recogniser(model: str | None, dictionary: str | None, language: str | None) -> Any:
    sphinx = optional("pocketsphinx", "speech")
    given = {"hmm": model, "dict": dictionary, "lm": language}
    settings = {"samprate": RATE, "cmn": "batch", "loglevel": "FATAL", **{k: v for k, v in given.items() if v}}
    try:
        return sphinx.Decoder(sphinx.Config(**settings))
    except (RuntimeError, ValueError) as error:
        got = ", ".join(v for v in given.values() if v) or "its own models"
        raise UsageError("the recogniser can't be started", where="data.derive", got=f"{got}: {error}") from None


def _samples(content: bytes, seconds: float) -> bytes:
    """A file's sound as 16-bit samples, one channel, 16 kHz."""
    soundfile, soxr = optional("soundfile", "speech"), optional("soxr", "speech")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            found = file.read(int(seconds * file.samplerate), dtype="float32", always_2d=True).mean(1)
            rate = file.samplerate
    except Exception as error:  # libsndfile's errors share no base class over its versions
        raise Unreadable(f"not sound in a known format: {str(error).splitlines()[0]}") from None
    if not len(found) or not np.isfinite(found).all():
        raise Unreadable("no samples" if not len(found) else "samples that are no numbers")
    if found.min() == found.max():
        raise Unreadable("silent: all samples are the same")
    heard = soxr.resample(found, rate, RATE) if rate != RATE else found
    return (np.clip(heard, -1, 1) * 32767).astype("<i2").tobytes()

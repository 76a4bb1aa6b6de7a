"""Recorded noise that is added to views: a random stretch of a random recording, so loud that the ratio is as drawn.

    g = P(speech) / P(noise) 10^(-snr / 10)     wave: x + sqrt(g) n      mel: log(exp(x) + g exp(n))

P(speech) is the mean power of the clip's active frames: those that are at most ACTIVE decibels below its loudest frame,
and what follows one within HANGOVER seconds. P(noise) is the mean power of the stretch; one that is far quieter than
its recording, such as a pause, is not made loud. Log-mel power is added as power: what differs from the log-mel power
of the mixed samples is the cross term 2 Re(X N*), whose expected value is 0.

Recordings are decoded once in a process, as the modality decodes clips, and kept as float16.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, FiniteFloat, field_validator

from ..errors import UsageError
from ..files import absolute_file, plain_file
from ..registry import Settings as Base
from . import audio_ops
from .cell import LARGEST_FILE

if TYPE_CHECKING:
    from .audio import Settings

SHARE, RECORDING, PLACE, RATIO = range(4)  # which draw is whose
ACTIVE = 30.0  # decibels
HANGOVER = 0.1  # seconds
PAUSE = 1e-3  # of a recording's mean power: what is quieter counts as so loud
LONGEST = 600.0  # seconds of one recording
MOST = 2**28  # bytes of all recordings as they are kept
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
PATTERN = frozenset("*?[")
WHERE = "modalities.NAME.augment.noise.files"


class Noise(Base):
    """Which noise, how loud and how often."""

    files: str | tuple[str, ...] = Field(
        description=(
            "Recordings: a folder, a file, a pattern such as `noise/train_*.flac`, or a list of these. Paths start "
            "from the recipe's folder."
        )
    )
    snr: tuple[FiniteFloat, FiniteFloat] = Field(
        default=(0.0, 20.0), description="Lowest and highest signal-to-noise ratio in decibels."
    )
    share: float = Field(default=0.8, gt=0, le=1, description="Share of the views.")

    @field_validator("files")
    @classmethod
    def _some(cls, files: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not files or not all(files):
            raise ValueError("got none, expected a folder, a file, a pattern or a list of these")
        return files

    @field_validator("snr")
    @classmethod
    def _ordered(cls, snr: tuple[float, float]) -> tuple[float, float]:
        if not -40 <= snr[0] <= snr[1] <= 100:
            got = f"[{snr[0]:g}, {snr[1]:g}]"
            raise ValueError(f"got {got}, expected the lowest and the highest, from -40 to 100 dB")
        return snr

    def placed(self, base: Path) -> Noise:
        """The same with paths from ``base``."""
        if isinstance(self.files, str):
            return self.model_copy(update={"files": absolute_file(self.files, base)})
        return self.model_copy(update={"files": tuple(absolute_file(f, base) for f in self.files)})

    def references(self) -> dict[str, str]:
        """Files and folders whose content decides the noise; of a pattern the folder that it looks in."""
        files = {"files": self.files} if isinstance(self.files, str) else {
            f"files.{number}": file for number, file in enumerate(self.files)
        }  # fmt: skip
        return {key: str(Path(file).parent) if _is_pattern(file) else file for key, file in files.items()}


@dataclass(frozen=True)
class Recording:
    """Noise as the modality decodes it."""

    steps: np.ndarray  # (L, F) float16
    power: np.ndarray  # (L,) float32 of each frame; of samples their squares

    @property
    def mean_power(self) -> float:
        """Over the whole recording."""
        return float(self.power.mean(dtype=np.float64))


def check_files(how: Noise) -> None:
    """Raise UsageError where there is no recording, or one of them is no sound; only their beginnings are decoded."""
    for file in sound_files(how):
        _read(file, 0.1)


def sound_files(how: Noise) -> list[Path]:
    """The recordings, in the order of the list; those of a folder or of a pattern by name. Raises UsageError where one
    of the list has none."""
    references = (how.files,) if isinstance(how.files, str) else how.files
    return [file for reference in references for file in _found(reference)]


def _found(reference: str) -> Iterator[Path]:
    path, expected = Path(reference), f"recordings: {', '.join(SUFFIXES)}"
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not files:
            raise UsageError("no noise in this folder", where=WHERE, got=reference, expected=expected)
    elif _is_pattern(reference):
        files = sorted(p for p in path.parent.glob(path.name) if p.is_file())
        if not files:
            raise UsageError("no noise has such a name", where=WHERE, got=reference, expected=expected)
    elif path.is_file():
        files = [path]
    else:
        hint = "paths start from the recipe's folder"
        raise UsageError(
            "no such noise", where=WHERE, got=reference, expected="a folder, a file or a pattern", hint=hint
        )
    yield from files


def _is_pattern(reference: str) -> bool:
    """Whether a path that isn't there itself is a pattern."""
    return not PATTERN.isdisjoint(Path(reference).name) and not Path(reference).exists()


_of_settings: dict[int, tuple[Recording, ...]] = {}
_lock = threading.Lock()


def recordings_of(settings: Settings, how: Noise) -> tuple[Recording, ...]:
    """The decoded recordings. The same for as long as these settings live: a training sees no change of the files.

    Raises UsageError where there is none, one can't be read, or they take more than MOST bytes.
    """
    with _lock:
        if (known := _of_settings.get(id(settings))) is None:
            facts = [(str(file), file.stat()) for file in sound_files(how)]
            files = tuple((name, found.st_size, found.st_mtime_ns) for name, found in facts)
            known = _decoded(files, _Form.of(settings))
            _of_settings[id(settings)] = known
            weakref.finalize(settings, _of_settings.pop, id(settings), None)
        return known


@dataclass(frozen=True)
class _Form:
    """What of a modality's settings decides how a recording is decoded; windows in samples."""

    form: str
    rate: int
    mels: int
    window: int
    hop: int

    @classmethod
    def of(cls, settings: Settings) -> _Form:
        window, hop = settings.samples(settings.window), settings.samples(settings.hop)
        return cls(settings.form, settings.rate, settings.mels, window, hop)


@lru_cache(maxsize=4)
def _decoded(files: tuple[tuple[str, int, int], ...], form: _Form) -> tuple[Recording, ...]:
    recordings: list[Recording] = []
    size = 0
    for name, _, _ in files:
        samples = audio_ops.resample(*_read(Path(name), None), form.rate)
        if form.form == "mel":
            steps = audio_ops.log_mel(samples, form.rate, form.mels, form.window, form.hop)
            power = np.exp(steps) @ audio_ops.band_widths(form.rate, form.mels)
        else:
            steps, power = samples[:, None], np.square(samples)
        recordings.append(Recording(steps.astype(np.float16), power.astype(np.float32)))
        size += recordings[-1].steps.nbytes + recordings[-1].power.nbytes
        if size > MOST:
            raise UsageError(
                "too much noise", where=WHERE, got=f"more than {MOST:,} bytes in memory after {name}",
                expected=f"at most {MOST:,}", hint="fewer or shorter recordings",
            )  # fmt: skip
    return tuple(recordings)


def _read(file: Path, seconds: float | None) -> tuple[np.ndarray, int]:
    """Mono samples (N,) and their rate."""
    try:
        if plain_file(file).stat().st_size > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE:,} bytes")
        samples, rate, lasts = audio_ops.read(file.read_bytes(), seconds, LONGEST)
        if seconds is None and len(samples) < int(lasts * rate):
            raise ValueError(f"{lasts:,.1f} s at {rate:,} Hz: too long")
        return (samples if seconds else audio_ops.check(samples)), rate
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or error
        raise UsageError(
            "this noise can't be read", where=file, got=got, expected="WAV, FLAC, OGG or MP3",
            hint=f"{WHERE} names it",
        ) from None  # fmt: skip


def add_noise(
    settings: Settings, how: Noise, recordings: tuple[Recording, ...], steps: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """(L, F) log-mel power or samples, with noise or not; ``draws`` (4,): whether, which recording, where in it, and
    the ratio."""
    if draws[SHARE] >= how.share:
        return steps
    recording = recordings[int(draws[RECORDING] * len(recordings))]
    places = _stretch(len(recording.steps), len(steps), draws[PLACE])
    noise = recording.steps[places].astype(np.float32)
    decibels = how.snr[0] + draws[RATIO] * (how.snr[1] - how.snr[0])
    loud = max(float(recording.power[places].mean(dtype=np.float64)), PAUSE * recording.mean_power)
    gain = active_power(settings, steps) / loud * 10 ** (-decibels / 10)
    if settings.form == "mel":
        return np.logaddexp(steps, noise + np.float32(np.log(max(gain, 1e-30))))
    return steps + np.float32(np.sqrt(gain)) * noise


def _stretch(length: int, needed: int, draw: float) -> np.ndarray:
    """Positions of a stretch of a recording; a shorter recording is repeated from any place on."""
    if length >= needed:
        return int(draw * (length - needed + 1)) + np.arange(needed)
    return (int(draw * length) + np.arange(needed)) % length


def active_power(settings: Settings, steps: np.ndarray) -> float:
    """Mean power of the frames of (L, F) in which something is heard: of those at most ACTIVE decibels below the
    loudest, and of what follows one within HANGOVER seconds."""
    form = _Form.of(settings)
    if settings.form == "mel":
        power = np.exp(steps.astype(np.float64)) @ audio_ops.band_widths(form.rate, form.mels)
    else:
        around = np.pad(steps[:, 0].astype(np.float64), form.window // 2)
        total = np.concatenate([[0.0], np.cumsum(around**2)])
        starts = np.arange(0, max(len(around) - form.window, 0) + 1, form.hop)
        ends = np.minimum(starts + form.window, len(around))
        power = (total[ends] - total[starts]) / form.window
    active = np.flatnonzero(power >= power.max() * 10 ** (-ACTIVE / 10))
    after = active[:, None] + np.arange(round(HANGOVER * form.rate / form.hop) + 1)
    heard = np.zeros(len(power), dtype=bool)
    heard[np.minimum(after, len(power) - 1)] = True
    return float(power[heard].mean())

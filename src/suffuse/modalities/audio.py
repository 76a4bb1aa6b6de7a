"""Sound: path, bytes or samples -> log-mel power (L, mels), the samples themselves (L, 1), or a speech embedding
(L, 96), as float16.

WAV, FLAC, OGG (Vorbis, Opus) and MP3, of any rate and number of channels: channels are averaged, soxr resamples to
``rate``, silence at the ends may be trimmed, and what is longer than ``seconds`` is cut. ``mel``: log of Slaney's mel
power, as librosa computes it (:func:`suffuse.modalities.audio_ops.log_mel`). ``embedding``: 96 numbers for every 80 ms,
by a pretrained network (:mod:`suffuse.modalities.speech_model`), each in the middle of the 775 ms that it says
something of. A clip in which all samples are the same is a dead microphone, and unreadable; so are NaN and a file that
ends before its header says so.

Float16 keeps a log-mel value to 0.008 and a sample to 1/2000 of itself. A second of ``mel`` (64 bands, 10 ms) takes
12.8 kB on disk, one of ``wave`` at 16 kHz 32 kB, one of ``embedding`` 2.4 kB; clips stand end to end, so nothing is
padded there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from ..content_rng import generator
from ..errors import SuffuseError
from ..registry import ModalitySettings, PartDocs
from ..registry import Statistics as BaseStatistics
from . import audio_augment, audio_ops, speech_model
from .audio_augment import DRAWS as DRAWS
from .audio_augment import QUIET
from .audio_augment import Augment as Augment
from .audio_noise import SUFFIXES as SUFFIXES
from .audio_noise import Noise, check_files
from .cell import Absent, Root, Unreadable, as_array, content, limits_of
from .ragged import LAYOUT as LAYOUT
from .ragged import Ragged, changed, moments, padded
from .ragged import axes as axes
from .ragged import traced as traced

UNREAD_SUFFIXES = (".m4a", ".aac", ".wma", ".aif", ".aiff")  # of recordings that aren't decoded
DAMAGES = {
    "mel": ("noise", "lowpass", "dropout"),
    "wave": ("noise", "lowpass", "dropout", "clipping"),
    "embedding": ("noise", "dropout"),
}
SNR = (20, 15, 10, 5, 0)  # decibels
PASSED = (0.7, 0.5, 0.35, 0.25, 0.15)  # of the frequencies
LOST = (0.05, 0.1, 0.2, 0.35, 0.5)  # of the time, in pieces of LOSS seconds, or a twentieth of a short clip
LOSS = 0.05
NOISE = (0.1, 0.25, 0.5, 1.0, 2.0)  # of each feature's deviation in the clip, for `embedding`
CLIPPED = (0.5, 0.3, 0.2, 0.1, 0.05)  # of the peak

DOCS = PartDocs(
    summary=(
        "WAV, FLAC, OGG (Vorbis, Opus) or MP3, of any rate and number of channels, to log-mel power (L, mels), samples "
        "(L, 1), or a speech embedding (L, 96). Channels are averaged, soxr resamples, silence at the ends is trimmed "
        "on request, and longer clips are cut."
    ),
    example="speech: {kind: audio, column: clip, seconds: 4, mels: 40}",
)
EXAMPLES = (
    {"rate": 8000, "mels": 16, "seconds": 0.2},
    {"rate": 8000, "form": "wave", "seconds": 0.05, "trim": 40},
    {"form": "embedding", "seconds": 0.2},
)
AUGMENTED = {"time_masks": 2, "band_masks": 2, "time": 0.3, "bands": 0.3, "gain": 6}


class Settings(ModalitySettings):
    """Settings of an audio modality."""

    kind: Literal["audio"] = "audio"
    column: str | tuple[str, ...] = Field(description="Column with the recording.")
    rate: int = Field(default=16_000, ge=1000, le=192_000, description="Sampling rate after resampling, in Hz.")
    seconds: float = Field(
        default=10.0, gt=0, le=600, description="Cut longer clips to this length; a cut is reported as *partly*."
    )
    trim: float | None = Field(
        default=None,
        gt=0,
        le=120,
        description=(
            "Trim ends that are this many decibels below the loudest part (as `librosa.effects.trim`). Default: no "
            "trimming."
        ),
    )
    form: Literal["mel", "wave", "embedding"] = Field(
        default="mel",
        description="`mel` (log-mel power), `wave` (samples) or `embedding` (pretrained speech embedding).",
    )
    mels: int = Field(default=64, ge=8, le=256, description="Number of mel bands.")
    window: float = Field(default=25.0, ge=2, le=200, description="Window length in milliseconds.")
    hop: float = Field(default=10.0, ge=1, le=200, description="Hop length in milliseconds.")
    center: Literal["training", "clip"] = Field(
        default="training",
        description=(
            "Which mean a network subtracts from each band or number: that of the `training` clips, or that of the "
            "`clip` itself (cepstral mean normalisation; Atal 1974), which takes out the colour of a microphone."
        ),
    )
    augment: Augment | None = Field(
        default=None, description="Augmentation of training views, used if `train.augment` is set (next table)."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if len(self.columns) > 1:
            raise ValueError(f"got {len(self.columns)} columns, expected one: a modality of its own for each recording")
        if self.form == "embedding" and self.rate != speech_model.RATE:
            raise ValueError(f"got rate {self.rate} for the speech embedding, expected {speech_model.RATE}")
        mixed = [key for key in ("noise", "reverberation") if self.augment and getattr(self.augment, key)]
        if self.form == "embedding" and mixed:
            raise ValueError(
                f"got augment.{mixed[0]} with form embedding, expected form mel or wave: the embedding of a mixture "
                "can't be computed from that of the clip"
            )
        return self

    @property
    def noise(self) -> Noise | None:
        """The noise that is added to views."""
        return self.augment.noise if self.augment else None

    def placed(self, base: Path) -> Settings:
        """The same with the paths of noise from ``base``."""
        if self.augment is None or self.augment.noise is None:
            return self
        augment = self.augment.model_copy(update={"noise": self.augment.noise.placed(base)})
        return self.model_copy(update={"augment": augment})

    def references(self) -> dict[str, str]:
        """Files and folders of noise."""
        return {f"augment.noise.{key}": name for key, name in self.noise.references().items()} if self.noise else {}

    @property
    def features(self) -> int:
        """F: numbers of one step."""
        return {"mel": self.mels, "wave": 1, "embedding": speech_model.NUMBERS}[self.form]

    @property
    def step(self) -> float:
        """Seconds from one step to the next."""
        return {
            "mel": self.hop / 1000,
            "wave": 1 / self.rate,
            "embedding": speech_model.HOP * speech_model.STEP / speech_model.RATE,
        }[self.form]

    def samples(self, milliseconds: float) -> int:
        """How many samples so long a time has."""
        return max(round(self.rate * milliseconds / 1000), 1)


class Statistics(BaseStatistics):
    """Of the training clips, as :func:`fit` has it."""

    features: int
    length: int = Field(ge=1, le=2**31 - 1)
    mean: list[FiniteFloat]
    std: list[FiniteFloat]
    rate: int
    step: float | None = None  # seconds
    center: Literal["clip"] | None = None  # where each clip's own mean is subtracted
    network: str | None = None  # the fingerprint of a pretrained speech embedding

    def check(self, settings: Settings) -> None:
        """Raises ValueError where a step would have another number of features."""
        if {self.features, len(self.mean), len(self.std)} != {settings.features}:
            got = f"{self.features} features, {len(self.mean)} means and {len(self.std)} deviations"
            raise ValueError(f"got {got}, expected {settings.features} of each")


def ready(settings: Settings, fitted: bool) -> None:
    """Raise UsageError where noise for a training's views isn't there, or is no sound."""
    if settings.noise and not fitted:
        check_files(settings.noise)


def load(settings: Settings, value: Any, root: Path | Root) -> tuple[str, np.ndarray, str]:
    """A cell -> hash of the file's bytes, the item (L, F) float16, and whether it was cut.

    ``value`` is a path, bytes, {bytes, path}, (samples, rate) or {array, sampling_rate}.
    """
    value = value[settings.columns[0]] if isinstance(settings.column, tuple) and isinstance(value, dict) else value
    data = content(packed(settings, value), root)
    try:
        item, remark = decode(settings, data, limits_of(root).seconds)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    return hashlib.blake2b(data, digest_size=16).hexdigest(), item, remark


def decode(settings: Settings, content: bytes, longest: float = np.inf) -> tuple[np.ndarray, str]:
    """Bytes -> (L, F) float16, and what was cut. Raises ValueError with the reason, and where the clip lasts longer
    than so many seconds."""
    samples, remark = waveform(settings, content, longest)
    if settings.form == "wave":
        return samples[:, None].astype(np.float16), remark
    if settings.form == "embedding":
        return speech_model.embed([np.pad(samples, speech_model.AROUND)])[0].astype(np.float16), remark
    window, hop = settings.samples(settings.window), settings.samples(settings.hop)
    return audio_ops.log_mel(samples, settings.rate, settings.mels, window, hop).astype(np.float16), remark


def waveform(settings: Settings, content: bytes, longest: float = np.inf) -> tuple[np.ndarray, str]:
    """Bytes -> samples (N,) float32 at the modality's rate, trimmed and cut, whatever its form; and what was cut.

    Raises ValueError as :func:`decode` does.
    """
    enough = settings.seconds + 0.1 if settings.trim is None else None
    samples, rate, seconds = audio_ops.read(content, enough, longest)
    samples = audio_ops.check(audio_ops.resample(audio_ops.check(samples), rate, settings.rate))
    if settings.trim is not None:
        window, hop = settings.samples(settings.window), settings.samples(settings.hop)
        samples = audio_ops.trimmed(samples, settings.trim, window, hop)
        seconds = len(samples) / settings.rate
    most = max(round(settings.seconds * settings.rate), 1)
    remark = f"cut: {seconds:.2f} s, the first {settings.seconds:g} s are kept" if len(samples) > most else ""
    return samples[:most], remark


def packed(settings: Settings, value: Any) -> Any:
    """Samples with their rate as WAV bytes, without loss; what names a file or holds one stays.

    Raises Unreadable where samples come without their rate: nothing could say how fast they are.
    """
    if isinstance(value, dict) and value.get("array") is not None:
        value = (value["array"], value.get("sampling_rate"))
    if isinstance(value, (tuple, list)) and len(value) == 2:
        numbers = (int, float, np.number)
        samples, rate = value if not isinstance(value[0], numbers) else reversed(value)
        if not isinstance(rate, numbers) or not 0 < rate < 2**31:
            raise Unreadable(f"the rate of these samples: got {rate!r}, expected samples a second")
        return _wav(samples, int(rate))
    if as_array(value) is not None:
        raise Unreadable("samples without their rate: expected (samples, rate)")
    return value


def stored(settings: Settings) -> tuple[tuple[None, int], str]:
    """Items are (any number of steps, F)."""
    return (None, settings.features), "float16"


def blank(settings: Settings) -> np.ndarray:
    """What fills an absent slot: one step."""
    return np.zeros((1, settings.features), dtype=np.float16)


def fit(settings: Settings, items: Any) -> dict:
    """Mean and standard deviation of each feature over the training clips' steps, and the longest clip's steps."""
    mean, deviation = moments(iter(items), settings.features)
    longest = max((len(item) for item in items), default=1)
    statistics: dict = {"features": settings.features, "length": int(longest), "rate": settings.rate}
    statistics["step"] = settings.step
    if settings.center == "clip":
        statistics["center"] = "clip"
    if settings.form == "embedding":
        statistics["network"] = speech_model.fingerprint().hex()
    return {**statistics, "mean": mean.tolist(), "std": deviation.tolist()}


def encode(settings: Settings, statistics: dict, items: Any) -> np.ndarray:
    """Items -> (U, L, F + 1) float32: the steps and, last, 1 where one is real. The model subtracts the mean.

    What is longer than the longest training clip is cut. Raises SuffuseError where the installed speech embedding
    isn't the one that the training clips were read by.
    """
    if statistics.get("network") and statistics["network"] != speech_model.fingerprint().hex():
        raise SuffuseError("the installed speech embedding isn't the one that this model was trained with")
    if isinstance(items, Ragged):
        return items.cut(statistics["length"])[np.arange(len(items))]
    return padded([item[: statistics["length"]] for item in items], settings.features)


def augment(settings: Settings, entries: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A training view of each entry; draws (U, DRAWS) as :mod:`suffuse.modalities.audio_augment` has them."""
    return audio_augment.views(settings, entries, draws)


def corrupt(
    settings: Settings, statistics: dict, entries: np.ndarray, severity: int, seed: int, kind: str | None = None
) -> np.ndarray:
    """White noise (20 to 0 dB below the clip), a low-pass, lost pieces, clipped peaks (``wave``); without ``kind``
    each clip gets one of them by chance."""
    known = DAMAGES[settings.form]

    def damage(number: int, steps: np.ndarray) -> np.ndarray:
        random = generator(steps, seed)
        name = known[random.integers(len(known))] if kind is None else kind
        return _DAMAGE[name](settings, steps.astype(np.float64), severity - 1, random)

    return changed(entries, damage)


def examples(settings: Settings) -> list[Any]:
    """Noise of 60 to 260 ms, each clip louder than the one before."""
    random = np.random.default_rng(7)
    return [(random.normal(0, 0.1 + 0.02 * n, 500 + 400 * n).astype(np.float32), 8000) for n in range(5)]


def explain(settings: Settings, statistics: dict) -> list[str]:
    """What is done to a cell, for people."""
    trimmed = f", trimmed of what is {settings.trim:g} dB below its loudest part at both ends" if settings.trim else ""
    mel = f"Log power in {settings.mels} mel bands, frames of {settings.window:g} ms every {settings.hop:g} ms."
    read = {"wave": "The samples as they are.", "embedding": "A pretrained speech embedding: 96 numbers every 80 ms."}
    return [
        f"Channels averaged, resampled to {settings.rate:,} Hz{trimmed}, cut after {settings.seconds:g} s.",
        read.get(settings.form, mel),
        f"Cut after {statistics['length'] * settings.step:.2f} s, the longest clip in training.",
        "The model subtracts the clip's own mean of each feature and divides by the training clips' deviation."
        if settings.center == "clip"
        else "The model subtracts the training clips' mean of each feature and divides by its deviation.",
    ]


def _wav(value: Any, rate: int) -> bytes:
    """Samples (N,), (N, channels) or (channels, N) as WAV."""
    try:
        array = as_array(value)
        samples = np.asarray(value) if array is None else array
    except ValueError as error:
        raise Unreadable(f"not samples: {error}") from None
    if samples.dtype.kind not in "fiu" or samples.ndim not in (1, 2):
        raise Unreadable(f"not samples: an array {samples.shape} of {samples.dtype}")
    if not samples.size:
        raise Absent("no samples")
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:  # the shorter side is the channels
        samples = samples.T
    try:
        return audio_ops.as_wav(samples, rate)
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _noise(settings: Settings, steps: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    """White noise, so many decibels below the clip. In ``mel`` its power is drawn band by band."""
    if settings.form == "embedding":
        return steps + random.normal(0, NOISE[level] * steps.std(0), steps.shape)
    quieter = 10 ** (-SNR[level] / 10)
    if settings.form == "wave":
        return steps + random.normal(0, np.sqrt((steps**2).mean() * quieter), steps.shape)
    size = audio_ops.transform(settings.rate, settings.mels, settings.samples(settings.window))
    bands = audio_ops.filters(settings.rate, settings.mels, size)
    lines = (bands > 0).sum(0)  # as many as a band has, so much of the spectrum it stands for, and so steady it is
    power = np.exp(steps)
    noise = quieter * (power @ lines).mean() / lines.sum()
    return np.log(power + noise * random.gamma(lines / 2, 2 / lines, steps.shape))


def _lowpass(settings: Settings, steps: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    top = PASSED[level] * settings.rate / 2
    if settings.form == "wave":
        spectrum = np.fft.rfft(steps, axis=0)
        spectrum[np.fft.rfftfreq(len(steps), 1 / settings.rate) > top] = 0
        return np.fft.irfft(spectrum, len(steps), axis=0)
    size = audio_ops.transform(settings.rate, settings.mels, settings.samples(settings.window))
    centre = audio_ops.filters(settings.rate, settings.mels, size).argmax(0) * settings.rate / size
    return np.where(centre > top, QUIET, steps)


def _dropout(settings: Settings, steps: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    piece = LOSS / settings.step
    which = np.arange(len(steps)) // max(round(min(piece, len(steps) / 20)), 1)
    pieces = which[-1] + 1
    lost = random.permutation(pieces) < max(round(LOST[level] * pieces), 1)
    return np.where(
        lost[which, None], QUIET if settings.form == "mel" else steps.mean(0) * (settings.form != "wave"), steps
    )


def _clipping(settings: Settings, steps: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    top = CLIPPED[level] * np.abs(steps).max()
    return np.clip(steps, -top, top)


_DAMAGE = {"noise": _noise, "lowpass": _lowpass, "dropout": _dropout, "clipping": _clipping}

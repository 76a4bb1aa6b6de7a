"""How a training view of a recording differs from it, in this order: speed, voice, room, noise, SpecAugment's masks,
gain. Every choice is one of DRAWS numbers in [0, 1), so that a view is replayed exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ..registry import Settings as Base
from . import audio_ops
from .audio_noise import Noise, add_noise, recordings_of
from .ragged import between, changed, masked
from .reverberation import Reverberation, reverberate

if TYPE_CHECKING:
    from .audio import Settings

MASKS = 4  # of each sort, at the most
GAIN, SPEED, WARP = 4 * MASKS, 4 * MASKS + 1, 4 * MASKS + 2  # which draw is whose, after those of the masks
NOISE = slice(4 * MASKS + 3, 4 * MASKS + 7)
ROOM = slice(4 * MASKS + 7, 4 * MASKS + 11)
DRAWS = 4 * MASKS + 11
QUIET = float(np.log(audio_ops.MIN_POWER))


class Augment(Base):
    """How a training view may differ: SpecAugment (Park et al. 2019), what is hidden gets the clip's mean."""

    time_masks: int = Field(default=2, ge=0, le=MASKS, description="Number of time masks.")
    time: float = Field(default=0.1, ge=0, le=0.5, description="Largest length of a time mask, as a share of the clip.")
    band_masks: int = Field(default=2, ge=0, le=MASKS, description="Number of frequency masks, in `mel` only.")
    bands: float = Field(
        default=0.15, ge=0, le=0.5, description="Largest height of a frequency mask, as a share of the bands."
    )
    gain: float = Field(
        default=0.0, ge=0, le=30, description="Largest change of loudness in decibels; not in `embedding`."
    )
    speed: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description=(
            "Largest change of speed: 0.1 gives 0.9 to 1.1 times (Ko et al. 2015). In `wave` the pitch changes too. A "
            "view longer than the longest stored clip is cut."
        ),
    )
    warp: float = Field(
        default=0.0,
        ge=0,
        le=0.3,
        description=(
            "Largest vocal tract length perturbation: 0.1 gives a voice 0.9 to 1.1 times as high (Jaitly & Hinton "
            "2013); in `mel` only."
        ),
    )
    noise: Noise | None = Field(
        default=None, description="Recorded noise that is added to a share of the views, in `mel` and `wave`."
    )
    reverberation: Reverberation | None = Field(
        default=None, description="Synthetic rooms that a share of the views is heard in, in `mel` and `wave`."
    )


def views(settings: Settings, entries: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A training view of each entry; draws (U, DRAWS): time masks, band masks, gain, speed, warp, noise, room.

    Raises UsageError where a recording of noise can't be read.
    """
    how = settings.augment or Augment.model_validate({"time_masks": 0, "band_masks": 0})
    recordings = recordings_of(settings, how.noise) if how.noise else ()

    def view(number: int, steps: np.ndarray) -> np.ndarray:
        draw = draws[number]
        steps = _paced(settings, steps, how.speed * (2 * draw[SPEED] - 1))
        steps = _voiced(settings, steps, how.warp * (2 * draw[WARP] - 1))
        if how.reverberation:
            steps = reverberate(settings, how.reverberation, steps, draw[ROOM])
        if how.noise:
            steps = add_noise(settings, how.noise, recordings, steps, draw[NOISE])
        mean = steps.mean(0 if settings.form == "embedding" else None, dtype=np.float64)
        steps = masked(steps, how.time, draw[: 2 * how.time_masks], mean)
        if settings.form == "mel":
            steps = masked(steps.T, how.bands, draw[2 * MASKS :][: 2 * how.band_masks], mean).T
        if settings.form == "embedding":
            return steps
        decibels = how.gain * (2 * draw[GAIN] - 1)
        if settings.form == "mel":
            return np.maximum(steps + decibels * np.log(10) / 10, QUIET) if decibels else steps
        return steps * 10 ** (decibels / 20)

    return changed(entries, view)


def _paced(settings: Settings, steps: np.ndarray, speed: float) -> np.ndarray:
    """(L, F) so much faster: 0.1 is 1.1 times as fast."""
    if not speed:
        return steps
    if settings.form == "wave":
        resampled = audio_ops.resample(
            np.ascontiguousarray(steps[:, 0]), round(settings.rate * (1 + speed)), settings.rate
        )
        return resampled[:, None] if len(resampled) else steps  # of next to nothing nothing would be left
    return between(steps, np.linspace(0, len(steps) - 1, max(round(len(steps) / (1 + speed)), 1)))


def _voiced(settings: Settings, steps: np.ndarray, warp: float) -> np.ndarray:
    """(L, mels) of a voice so much lower (above 0) or higher."""
    if not warp or settings.form != "mel":
        return steps
    return between(steps.T, audio_ops.heard_through(settings.rate, settings.mels, 1 + warp)).T

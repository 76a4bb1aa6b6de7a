"""Rooms: what is heard of a sound in a room that is drawn by chance.

    h(t) = delta(t) + sigma n(t) exp(-3 ln(10) t / T)     T: seconds until the reverberation is 60 dB weaker

Polack's model of late reverberation: white noise n that decays exponentially, as in the simulated rooms of Ko et al.
(2017) without single reflections. sigma makes the power of the decaying part ``drr`` decibels less than the direct
sound's; h has power 1, so that loudness stays. Samples are convolved with h. Log-mel power gets the expected value of
that over n: frames are uncorrelated but for the decay, so in each band power follows the same exponential (Lebart et
al. 2001),

    P'(t) = (P(t) + (w_0 P(t) + sum_k w_k P(t - k)) / R) / (1 + 1 / R)     w: energy that comes k frames later, sum 1

with R the ratio of direct to late power. What would be heard after the end of a clip is cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from ..registry import Settings as Base

if TYPE_CHECKING:
    from .audio import Settings

SHARE, SECONDS, RATIO, ROOM = range(4)  # which draw is whose
DECAY = 6 * np.log(10)  # of power, over the reverberation time


class Reverberation(Base):
    """Rooms that views are heard in."""

    seconds: tuple[float, float] = Field(
        default=(0.1, 0.5), description="Shortest and longest reverberation time (60 dB), 0.02 to 5 s."
    )
    drr: tuple[FiniteFloat, FiniteFloat] = Field(
        default=(0.0, 15.0), description="Lowest and highest ratio of direct to reverberant sound in decibels."
    )
    share: float = Field(default=0.3, gt=0, le=1, description="Share of the views.")

    @model_validator(mode="after")
    def _ordered(self) -> Reverberation:
        low, high = self.seconds
        if not 0.02 <= low <= high <= 5:
            raise ValueError(f"seconds: got [{low:g}, {high:g}], expected the shortest and the longest, from 0.02 to 5")
        low, high = self.drr
        if not -20 <= low <= high <= 60:
            raise ValueError(f"drr: got [{low:g}, {high:g}], expected the lowest and the highest, from -20 to 60 dB")
        return self


def reverberate(settings: Settings, how: Reverberation, steps: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(L, F) log-mel power or samples, in a room or not; ``draws`` (4,): whether, reverberation time, ratio, room."""
    if draws[SHARE] >= how.share:
        return steps
    seconds, decibels = (
        low + d * (high - low) for (low, high), d in zip((how.seconds, how.drr), draws[1:3], strict=True)
    )
    late = 10 ** (-decibels / 10)  # power, that of the direct sound is 1
    if settings.form == "mel":
        return np.log(decayed(np.exp(steps.astype(np.float64)), settings.step / seconds, late)).astype(steps.dtype)
    room = impulse_response(seconds * settings.rate, late, int(draws[ROOM] * 2**53))
    return _convolved(steps[:, 0], room)[:, None].astype(steps.dtype)


def decayed(power: np.ndarray, step: float, late: float) -> np.ndarray:
    """Power (L, bands) in a room; ``step``: of a frame, in reverberation times; ``late``: power of what comes late."""
    half = np.exp(-DECAY * step / 2)  # frame 0 has what comes within half a step
    out, tail = np.empty_like(power), np.zeros(power.shape[1])
    for place, frame in enumerate(power):
        out[place] = frame * (1 + late * (1 - half)) + late * half * (1 - half**2) * tail
        tail = frame + half**2 * tail
    return out / (1 + late)


def impulse_response(samples: float, late: float, seed: int) -> np.ndarray:
    """(N,) of power 1: the direct sound, then noise that is 60 dB weaker after so many samples; it ends at 90 dB."""
    count = max(int(np.ceil(1.5 * samples)), 1)
    envelope = np.exp(-DECAY / 2 * np.arange(1, count + 1) / samples)
    tail = np.random.default_rng(seed).standard_normal(count) * envelope
    tail *= np.sqrt(late / (tail**2).sum())
    return np.concatenate([[1.0], tail]) / np.sqrt(1 + late)


def _convolved(sound: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The first (L,) of the convolution of (L,) with (N,)."""
    size = 1 << (len(sound) + len(response) - 2).bit_length()
    spectrum = np.fft.rfft(sound.astype(np.float64), size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(sound)]

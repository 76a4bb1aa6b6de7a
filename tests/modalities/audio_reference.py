"""What other libraries compute from samples. librosa compiles itself when it is imported, which takes up to 20 s."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

DIRECT, LIBROSA = "transformers", "librosa"
LIBRARIES = [DIRECT, pytest.param(LIBROSA, marks=pytest.mark.long)]


def mel_filters(library: str, rate: int, size: int, mels: int) -> np.ndarray:
    """Slaney's triangles, each with area 1: (size // 2 + 1, mels)."""
    if library == LIBROSA:
        import librosa

        return librosa.filters.mel(sr=rate, n_fft=size, n_mels=mels, htk=False, norm="slaney").T
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bands that hold no frequency
        return mel_filter_bank(size // 2 + 1, mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")


def mel_power(library: str, samples: np.ndarray, rate: int, size: int, window: int, step: int, mels: int) -> np.ndarray:
    """Samples (N) -> power (mels, 1 + N // step) of Hann windows around every step-th sample, zeros outside."""
    if library == LIBROSA:
        import librosa

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of clips shorter than a window
            return librosa.feature.melspectrogram(
                y=samples, sr=rate, n_fft=size, win_length=window, hop_length=step, n_mels=mels,
                pad_mode="constant", center=True, htk=False, norm="slaney",
            )  # fmt: skip
    from transformers.audio_utils import spectrogram, window_function

    return spectrogram(
        samples, window_function(window, "hann", frame_length=size), size, step, fft_length=size, power=2.0,
        center=True, pad_mode="constant", mel_filters=mel_filters(library, rate, size, mels), mel_floor=0.0,
        dtype=np.float64,
    )  # fmt: skip


def trimmed(library: str, samples: np.ndarray, decibels: float, window: int, step: int) -> np.ndarray:
    """Without the steps at both ends that are quieter than the loudest by more than so many decibels. ``transformers``
    has no such function: by the definition in librosa's documentation."""
    if library == LIBROSA:
        import librosa

        return librosa.effects.trim(samples, top_db=decibels, frame_length=window, hop_length=step)[0]
    padded = np.pad(samples.astype(np.float64), window // 2)
    starts = range(0, len(samples) + 1, step)
    power = np.array([np.mean(padded[start : start + window] ** 2) for start in starts])
    (loud,) = np.nonzero(power > power.max() * 10 ** (-decibels / 10))
    return samples[loud[0] * step : (loud[-1] + 1) * step]

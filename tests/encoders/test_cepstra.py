"""Encoder ``cepstra``: scipy's cosine transforms and NumPy's moments, whatever stands in the padding."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import dct

from suffuse.encoders import cepstra
from suffuse.types import Field

BANDS, FIELD = 12, Field("sound", "audio", {"features": 12, "length": 30, "mean": [0.0] * 12, "std": [1.0] * 12})


def recordings() -> tuple[torch.Tensor, list[np.ndarray]]:
    """Entries (3, 30, 13) of recordings of 30, 9 and 1 frames, garbage after their ends, and the recordings."""
    random = np.random.default_rng(0)
    power = random.normal(-8, 3, (3, 30, BANDS)).astype(np.float32)
    lengths = [30, 9, 1]
    real = (np.arange(30) < np.array(lengths)[:, None]).astype(np.float32)
    entries = torch.from_numpy(np.concatenate([power, real[:, :, None]], axis=2))
    return entries, [power[n, :length] for n, length in enumerate(lengths)]


def test_variation_is_that_of_each_cepstrum_and_the_length() -> None:
    entries, real = recordings()
    settings = cepstra.Settings(cepstra=4, times=3, variation=True)
    layers = cepstra.layers(settings, FIELD)
    found = cepstra.encode(settings, layers, entries).vector.numpy()
    assert found.shape == (3, cepstra.width(settings, layers)) == (3, 4 * 3 + 2 * 4 + 1)
    for row, power in enumerate(real):
        of_frames = dct(power, axis=1)[:, :4] / 2  # scipy's has a factor of 2
        changes = np.abs(np.diff(of_frames, axis=0)).mean(0) if len(power) > 1 else np.zeros(4)
        wanted = np.concatenate([of_frames.std(0), changes, [np.log(len(power))]])
        np.testing.assert_allclose(found[row, 12:], wanted, rtol=1e-4, atol=2e-5)
        over_time = dct(of_frames, axis=0)[:3] / (2 * len(power))
        np.testing.assert_allclose(found[row, :12].reshape(3, 4)[: len(over_time)], over_time, rtol=1e-4, atol=1e-4)

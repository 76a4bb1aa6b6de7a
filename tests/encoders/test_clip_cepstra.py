"""Cepstra of a recording: scipy's cosine transform, standardised over the recording's real steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dct

from suffuse.encoders import conv1d
from suffuse.encoders.cepstral_transform import clip_cepstra, cosine_matrix
from suffuse.types import Field


def recordings() -> tuple[torch.Tensor, torch.Tensor]:
    """Log-mel power (2, 30, 20) of recordings of 30 and 12 steps, and which are real (2, 30, 1)."""
    bands = torch.randn(2, 30, 20, generator=torch.Generator().manual_seed(0)) * 3 - 8
    real = (torch.arange(30)[None, :, None] < torch.tensor([30, 12])[:, None, None]).float()
    return bands, real


def test_they_are_the_cosine_transform_with_mean_0_and_deviation_1():
    bands, real = recordings()
    found = clip_cepstra(bands, real, cosine_matrix(7, 20)).numpy()
    for row, length in enumerate((30, 12)):
        wanted = dct(bands[row, :length].numpy(), type=2, axis=1)[:, :7]
        wanted = (wanted - wanted.mean(0)) / wanted.std(0)
        np.testing.assert_allclose(found[row, :length], wanted, atol=1e-4)
    assert not found[1, 12:].any()


def test_neither_padding_nor_the_colour_nor_the_loudness_of_a_microphone_changes_them():
    bands, real = recordings()
    matrix = cosine_matrix(7, 20)
    before = clip_cepstra(bands, real, matrix)
    coloured = bands + torch.linspace(-4, 4, 20)
    torch.testing.assert_close(clip_cepstra(coloured, real, matrix), before, atol=1e-4, rtol=0)
    padded = torch.where(real > 0, bands, torch.full_like(bands, 1e4))
    torch.testing.assert_close(clip_cepstra(padded, real, matrix), before, atol=1e-4, rtol=0)


def test_a_steady_tone_and_a_single_step_are_zeros():
    steady = torch.randn(1, 1, 20).expand(1, 9, 20)
    assert clip_cepstra(steady, torch.ones(1, 9, 1), cosine_matrix(7, 20)).abs().max() < 1e-3
    assert not clip_cepstra(steady[:, :1], torch.ones(1, 1, 1), cosine_matrix(7, 20)).any()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Field("sound", "audio", {"features": 8}), "got cepstra 13, expected at most 8"),
        (Field("sound", "audio", {"features": 96, "network": "0a"}), "isn't log-mel power"),
        (Field("sensor", "sequence", {"features": 20}), "isn't log-mel power"),
    ],
)
def test_what_has_no_cepstra_is_refused(field: Field, words: str):
    with pytest.raises(ValueError, match=words):
        conv1d.layers(conv1d.Settings(cepstra=13), field)


def test_a_convolution_reads_as_many_numbers_as_there_are_cepstra():
    field = Field("sound", "audio", {"features": 20})
    layers = conv1d.layers(conv1d.Settings(widths=(4,), cepstra=13), field)
    assert layers["conv0"].in_channels == 13
    assert conv1d.normalised(conv1d.Settings(), layers) is None

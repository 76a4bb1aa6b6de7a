"""Histograms of oriented gradients: what they tell apart, and what they don't."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from suffuse.encoders import hog
from suffuse.modality_encoder import Encoder
from suffuse.recipe import Network
from suffuse.types import Field

SIZE = 48


@pytest.fixture(scope="module")
def features():
    """Pictures (U, H, W, 3) in 0..1 -> features (U, D)."""
    settings = hog.Settings()
    layers = hog.layers(settings, Field("photo", "image", {"size": SIZE, "mean": [0.5] * 3, "std": [0.2] * 3}))

    def encode(*pictures: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.stack(pictures).astype(np.float32)).permute(0, 3, 1, 2)
        vector = hog.encode(settings, layers, x).vector
        assert vector.shape == (len(pictures), hog.width(settings, layers))
        return vector.numpy()

    return encode


def stripes(angle: float) -> np.ndarray:
    """Parallel stripes whose gradient points at this angle, in degrees."""
    y, x = np.mgrid[:SIZE, :SIZE]
    along = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    return np.repeat((0.5 + 0.2 * np.sin(along / 2.5))[..., None], 3, axis=2)


@pytest.mark.parametrize("number", range(8))
def test_stripes_vote_for_their_orientation(features, number):
    votes = features(stripes(number * 180 / 8))[0][: 4 * 49 * 8].reshape(4, 8, 49).sum((0, 2))
    assert votes.argmax() == number
    assert votes[(number + 4) % 8] < 0.1 * votes[number]  # at a right angle


def test_a_gradient_and_its_opposite_are_one_orientation(features):
    picture = np.random.default_rng(0).random((SIZE, SIZE, 3))
    gradients = features(picture, 1 - picture)[:, : 4 * 49 * 8]
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-5)


def test_contrast_and_brightness_change_gradients_little(features):
    picture = np.random.default_rng(1).random((SIZE, SIZE, 3))
    plain, pale = features(picture, 0.4 + 0.5 * picture)[:, : 4 * 49 * 8]
    assert np.abs(plain - pale).max() < 0.05
    colours = features(picture, 0.4 + 0.5 * picture)[:, 4 * 49 * 8 :]
    assert np.abs(colours[0] - colours[1]).max() > 0.1


def test_each_quarter_has_its_colours(features):
    picture = np.zeros((SIZE, SIZE, 3))
    picture[: SIZE // 2, SIZE // 2 :, 0] = 1.0  # red at the top right
    black, red = features(np.zeros_like(picture), picture)[:, 4 * 49 * 8 :].reshape(2, 8, 3, 4)
    changed = np.abs(red - black) > 0.2
    assert changed[[0, 7], 0, 1].all() and not changed[:, 1:].any() and not changed[:, :, [0, 2, 3]].any()


def test_a_flat_picture_has_no_gradients(features):
    noise = np.random.default_rng(2).normal(0, 1e-3, (SIZE, SIZE, 3))
    assert np.abs(features(np.full((SIZE, SIZE, 3), 0.5) + noise)[:, : 4 * 49 * 8]).max() < 0.05


def test_features_are_dropped_in_training_only():
    network = Network.model_validate({"encoders": {"photo": {"kind": "hog"}}, "fusion": {"kind": "concat"}})
    encoder = Encoder(network, Field("photo", "image", {"size": SIZE, "mean": [0.5] * 3, "std": [0.2] * 3}))
    vectors = torch.ones(4, encoder.width)
    assert torch.equal(encoder.standard(vectors), vectors)  # as it is made
    share = (encoder.train().standard(vectors) == 0).float().mean()
    assert 0.4 < share < 0.6
    assert torch.equal(encoder.eval().standard(vectors), vectors)

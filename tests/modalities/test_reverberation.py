"""Rooms: what is written of them holds, and both forms are in the same one on average."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse.modalities import audio, audio_augment, audio_ops, reverberation
from suffuse.modalities.reverberation import Reverberation, decayed, impulse_response, reverberate

RATE = 8000


def chosen(form: str = "mel", **room: object) -> audio.Settings:
    augment = {"time_masks": 0, "band_masks": 0, "reverberation": {"share": 1.0, **room}}
    return audio.Settings.model_validate({"column": "c", "rate": RATE, "mels": 24, "form": form, "augment": augment})


def drawn(**places: float) -> np.ndarray:
    draws = np.full(4, 0.5)
    for name, value in places.items():
        draws[getattr(reverberation, name.upper())] = value
    return draws


def room_of(how: audio.Settings) -> Reverberation:
    assert how.augment and how.augment.reverberation
    return how.augment.reverberation


@pytest.mark.parametrize(("step", "late"), [(0.1, 0.5), (0.02, 3.0), (0.5, 0.01)])
def test_power_is_the_sum_of_what_was_before_with_exponential_weights(step, late):
    power = np.random.default_rng(0).gamma(1, 1, (40, 5))
    half = 10 ** (-6 * step / 2)  # 60 dB in one reverberation time
    weights = np.array([1 - half, *(half * half ** (2 * (k - 1)) * (1 - half**2) for k in range(1, 40))])
    total = weights.sum() + half * half ** (2 * 39)
    assert total == pytest.approx(1)
    expected = [
        (power[t] + late * sum(weights[k] * power[t - k] for k in range(t + 1))) / (1 + late) for t in range(40)
    ]
    np.testing.assert_allclose(decayed(power, step, late), expected, rtol=1e-12)


def test_a_steady_sound_stays_as_loud():
    power = np.ones((400, 3))
    np.testing.assert_allclose(decayed(power, 0.05, 2.0)[100:], 1.0, rtol=1e-9)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.3])
def test_a_room_decays_by_60_decibels_in_its_time(seconds):
    """Schroeder's (1965) backward integration, and the ratio of direct to late power."""
    responses = [impulse_response(seconds * RATE, 0.5, seed) for seed in range(200)]
    power = np.mean([response**2 for response in responses], 0)
    assert power.sum() == pytest.approx(1) and power[0] / power[1:].sum() == pytest.approx(2)
    left = 10 * np.log10(np.cumsum(power[:0:-1])[::-1])
    ten, thirty = (np.argmax(left < left[0] - decibels) for decibels in (5, 25))
    assert (thirty - ten) * 3 / RATE == pytest.approx(seconds, rel=0.05)


@pytest.mark.parametrize(("seconds", "drr"), [(0.15, 6.0), (0.4, 0.0), (0.6, -5.0)])
def test_power_in_a_room_is_the_mean_over_rooms_of_the_samples_power(seconds, drr):
    """Mean absolute difference below 0.3 dB during and after bursts of noise."""
    room = {"seconds": [seconds, seconds], "drr": [drr, drr]}
    mel, wave = chosen("mel", **room), chosen("wave", **room)
    random = np.random.default_rng(1)
    sound = 1e-4 * random.standard_normal(RATE)
    sound[1000:2000] += 0.1 * random.standard_normal(1000)
    sound[4000:4400] += 0.3 * random.standard_normal(400)

    def log_mel(samples: np.ndarray) -> np.ndarray:
        return audio_ops.log_mel(samples, RATE, 24, mel.samples(mel.window), mel.samples(mel.hop))

    found = reverberate(mel, room_of(mel), log_mel(sound), drawn())
    rooms = [
        np.exp(log_mel(reverberate(wave, room_of(wave), sound[:, None].astype(np.float32), drawn(room=n / 150))[:, 0]))
        for n in range(150)
    ]
    expected = np.log(np.mean(rooms, 0))
    apart = np.abs(found - expected)[3:-3] * 10 / np.log(10)
    assert apart.mean() < 0.3 and np.quantile(apart, 0.99) < 1.2
    dry = np.abs(log_mel(sound) - expected)[3:-3] * 10 / np.log(10)
    assert dry.mean() > 4 * apart.mean()


def test_a_share_of_the_views_each_in_a_room_of_its_own():
    how = chosen("wave", share=0.3)
    clip = np.random.default_rng(0).normal(0, 0.1, (1, 2000, 1)).astype(np.float32)
    entries = np.repeat(np.concatenate([clip, np.ones_like(clip)], 2), 400, 0)
    draws = np.random.default_rng(1).random((400, audio.DRAWS))
    seen = audio.augment(how, entries, draws)
    changed = (seen != entries).any((1, 2))
    np.testing.assert_array_equal(changed, draws[:, audio_augment.ROOM.start] < 0.3)
    assert len({row.tobytes() for row in seen[changed]}) == changed.sum()
    np.testing.assert_array_equal(seen, audio.augment(how, entries, draws))
    assert seen.shape == entries.shape  # what comes after the end is cut off


@pytest.mark.parametrize("form", ["mel", "wave"])
def test_one_step_stays_one(form):
    how = chosen(form)
    step = np.full((1, how.features), -3.0, dtype=np.float32)
    for draw in (0.0, 0.999):
        found = reverberate(how, room_of(how), step, np.array([0.0, draw, draw, draw]))
        assert found.shape == step.shape and found.dtype == step.dtype and np.isfinite(found).all()


def test_bounds_are_what_is_drawn():
    """The longest time and the lowest ratio change most."""
    how = chosen(seconds=[0.05, 1.0], drr=[-5, 30])
    steps = np.log(np.random.default_rng(0).gamma(0.3, 1, (80, 24)) + 1e-6).astype(np.float32)
    changes = [
        np.abs(reverberate(how, room_of(how), steps, drawn(seconds=s, ratio=r)) - steps).mean()
        for s, r in ((0.0, 1.0), (0.5, 0.5), (1.0, 0.0))
    ]
    assert changes[0] < changes[1] < changes[2]

"""Google's speech embedding on real clips, against the package's own stream."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from suffuse.encoders import speech_embedding as part
from suffuse.errors import SuffuseError
from suffuse.modalities.speech_model import embed
from suffuse.model import FusionModel, open_model, save
from suffuse.recipe import Network
from suffuse.types import Field, Head, Spec

WAVE = Field("sound", "audio", {"features": 1, "rate": 16_000})


def clips(folder: Path, per_digit: int, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Spoken digits at 16 kHz, -1..1."""
    import soundfile
    from scipy.signal import resample_poly

    sounds, digits, left = [], [], dict.fromkeys("0123456789", per_digit)
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == split and left.get(row["label"], 0):
                left[row["label"]] -= 1
                samples, rate = soundfile.read(folder / row["audio"])
                assert rate == 8000
                sounds.append(resample_poly(samples, 2, 1).astype(np.float32))
                digits.append(int(row["label"]))
    return sounds, np.array(digits)


def together(sounds: list[np.ndarray]) -> torch.Tensor:
    """(U, L, 2) as the modality pads them."""
    x = torch.zeros(len(sounds), max(map(len, sounds)), 2)
    for row, sound in enumerate(sounds):
        x[row, : len(sound), 0] = torch.from_numpy(sound)
        x[row, : len(sound), 1] = 1
    return x


def test_it_is_the_package_s_own_stream():
    """A clip fed piece by piece gives the same embeddings."""
    library = pytest.importorskip("pyopen_wakeword.openwakeword")
    sound = np.random.default_rng(0).normal(0, 0.1, 3 * 16_000).astype(np.float32)
    whole = (sound * 32767).astype(np.int16)
    stream = library.OpenWakeWordFeatures.from_builtin()
    stream.new_audio_samples = 0  # it would begin with seconds of silence
    wanted = np.concatenate([e.reshape(-1, 96) for e in stream.process_streaming(whole.tobytes())])
    [found] = embed([whole.astype(np.float32) / 32767])
    assert len(wanted) > 20
    np.testing.assert_allclose(found[: len(wanted)], wanted, atol=1e-3)


@pytest.mark.real
def test_spoken_digits_of_strangers_are_told_apart(shared_data):
    """A nearest centroid on ten clips a digit, where chance is a tenth."""
    layers = part.layers(part.Settings(), WAVE)
    sounds, digits = clips(shared_data / "fsdd", 10, "train")
    tested, true = clips(shared_data / "fsdd", 4, "test")
    known, asked = (part.encode(part.Settings(), layers, together(s)).vector.numpy() for s in (sounds, tested))
    assert known.shape == (100, 192) and np.isfinite(known).all()
    known, asked = ((v - known.mean(0)) / known.std(0) for v in (known, asked))
    centres = np.stack([known[digits == d].mean(0) for d in range(10)])
    answers = ((asked[:, None] - centres) ** 2).sum(2).argmin(1)
    assert (answers == true).mean() > 0.6


def test_a_clip_s_end_is_heard_and_padding_isn_t():
    layers = part.layers(part.Settings(), WAVE)
    noise = np.random.default_rng(1).normal(0, 0.1, 20_000).astype(np.float32)
    found = part.encode(part.Settings(), layers, together([noise, noise[:100], noise[:13_000]]))
    assert found.token_mask is not None
    assert found.token_mask.sum(1).tolist() == [1 + -(-((20_000 - 512) // 160 + 1 - 76) // 8), 1, 2]
    changed = noise.copy()
    changed[-400:] = 0
    other = part.encode(part.Settings(), layers, together([changed]))
    assert not torch.allclose(found.vector[0], other.vector[0])


def model() -> FusionModel:
    spec = Spec((WAVE,), (Head("answer", "classes", ("a", "b")),), (-0.7, -0.7))
    network = {"encoders": {"sound": {"kind": "speech_embedding"}}, "fusion": {"kind": "concat", "width": 4}}
    return FusionModel(Network.model_validate(network), spec).eval()


def test_a_saved_model_knows_which_network_it_was_trained_with(tmp_path):
    save(model(), tmp_path)
    x = together([np.zeros(2000, dtype=np.float32)])
    again = open_model(tmp_path).encoder("sound")
    assert torch.equal(again(x).vector, model().encoder("sound")(x).vector)
    again.layers.files.zero_()  # type: ignore[union-attr]
    with pytest.raises(SuffuseError, match="isn't the one"):
        again(x)


def test_it_is_always_frozen():
    assert model().encoder("sound").frozen
    with pytest.raises(ValueError, match="frozen"):
        part.Settings.model_validate({"frozen": False})

"""Recordings as they come: any format, rate and form, and what is none."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audio_reference import LIBRARIES, mel_power, trimmed
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.errors import SuffuseError
from suffuse.modalities import audio, audio_augment, audio_ops, speech_model
from suffuse.modalities.cell import Absent, Unreadable

MEL = audio.Settings(column="c", rate=8000, mels=20)
WAVE = audio.Settings(column="c", rate=8000, form="wave")
NOISE = np.random.default_rng(0).normal(0, 0.1, 3000).astype(np.float32)


def load(value: object, chosen: audio.Settings = MEL, root: Path = Path()) -> np.ndarray:
    return audio.load(chosen, value, root)[1]


def written(samples: np.ndarray, rate: int = 8000, form: str = "WAV", kind: str | None = "FLOAT") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=kind)
    return file.getvalue()


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_item_is_the_libraries_log_mel_power(library):
    power = mel_power(library, NOISE.astype(np.float64), 8000, 256, 200, 80, 20)
    found = load(written(NOISE))
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, np.log(np.maximum(power.T, 1e-10)), atol=0.008)


def test_samples_are_kept_as_they_are():
    found = load(written(NOISE), WAVE)
    assert found.shape == (3000, 1) and found.dtype == np.float16
    np.testing.assert_allclose(found[:, 0], NOISE, rtol=1 / 2000, atol=1e-7)


@pytest.mark.parametrize(
    ("form", "kind"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_formats_say_nearly_the_same(form, kind, tmp_path):
    """At 16 kHz: MP3 and Vorbis lose what is near the top of the band."""
    chosen = audio.Settings(column="c")
    samples = np.repeat(NOISE, 8)[:16_000]
    (tmp_path / "a.bin").write_bytes(written(samples, 16_000, form, kind))  # a name tells nothing
    found, exact = load("a.bin", chosen, tmp_path).astype(float), load(written(samples, 16_000), chosen)
    wide = min(len(found), len(exact))
    assert abs(len(found) - len(exact)) <= 4
    lossless = form in ("WAV", "FLAC")
    assert np.abs(found[5 : wide - 5, :30] - exact[5 : wide - 5, :30]).mean() < (0.02 if lossless else 0.7)


def test_the_same_bits_by_every_way_in(tmp_path):
    content = written(NOISE)
    (tmp_path / "a.wav").write_bytes(content)
    stereo = np.stack([NOISE, NOISE], 1)
    ways = [
        "a.wav",
        Path("a.wav"),
        bytearray(content),
        {"bytes": content, "path": None},
        {"bytes": None, "path": "a.wav"},
        (NOISE, 8000),
        (8000, NOISE),
        [NOISE.tolist(), 8000.0],
        (NOISE.astype(np.float64), np.int64(8000)),
        (stereo, 8000),
        (stereo.T, 8000),
        (torch.from_numpy(stereo.T), 8000),
        {"array": NOISE, "sampling_rate": 8000, "path": "elsewhere.wav"},
        {"array": NOISE.tolist(), "sampling_rate": 8000},
    ]
    for chosen in (MEL, WAVE):
        expected = load(content, chosen)
        for way in ways:
            assert np.array_equal(load(way, chosen, tmp_path), expected), way


def test_whole_numbers_are_on_their_own_scale():
    exact = load((NOISE, 8000), WAVE).astype(float)
    for dtype, step in ((np.int16, 2**-15), (np.int32, 2**-12), (np.uint8, 2**-7)):
        top = 2 ** (8 * np.dtype(dtype).itemsize - 1)
        numbers = np.clip(np.rint(NOISE.astype(float) * top), -top, top - 1) + (128 if dtype is np.uint8 else 0)
        assert np.abs(load((numbers.astype(dtype), 8000), WAVE) - exact).max() <= step + 5e-4


@pytest.mark.parametrize("rate", [4000, 11_025, 44_100])
def test_other_rates_are_resampled(rate):
    at = np.arange(rate) / rate
    found = load((0.5 * np.sin(2 * np.pi * 440 * at), rate), WAVE)[:, 0].astype(float)
    assert abs(len(found) - 8000) <= 1
    assert np.abs(np.fft.rfft(found * np.hanning(len(found)))).argmax() == pytest.approx(440, abs=1)


def test_what_is_longer_is_cut_and_said():
    short, long = (np.random.default_rng(1).normal(0, 0.1, n).astype(np.float32) for n in (8000, 20_000))
    chosen = audio.Settings(column="c", rate=8000, mels=20, seconds=1)
    assert audio.load(chosen, (short, 8000), Path())[2] == ""
    _, item, remark = audio.load(chosen, (long, 8000), Path())
    assert remark == "cut: 2.50 s, the first 1 s are kept"
    assert np.array_equal(item, load((long[:8000], 8000), chosen))
    upward = audio.load(chosen, (np.repeat(long, 2), 16_000), Path())
    assert len(upward[1]) == len(item) and upward[2]


@pytest.mark.parametrize("library", LIBRARIES)
def test_silence_at_the_ends_is_trimmed_before_the_cut(library):
    quiet = np.zeros(4000, dtype=np.float32)
    around = np.concatenate([quiet, NOISE, quiet])
    chosen = audio.Settings(column="c", rate=8000, form="wave", trim=40, seconds=0.4)
    expected = trimmed(library, around, 40, 200, 80)
    assert np.array_equal(load((around, 8000), chosen)[:, 0], expected[:3200].astype(np.float16))
    with pytest.raises(Unreadable, match="silent"):  # what would be kept
        load((around, 8000), audio.Settings(column="c", rate=8000, form="wave", seconds=0.4))


def test_nothing_is_absent_and_what_is_no_sound_has_a_reason(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "short.wav").write_bytes(written(NOISE)[:-9])
    for cell, reason in (
        ("gone.wav", "no such file"),
        ("empty.wav", "the file is empty"),
        ("text.wav", "not audio"),
        ("short.wav", "cut off"),
        (written(np.zeros(0, np.float32)), "no samples"),
        ((np.zeros(500), 8000), "silent"),
        ((np.array([0.1, np.nan, 0.2]), 8000), "NaN or infinite"),
        ((np.array([0.1, np.inf, 0.2]), 8000), "NaN or infinite"),
        ((np.array([1e300, 0.0]), 8000), "NaN or infinite"),
        ((1000 * NOISE, 8000), "expected -1 to 1"),
        ((NOISE, None), "the rate of these samples"),
        ((NOISE, -8000), "the rate of these samples"),
        ((NOISE, float("nan")), "the rate of these samples"),
        ((NOISE, 10), "not a recording"),
        ({"array": NOISE}, "the rate of these samples"),
        (NOISE, "samples without their rate"),
        (torch.from_numpy(NOISE), "samples without their rate"),
        ((np.zeros((3, 3, 3)), 8000), "not samples"),
        ((np.array(["a"]), 8000), "not samples"),
        (([[0.1], [0.1, 0.2]], 8000), "not samples"),
        (NOISE.tolist(), "expected a path or bytes"),
    ):
        with pytest.raises(Unreadable, match=reason):
            load(cell, root=tmp_path)
    for empty in (None, float("nan"), "", " ", {}, b"", {"bytes": None, "path": None}, (np.zeros(0), 8000)):
        with pytest.raises(Absent):
            load(empty, root=tmp_path)


def test_a_header_that_lies_takes_no_memory():
    """It says 2 GB of samples; reading it may not even try to hold them."""
    lying = bytearray(audio_ops.as_wav(NOISE, 8000))
    lying[40:44] = (2**31).to_bytes(4, "little")
    code = """
import resource, sys
from pathlib import Path
from suffuse.modalities import audio
from suffuse.modalities.cell import Unreadable
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
try:
    audio.load(audio.Settings(column="c"), sys.stdin.buffer.read(), Path())
except Unreadable as error:
    print(error)
assert "torch" not in sys.modules
"""
    said = subprocess.run([sys.executable, "-c", code], input=bytes(lying), capture_output=True, check=True)
    assert b"cut off" in said.stdout


@budget(deadline=None, max_examples=60)
@given(
    st.integers(1, 3000),
    st.sampled_from([1000, 7999, 8000, 48_000]),
    st.integers(1, 8),
    st.sampled_from(["mel", "wave"]),
    st.one_of(st.none(), st.floats(1, 100)),
)
def test_any_recording_gives_finite_steps_or_a_reason(count, rate, channels, form, trim):
    chosen = audio.Settings(column="c", rate=8000, form=form, mels=16, trim=trim, seconds=0.2)
    samples = np.random.default_rng(count).normal(0, 0.3, (count, channels)).astype(np.float32)
    content = written(samples, rate)
    try:
        item = load(content, chosen)
    except Unreadable as error:
        assert count < 40, error
        return
    assert item.shape[1] == chosen.features and 1 <= len(item) <= (1600 if form == "wave" else 21)
    assert np.isfinite(item).all()


def test_statistics_are_those_of_the_training_clips():
    items = [load((np.random.default_rng(n).normal(0, 0.1, 800 * (n + 1)), 8000)) for n in range(4)]
    found, whole = audio.fit(MEL, items), np.concatenate(items).astype(np.float64)
    np.testing.assert_allclose(found["mean"], whole.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found["std"], whole.std(0), rtol=1e-9)
    assert (found["features"], found["length"], found["rate"]) == (20, len(items[-1]), 8000)
    longer = load((np.random.default_rng(9).normal(0, 0.1, 9000), 8000))
    assert audio.encode(MEL, found, [longer]).shape == (1, found["length"], 21)  # as long as training's longest


def test_noise_is_as_loud_as_it_says():
    """The change in ``wave``, and the power in ``mel``, at each severity."""
    clip = np.sin(2 * np.pi * 300 * np.arange(16_000) / 8000)
    wave = audio.encode(WAVE, audio.fit(WAVE, items := [load((clip, 8000), WAVE)]), items)
    mel = audio.encode(MEL, audio.fit(MEL, items := [load((clip, 8000))]), items)
    for severity, decibels in enumerate(audio.SNR, 1):
        noisy = audio.corrupt(WAVE, {}, wave, severity, 0, "noise")[0, :, 0]
        ratio = (wave[0, :, 0] ** 2).mean() / ((noisy - wave[0, :, 0]) ** 2).mean()
        assert 10 * np.log10(ratio) == pytest.approx(decibels, abs=0.5)
        real = load((noisy, 8000)).astype(float)[2:-2]
        drawn = audio.corrupt(MEL, {}, mel, severity, 0, "noise")[0, 2:-2, :-1]
        assert np.abs(real.mean(0) - drawn.mean(0)).mean() < 0.35  # in log power: drawn is nearly as heard


def test_masks_are_filled_with_the_clip_s_mean():
    chosen = MEL.model_copy(update={"augment": audio.Augment(time_masks=2, time=0.5, band_masks=1, bands=0.5)})
    entries = audio.encode(MEL, audio.fit(MEL, items := [load(written(NOISE))]), items)
    seen = audio.augment(chosen, entries, np.full((1, audio.DRAWS), 0.9))
    hidden = seen != entries
    assert hidden[0, :, :-1].all(1).any() and hidden[0, :, :-1].all(0).any()
    np.testing.assert_allclose(seen[hidden], entries[0, :, :-1].mean(), rtol=1e-2)


def spoken(tone: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * tone * np.arange(int(8000 * seconds)) / 8000).astype(np.float32)


def drawn(place: int, value: float) -> np.ndarray:
    """One view's numbers, of which one is given; 1 - 2**-53 is as far as a draw goes."""
    draws = np.full((1, audio.DRAWS), 0.5)
    draws[0, place] = value
    return draws


def viewed(chosen: audio.Settings, clip: np.ndarray, draws: np.ndarray, **how: float) -> np.ndarray:
    """The real steps of a view."""
    items = [load(written(clip), chosen)]
    quiet = audio.Augment.model_validate({"time_masks": 0, "band_masks": 0, **how})
    entries = audio.encode(chosen, audio.fit(chosen, items), items)
    seen = audio.augment(chosen.model_copy(update={"augment": quiet}), entries, draws)[0]
    real = seen[:, -1] > 0
    assert real.sum() == real.nonzero()[0][-1] + 1  # no gaps
    return seen[real, :-1]


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.75, 1.0])
def test_a_faster_clip_is_shorter_and_its_samples_higher(draw):
    """0.2: from 0.8 to 1.2 times as fast."""
    factor = 0.8 + 0.4 * draw
    wave = viewed(WAVE, spoken(400), drawn(audio_augment.SPEED, draw), speed=0.2)[:, 0]
    assert len(wave) == pytest.approx(8000 / factor, abs=2)
    peak = np.abs(np.fft.rfft(wave[: len(wave) // 2 * 2])).argmax() * 8000 / len(wave)
    assert peak == pytest.approx(400 * factor, abs=2)
    half = np.concatenate([spoken(400, 0.5), spoken(1200, 0.5)])
    still, quick = (viewed(MEL, half, drawn(audio_augment.SPEED, d), speed=0.2) for d in (0.5, draw))
    assert len(quick) == round(len(still) / factor)
    inner = [np.abs(np.diff(one, axis=0)).sum(1)[10:-10] for one in (still, quick)]  # the ends are edges too
    places = [(10.5 + one.argmax()) / (len(one) + 21) for one in inner]
    assert places == pytest.approx([0.5, 0.5], abs=0.02)  # what happens in the middle still does
    np.testing.assert_allclose(quick[len(quick) // 4], still[len(still) // 4], atol=0.2)  # and sounds the same


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.75, 1.0])
def test_a_warped_voice_is_heard_as_a_lower_or_higher_one(draw):
    """Above 1 every band is read further up, so that a tone lands further down."""
    factor = 0.8 + 0.4 * draw
    fine = MEL.model_copy(update={"mels": 64})
    for tone in (300, 800, 1500):
        seen = viewed(fine, spoken(tone), drawn(audio_augment.WARP, draw), warp=0.2)[50].argmax()
        assert abs(int(seen) - int(load(written(spoken(tone / factor)), fine)[50].argmax())) <= 1
    places = audio_ops.heard_through(8000, 64, factor)
    assert (np.diff(places) >= 0).all() and places[0] >= 0 and places[-1] > 62.5
    np.testing.assert_allclose(audio_ops.heard_through(8000, 64, 1.0), np.arange(64), atol=1e-9)


@pytest.mark.parametrize("chosen", [MEL, WAVE, audio.Settings(column="c", form="embedding")])
def test_a_slower_or_warped_view_is_the_same_in_any_company(chosen):
    rate = chosen.rate
    clips = [np.resize(NOISE, n * rate // 8000).astype(np.float32) for n in (3000, 9000, 5000)]
    items = [load((clip, rate), chosen) for clip in clips]
    how = chosen.model_copy(update={"augment": audio.Augment(speed=0.3, warp=0.2, gain=3)})
    entries = audio.encode(chosen, audio.fit(chosen, items), items)
    draws = np.random.default_rng(1).random((3, audio.DRAWS))
    together = audio.augment(how, entries, draws)
    for n, item in enumerate(items):
        alone = audio.augment(how, audio.encode(chosen, audio.fit(chosen, items), [item]), draws[n : n + 1])[0]
        length = int(alone[:, -1].sum())
        assert length == together[n, :, -1].sum() and (length != len(item) or len(item) < 20)
        np.testing.assert_array_equal(alone[:length], together[n, :length])
        assert (together[n, length:] == 0).all()


def test_an_embedding_is_what_the_network_says_of_the_padded_clip():
    chosen = audio.Settings(column="c", form="embedding", seconds=1)
    clip = np.random.default_rng(3).normal(0, 0.1, 20_000).astype(np.float32)
    found = load((clip, 16_000), chosen)
    assert found.shape == (14, 96) and found.dtype == np.float16  # 1 s, every 80 ms, and the ends
    expected = speech_model.embed([np.pad(clip[:16_000], speech_model.AROUND)])[0]
    np.testing.assert_array_equal(found, expected.astype(np.float16))
    assert chosen.features == 96 and chosen.step == pytest.approx(0.08)


def test_an_embedding_by_another_network_is_refused():
    chosen = audio.Settings(column="c", form="embedding")
    items = [load((np.repeat(NOISE, 4), 16_000), chosen)]
    found = audio.fit(chosen, items)
    assert audio.encode(chosen, found, items).shape == (1, found["length"], 97)
    with pytest.raises(SuffuseError, match="isn't the one that this model was trained with"):
        audio.encode(chosen, {**found, "network": "0" * 64}, items)
    with pytest.raises(ValueError, match="got rate 8000 for the speech embedding, expected 16000"):
        audio.Settings(column="c", form="embedding", rate=8000)


def test_more_than_one_column_is_refused():
    with pytest.raises(ValueError, match="got 2 columns"):
        audio.Settings(column=("a", "b"))


@pytest.mark.real
def test_real_clips(shared_data):
    for folder, pattern in (("fsdd", "audio/*_theo_*.flac"), ("coffee_orders619", "audio/*.flac")):
        files = sorted((shared_data / folder).glob(pattern))[:40]
        assert len(files) == 40
        for file in files:
            facts = soundfile.info(file)
            item = load(file.name, root=file.parent)
            assert len(item) == min(1 + facts.frames // 80, 1001) and np.isfinite(item).all()

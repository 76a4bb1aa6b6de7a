"""Samples and their log-mel power, against transformers, librosa and soundfile."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from audio_reference import LIBRARIES, mel_filters, mel_power, trimmed
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.modalities import audio_ops

RATES = (8000, 16_000, 22_050, 44_100)
FORMS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_U8"),
    ("WAV", "FLOAT"),
    ("RF64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def tone(seconds: float = 0.4, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    at = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hertz * at) + 0.01 * np.random.default_rng(0).normal(size=len(at))).astype("f4")


def written(samples: np.ndarray, rate: int, form: str = "WAV", kind: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=kind)
    return file.getvalue()


def pitch(samples: np.ndarray, rate: int) -> float:
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(power.argmax() * rate / len(samples))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("mels", "window", "hop"), [(40, 25, 10), (64, 25, 10), (128, 20, 7), (80, 46, 12)])
@pytest.mark.parametrize("count", [1, 90, 4000, 12_345])
@pytest.mark.parametrize("library", LIBRARIES)
def test_log_mel_is_the_libraries(rate, mels, window, hop, count, library):
    samples = np.random.default_rng(count).normal(0, 0.1, count)
    wide, step = round(rate * window / 1000), round(rate * hop / 1000)
    size = audio_ops.transform(rate, mels, wide)
    power = mel_power(library, samples, rate, size, wide, step, mels)
    found = audio_ops.log_mel(samples, rate, mels, wide, step)
    assert found.shape == power.T.shape == (1 + count // step, mels)
    np.testing.assert_allclose(found, np.log(np.maximum(power.T, 1e-10)), atol=1e-4)


def test_long_clips_are_computed_in_pieces_to_the_same_values():
    samples = np.random.default_rng(0).normal(size=160 * 5000)
    whole = audio_ops.log_mel(samples, 16_000, 20, 400, 160)
    part = audio_ops.log_mel(samples[160 * 4000 - 4000 :], 16_000, 20, 400, 160)
    np.testing.assert_allclose(part[50:], whole[4000 + 25 :], atol=1e-9)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mels", [8, 64, 256])
@pytest.mark.parametrize("library", LIBRARIES)
def test_no_band_is_empty(rate, mels, library):
    wide = round(rate / 40)
    size = audio_ops.transform(rate, mels, wide)
    assert size >= wide and audio_ops.filters(rate, mels, size).any(0).all()
    np.testing.assert_allclose(audio_ops.filters(rate, mels, size), mel_filters(library, rate, size, mels), atol=1e-7)


@pytest.mark.parametrize("decibels", [10, 30, 60])
@pytest.mark.parametrize("library", LIBRARIES)
def test_trimming_is_librosa_s(decibels, library):
    random = np.random.default_rng(1)
    around = np.concatenate([np.zeros(5003), random.normal(0, 1e-3, 2000), tone(0.5), random.normal(0, 1e-4, 3000)])
    expected = trimmed(library, around, decibels, 400, 160)
    found = audio_ops.trimmed(around.astype(np.float32), decibels, 400, 160)
    assert np.array_equal(found, expected.astype(np.float32)) and len(found) < len(around)


@pytest.mark.parametrize(("form", "kind"), FORMS)
def test_every_format_comes_back(form, kind):
    rate = 16_000
    samples = tone()
    found, said, seconds = audio_ops.read(written(samples, rate, form, kind))
    assert said == rate and seconds == pytest.approx(0.4, abs=0.01)
    if form in ("OGG", "MP3"):
        assert abs(len(found) - len(samples)) < 0.05 * rate
        assert pitch(found, rate) == pytest.approx(440, abs=5)
        assert np.corrcoef(found[1000:5000], samples[1000:5000])[0, 1] > 0.95
    else:
        step = {"PCM_U8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 0}[kind]
        assert np.abs(found - samples).max() <= step


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_channels_are_averaged(channels):
    random = np.random.default_rng(channels)
    samples = random.uniform(-0.5, 0.5, (4000, channels)).astype(np.float32)
    found, _, _ = audio_ops.read(written(samples, 8000, "WAV", "FLOAT"))
    np.testing.assert_allclose(found, samples.astype(np.float64).mean(1), atol=1e-7)


RESAMPLED = (8000, 11_025, 22_050, 44_100, 48_000, 96_000)


@pytest.mark.parametrize("rate", RESAMPLED)
def test_resampling_keeps_pitch_length_and_loudness(rate):
    found = audio_ops.resample(tone(0.5, rate), rate, 16_000)
    assert found.dtype == np.float32 and abs(len(found) - 8000) <= 1
    assert pitch(found, 16_000) == pytest.approx(440, abs=3)
    assert found[2000:6000].std() == pytest.approx(tone(0.5, rate).std(), rel=0.02)


@pytest.mark.long
@pytest.mark.parametrize("rate", RESAMPLED)
def test_resampling_is_librosa_s(rate):
    import librosa

    found = audio_ops.resample(tone(0.5, rate), rate, 16_000)
    reference = librosa.resample(tone(0.5, rate), orig_sr=rate, target_sr=16_000, res_type="soxr_hq")
    np.testing.assert_allclose(found[:7990], reference[:7990], atol=1e-6)


def test_no_more_is_read_than_is_wanted():
    samples, _, seconds = audio_ops.read(written(tone(3.0), 16_000), seconds=0.5)
    assert len(samples) == 8000 and seconds == pytest.approx(3.0)


@budget(deadline=None, max_examples=60)
@given(
    st.sampled_from(["int16", "int32", "uint8", "float32", "float64"]),
    st.integers(1, 500),
    st.integers(1, 4),
    st.integers(1000, 96_000),
)
def test_samples_survive_as_wav(dtype, count, channels, rate):
    random = np.random.default_rng(count)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        samples = random.uniform(-1, 1, (count, channels)).astype(kind)
    else:
        facts = np.iinfo(kind)
        samples = random.integers(facts.min, facts.max, (count, channels), dtype=kind, endpoint=True)
    content = audio_ops.as_wav(samples, rate)
    assert content == audio_ops.as_wav(samples.copy(), rate)
    wanted = "float32" if kind.kind == "f" else "int32"
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        assert (file.samplerate, file.channels, file.frames) == (rate, channels, count)
        found = file.read(dtype=wanted, always_2d=True)
    if dtype == "uint8":
        assert ((found >> 24) + 128 == samples).all()
    elif dtype == "int16":
        assert (found >> 16 == samples).all()
    else:
        assert (found == samples.astype(wanted)).all()


def test_what_no_wav_can_hold_is_refused():
    for dtype in (np.int64, np.complex64, bool):
        with pytest.raises(ValueError, match="expected float"):
            audio_ops.as_wav(np.zeros(4, dtype=dtype), 8000)
    for shape, rate in (((4,), 10**9), ((4,), 0), ((500, 400), 8000)):
        with pytest.raises(ValueError, match="not a recording"):
            audio_ops.as_wav(np.zeros(shape, dtype=np.float32), rate)


@pytest.mark.parametrize(("form", "kind"), FORMS)
@budget(deadline=None, max_examples=25)
@given(share=st.floats(0.0, 0.999))
def test_a_file_that_was_cut_off_is_not_read(form, kind, share):
    content = written(tone(), 16_000, form, kind)
    with pytest.raises(ValueError, match=r"cut off|not audio"):
        audio_ops.read(content[: int(share * len(content))])


def wav_that_says(size: int, rate: int = 8000, channels: int = 1) -> bytes:
    """A WAV whose header says that so many bytes follow; 200 do."""
    body = np.arange(-50, 50, dtype="<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + (struct.pack("<I", size) + body)
    )


def test_headers_that_lie():
    samples, _, _ = audio_ops.read(wav_that_says(200))
    assert len(samples) == 100
    for size in (202, 2**20, 2**32 - 2):
        with pytest.raises(ValueError, match="cut off"):
            audio_ops.read(wav_that_says(size))
    for facts in ({"rate": 0}, {"rate": 2**30}, {"channels": 0}, {"channels": 500}):
        with pytest.raises(ValueError, match=r"not a recording|not audio"):
            audio_ops.read(wav_that_says(200, **facts))
    streamed, _, _ = audio_ops.read(wav_that_says(0xFFFFFFFF))  # written by who didn't know the end
    assert len(streamed) == 100


def test_what_is_no_recording_is_told():
    for samples, said in (
        (np.zeros(0), "no samples"),
        (np.zeros(50), "silent"),
        (np.full(50, 0.25), "silent"),
        (np.array([0.1, np.nan]), "NaN"),
        (np.array([0.1, -np.inf]), "NaN"),
        (np.array([0, 20_000.0]), "samples up to 20000"),
    ):
        with pytest.raises(ValueError, match=said):
            audio_ops.check(samples.astype(np.float32))

"""Noise that is added to views: as loud as drawn, the same in both forms, replayed, and what is no noise."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.data.training_views import Viewer, uniform
from suffuse.errors import UsageError
from suffuse.modalities import TABLE, audio, audio_augment, audio_noise, audio_ops
from suffuse.modalities.audio_noise import Noise, Recording, active_power, recordings_of, sound_files
from suffuse.registry import settings as part_settings

RATE = 8000
STILL = {"time_masks": 0, "band_masks": 0}


def chosen(files: Any, form: str = "mel", share: float = 1.0, snr: tuple[float, float] = (0.0, 20.0), **more: Any):
    noise = {"files": files, "share": share, "snr": snr}
    return audio.Settings.model_validate(
        {"column": "c", "rate": RATE, "mels": 24, "form": form, "augment": {**STILL, "noise": noise, **more}}
    )


def speech(seconds: float = 1.5, seed: int = 0) -> np.ndarray:
    """Bursts of a buzz whose loudness and pitch change, with pauses between them."""
    at, random = np.arange(int(seconds * RATE)) / RATE, np.random.default_rng(seed)
    pitch = np.cumsum(120 + 30 * np.sin(2 * np.pi * 1.3 * at)) / RATE
    voice = sum(np.sin(2 * np.pi * n * pitch) / n for n in range(1, 20))
    envelope = np.clip(np.sin(2 * np.pi * 1.6 * at), 0, None)
    return (0.2 * envelope * voice + 1e-4 * random.standard_normal(len(at))).astype(np.float32)


def hiss(seconds: float, seed: int = 1) -> np.ndarray:
    """Noise with less power at high frequencies, louder and quieter."""
    random = np.random.default_rng(seed)
    white = random.standard_normal(int(seconds * RATE))
    return (0.02 * np.convolve(white, [1, 0.9, 0.7, 0.4, 0.2], "same")).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings: two long ones and one that is shorter than a clip."""
    (tmp_path / "noise" / "deep").mkdir(parents=True)
    for name, seconds in (("a.wav", 3.0), ("b.flac", 2.0), ("deep/c.wav", 0.3)):
        soundfile.write(tmp_path / "noise" / name, hiss(seconds, len(name)), RATE)
    (tmp_path / "noise" / "README.md").write_text("no sound")
    return tmp_path / "noise"


def entries(how: audio.Settings, clips: list[np.ndarray]) -> np.ndarray:
    items = [audio.load(how, (clip, RATE), Path())[1] for clip in clips]
    return audio.encode(how, audio.fit(how, items), items)


def drawn(**places: float) -> np.ndarray:
    """One view's numbers: 0.5 but for these of noise."""
    draws = np.full((1, audio.DRAWS), 0.5)
    names = {"share": audio_noise.SHARE, "recording": audio_noise.RECORDING, "place": audio_noise.PLACE}
    for name, value in places.items():
        draws[0, audio_augment.NOISE.start + {**names, "ratio": audio_noise.RATIO}[name]] = value
    return draws


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_noise_is_as_loud_as_drawn(folder, ratio):
    """In samples exactly; -5 to 15 dB."""
    how = chosen(str(folder), "wave", snr=(-5.0, 15.0))
    clip = entries(how, [speech()])
    added = (audio.augment(how, clip, drawn(ratio=ratio, recording=0.0)) - clip)[0, :, 0].astype(np.float64)
    wanted = active_power(how, clip[0, :, :-1]) / (added**2).mean()
    assert 10 * np.log10(wanted) == pytest.approx(-5 + 20 * ratio, abs=0.01)


def test_pauses_don_t_count_as_speech():
    """Two thirds of the clip are silent: the power is that of the rest."""
    for form in ("wave", "mel"):
        how = chosen("unread", form)
        tone = (0.3 * np.sin(2 * np.pi * 700 * np.arange(RATE) / RATE)).astype(np.float32)
        silence = np.full(RATE, 1e-6, dtype=np.float32)
        alone, among = (entries(how, [c])[0, :, :-1] for c in (tone, np.concatenate([silence, tone, silence])))
        ratio = 10 * np.log10(active_power(how, among) / active_power(how, alone))
        assert -0.6 < ratio <= 0.05, form  # the hangover of 0.1 s is part of it


def mel_of(how: audio.Settings, samples: np.ndarray) -> np.ndarray:
    return audio_ops.log_mel(samples, how.rate, how.mels, how.samples(how.window), how.samples(how.hop))


def heard(how: audio.Settings, power: np.ndarray) -> np.ndarray:
    return power @ audio_ops.band_widths(how.rate, how.mels)


@pytest.mark.parametrize(("decibels", "most"), [(20, 0.6), (10, 0.9), (0, 1.0), (-5, 0.9)])
def test_power_that_is_added_is_that_of_mixed_samples(decibels, most):
    """Cross terms are zero on average. The mean absolute difference on real data is asserted below."""
    how, differences = chosen("unread", snr=(decibels, decibels)), []
    assert how.augment and how.augment.noise
    for seed in range(8):
        clip, noise = speech(seed=seed), hiss(1.5, seed + 100)
        logs, quiet = mel_of(how, clip).astype(np.float32), mel_of(how, noise)
        power = heard(how, np.exp(quiet))
        recording = Recording(quiet.astype(np.float16), power.astype(np.float32))
        added = audio_noise.add_noise(how, how.augment.noise, (recording,), logs, np.zeros(4))
        gain = active_power(how, logs) / power.mean() * 10 ** (-decibels / 10)
        differences.append((added - mel_of(how, clip + np.sqrt(gain) * noise))[3:-3] * 10 / np.log(10))
    found = np.concatenate(differences)
    assert np.abs(found).mean() < most
    assert abs(np.mean(10 ** (-found / 10)) - 1) < 0.02  # mixed power over the sum of powers


def test_both_forms_make_noise_nearly_as_loud():
    """What lies below the first mel band and above the last one counts in samples only."""
    mel, wave, clip, noise = chosen("unread"), chosen("unread", "wave"), speech(), hiss(1.5)
    of_bands = active_power(mel, mel_of(mel, clip)) / heard(mel, np.exp(mel_of(mel, noise))).mean()
    of_samples = active_power(wave, clip[:, None]) / np.square(noise, dtype=np.float64).mean()
    assert abs(10 * np.log10(of_bands / of_samples)) < 0.5


@pytest.mark.real
def test_on_real_digits_in_real_noise(shared_data):
    """The power that is added is near that of mixed samples, and the ratio near the manifest's, which is over the
    digits' own times."""
    data, how = shared_data / "digits_noise", chosen("unread")
    if not data.is_dir():
        pytest.skip(f"no real data at {data}")
    rows = list(csv.DictReader((data / "manifest.csv").open(encoding="utf-8")))
    noisy = [row for row in rows if row["audio_noisy"]][::25]
    apart: dict[str, list[float]] = {}
    ratios = []
    for row in noisy:
        clean, mixed = (soundfile.read(data / row[key], dtype="float32")[0] for key in ("audio", "audio_noisy"))
        noise = mixed - clean
        logs = [mel_of(how, samples) for samples in (clean, noise, mixed)]
        difference = (np.logaddexp(logs[0], logs[1]) - logs[2]) * 10 / np.log(10)
        apart.setdefault(row["snr"], []).append(float(np.abs(difference).mean()))
        power = active_power(how, logs[0])
        loud = heard(how, np.exp(logs[1])).mean()
        ratios.append(10 * np.log10(power / loud) - float(row["snr"]))
    assert max(np.mean(values) for values in apart.values()) < 0.8, {k: np.mean(v) for k, v in apart.items()}
    assert abs(np.mean(ratios)) < 0.5 and np.abs(ratios).mean() < 1.2


def test_samples_and_power_hear_the_same_noise(folder):
    """Of one draw: teacher and student, or two forms of one column, get the same recording at the same place."""
    draws = drawn(recording=0.4, place=0.7, ratio=0.0)
    wave, mel = chosen(str(folder), "wave", snr=(0, 20)), chosen(str(folder), snr=(0, 20))
    expected = mel_of(mel, audio.augment(wave, entries(wave, [speech()]), draws)[0, :, 0])
    found = audio.augment(mel, entries(mel, [speech()]), draws)[0, :, :-1]
    assert np.abs(found - expected)[3:-3].mean() * 10 / np.log(10) < 1.6


def test_a_share_of_the_views_and_every_recording_and_place(folder):
    how = chosen(str(folder), share=0.8)
    clip = np.repeat(entries(how, [speech(0.5)]), 400, axis=0)
    draws = uniform((0, 1), np.arange(400), audio.DRAWS)
    seen = audio.augment(how, clip, draws)
    noisy = (seen != clip).any((1, 2))
    assert noisy.mean() == pytest.approx(0.8, abs=0.05)
    assert len({row.tobytes() for row in seen[noisy]}) == noisy.sum()  # no two alike
    np.testing.assert_array_equal(noisy, draws[:, audio_augment.NOISE.start] < 0.8)


def test_a_view_is_the_same_in_any_company(folder):
    for form in ("mel", "wave"):
        how = chosen(str(folder), form, share=0.7, reverberation={"share": 0.5}, speed=0.1)
        clips = entries(how, [speech(0.4, 1), speech(0.7, 2), speech(1.0, 3)])
        draws = uniform((3, 1), np.arange(3), audio.DRAWS)
        together = audio.augment(how, clips, draws)
        for n in range(3):
            length = int(clips[n, :, -1].sum())
            alone = audio.augment(how, clips[n : n + 1, :length], draws[n : n + 1])[0]
            real = int(alone[:, -1].sum())
            np.testing.assert_array_equal(together[n, :real], alone[:real])
            assert (together[n, real:] == 0).all()


def test_stored_views_are_replayed(folder):
    """A student sees in pass n what the teacher saw in view n mod V, whatever the student's seed."""
    how = chosen(str(folder), share=0.9, reverberation={"share": 0.5})
    clips, ids = entries(how, [speech(0.5, n) for n in range(4)]), np.array([7, 3, 11, 90])
    teacher, student = Viewer(5, 0.0, {"sound": how}), Viewer(77, 0.0, {"sound": how}, (5, 3))
    for number in range(7):
        seen = student.entries(number, "sound", ids, clips)
        np.testing.assert_array_equal(seen, teacher.entries(number % 3, "sound", ids, clips))
        assert (seen != student.entries(number + 1, "sound", ids, clips)).any()
    other = Viewer(77, 0.0, {"sound": how})
    assert (other.entries(0, "sound", ids, clips) != student.entries(0, "sound", ids, clips)).any()


def test_what_was_drawn_before_is_drawn_still():
    """Further numbers come after those that masks, gain, speed and warp have, which therefore stay."""
    assert (audio_augment.GAIN, audio_augment.SPEED, audio_augment.WARP) == (16, 17, 18)
    assert (slice(19, 23), slice(23, 27), 27) == (audio_augment.NOISE, audio_augment.ROOM, audio.DRAWS)
    ids = np.arange(50)
    np.testing.assert_array_equal(uniform((4, 2, 2, 9), ids, audio.DRAWS)[:, :19], uniform((4, 2, 2, 9), ids, 19))


def test_without_noise_the_other_changes_stay_as_they_are(folder):
    """A view that gets neither noise nor room differs in nothing from one of a recipe without them."""
    more: dict[str, Any] = {"speed": 0.1, "warp": 0.1, "gain": 6, "time_masks": 2, "band_masks": 2}
    how = chosen(str(folder), share=0.5, reverberation={"share": 0.5}, **more)
    plain = how.model_copy(update={"augment": audio.Augment.model_validate(more)})
    clips = np.repeat(entries(how, [speech(0.5)]), 60, axis=0)
    draws = uniform((0, 0), np.arange(60), audio.DRAWS)
    quiet = (draws[:, audio_augment.NOISE.start] >= 0.5) & (draws[:, audio_augment.ROOM.start] >= 0.5)
    assert 5 < quiet.sum() < 30
    seen, expected = audio.augment(how, clips, draws), audio.augment(plain, clips, draws)
    np.testing.assert_array_equal(seen[quiet], expected[quiet][:, : seen.shape[1]])
    assert (seen[~quiet][:, :20] != expected[~quiet][:, :20]).any((1, 2)).all()


@budget(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1, exclude_max=True))
def test_a_stretch_lies_in_its_recording_and_a_short_one_is_repeated(length, needed, draw):
    places = audio_noise._stretch(length, needed, draw)
    assert len(places) == needed and places.min() >= 0 and places.max() < length
    steps = np.diff(places)
    assert ((steps == 1) | (steps == 1 - length)).all()
    if length >= needed:
        assert (steps == 1).all()


def test_a_pause_of_a_recording_is_not_made_loud(tmp_path):
    """Digital silence between two bangs stays far below the ratio that was drawn."""
    bang = np.concatenate([hiss(0.2), np.full(3 * RATE, 1e-7, dtype=np.float32), hiss(0.2)])
    soundfile.write(tmp_path / "bang.wav", bang, RATE, subtype="FLOAT")
    how = chosen(str(tmp_path), "wave", snr=(0.0, 0.0))
    clip = entries(how, [speech(1.0)])
    added = (audio.augment(how, clip, drawn(place=0.5)) - clip)[0, :, 0].astype(np.float64)
    ratio = active_power(how, clip[0, :, :-1]) / max((added**2).mean(), 1e-30)
    assert 10 * np.log10(ratio) > 30


def test_recordings_are_decoded_once_and_as_clips_are(folder, monkeypatch):
    read, names = audio_noise._read, []
    monkeypatch.setattr(audio_noise, "_read", lambda file, seconds: (names.append(file.name), read(file, seconds))[1])
    how = chosen(str(folder))
    first = recordings_of(how, how.noise)
    assert recordings_of(how, how.noise) is first and names == ["a.wav", "b.flac", "c.wav"]
    expected = audio.load(how, str(folder / "a.wav"), folder)[1]
    np.testing.assert_array_equal(first[0].steps, expected)
    again = chosen(str(folder))
    assert recordings_of(again, again.noise) is first  # of other settings of the same value
    wave = chosen(str(folder), "wave")
    assert recordings_of(wave, wave.noise)[0].steps.shape == (3 * RATE, 1)


def test_a_training_sees_no_change_of_the_files_and_the_next_one_does(folder):
    how = chosen(str(folder / "a.wav"))
    before = recordings_of(how, how.noise)
    soundfile.write(folder / "a.wav", hiss(2.5, 9), RATE)
    assert recordings_of(how, how.noise) is before
    fresh = chosen(str(folder / "a.wav"))
    assert len(recordings_of(fresh, fresh.noise)[0].steps) < len(before[0].steps)
    known = len(audio_noise._of_settings)
    del how
    assert len(audio_noise._of_settings) < known  # nothing is kept for settings that are gone


def test_other_rates_and_channels_are_read(tmp_path):
    loud = np.repeat(hiss(1.0), 2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([loud, loud], 1), 2 * RATE)
    how = chosen(str(tmp_path), "wave")
    assert recordings_of(how, how.noise)[0].steps.shape == (RATE, 1)


def test_a_folder_a_pattern_and_a_list(folder):
    def names(files: Any) -> list[str]:
        return [file.name for file in sound_files(Noise(files=files))]

    assert names(str(folder)) == ["a.wav", "b.flac", "c.wav"]
    assert names(f"{folder}/*.flac") == ["b.flac"]
    assert names([f"{folder}/b.flac", f"{folder}/deep"]) == ["b.flac", "c.wav"]
    (folder / "odd[1].wav").write_bytes((folder / "a.wav").read_bytes())
    assert names(f"{folder}/odd[1].wav") == ["odd[1].wav"]  # a name that is there is no pattern


def test_paths_start_from_the_recipe_s_folder_and_are_named(folder):
    relative = chosen(["noise/a.wav", "noise/*.flac"]).placed(folder.parent)
    assert [file.name for file in sound_files(relative.augment.noise)] == ["a.wav", "b.flac"]  # type: ignore[union-attr]
    assert relative.references() == {
        "augment.noise.files.0": str(folder / "a.wav"), "augment.noise.files.1": str(folder)
    }  # fmt: skip
    assert chosen("noise").placed(folder.parent).references() == {"augment.noise.files": str(folder)}
    plain = audio.Settings(column="c")
    assert plain.references() == {} and plain.placed(folder) is plain


def test_what_is_no_noise_is_said_before_anything_is_read(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for files, says in (
        (str(tmp_path / "gone"), "no such noise"),
        (str(tmp_path / "empty"), "no noise in this folder"),
        (f"{folder}/x*.wav", "no noise has such a name"),
        ([str(folder), str(tmp_path / "gone")], "no such noise"),
        (str(folder / "README.md"), "this noise can't be read"),
    ):
        how = chosen(files)
        with pytest.raises(UsageError, match=says) as raised:
            audio.ready(how, False)
        assert raised.value.exit_code == 2 and raised.value.where and raised.value.got and raised.value.expected
        audio.ready(how, True)  # a saved model needs no noise
    audio.ready(chosen(str(folder)), False)
    audio.ready(audio.Settings(column="c"), False)


def test_noise_that_can_t_be_read_stops_a_training(folder, monkeypatch):
    (folder / "broken.wav").write_bytes((folder / "a.wav").read_bytes()[:-4000])
    how = chosen(str(folder))
    with pytest.raises(UsageError, match="this noise can't be read") as raised:
        audio.augment(how, entries(how, [speech(0.2)]), drawn())
    assert "broken.wav" in str(raised.value.where) and "cut off" in str(raised.value.got)
    soundfile.write(folder / "broken.wav", np.zeros(RATE), RATE)
    with pytest.raises(UsageError, match="silent"):
        recordings_of(again := chosen(str(folder)), again.noise)
    (folder / "broken.wav").unlink()
    monkeypatch.setattr(audio_noise, "LONGEST", 2.5)
    with pytest.raises(UsageError, match="too long"):
        recordings_of(long := chosen(str(folder)), long.noise)


def test_memory_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(audio_noise, "MOST", 15_000)
    how = chosen(str(folder))
    with pytest.raises(UsageError, match="too much noise") as raised:
        recordings_of(how, how.noise)
    assert "at most 15,000" in str(raised.value.expected) and raised.value.hint


@pytest.mark.parametrize(
    ("augment", "says"),
    [
        ({"noise": {"files": ""}}, "got none"),
        ({"noise": {"files": []}}, "got none"),
        ({"noise": {"files": "n", "snr": [20, 0]}}, "got .20, 0."),
        ({"noise": {"files": "n", "snr": [0, 400]}}, "from -40 to 100 dB"),
        ({"noise": {"files": "n", "share": 0}}, "greater than 0"),
        ({"noise": {"snr": [0, 20]}}, "files"),
        ({"reverberation": {"seconds": [0.5, 0.1]}}, "got .0.5, 0.1."),
        ({"reverberation": {"drr": [3, 99]}}, "from -20 to 60 dB"),
    ],
)
def test_what_can_t_be_is_refused(augment, says):
    with pytest.raises(ValueError, match=says):
        part_settings(TABLE, {"kind": "audio", "column": "c", "augment": augment})


@pytest.mark.parametrize("augment", [{"noise": {"files": "n"}}, {"reverberation": {}}])
def test_an_embedding_can_t_be_mixed(augment):
    with pytest.raises(ValueError, match="expected form mel or wave: the embedding of a mixture can't be computed"):
        part_settings(TABLE, {"kind": "audio", "column": "c", "form": "embedding", "augment": augment})


def test_it_is_plain_data():
    """As a recipe is saved and read."""
    how = chosen(["a", "b/*.wav"], reverberation={"seconds": [0.2, 0.3]})
    assert part_settings(TABLE, json.loads(json.dumps(how.model_dump(mode="json")))) == how

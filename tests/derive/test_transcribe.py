"""Speech to text: each recording by itself; what can't be heard says why."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from suffuse.derive import transcribe
from suffuse.errors import UsageError
from suffuse.modalities.cell import Absent, Unreadable

SETTINGS = transcribe.Settings(column="audio", seconds=4)


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def test_a_recogniser_that_isn_t_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    transcribe._recogniser.cache_clear()
    with pytest.raises(UsageError, match="pocketsphinx isn't installed") as caught:
        transcribe.ready(SETTINGS)
    assert "suffuse[transcribe]" in caught.value.hint


def test_a_model_that_is_no_model(tmp_path):
    pytest.importorskip("pocketsphinx")
    with pytest.raises(UsageError, match="the recogniser can't be started"):
        transcribe.ready(transcribe.Settings(column="audio", model=str(tmp_path)))


@pytest.mark.parametrize(
    ("cell", "error", "said"),
    [
        (None, Absent, "empty cell"),
        (b"", Absent, "empty cell"),
        ({"bytes": None, "path": None}, Absent, "empty cell"),
        ("gone.wav", Unreadable, "no such file"),
        (".", Unreadable, "not a file: a directory"),
        (b"RIFF no sound", Unreadable, "not audio|cut off"),
    ],
)
def test_what_can_t_be_heard_says_why(cell, error, said, tmp_path):
    pytest.importorskip("pocketsphinx")
    with pytest.raises(error, match=said):
        transcribe.make(SETTINGS, {}, cell, tmp_path)


def test_silence_and_no_samples():
    pytest.importorskip("pocketsphinx")
    with pytest.raises(Unreadable, match="silent: all samples are the same"):
        transcribe.make(SETTINGS, {}, wav(np.zeros(8000)), Path())
    with pytest.raises(Unreadable, match="no samples"):
        transcribe.make(SETTINGS, {}, wav(np.zeros(0)), Path())


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.real
def test_it_hears_the_same_in_any_order_and_much_of_what_was_said(shared_data):
    pytest.importorskip("pocketsphinx")
    root = shared_data / "coffee_orders619"
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["duration"]))[2:6]
    heard = [transcribe.make(SETTINGS, {}, row["audio"], root) for row in rows]
    transcribe._recogniser.cache_clear()
    again = [transcribe.make(SETTINGS, {}, row["audio"], root) for row in rows[::-1]][::-1]
    assert heard == again
    shares = [
        len(set(h.split()) & set(r["text_asr"].split())) / len(set(r["text_asr"].split()))
        for h, r in zip(heard, rows, strict=True)
    ]
    assert np.mean(shares) > 0.5, list(zip(heard, [r["text_asr"] for r in rows], strict=True))

"""Recordings on the page: read again where table and files are as they were, a bounded number, and never guessed."""

from __future__ import annotations

import base64
import csv
import io
import wave
from pathlib import Path

import numpy as np
import pytest

from suffuse import pipeline
from suffuse.modalities.audio_ops import as_wav
from suffuse.report import source_audio
from suffuse.report.dataset_view import DatasetView
from suffuse.run import Run

RATE = 8000


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Tones of different heights, prepared as log-mel power in two modalities."""
    table = tmp_path / "rows.csv"
    with table.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "clip", "answer"])
        for n in range(24):
            tone = np.sin(np.arange(3 * RATE) * (0.1 + 0.02 * n))
            coarse = np.clip(np.rint(100 * tone) + 128, 0, 255).astype(np.uint8)
            (tmp_path / f"{n}.wav").write_bytes(as_wav(coarse, RATE))
            lines.writerow([f"r{n}", f"{n}.wav", "ab"[n % 2]])
    heard = {"kind": "audio", "column": "clip", "rate": RATE, "seconds": 3}
    network = {"encoders": {"sound": {"kind": "conv1d", "widths": [4]}}, "fusion": {"kind": "concat", "width": 4}}
    made = Run.of(
        {
            "data": {"source": str(table), "target": "answer", "id": "id"},
            "modalities": {"sound": heard, "speech": {**heard, "mels": 20}},
            "teacher": {**network, "encoders": {**network["encoders"], "speech": {"kind": "conv1d", "widths": [8]}}},
            "student": network,
        },
        tmp_path / "run",
    )
    pipeline.run_stage(made, "prepare")
    return made


def heard(uri: str) -> tuple[np.ndarray, int]:
    with wave.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.uint8), file.getframerate()


def test_a_row_s_own_recording_is_heard_for_two_seconds_and_once(run: Run):
    prepared = DatasetView.open(run)
    for row in (0, 5):
        sound, speech = prepared.cells(row)
        assert sound.picture and speech.picture and not speech.sound
        samples, rate = heard(sound.sound)
        assert (len(samples), rate) == (2 * RATE, RATE)
        tall = np.abs(np.fft.rfft(samples.astype(float) - 128)).argmax() * np.pi / RATE
        number = int(prepared.id(row).removeprefix("r"))
        assert tall == pytest.approx(0.1 + 0.02 * number, abs=0.005)


def test_both_languages_hear_the_same_ones_and_no_more_than_some(run: Run):
    prepared = DatasetView.open(run)
    first, again = ([bool(prepared.cells(row)[0].sound) for row in range(20)] for _ in range(2))
    assert first == again and sum(first) == source_audio.MAX_CLIPS


def test_a_file_that_is_gone_or_another_table_is_silent(run: Run, tmp_path: Path):
    for file in tmp_path.glob("*.wav"):
        file.unlink()
    cell = DatasetView.open(run).cells(0)[0]
    assert cell.picture and not cell.sound
    (tmp_path / "rows.csv").write_text("id,clip,answer\n" + "".join(f"x{n},{n}.wav,a\n" for n in range(24)))
    assert DatasetView.open(run).audio.short_clip("sound", 0) == ""

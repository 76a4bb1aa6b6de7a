"""Recordings in which each word is a tone, and a recipe that learns to write them down within seconds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 4000
TONES = {"bo": 300.0, "di": 600.0, "ka": 1000.0, "lu": 1500.0}
LONG, GAP = 0.16, 0.06  # seconds of a word, and between two


def utterance(words: list[str], random: np.random.Generator) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Samples, and when each word starts and ends."""
    parts, times, at = [np.zeros(round(GAP * RATE))], [], GAP
    for word in words:
        time = np.arange(round(LONG * RATE)) / RATE
        parts += [0.3 * np.sin(2 * np.pi * TONES[word] * time), np.zeros(round(GAP * RATE))]
        times.append((at, at + LONG))
        at += LONG + GAP
    samples = np.concatenate(parts)
    return samples + 0.01 * random.normal(size=len(samples)), times


def write_table(folder: Path, rows: int = 150) -> list[dict[str, str]]:
    """rows.csv with recordings, transcripts and an unrelated note of each; some rows have no transcript, one has more
    words than its recording can hold, one a word that training never has."""
    random, table = np.random.default_rng(0), []
    (folder / "audio").mkdir(parents=True)
    for number in range(rows):
        words = random.choice(list(TONES), size=random.integers(1, 5)).tolist()
        samples, _ = utterance(words, random)
        file = f"audio/{number}.wav"
        soundfile.write(folder / file, samples, RATE)
        split = "train" if number < 0.7 * rows else "validation" if number < 0.85 * rows else "test"
        table.append({"id": f"u{number}", "audio": file, "words": " ".join(words), "split": split, "note": words[0]})
    table[0]["words"] = table[1]["words"] = ""
    table[2]["words"] = " ".join(["bo"] * 60)
    table[-1]["words"] += " xylophone"
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return table


def recipe(**changes: Any) -> dict[str, Any]:
    """A teacher that reads the note too, and a student that hears the recording alone."""
    sound = {"kind": "conv1d", "widths": [24, 24], "kernel": 5}
    return {
        "version": 1,
        "data": {
            "source": "rows.csv",
            "target": "words",
            "id": "id",
            "split": {"column": "split"},
            "tasks": {"words": {"kind": "tokens", "units": "words", "frame": 40}},
        },
        "modalities": {
            "audio": {"kind": "audio", "column": "audio", "rate": RATE, "mels": 16, "seconds": 2},
            "note": {"kind": "text", "column": "note", "tokens": "words", "length": 4},
        },
        "teacher": {
            "encoders": {"audio": sound, "note": {"kind": "gru", "embedding": 4, "width": 8}},
            "fusion": {"kind": "frames", "width": 32, "heads": 2},
            "train": {"epochs": 16, "batch": 16, "learning_rate": 0.01},
        },
        "student": {
            "encoders": {"audio": {**sound, "widths": [12, 12]}},
            "fusion": {"kind": "frames", "width": 16, "heads": 2},
        },
        "distill": {
            "train": {"epochs": 16, "batch": 16, "learning_rate": 0.01},
            "num_seeds": 1,
            "baseline": {"epochs": 16},
        },
        "export": {"int8": "off", "teacher": False},
        "evaluate": {"resamples": 100, "probes": ["missing", "size"]},
        **changes,
    }

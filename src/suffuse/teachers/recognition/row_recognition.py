"""The run's rows -> recordings -> what recognisers hear in them -> the table of transcripts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files import new_file, write_json
from ...modalities import audio
from ...modalities.cell import Absent, Unreadable, content
from ...progress import progress, say
from ...transcripts.spoken_digits import spell_digits
from .recogniser_folder import RATE, RecogniserModel, open_recogniser
from .recognition_log import Heard, RecognitionLog, recording_key

if TYPE_CHECKING:
    from ...prepare.raw_cells import RawRows

NO_RECORDING = "no recording"
UNREADABLE = "a recording that can't be read"
TOO_LONG = "a recording that is too long for the recogniser"
REASONS = (NO_RECORDING, UNREADABLE, TOO_LONG)
PIECE = 64  # rows whose cells are read at once


@dataclass(frozen=True)
class Recordings:
    """The recordings in a column of a run's rows, as the settings of a modality have them heard, at ``RATE``."""

    raw: RawRows
    column: str
    settings: audio.Settings

    @classmethod
    def of(cls, raw: RawRows, column: str, modality: audio.Settings) -> Recordings:
        """Trimmed and cut as the modality's, whatever its form and rate."""
        return cls(raw, column, modality.model_copy(update={"rate": RATE, "form": "wave"}))

    def contents(self, rows: np.ndarray) -> Iterator[tuple[int, bytes | None, str]]:
        """Of each row the bytes of its recording; None where there are none, and why."""
        for start in range(0, len(rows), PIECE):
            piece = rows[start : start + PIECE]
            for row, record in zip(piece.tolist(), self.raw.records([self.column], piece), strict=True):
                try:
                    yield row, content(audio.packed(self.settings, record[self.column]), self.raw.root), ""
                except Absent:
                    yield row, None, NO_RECORDING
                except Unreadable:
                    yield row, None, UNREADABLE

    def facts(self) -> dict[str, Any]:
        """What decides the samples of a recording, beside its bytes."""
        trimmed = {"trim", "window", "hop"} if self.settings.trim is not None else set()
        return self.settings.model_dump(mode="json", include={"rate", "seconds", *trimmed})


@dataclass(frozen=True)
class RowText:
    """What is heard in the recording of one row."""

    text: str | None  # as the recogniser writes it
    confidence: float | None = None
    second: str | None = None  # another recogniser's
    reason: str = ""  # why there is no text


def recognise_rows(
    recordings: Recordings, rows: np.ndarray, models: Sequence[RecogniserModel], log: RecognitionLog, machine: Any
) -> dict[int, RowText]:
    """The rows' texts by one or two recognisers. A recording that the log has isn't recognised again, and one that
    several rows have is recognised once. ``machine``: the device, and the number of threads."""
    digests: dict[int, str] = {}
    texts: dict[int, RowText] = {}
    for row, recording, reason in recordings.contents(rows):
        if recording is None:
            texts[row] = RowText(None, reason=reason)
        else:
            digests[row] = hashlib.sha256(recording).hexdigest()
    heard: list[dict[int, Heard]] = []
    for model in models:
        facts = {**recordings.facts(), **model.facts()}
        keys = {row: recording_key(digest, facts) for row, digest in digests.items()}
        _recognise(recordings, keys, model, log, machine)
        heard.append({row: log.heard[key] for row, key in keys.items()})
    for row in digests:
        first, *others = (by_row[row] for by_row in heard)
        second = next((other.text for other in others), None)
        texts[row] = RowText(first.text, first.confidence, second, first.reason)
    return texts


def _recognise(
    recordings: Recordings, keys: dict[int, str], model: RecogniserModel, log: RecognitionLog, machine: Any
) -> None:
    """Recognise what the log hasn't got, a batch at a time."""
    missing = {key: row for row, key in reversed(keys.items()) if key not in log.heard}  # the first row of each
    distinct = len(set(keys.values()))
    words = f"{len(missing):,} of them left to recognise" if missing else "all recognised before"
    say(f"{'recognise':<9} {distinct:,} distinct recordings by {model.name}, {words}")
    if not missing:
        return
    recogniser = open_recogniser(model, *machine)
    key_of = {row: key for key, row in missing.items()}
    with progress("recognise") as tell:
        batch: list[tuple[str, np.ndarray]] = []
        for done, (row, recording, _) in enumerate(recordings.contents(np.array(sorted(key_of))), 1):
            samples, reason = _samples(recordings.settings, recording, model.seconds)
            if samples is None:
                log.add(Heard(key_of[row], None, reason=reason))
            else:
                batch.append((key_of[row], samples))
            if batch and (len(batch) == model.batch or done == len(key_of)):
                answers = recogniser.recognise([samples for _, samples in batch])
                for (key, _), (text, confidence) in zip(batch, answers, strict=True):
                    log.add(Heard(key, text, round(confidence, 6)))
                batch = []
            tell(done / len(key_of), f"{done:,} of {len(key_of):,} recordings")


def _samples(settings: audio.Settings, recording: bytes | None, longest: float) -> tuple[np.ndarray | None, str]:
    """Samples (N,); None where there are none, and why."""
    if recording is None:  # it went since
        return None, UNREADABLE
    try:
        samples, _ = audio.waveform(settings, recording)
    except ValueError:
        return None, UNREADABLE
    return (None, TOO_LONG) if len(samples) > longest * RATE else (samples, "")


def write_transcripts(file: Path, ids: Sequence[str], texts: dict[int, RowText], spelled: bool, model: str) -> None:
    """The table of texts, a line of JSON for each row that has one: ``id``, ``transcript`` (with ``spelled``, numbers
    as spoken digits), ``confidence``, ``second_transcript``, and ``heard``, the text as the recogniser wrote it. Beside
    it, in a file of JSON, the model and the ids of the other rows by the reason why they have none."""
    spell = spell_digits if spelled else str
    abstentions: dict[str, list[str]] = {}
    with new_file(file) as out:
        for row, found in sorted(texts.items()):
            if found.text is None:
                abstentions.setdefault(found.reason, []).append(ids[row])
                continue
            record = {
                "id": ids[row], "transcript": spell(found.text), "confidence": found.confidence,
                "second_transcript": None if found.second is None else spell(found.second), "heard": found.text,
            }  # fmt: skip
            out.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
    write_json(file.with_suffix(".json"), {"model": model, "abstentions": abstentions})
    reasons = Counter({reason: len(names) for reason, names in abstentions.items()})
    silence = "; ".join(f"{count:,} rows: {reason}" for reason, count in reasons.most_common())
    say(f"{'recognise':<9} transcripts of {len(texts) - reasons.total():,} rows" + (f"; {silence}" if silence else ""))

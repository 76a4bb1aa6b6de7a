"""Transcripts of a recogniser from outside as a teacher's answers: matched with the run's units, filtered, counted.

A text has no times. ``logits`` (B, T V) spell it in the first frames of its recording: a frame for each unit, and a
blank after it where frames suffice, each with the answer's confidence. Greedy decoding gives the text back, so scores
and :mod:`suffuse.losses.kinds.sequence_kd` read it as any teacher's; losses that compare frames are refused. Frames
after the recording's end are blank.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..data.columns import Columns
from ..prepare.transcript_targets import recordings
from ..recipe import Recipe
from ..transcripts.error_rates import word_errors
from ..transcripts.text_matching import TextMatcher
from ..types import BLANK, Head, blank_logits
from .matching import FRAMES

SUREST = 1 - 1e-6  # the largest probability of a frame's output: its logits are finite
LEAST_ABOVE_CHANCE = 0.02  # by so much it is above 1 / V at least, so that it is the largest of its frame

NO_TEXT = "no transcript"
UNKNOWN_UNITS = "units that the run doesn't have"
TOO_LONG = "more units than its recording has frames"
UNSURE = "confidence too low"
NO_CONFIDENCE = "no confidence"
DISAGREES = "too many word errors against the second transcript"
NO_SECOND = "no second transcript"
REASONS = (NO_TEXT, UNKNOWN_UNITS, TOO_LONG, UNSURE, NO_CONFIDENCE, DISAGREES, NO_SECOND)

Units = tuple[int, ...]  # outputs 1..V-1


@dataclass(frozen=True)
class Recognition:
    """What a recogniser says of one recording."""

    text: str
    confidence: float | None = None  # 0 to 1
    second: str | None = None  # another recogniser's text


@dataclass(frozen=True)
class Filter:
    """Which answers a student learns from."""

    min_confidence: float = 0.0  # 0: not asked for
    max_word_error: float | None = None  # against the second transcript; None: not asked for


@dataclass(frozen=True)
class TranscriptAnswers:
    """The answers to the N rows of a run, as a source of a teacher."""

    head: Head
    units: tuple[Units | None, ...]  # (N,); None: an abstention
    confidence: np.ndarray  # (N,) of each answer, 1 where it isn't known
    frames: np.ndarray  # (N,) int64, frames of each row's recording
    reasons: dict[str, int]  # why rows have no answer -> how many
    normalised: int  # transcripts that aren't used as they were written
    model: str  # as a report calls it
    content: str  # hash of what was read, and how
    outputs: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    form: str = FRAMES

    def fingerprint(self) -> str:
        """Hash of the table, of how it is read, and of the run's units and frames."""
        head = [self.head.units, self.head.classes, self.head.frames, self.head.frame]
        return hashlib.sha256(json.dumps([self.content, head]).encode()).hexdigest()

    def facts(self) -> dict:
        """The rows that it answers, why it leaves out the others, and how many texts were normalised."""
        answered = sum(units is not None for units in self.units)
        return {
            "parameters": None, "answered": answered, "asked": len(self.units), "normalised": self.normalised,
            "model": self.model, "questioned": len(self.units), "reasons": self.reasons,
        }  # fmt: skip

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """Rows (B,) -> ``logits`` (B, T V), NaN of an abstention."""
        logits = np.full((len(rows), self.head.outputs), np.nan, dtype=np.float32)
        for number, row in enumerate(rows.tolist()):
            units = self.units[row]
            if units is not None:
                logits[number] = spelled(self.head, units, float(self.confidence[row]), int(self.frames[row]))
        return {"logits": logits}


def match_transcripts(
    head: Head, recognitions: Sequence[Recognition | None], frames: np.ndarray, filter: Filter, names: tuple[str, str]
) -> TranscriptAnswers:
    """The recognitions of N rows, None where there is none, and the frames (N,) of their recordings -> the answers that
    pass the filter. ``names``: the model's, and the hash of what was read."""
    matcher, normalised = TextMatcher.of(head), 0
    units: list[Units | None] = []
    reasons: list[str] = []
    for recognition, count in zip(recognitions, frames.tolist(), strict=True):
        if recognition is None:
            row_units, reason = None, NO_TEXT
        else:
            text = matcher.normalised(recognition.text)
            normalised += text != recognition.text
            row_units, reason = _fitting(matcher.encode(text), count)
            reason = reason or _unsure(recognition.confidence, filter.min_confidence)
        units.append(row_units)
        reasons.append(reason)
    if filter.max_word_error is not None:
        reasons = _disagreeing(matcher, recognitions, reasons, filter.max_word_error)
    sure = np.array([1.0 if r is None or r.confidence is None else r.confidence for r in recognitions])
    kept = tuple(None if reason else row for row, reason in zip(units, reasons, strict=True))
    counts = dict(Counter(reason for reason in reasons if reason).most_common())
    return TranscriptAnswers(head, kept, sure, frames, counts, normalised, *names)


def _fitting(units: Units | None, frames: int) -> tuple[Units | None, str]:
    if units is None:
        return None, UNKNOWN_UNITS
    return units, TOO_LONG if needed_frames(units) > frames else ""


def _unsure(confidence: float | None, least: float) -> str:
    if not least:
        return ""
    if confidence is None:
        return NO_CONFIDENCE
    return UNSURE if confidence < least else ""


def _disagreeing(
    matcher: TextMatcher, recognitions: Sequence[Recognition | None], reasons: Sequence[str], most: float
) -> list[str]:
    """The reasons, with those of rows whose second transcript is too different, or isn't there. An empty second
    transcript counts each word of the first as an error."""
    pairs = {
        row: (matcher.normalised(found.second), matcher.normalised(found.text))
        for row, found in enumerate(recognitions)
        if found is not None and found.second is not None and not reasons[row]
    }
    counts = word_errors([second for second, _ in pairs.values()], [text for _, text in pairs.values()])
    rates = dict(zip(pairs, counts.errors / np.maximum(counts.reference, 1), strict=True))
    return [reason or _difference(rates.get(row), most) for row, reason in enumerate(reasons)]


def _difference(word_error: float | None, most: float) -> str:
    if word_error is None:
        return NO_SECOND
    return DISAGREES if word_error > most else ""


def row_frames(recipe: Recipe, columns: Columns, head: Head) -> np.ndarray:
    """(N,) int64 frames of each row's recording, the longest of those that networks of the run read; 0 where it has
    none."""
    networks = [tuple(network.encoders) for network in recipe.networks.values()]
    frames = np.zeros(len(columns.entry), dtype=np.int64)
    for name, step in recordings(recipe.modalities, networks, head.name).items():
        place = columns.spec.names.index(name)
        steps = np.where(columns.present[:, place], columns.entries[name].length[columns.entry[:, place]], 0)
        frames = np.maximum(frames, np.ceil(steps * step / head.frame - 1e-9).astype(np.int64))
    return np.minimum(frames, head.frames)


def needed_frames(units: Units) -> int:
    """Frames that CTC needs for these units: one each, and one between equal ones."""
    return len(units) + sum(a == b for a, b in pairwise(units))


def spelled(head: Head, units: Units, confidence: float, frames: int) -> np.ndarray:
    """(T V,) logits whose greedy decoding is ``units``, in the first ``frames``. Each frame's output has probability
    ``confidence``, limited to what makes it the largest and finite, and the others share the rest."""
    width = head.frame_outputs
    p = min(max(confidence, 1 / width + LEAST_ABOVE_CHANCE), SUREST)
    logits = np.array(blank_logits(head), dtype=np.float32).reshape(head.frames, width)
    logits[:frames] = np.log((1 - p) / (width - 1))
    path = np.full(frames, BLANK)
    spaced = 2 * len(units) <= frames
    at, before = 0, BLANK
    for unit in units:
        at += unit == before and not spaced
        path[at] = unit
        at, before = at + (2 if spaced else 1), unit
    logits[np.arange(frames), path] = np.log(p)
    return logits.reshape(-1)

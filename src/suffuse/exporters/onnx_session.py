"""An ONNX file in ONNX Runtime: entries and ``present`` in, logits out; and two of them timed side by side."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from ..checked_json import read_checked, write_checked
from ..errors import SuffuseError

Feed = Mapping[str, np.ndarray]
PAIRS, SECONDS = 40, 1.5  # blocks of each that are timed at the most, and for how long
BLOCK = 0.003  # seconds of a block: shorter ones time the clock


class Session:
    """A model on the processor, in one thread unless told otherwise.

    Raises SuffuseError where ONNX Runtime can't load it.
    """

    def __init__(self, content: bytes, threads: int = 1):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        try:
            self.session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # what ONNX Runtime raises shares no base class
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise SuffuseError("ONNX Runtime can't load this model", got=said) from None

    def logits(self, entries: Feed, present: np.ndarray) -> np.ndarray:
        """Entries (B, ...) and present (B, M) bool -> (B, C) float32."""
        return self.run(feed(entries, present))

    def run(self, given: Feed) -> np.ndarray:
        """What :func:`feed` made -> (B, C) float32."""
        return np.asarray(self.session.run(["logits"], dict(given))[0])


def feed(entries: Feed, present: np.ndarray) -> dict[str, np.ndarray]:
    """Entries as the file takes them: token ids as int64."""
    made = {n: e.astype(np.int64) if e.dtype == np.int32 else e for n, e in entries.items()}
    return {**made, "present": present}


@dataclass(frozen=True)
class Ratio:
    """Time of one model / time of another, over pairs of blocks."""

    low: float  # quartile
    median: float
    high: float  # quartile


def ratio(ours: Session, theirs: Session, given: Feed, seconds: float = SECONDS) -> Ratio:
    """Blocks of both by turns, in changing order, so that a slower moment of the machine falls on both."""
    count = max(1, round(BLOCK / max(_block(theirs, given, 1), 1e-6)))
    for session in (ours, theirs):
        _block(session, given, count)
    found, started = [], time.perf_counter()
    while len(found) < PAIRS and (len(found) < 8 or time.perf_counter() - started < seconds):
        first, second = (ours, theirs) if len(found) % 2 else (theirs, ours)
        taken = {id(first): _block(first, given, count)}
        taken[id(second)] = _block(second, given, count)
        found.append(taken[id(ours)] / taken[id(theirs)])
    low, median, high = statistics.quantiles(found, n=4)
    return Ratio(round(low, 3), round(median, 3), round(high, 3))


def _block(session: Session, given: Feed, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        session.run(given)
    return time.perf_counter() - start


AGAIN = "remove it: the times are measured again, and another form may be chosen by them"


@dataclass(frozen=True)
class Times:
    """The ratios of a run."""

    file: Path
    given: Feed  # one row, as the model takes it

    def ratio(self, ours: bytes, theirs: bytes, name: str) -> Ratio:
        """Time of one model / time of another, on one row and one thread; ``name`` is for who reads the file."""
        known = read_checked(self.file, AGAIN) or {}
        key = hashlib.sha256(hashlib.sha256(ours).digest() + hashlib.sha256(theirs).digest()).hexdigest()
        if key in known:
            return Ratio(**known[key]["ratio"])
        found = ratio(Session(ours), Session(theirs), self.given)
        write_checked(self.file, {**known, key: {"of": name, "ratio": asdict(found)}})
        return found

"""An ONNX file in ONNX Runtime: entries and ``present`` in, logits out; and the latency of two of them, compared.

No two measurements agree to the last digit, and what is chosen by them must not change when a stage is repeated. So the
ratios are kept in the run by the contents of the two files (:class:`LatencyCache`).
"""

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
    """A model on the CPU, with one thread by default.

    Raises SuffuseError where ONNX Runtime can't load it.
    """

    def __init__(self, content: bytes, threads: int = 1):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        try:
            self.session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # what ONNX Runtime raises shares no base class
            message = (str(error) or type(error).__name__).splitlines()[0]
            raise SuffuseError("ONNX Runtime can't load this model", got=message) from None

    def logits(self, entries: Feed, present: np.ndarray) -> np.ndarray:
        """Entries (B, ...) and present (B, M) bool -> (B, C) float32."""
        return self.run(feed(entries, present))

    def run(self, feeds: Feed) -> np.ndarray:
        """What :func:`feed` made -> (B, C) float32."""
        return np.asarray(self.session.run(["logits"], dict(feeds))[0])


def feed(entries: Feed, present: np.ndarray) -> dict[str, np.ndarray]:
    """Entries as the file takes them: token ids as int64."""
    arrays = {n: e.astype(np.int64) if e.dtype == np.int32 else e for n, e in entries.items()}
    return {**arrays, "present": present}


@dataclass(frozen=True)
class LatencyRatio:
    """Time of one model / time of another, over pairs of blocks."""

    low: float  # quartile
    median: float
    high: float  # quartile


def latency_ratio(model: Session, reference: Session, feeds: Feed, seconds: float = SECONDS) -> LatencyRatio:
    """Time blocks of both by turns, in changing order, so that a slower moment of the machine affects both."""
    count = max(1, round(BLOCK / max(_block(reference, feeds, 1), 1e-6)))
    for session in (model, reference):
        _block(session, feeds, count)
    ratios, started = [], time.perf_counter()
    while len(ratios) < PAIRS and (len(ratios) < 8 or time.perf_counter() - started < seconds):
        first, second = (model, reference) if len(ratios) % 2 else (reference, model)
        taken = {id(first): _block(first, feeds, count)}
        taken[id(second)] = _block(second, feeds, count)
        ratios.append(taken[id(model)] / taken[id(reference)])
    low, median, high = statistics.quantiles(ratios, n=4)
    return LatencyRatio(round(low, 3), round(median, 3), round(high, 3))


def _block(session: Session, feeds: Feed, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        session.run(feeds)
    return time.perf_counter() - start


AGAIN = "remove it: the times are measured again, and another form may be chosen by them"


@dataclass(frozen=True)
class LatencyCache:
    """The measured ratios of a run."""

    file: Path
    feeds: Feed  # one row, as the model takes it

    def ratio(self, model: bytes, reference: bytes, name: str) -> LatencyRatio:
        """Time of ``model`` / time of ``reference``, on one row and one thread; ``name`` is stored with it."""
        cached = read_checked(self.file, AGAIN) or {}
        key = hashlib.sha256(hashlib.sha256(model).digest() + hashlib.sha256(reference).digest()).hexdigest()
        if key in cached:
            return LatencyRatio(**cached[key]["ratio"])
        measured = latency_ratio(Session(model), Session(reference), self.feeds)
        write_checked(self.file, {**cached, key: {"of": name, "ratio": asdict(measured)}})
        return measured

"""Answers -> probabilities of every row, calibrated where validation rows have labels -> the table of the kind
``table``.

In this order: summed log-probabilities of the classes' names, where the endpoint returned them; frequencies over k
answers to the same question, with one more answer that is spread evenly; the stated class with a fixed confidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...activations import softmax
from ...files import new_file, write_json
from ...temperature_scaling import fit
from ...types import Spec
from ..matching import PROBABILITIES, Matching
from .answer_log import Answer
from .class_masses import distribution

PATTERN = "p({class})"  # how the columns of classes are called
LOGPROBS, FREQUENCIES, STATED = "log-probabilities", "frequencies", "stated label"
NOT_ASKED = "not asked"  # the recipe leaves this row out: no abstention of the endpoint
FEWEST_LABELLED = 20  # answered validation rows with a label, to fit a temperature on


@dataclass(frozen=True)
class RowResult:
    """What the answers say of one row."""

    p: np.ndarray | None  # (C,) of the names; None: an abstention
    method: str = ""
    samples: int = 0  # answers that name a class
    reason: str = ""  # of an abstention
    rationale: str = ""


def row_result(answers: Sequence[Answer], names: Sequence[str], confidence: float) -> RowResult:
    """All answers to one question, in order of their samples; ``confidence``: of a class that is only stated."""
    named = [answer for answer in answers if answer.name is not None]
    if not named:
        reason = Counter(answer.reason for answer in answers).most_common(1)[0][0]
        return RowResult(None, reason=reason)
    with_masses = next((answer for answer in named if answer.masses), None)
    if with_masses and with_masses.masses:
        return RowResult(distribution(with_masses.masses, names), LOGPROBS, 1, rationale=with_masses.rationale)
    counts = np.array([sum(answer.name == name for answer in named) for name in names], dtype=np.float64)
    top = names[int(counts.argmax())]
    rationale = next(answer.rationale for answer in named if answer.name == top)
    if len(answers) > 1:
        return RowResult((counts + 1 / len(names)) / (len(named) + 1), FREQUENCIES, len(named), rationale=rationale)
    p = np.where(counts > 0, confidence, (1 - confidence) / (len(names) - 1))
    return RowResult(p, STATED, 1, rationale=rationale)


@dataclass(frozen=True)
class Calibration:
    """The temperature of the probabilities, and the labelled validation rows that it was fitted on."""

    temperature: float | None
    rows: int


def calibrate(
    p: np.ndarray, spec: Spec, matching: Matching, target: np.ndarray, validation: np.ndarray
) -> tuple[np.ndarray, Calibration]:
    """Probabilities (N, C) of the teacher's names, NaN of abstentions -> the same after temperature scaling, fitted on
    the rows ``validation``, which have a label. Unchanged where fewer than 20 of these have an answer."""
    rows = validation[~np.isnan(p[validation]).any(1)]
    if len(rows) < FEWEST_LABELLED:
        return p, Calibration(None, len(rows))
    logits = matching.logits(p, PROBABILITIES)
    temperature = fit(spec, logits[rows], target[rows])[spec.heads[0].name]
    answered = ~np.isnan(p).any(1)
    scaled = np.full_like(p, np.nan)
    of_run = softmax(logits[answered].astype(np.float64) / temperature)[:, matching.run_outputs]
    scaled[answered] = of_run * _shares(p[answered], matching.run_outputs)
    return scaled, Calibration(temperature, len(rows))


def _shares(p: np.ndarray, run_outputs: np.ndarray) -> np.ndarray:
    """(N, C) which share of its class of the run each name has: 1 where no other name means the same class."""
    same = run_outputs[:, None] == run_outputs[None, :]
    total = p @ same
    return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / same.sum(0))


def write_table(
    file: Path, ids: Sequence[str], names: Sequence[str], results: Sequence[RowResult], p: np.ndarray, text: str | None
) -> None:
    """The table, Parquet: ``id``, ``p(CLASS)`` of every class, empty in rows of an abstention, how each came about, and
    the rationale in the column ``text``, where there is one."""
    silent = np.isnan(p).any(1)
    columns: dict[str, Any] = {"id": pa.array(ids, pa.string())}
    for number, name in enumerate(names):
        columns[PATTERN.format(**{"class": name})] = pa.array(p[:, number], pa.float64(), mask=silent)
    columns["method"] = pa.array([result.method or None for result in results], pa.string())
    columns["samples"] = pa.array([result.samples for result in results], pa.int32())
    columns["reason"] = pa.array([result.reason or None for result in results], pa.string())
    if text is not None:
        columns[text] = pa.array([result.rationale or None for result in results], pa.string())
    with new_file(file) as out:
        pq.write_table(pa.table(columns), out)


def write_facts(file: Path, results: Sequence[RowResult], calibration: Calibration, more: Mapping[str, Any]) -> None:
    """Beside the table: how many rows came about how, and why there are abstentions."""
    reasons = Counter(r.reason for r in results if r.p is None and r.reason != NOT_ASKED)
    methods = Counter(r.method for r in results if r.p is not None)
    facts = {
        **more, "methods": dict(methods.most_common()), "reasons": dict(reasons.most_common()),
        "questioned": sum(r.reason != NOT_ASKED for r in results),
        "temperature": calibration.temperature, "calibrated_on": calibration.rows,
    }  # fmt: skip
    write_json(file, facts)

"""Answers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import UsageError
from ..predictor import Predictor
from ..predictor.prediction import Answer, answers, contributions
from ..shapley import MOST
from .http_error import wrong
from .prediction_request import Asked
from .row_batches import Rows


def written(facts: Any) -> bytes:
    """JSON in UTF-8. Half a pair of UTF-16, which a client may send as an escape, becomes a question mark."""
    return json.dumps(facts, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def reply(name: str, predictor: Predictor, asked: Asked, rows: Rows, found: np.ndarray) -> bytes:
    """Rows and what the network says of them (B, C), calibrated -> the body of the answer. Raises Refusal."""
    check_finite(found)
    said = [_prediction(predictor, asked, rows, row, found[row]) for row in range(len(rows))]
    return written({"model": name, "predictions": said})


def check_finite(found: np.ndarray) -> None:
    """Raises Refusal where an answer would be no number."""
    if not np.isfinite(found).all():
        raise wrong("no_answer", "the network gives no number for these records", "values far beyond the training's")


def _prediction(predictor: Predictor, asked: Asked, rows: Rows, row: int, found: np.ndarray) -> dict[str, Any]:
    each = answers(predictor.heads, found.tolist(), asked.threshold)
    used = [name for name, there in zip(predictor.names, rows.present[row].tolist(), strict=True) if there]
    said = {
        "answers": {target: _answer(answer, asked.top_k) for target, answer in each.items()},
        "used": used,
        "absent": rows.absent[row],
        "partly": rows.partly[row],
    }
    return {**said, "contributions": shares(predictor, rows, row)} if asked.contributions else said


def _answer(answer: Answer, top_k: int | None) -> dict[str, Any]:
    kept = answer.probabilities if top_k is None else dict(answer.top(top_k))
    return {
        "value": answer.value,
        "confidence": answer.confidence,
        "abstained": answer.abstained,
        "probabilities": kept,
    }


def shares(predictor: Predictor, rows: Rows, row: int) -> Mapping[str, Mapping[str, float]]:
    """What each modality brought to a row's answers: all subsets of it, in one batch of at most 256 rows."""

    def ask(subsets: np.ndarray) -> np.ndarray:
        several = {name: np.repeat(e[row : row + 1], len(subsets), axis=0) for name, e in rows.entries.items()}
        return predictor.probabilities(several, subsets)

    try:
        return contributions(predictor.heads, predictor.names, rows.present[row], ask)
    except UsageError:
        raise wrong("too_many_modalities", "too many modalities to share an answer out", f"at most {MOST}") from None

"""The body of an inference request of the Open Inference Protocol v2 -> rows; what the network says -> outputs.

The inputs are either the network's own (a request with an input ``present``), or the raw columns: BYTES of shape [B]
or [B, 1] (texts; pictures and sounds as base64), of numbers also any datatype of numbers. A null is an empty cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..predictor import Predictor
from ..predictor.prediction import Answer, answers
from ..types import CLASSES, LABELS, NUMBER, Head
from . import request_cells, tensors
from .decoding_budget import DecodingBudget
from .http_error import short, wrong
from .prediction_request import check_count, column, put, strict
from .prediction_response import check_finite, written
from .record_columns import MEDIA, Column
from .row_batches import Rows, prepared
from .tensors import BYTES, PRESENT, Tensor

KEYS = {"id", "parameters", "inputs", "outputs"}


@dataclass(frozen=True)
class Call:
    """One request: its rows, the name that the client gave it, and the outputs that it wants."""

    rows: Rows
    id: str | None
    outputs: tuple[str, ...]


def call(
    body: Any,
    predictor: Predictor,
    known: Mapping[str, Column],
    budget: DecodingBudget,
    cancelled: Callable[[], bool] = lambda: False,
) -> Call:
    """Raises Refusal, and Cancelled once ``cancelled`` says so."""
    if not isinstance(body, dict) or not {"inputs"} <= body.keys() <= KEYS:
        raise wrong("bad_request", f"the body isn't an object of {', '.join(sorted(KEYS))} with inputs")
    name, parameters = body.get("id"), body.get("parameters", {})
    if not isinstance(name, (str, type(None))) or not isinstance(parameters, dict):
        raise wrong("bad_request", "the id isn't a text, or the parameters aren't an object")
    if not isinstance(body["inputs"], list):
        raise wrong("bad_request", "the inputs aren't a list")
    given: dict[str, Tensor] = {}
    for one in map(tensors.tensor, body["inputs"]):
        if one.name in given:
            raise wrong("input_twice", f"the input '{one.name}' is there twice")
        given[one.name] = one
        check_count(one.shape[0], budget)
    if not given:
        raise wrong("no_records", "there are no inputs")
    wanted = _wanted(body.get("outputs"), predictor)
    refuses = strict(parameters.get("on_unreadable"))
    if PRESENT in given:
        return Call(tensors.rows(predictor, given), name, wanted)
    return Call(prepared(predictor, _records(given, known, budget), refuses, cancelled), name, wanted)


def outputs(predictor: Predictor) -> dict[str, tuple[str, list[int]]]:
    """Name -> datatype and shape: of each target the answer, how sure it is, and all probabilities."""
    found: dict[str, tuple[str, list[int]]] = {}
    for head in predictor.heads:
        several = [-1, head.outputs]
        found[head.name] = {CLASSES: (BYTES, [-1]), LABELS: ("BOOL", several), NUMBER: ("FP32", [-1])}[head.kind]
        if head.kind != NUMBER:
            found[f"{head.name}.confidence"] = ("FP32", [-1])
            found[f"{head.name}.probabilities"] = ("FP32", several)
    return {**found, PRESENT: ("BOOL", [-1, len(predictor.names)])}


def said(model: str, predictor: Predictor, asked: Call, found: np.ndarray) -> bytes:
    """Rows and what the network says of them (B, C), calibrated -> the body of the answer. Raises Refusal."""
    check_finite(found)
    each = [answers(predictor.heads, row) for row in found.tolist()]
    made = []
    for name in asked.outputs:
        datatype, (_, *others) = outputs(predictor)[name]
        data = _data(name, predictor, asked.rows, each)
        made.append({"name": name, "datatype": datatype, "shape": [len(found), *others], "data": data})
    facts = {"model_name": model, "outputs": made}
    return written(facts if asked.id is None else {**facts, "id": asked.id})


def _data(name: str, predictor: Predictor, rows: Rows, each: list[dict[str, Answer]]) -> list:
    """Flat, row after row."""
    if name == PRESENT:
        return rows.present.reshape(-1).tolist()
    for head in predictor.heads:
        if name == head.name:
            return [v for one in each for v in _values(head, one[head.name])]
        if name == f"{head.name}.confidence":
            return [one[head.name].confidence for one in each]
        if name == f"{head.name}.probabilities":
            return [p for one in each for p in one[head.name].probabilities.values()]
    raise KeyError(name)


def _values(head: Head, answer: Answer) -> list:
    if head.kind == LABELS:
        assert isinstance(answer.value, tuple)
        return [name in answer.value for name in head.classes]
    return [answer.value]


def _wanted(given: Any, predictor: Predictor) -> tuple[str, ...]:
    there = outputs(predictor)
    if given is None:
        return tuple(there)
    if not isinstance(given, list) or not all(isinstance(one, dict) and "name" in one for one in given):
        raise wrong("bad_request", "the outputs aren't a list of objects with a name")
    for one in given:
        if not isinstance(one["name"], str) or one["name"] not in there:
            raise wrong("unknown_output", f"there is no output '{short(str(one['name']))}'", ", ".join(there))
        parameters = one.get("parameters", {})
        if not one.keys() <= {"name", "parameters"} or not isinstance(parameters, dict):
            raise wrong("bad_request", f"the output '{one['name']}' has more than a name and parameters")
        if parameters.get("binary_data"):
            raise wrong("binary_data", "outputs are JSON alone")
    return tuple(dict.fromkeys(one["name"] for one in given)) or tuple(there)


def _records(given: Mapping[str, Tensor], known: Mapping[str, Column], budget: DecodingBudget) -> list[dict[str, Any]]:
    """Raw columns -> a record for each row."""
    count = next(iter(given.values())).shape[0]
    records: list[dict[str, Any]] = [{} for _ in range(count)]
    for one in given.values():
        if one.shape[0] != count:
            raise wrong("wrong_shape", f"'{one.name}' has {one.shape[0]} rows, the first input has {count}")
        to = column(known, one.name)
        for record, cell in zip(records, _cells(one, to, budget), strict=True):
            put(record, to, cell)
    return records


def _cells(given: Tensor, to: Column, budget: DecodingBudget) -> list:
    """One cell a row."""
    if given.datatype != BYTES and to.type in (*MEDIA, "text", "series"):
        raise wrong(
            "wrong_type",
            f"'{given.name}' is {given.datatype}",
            "BYTES is what it takes; the network's own tensors come with 'present'",
        )
    count, *others = given.shape
    wide = math.prod(others)
    flat = [v for one in given.data for v in (one if isinstance(one, list) else [one])]
    if wide > to.most or len(others) > 1 or len(flat) != count * wide:
        raise wrong("wrong_shape", f"'{given.name}' has the shape {list(given.shape)}, and {len(flat)} values")
    read = [request_cells.from_json(to, _spelt(given, to, value), budget) for value in flat]
    return read if to.most == 1 else [read[at : at + wide] for at in range(0, len(read), wide)]


def _spelt(given: Tensor, to: Column, value: Any) -> Any:
    """A tensor's value as it would stand in a record."""
    if value is None:
        return None
    if isinstance(value, str) != (given.datatype == BYTES) or isinstance(value, bool) != (given.datatype == "BOOL"):
        raise wrong("wrong_type", f"'{given.name}' is {given.datatype}, and holds something else")
    if given.datatype.startswith(("INT", "UINT")) and not isinstance(value, int):
        raise wrong("wrong_type", f"'{given.name}' is {given.datatype}, and holds something else")
    return {request_cells.BASE64: value} if to.type in (*MEDIA, "series") else value

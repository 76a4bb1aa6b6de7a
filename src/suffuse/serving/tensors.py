"""Tensors of the Open Inference Protocol in JSON <-> arrays: network inputs -> rows, predictions -> output tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from ..predictor import Predictor
from ..predictor.input_encoding import Input
from ..predictor.prediction import Answer, answers
from ..types import CLASSES, LABELS, NUMBER, Head
from .http_error import unprocessable
from .request_schema import RequestModel
from .row_batches import Rows
from .served_model import ServedModel

PRESENT = "present"
BYTES = "BYTES"
OF_ONNX = {
    "tensor(uint8)": "UINT8",
    "tensor(int64)": "INT64",
    "tensor(float)": "FP32",
    "tensor(bool)": "BOOL",
}
DTYPES = {"UINT8": np.uint8, "INT64": np.int64, "FP32": np.float32, "BOOL": np.bool_}
JSON_TYPES = {"UINT8": {int}, "INT64": {int}, "FP32": {int, float}, "BOOL": {bool}}
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
Dimension = Annotated[int, Field(gt=0, lt=2**31)]


class TensorMetadata(BaseModel):
    """A tensor; -1 stands for any length."""

    name: str
    datatype: str
    shape: list[int]


class InputTensor(RequestModel):
    """One input as the request holds it; its data flat, or nested as the shape says."""

    name: Annotated[str, Field(max_length=1000)]
    datatype: Datatype
    shape: Annotated[list[Dimension], Field(min_length=1, max_length=8, fail_fast=True)]
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any]


def network_inputs(predictor: Predictor) -> list[TensorMetadata]:
    """The inputs of the ONNX file."""
    return [
        TensorMetadata(
            name=tensor.name,
            datatype=OF_ONNX[tensor.type],
            shape=[n if isinstance(n, int) else -1 for n in tensor.shape],
        )
        for tensor in predictor.session.get_inputs()
    ]


def input_metadata(model: ServedModel) -> list[TensorMetadata]:
    """First the network's own inputs, then the raw columns of other names."""
    own = network_inputs(model.predictor)
    names = {tensor.name for tensor in own}
    columns = [column for column in dict.fromkeys(model.columns.values()) if column.name not in names]
    return own + [
        TensorMetadata(
            name=column.name, datatype=BYTES, shape=[-1, *([column.max_items] if column.max_items > 1 else [])]
        )
        for column in columns
    ]


def output_metadata(predictor: Predictor) -> dict[str, TensorMetadata]:
    """By name: of each target the answer, its confidence, and all probabilities; which modalities were used."""
    outputs: list[tuple[str, str, list[int]]] = []
    for head in predictor.heads:
        per_class = [-1, head.outputs]
        datatype, shape = {LABELS: ("BOOL", per_class), NUMBER: ("FP32", [-1])}.get(head.kind, (BYTES, [-1]))
        outputs.append((head.name, datatype, shape))
        if head.kind != NUMBER:
            outputs.append((f"{head.name}.confidence", "FP32", [-1]))
        if head.kind in (CLASSES, LABELS):
            outputs.append((f"{head.name}.probabilities", "FP32", per_class))
    outputs.append((PRESENT, "BOOL", [-1, len(predictor.names)]))
    return {name: TensorMetadata(name=name, datatype=datatype, shape=shape) for name, datatype, shape in outputs}


def output_data(predictor: Predictor, rows: Rows, probabilities: np.ndarray) -> Callable[[str], list[Any]]:
    """Rows and their calibrated outputs (B, C) -> a function from an output's name to its data, row after row."""
    predictions = [answers(predictor.heads, row) for row in probabilities.tolist()]

    def data(name: str) -> list[Any]:
        if name == PRESENT:
            return rows.present.reshape(-1).tolist()
        for head in predictor.heads:
            if name == head.name:
                return [value for targets in predictions for value in _values(head, targets[head.name])]
            if name == f"{head.name}.confidence":
                return [targets[head.name].confidence for targets in predictions]
            if name == f"{head.name}.probabilities":
                return [p for targets in predictions for p in targets[head.name].probabilities.values()]
        raise KeyError(name)

    return data


def network_rows(predictor: Predictor, inputs: Mapping[str, InputTensor]) -> Rows:
    """The network's own inputs -> rows. One that is left out must be absent in every row. Raises Refusal."""
    known = {tensor.name: tensor for tensor in network_inputs(predictor)}
    for name in inputs:
        if name not in known:
            raise unprocessable("unknown_input", f"the network has no input '{name}'", ", ".join(known))
    present = to_array(inputs[PRESENT], known[PRESENT])
    entries = {}
    for m, modality in enumerate(predictor.inputs):
        name = modality.field.name
        if name in inputs:
            entries[name] = _zero_absent(to_array(inputs[name], known[name]), present[:, m])
            _check_range(modality, entries[name])
        elif present[:, m].any():
            raise unprocessable("missing_input", f"'{PRESENT}' marks '{name}' as present, and it isn't there")
        else:
            settings = modality.settings
            blank = modality.part.encode(settings, modality.field.statistics, [modality.part.blank(settings)])
            entries[name] = np.repeat(blank, len(present), axis=0)
        if len(entries[name]) != len(present):
            message = f"'{name}' has {len(entries[name])} rows, '{PRESENT}' has {len(present)}"
            raise unprocessable("wrong_shape", message)
    reasons: list[dict[str, str]] = [{} for _ in present]
    return Rows({n: _narrow_ids(e) for n, e in entries.items()}, present, reasons, reasons)


def to_array(tensor: InputTensor, metadata: TensorMetadata) -> np.ndarray:
    """The tensor as the network takes it. Raises Refusal."""
    name, datatype = tensor.name, metadata.datatype
    if tensor.datatype != datatype:
        raise unprocessable("wrong_type", f"'{name}' is {tensor.datatype}", f"{datatype} is what it takes")
    fits = len(tensor.shape) == len(metadata.shape)
    if not fits or any(n not in (-1, m) for n, m in zip(metadata.shape, tensor.shape, strict=True)):
        message = f"'{name}' has the shape {tensor.shape}"
        raise unprocessable("wrong_shape", message, f"{metadata.shape} is what it takes")
    flat = _flatten(tensor)
    if not set(map(type, flat)) <= JSON_TYPES[datatype]:
        raise unprocessable("wrong_type", f"the data of '{name}' aren't all {datatype}")
    try:
        numbers = np.array(flat, dtype=np.float64 if datatype == "FP32" else np.int64)
    except OverflowError:
        raise unprocessable("out_of_range", f"'{name}' has numbers with too many digits") from None
    if datatype == "UINT8" and (numbers.min() < 0 or numbers.max() > 255):
        raise unprocessable("out_of_range", f"'{name}' has values beyond 0 to 255")
    with np.errstate(over="ignore"):
        array = numbers.astype(DTYPES[datatype]).reshape(tensor.shape)
    if datatype == "FP32" and not np.isfinite(array).all():
        raise unprocessable("not_finite", f"'{name}' has values beyond 32 bits")
    return array


def _values(head: Head, answer: Answer) -> list[Any]:
    if head.kind == LABELS:
        assert isinstance(answer.value, tuple)
        return [name in answer.value for name in head.classes]
    return [answer.value]


def _flatten(tensor: InputTensor) -> list[Any]:
    """The data row after row; flat already, or nested exactly as the shape says. Raises Refusal."""
    level, shape = tensor.data, [len(tensor.data)]
    while level and type(level[0]) is list:
        if set(map(type, level)) != {list} or len(set(map(len, level))) > 1:
            raise unprocessable("wrong_shape", f"the data of '{tensor.name}' are nested unevenly")
        shape.append(len(level[0]))
        level = list(chain.from_iterable(level))
    if len(level) != math.prod(tensor.shape) or (len(shape) > 1 and shape != tensor.shape):
        raise unprocessable("wrong_shape", f"'{tensor.name}' has the shape {tensor.shape} and {len(level):,} values")
    return level


def _zero_absent(entries: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Zeros in rows that lack it: the network ignores them, and they needn't be in range."""
    if len(entries) != len(present):
        return entries
    return np.where(present.reshape(-1, *[1] * (entries.ndim - 1)), entries, np.zeros((), entries.dtype))


def _narrow_ids(entries: np.ndarray) -> np.ndarray:
    """Ids as the preprocessing gives them, so that rows of all requests can be concatenated."""
    return entries.astype(np.int32) if entries.dtype == np.int64 else entries


def _check_range(modality: Input, entries: np.ndarray) -> None:
    """Refuse what the network would read beyond its tables, or beyond what it was trained on."""
    statistics, name, kind = modality.field.statistics, modality.field.name, modality.field.kind
    if kind == "text" and (entries.min() < 0 or entries.max() >= statistics["vocabulary"]):
        raise unprocessable("out_of_range", f"'{name}' has ids beyond 0 to {statistics['vocabulary'] - 1}")
    if kind != "image" and entries.ndim > 1 and "length" in statistics and entries.shape[1] > statistics["length"]:
        hint = f"at most {statistics['length']:,}"
        raise unprocessable("too_many_steps", f"'{name}' has {entries.shape[1]:,} steps", hint)
    sizes: Sequence[int] = statistics["categories"] if kind == "tabular" else ()
    codes = entries[:, 2 * statistics["numbers"] :] if sizes else entries[:0]
    if sizes and ((codes < 0) | (codes >= np.array(sizes)) | (codes % 1 != 0)).any():
        raise unprocessable("out_of_range", f"'{name}' has codes of categories that aren't there")

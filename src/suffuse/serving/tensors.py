"""Tensors of the Open Inference Protocol in JSON <-> arrays, and the network's own inputs as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ..predictor import Predictor
from ..predictor.input_encoding import Input
from .http_error import short, wrong
from .row_batches import Rows

PRESENT = "present"
BYTES = "BYTES"
OF_ONNX = {
    "tensor(uint8)": "UINT8",
    "tensor(int64)": "INT64",
    "tensor(float)": "FP32",
    "tensor(bool)": "BOOL",
}
TYPES = {"UINT8": np.uint8, "INT64": np.int64, "FP32": np.float32, "BOOL": np.bool_}
KINDS = {"UINT8": {int}, "INT64": {int}, "FP32": {int, float}, "BOOL": {bool}}  # of the JSON
NUMBERS = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
LONGEST = 1000  # characters of an input's name
KEYS = {"name", "shape", "datatype", "parameters", "data"}


@dataclass(frozen=True)
class Tensor:
    """One input as the request holds it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list


@dataclass(frozen=True)
class Slot:
    """One input of the network; -1 stands for any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def slots(predictor: Predictor) -> list[Slot]:
    """What the ONNX file takes."""
    return [
        Slot(one.name, OF_ONNX[one.type], tuple(n if isinstance(n, int) else -1 for n in one.shape))
        for one in predictor.session.get_inputs()
    ]


def tensor(facts: Any) -> Tensor:
    """An element of ``inputs``. Raises Refusal."""
    if not isinstance(facts, dict) or not {"name", "shape", "datatype", "data"} <= facts.keys() <= KEYS:
        raise wrong("bad_tensor", "an input isn't an object of name, shape, datatype, data")
    name, shape, data = facts["name"], facts["shape"], facts["data"]
    if not isinstance(name, str) or facts["datatype"] not in (*NUMBERS, BYTES):
        raise wrong("bad_tensor", "an input has no name, or no datatype of the protocol")
    if len(name) > LONGEST:
        raise wrong("unknown_input", f"there is no input '{short(name)}'")
    if (
        not isinstance(shape, list)
        or not all(type(n) is int and 0 < n < 2**31 for n in shape)
        or not 0 < len(shape) < 9
    ):
        raise wrong("bad_shape", f"the shape of '{name}' isn't a list of whole numbers from 1 on")
    if not isinstance(data, list) or not isinstance(facts.get("parameters", {}), dict):
        raise wrong("bad_tensor", f"the data of '{name}' isn't a list, or its parameters aren't an object")
    if "binary_data_size" in facts.get("parameters", {}):
        raise wrong("binary_data", f"'{name}' is in binary form: only JSON is read")
    return Tensor(name, facts["datatype"], tuple(shape), data)


def array(given: Tensor, slot: Slot) -> np.ndarray:
    """The tensor as the network takes it. Raises Refusal."""
    name = given.name
    if given.datatype != slot.datatype:
        raise wrong("wrong_type", f"'{name}' is {given.datatype}", f"{slot.datatype} is what it takes")
    fits = len(given.shape) == len(slot.shape)
    if not fits or any(n not in (-1, m) for n, m in zip(slot.shape, given.shape, strict=True)):
        raise wrong(
            "wrong_shape", f"'{name}' has the shape {list(given.shape)}", f"{list(slot.shape)} is what it takes"
        )
    flat = _flat(given)
    if not set(map(type, flat)) <= KINDS[slot.datatype]:
        raise wrong("wrong_type", f"the data of '{name}' aren't all {slot.datatype}")
    try:
        found = np.array(flat, dtype=np.float64 if slot.datatype == "FP32" else np.int64)
    except OverflowError:
        raise wrong("out_of_range", f"'{name}' has numbers with too many digits") from None
    if slot.datatype == "UINT8" and (found.min() < 0 or found.max() > 255):
        raise wrong("out_of_range", f"'{name}' has values beyond 0 to 255")
    with np.errstate(over="ignore"):
        made = found.astype(TYPES[slot.datatype]).reshape(given.shape)
    if slot.datatype == "FP32" and not np.isfinite(made).all():
        raise wrong("not_finite", f"'{name}' has values beyond 32 bits")
    return made


def _flat(given: Tensor) -> list:
    """The data row after row; flat already, or nested exactly as the shape says. Raises Refusal."""
    level, shape = given.data, [len(given.data)]
    while level and type(level[0]) is list:
        if set(map(type, level)) != {list} or len(set(map(len, level))) > 1:
            raise wrong("wrong_shape", f"the data of '{given.name}' are nested unevenly")
        shape.append(len(level[0]))
        level = list(chain.from_iterable(level))
    if len(level) != math.prod(given.shape) or (len(shape) > 1 and tuple(shape) != given.shape):
        raise wrong("wrong_shape", f"'{given.name}' says {list(given.shape)} and holds {len(level):,} values")
    return level


def rows(predictor: Predictor, given: Mapping[str, Tensor]) -> Rows:
    """The network's own inputs -> rows. One that is left out must be absent in every row. Raises Refusal."""
    known = {slot.name: slot for slot in slots(predictor)}
    for name in given:
        if name not in known:
            raise wrong("unknown_input", f"the network has no input '{name}'", ", ".join(known))
    present = array(given[PRESENT], known[PRESENT])
    entries = {}
    for m, one in enumerate(predictor.inputs):
        name = one.field.name
        if name in given:
            entries[name] = _held(array(given[name], known[name]), present[:, m])
            _check(one, entries[name])
        elif present[:, m].any():
            raise wrong("missing_input", f"'{PRESENT}' says that '{name}' is there, and it isn't")
        else:
            blank = one.part.encode(one.settings, one.field.statistics, [one.part.blank(one.settings)])
            entries[name] = np.repeat(blank, len(present), axis=0)
        if len(entries[name]) != len(present):
            raise wrong("wrong_shape", f"'{name}' has {len(entries[name])} rows, '{PRESENT}' has {len(present)}")
    nothing: list[dict[str, str]] = [{} for _ in present]
    return Rows({n: _as_encoded(e) for n, e in entries.items()}, present, nothing, nothing)


def _held(entries: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Zeros in rows that lack it: what stands there is read by nobody, and needn't be in range."""
    if len(entries) != len(here):
        return entries
    return np.where(here.reshape(-1, *[1] * (entries.ndim - 1)), entries, np.zeros((), entries.dtype))


def _as_encoded(entries: np.ndarray) -> np.ndarray:
    """Ids as the preprocessing gives them, so that rows of all requests can stand side by side."""
    return entries.astype(np.int32) if entries.dtype == np.int64 else entries


def _check(one: Input, entries: np.ndarray) -> None:
    """What the network would read beyond its tables, or beyond what it was trained on."""
    facts, name = one.field.statistics, one.field.name
    if one.field.kind == "text" and (entries.min() < 0 or entries.max() >= facts["vocabulary"]):
        raise wrong("out_of_range", f"'{name}' has ids beyond 0 to {facts['vocabulary'] - 1}")
    if one.field.kind != "image" and entries.ndim > 1 and "length" in facts and entries.shape[1] > facts["length"]:
        raise wrong("too_many_steps", f"'{name}' has {entries.shape[1]:,} steps", f"at most {facts['length']:,}")
    sizes: Sequence[int] = facts["categories"] if one.field.kind == "tabular" else ()
    codes = entries[:, 2 * facts["numbers"] :] if sizes else entries[:0]
    if sizes and ((codes < 0) | (codes >= np.array(sizes)) | (codes % 1 != 0)).any():
        raise wrong("out_of_range", f"'{name}' has codes of categories that aren't there")

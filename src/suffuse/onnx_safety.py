"""An ONNX file that is data alone: all weights inside it, and no operator but ONNX's and ONNX Runtime's own.

Weights may lie in other files (``external_data``), by a path that the file names, and a node may be of a domain that a
library must bring or hold a context for a device's compiler. The predictor has no ``onnx``, so what matters is read
from the protocol buffer itself: fields by number (onnx.proto3), without recursion, tensors' bytes skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

PARTS = {  # message -> field -> the message that it holds
    "model": {7: "graph", 8: "opset", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "sparse": {1: "tensor", 2: "tensor"},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of a tensor
OP_TYPE, NODE_DOMAIN, OPSET_DOMAIN, FUNCTION_DOMAIN = 4, 7, 1, 10
OWN = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
FOREIGN = {"EPContext", "PyOp", "PythonOp"}  # of com.microsoft: a compiled blob or its path, Python code


def check(content: bytes) -> None:
    """Raise ValueError, in one line, where the file points outside of itself or isn't ONNX."""
    domains_used, domains_defined = set(), set()
    for kind, field, value in _fields(memoryview(content)):
        if kind == "tensor" and (field == EXTERNAL_DATA or (field == DATA_LOCATION and value)):
            raise ValueError("the model keeps weights in another file")
        if kind == "node" and field == OP_TYPE and _text(value) in FOREIGN:
            raise ValueError(f"the model holds an operator that isn't data: {_text(value)}")
        if (kind, field) == ("node", NODE_DOMAIN):
            domains_used.add(_text(value))
        if (kind, field) == ("function", FUNCTION_DOMAIN):
            domains_defined.add(_text(value))
    if foreign := sorted(domains_used - domains_defined - OWN):
        raise ValueError(f"the model needs operators of a library: {foreign[0]}")


def _text(value: memoryview | int) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, memoryview) else ""


def _fields(content: memoryview) -> Iterator[tuple[str, int, memoryview | int]]:
    """(message, field's number, its bytes or number) of all messages that PARTS reaches."""
    waiting = [("model", content)]
    while waiting:
        kind, left = waiting.pop()
        parts, at = PARTS.get(kind, {}), 0
        while at < len(left):
            key, at = _varint(left, at)
            field, wire = key >> 3, key & 7
            if wire == 2:
                size, at = _varint(left, at)
                value, at = left[at : at + size], at + size
                if at > len(left):
                    raise ValueError("the model is cut off")
                if field in parts:
                    waiting.append((parts[field], value))
                yield kind, field, value
            elif wire == 0:
                value, at = _varint(left, at)
                yield kind, field, value
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:
                raise ValueError("the model is no ONNX file")


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """A number in seven bits a byte, and where it ends."""
    value = shift = 0
    while at < len(content) and shift < 70:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("the model is no ONNX file")

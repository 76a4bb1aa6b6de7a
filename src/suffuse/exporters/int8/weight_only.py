"""Weights kept in int8 and computed in float32: embedding tables, and the cells of GRU and LSTM.

w = scale * q, q in -127..127, so zero stays zero. A table has one scale, and only the rows that are asked for are
scaled; a cell has one per row of its matrices. Nothing of a row depends on another row of the batch. The zero points
are written out: ONNX Runtime may round again behind a transpose, and takes unsigned numbers where it finds none.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

LEVELS = 127


def store(model: ModelProto, nodes: set[str]) -> None:
    """Put the weights of these Gather, GRU and LSTM nodes into int8, in place."""
    graph = model.graph
    made: list[NodeProto] = []
    for node in graph.node:
        if node.name not in nodes:
            made.append(node)
        elif node.op_type == "Gather":
            made.extend(_table(model, node))
        else:
            made.extend([*(_cell(model, node, place) for place in (1, 2)), node])
    copies = [NodeProto.FromString(node.SerializeToString()) for node in made]
    del graph.node[:]
    graph.node.extend(copies)


def _table(model: ModelProto, node: NodeProto) -> list[NodeProto]:
    """Gather of a table -> Gather of int8 rows, then scaling."""
    weight = _take(model, node.input[0])
    table = numpy_helper.to_array(weight)
    scale = np.asarray(np.abs(table).max(initial=0) / LEVELS or 1, dtype=np.float32)
    _add(model, weight.name, table, scale)
    out, node.input[0] = node.output[0], f"{weight.name}_int8"
    node.output[0] = f"{out}_int8"
    return [node, _scaling(node.output[0], weight.name, out)]


def _cell(model: ModelProto, node: NodeProto, place: int) -> NodeProto:
    """The scaling of one of a cell's matrices (1, gates * H, I), row by row."""
    weight = _take(model, node.input[place])
    matrix = numpy_helper.to_array(weight)
    scale = (np.abs(matrix).max(axis=(0, 2), initial=0) / LEVELS).astype(np.float32)
    scale[scale == 0] = 1
    _add(model, weight.name, matrix, scale, scale[None, :, None])
    return _scaling(f"{weight.name}_int8", weight.name, weight.name, axis=1)


def _scaling(value: str, weight: str, out: str, axis: int | None = None) -> NodeProto:
    node = helper.make_node("DequantizeLinear", [value, f"{weight}_scale", f"{weight}_zero"], [out], f"{out}_scaled")
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    return node


def _add(model: ModelProto, name: str, weight: np.ndarray, scale: np.ndarray, over: np.ndarray | None = None) -> None:
    """int8 numbers and their scale as initializers."""
    whole = np.rint(weight / (scale if over is None else over)).clip(-LEVELS, LEVELS).astype(np.int8)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(whole, f"{name}_int8"),
            numpy_helper.from_array(scale, f"{name}_scale"),
            numpy_helper.from_array(np.zeros(scale.shape, dtype=np.int8), f"{name}_zero"),
        ]
    )


def _take(model: ModelProto, name: str) -> TensorProto:
    """An initializer, out of the graph."""
    kept = model.graph.initializer
    for number, weight in enumerate(kept):
        if weight.name == name:
            found = TensorProto.FromString(weight.SerializeToString())
            del kept[number]
            return found
    raise KeyError(name)

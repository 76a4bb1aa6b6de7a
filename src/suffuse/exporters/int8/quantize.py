"""A graph with some groups in int8, by ONNX Runtime's quantiser.

Static (QDQ): an activation's range is fixed, from real training rows, some with modalities taken away; so a row's bits
depend on nothing but the row. Dynamic: an activation's range is that of the batch it is in, so a row's last digits
depend on its neighbours.

Weights have seven bits (``reduce_range``): with eight the sums of processors without VNNI saturate, and answers would
differ between machines.

Embedding tables and the cells of GRU and LSTM keep their weights in int8 and compute in float32: w = scale * q, q in
-127..127, so zero stays zero. A table has one scale, and only the rows that are read are scaled; a cell has one scale
per row of its matrices. No row depends on another row of the batch. Zero points are written out: ONNX Runtime may round
again behind a transpose, and takes unsigned numbers where it finds none.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ...errors import SuffuseError
from ..onnx_export import strip
from .operator_groups import COMPUTED, STORED, Group, quantised_softmax, with_node_names

STATIC, DYNAMIC = "static", "dynamic"
FLOAT_OUTPUT = ["MatMul", "Gemm"]  # operators whose output is never quantised: it may be what a softmax is made of
ROUNDING = ("QuantizeLinear", "DequantizeLinear")
Feeds = Sequence[Mapping[str, np.ndarray]]  # batches as the model takes them


def quantize(content: bytes, chosen: Sequence[Group], method: str, feeds: Feeds) -> bytes:
    """An ONNX file in float32 -> the same with these groups in int8.

    Raises SuffuseError where ONNX Runtime can't do it, or where a value in int8 would reach a softmax.
    """
    model = with_node_names(onnx.load_from_string(content))
    quantize_weights(model, {node for group in chosen if group.kind in STORED for node in group.nodes})
    nodes = [node for group in chosen if group.kind in COMPUTED for node in group.nodes]
    if nodes:
        try:
            model = _static(model, nodes, feeds) if method == STATIC else _dynamic(model, nodes)
        except Exception as error:  # ONNX Runtime's quantiser raises many kinds
            message = (str(error) or type(error).__name__).splitlines()[0]
            raise SuffuseError("ONNX Runtime can't quantise this model", got=message) from None
    _float_elsewhere(model, set(nodes))
    strip(model)
    onnx.checker.check_model(model)
    if quantised := quantised_softmax(model.graph):
        raise SuffuseError("a value in int8 would reach a softmax", got=quantised[0])
    return model.SerializeToString()


def _static(model: onnx.ModelProto, nodes: list[str], feeds: Feeds) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        """The batches, one after the other."""

        def __init__(self) -> None:
            self.remaining = iter(feeds)

        def get_next(self) -> dict | None:  # type: ignore[override]
            batch = next(self.remaining, None)
            return None if batch is None else dict(batch)

    with _files(model) as (before, after):
        quantize_static(
            before,
            after,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(COMPUTED),
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": FLOAT_OUTPUT},
        )
        return onnx.load(after)


def _dynamic(model: onnx.ModelProto, nodes: list[str]) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _files(model) as (before, after):
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=list(COMPUTED),
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(after)


def _float_elsewhere(model: onnx.ModelProto, nodes: set[str]) -> None:
    """The quantiser hands a rounded activation to all its readers; keep it only for those that compute in int8."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.name in nodes:
            continue
        for place, name in enumerate(node.input):
            back = makers.get(name)
            first = makers.get(back.input[0]) if back is not None and back.op_type == "DequantizeLinear" else None
            if first is None or first.op_type != "QuantizeLinear":
                continue
            source = makers.get(first.input[0])
            if source is None or source.op_type != "Conv":  # a convolution in int8 gives its output so
                node.input[place] = first.input[0]
    for _ in range(2):  # first what dequantised for nobody, then what quantised for that
        used = _used(graph)
        kept = [n for n in graph.node if n.op_type not in ROUNDING or used.intersection(n.output)]
        copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in kept]
        del graph.node[:]
        graph.node.extend(copies)
    used = _used(graph)
    weights = [onnx.TensorProto.FromString(w.SerializeToString()) for w in graph.initializer if w.name in used]
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _used(graph: onnx.GraphProto) -> set[str]:
    """Names of all values that something reads."""
    return {name for node in graph.node for name in node.input} | {out.name for out in graph.output}


@contextlib.contextmanager
def _files(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """File names for the model and the quantiser's result; the quantiser's log is silenced."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory(prefix="suffuse-") as folder:
            before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
            before.write_bytes(model.SerializeToString())
            yield str(before), str(after)
    finally:
        logging.disable(level)


LEVELS = 127


def quantize_weights(model: ModelProto, nodes: set[str]) -> None:
    """Put the weights of these Gather, GRU and LSTM nodes into int8, in place."""
    graph = model.graph
    nodes_made: list[NodeProto] = []
    for node in graph.node:
        if node.name not in nodes:
            nodes_made.append(node)
        elif node.op_type == "Gather":
            nodes_made.extend(_quantize_table(model, node))
        else:
            nodes_made.extend([*(_quantize_cell(model, node, place) for place in (1, 2)), node])
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes_made]
    del graph.node[:]
    graph.node.extend(copies)


def _quantize_table(model: ModelProto, node: NodeProto) -> list[NodeProto]:
    """Gather of a table -> Gather of int8 rows, then scaling."""
    weight = _take(model, node.input[0])
    table = numpy_helper.to_array(weight)
    scale = np.asarray(np.abs(table).max(initial=0) / LEVELS or 1, dtype=np.float32)
    _add(model, weight.name, table, scale)
    out, node.input[0] = node.output[0], f"{weight.name}_int8"
    node.output[0] = f"{out}_int8"
    return [node, _scaling(node.output[0], weight.name, out)]


def _quantize_cell(model: ModelProto, node: NodeProto, place: int) -> NodeProto:
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
    quantised = np.rint(weight / (scale if over is None else over)).clip(-LEVELS, LEVELS).astype(np.int8)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(quantised, f"{name}_int8"),
            numpy_helper.from_array(scale, f"{name}_scale"),
            numpy_helper.from_array(np.zeros(scale.shape, dtype=np.int8), f"{name}_zero"),
        ]
    )


def _take(model: ModelProto, name: str) -> TensorProto:
    """An initializer, out of the graph."""
    kept = model.graph.initializer
    for number, weight in enumerate(kept):
        if weight.name == name:
            tensor = TensorProto.FromString(weight.SerializeToString())
            del kept[number]
            return tensor
    raise KeyError(name)

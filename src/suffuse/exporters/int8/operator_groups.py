"""What of a graph can be in int8: nodes with constant weights, by operator and by part of the model.

Computed in int8 are Conv, MatMul and Gemm whose second input is a weight: products of two activations, attention's
scores among them, stay in float32. Kept in int8 and computed in float32 are embedding tables (Gather) and the weights
of GRU and LSTM. What a Softmax, or the model's output, is made of is never quantised: the output of a MatMul or Gemm
stays float32 anyway, and a Conv or Gather from which a Softmax is reached without another product in between is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, NodeProto, TensorProto

COMPUTED = ("Conv", "MatMul", "Gemm")
STORED = ("Gather", "GRU", "LSTM")
MIN_WEIGHT_NUMBERS = 256  # numbers of a weight: quantising a smaller one adds more to the file than it saves
OPAQUE = {*COMPUTED, "GRU", "LSTM", "Gather"}  # the way back from a Softmax ends at these
PART = re.compile(r"^model\.(?:encoders\.(\w+)_encoder|(\w+))\.")  # in the name of a parameter


@dataclass(frozen=True)
class Group:
    """Nodes of one operator in one part of the model. All or none of them are in int8."""

    kind: str  # the ONNX operator
    part: str  # a modality's name, fusion, head, or "graph" where a weight's name was lost
    nodes: tuple[str, ...]
    numbers: int  # in their weights

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind} of {self.part}"


def groups(model: ModelProto) -> list[Group]:
    """The groups of a model whose nodes have names, in the order of the graph."""
    graph = model.graph
    weights = {w.name: w for w in graph.initializer if w.data_type == TensorProto.FLOAT}
    users = _users(graph)
    protected = before_softmax(graph)
    nodes_by_group: dict[tuple[str, str], tuple[list[str], int]] = {}
    for node in graph.node:
        node_weights = [weights[name] for name in _weights(node) if name in weights]
        size = sum(_numbers(weight) for weight in node_weights)
        if len(node_weights) < len(_weights(node)) or not node_weights or size < MIN_WEIGHT_NUMBERS or node.domain:
            continue
        if node.op_type in ("Conv", "Gather") and node.name in protected:
            continue
        if node.op_type in STORED and any(len(users[weight.name]) > 1 for weight in node_weights):
            continue  # a table that something else reads too
        names, total = nodes_by_group.setdefault((node.op_type, _part(node_weights[0].name)), ([], 0))
        nodes_by_group[node.op_type, _part(node_weights[0].name)] = ([*names, node.name], total + size)
    return [Group(kind, part, tuple(names), total) for (kind, part), (names, total) in nodes_by_group.items()]


def with_node_names(model: ModelProto) -> ModelProto:
    """The model, with a unique name for each node."""
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)
    return model


def before_softmax(graph: GraphProto) -> set[str]:
    """Names of the last products, tables and cells from which a Softmax or an output is made."""
    makers = {name: node for node in graph.node for name in node.output}
    waiting = [name for node in graph.node if node.op_type in ("Softmax", "LogSoftmax") for name in node.input[:1]]
    return {node.name for node in _back([*waiting, *(o.name for o in graph.output)], makers) if node.op_type in OPAQUE}


def quantised_softmax(graph: GraphProto) -> list[str]:
    """Values in int8 that reach a Softmax or an output without a product in between: there must be none."""
    makers = {name: node for node in graph.node for name in node.output}
    constant = {w.name for w in graph.initializer}
    waiting = [name for node in graph.node if node.op_type in ("Softmax", "LogSoftmax") for name in node.input[:1]]
    nodes = _back([*waiting, *(o.name for o in graph.output)], makers)
    return [n.input[0] for n in nodes if n.op_type == "DequantizeLinear" and n.input[0] not in constant]


def _back(waiting: Iterable[str], makers: dict[str, NodeProto]) -> Iterator[NodeProto]:
    """The nodes on the way back from values, as far as the first that are opaque or dequantise."""
    pending, visited = list(waiting), set()
    while pending:
        node = makers.get(pending.pop())
        if node is None or id(node) in visited:
            continue
        visited.add(id(node))
        yield node
        if node.op_type not in OPAQUE and node.op_type != "DequantizeLinear":
            pending.extend(node.input)


def _weights(node: NodeProto) -> list[str]:
    """Names of the inputs that are its weights, where it is of a kind that can be in int8."""
    if node.op_type == "Gather":
        return list(node.input[:1])
    if node.op_type in ("GRU", "LSTM"):
        return list(node.input[1:3])
    return list(node.input[1:2]) if node.op_type in COMPUTED else []


def _users(graph: GraphProto) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {w.name: [] for w in graph.initializer}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node.name)
    return users


def _part(weight: str) -> str:
    match = PART.match(weight)
    return (match[1] or match[2]) if match else "graph"


def _numbers(weight: TensorProto) -> int:
    size = 1
    for side in weight.dims:
        size *= side
    return size

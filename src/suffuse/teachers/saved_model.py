"""A TensorFlow SavedModel (a folder): its graph is checked before anything of it is loaded.

A SavedModel is a program. Its operators can write files, read them and call Python, when it is loaded (initialisers) or
called. A model of numbers in and numbers out needs none of that, except in the functions that TensorFlow itself stores
to save and restore its weights, which loading doesn't call. So those are exempt, nothing else may call them, and
nothing else may hold such an operator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SuffuseError, UsageError
from ..registry import optional

GRAPH = "saved_model.pb"
MAX_BYTES = 2**31 - 1  # bytes of a protocol buffer
# files, checkpoints, sources of rows, logs, Python, the network; printing can write to a file too
UNSAFE = re.compile(
    r"File|Reader|Save|Restore|Checkpoint|Dataset|Iterator|Summary|Debug|Dump|PyFunc|PrintV2|Rpc|Send$|Recv$|Collective"
)
HARMLESS = {"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"}  # a vocabulary, into a table
LIBRARY, MAIN = "function", "the graph"


@dataclass(frozen=True)
class Signature:
    """A function of a loaded model: names of its inputs and outputs, a call by name, and its weights."""

    inputs: list[str]
    outputs: list[str]
    call: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
    weights: Callable[[], list[np.ndarray]]


def load(folder: Path, signature: str, where: str) -> Signature:
    """One signature of the model in a folder. Raises UsageError where it can't be opened, or its graph does more than
    compute."""
    tensorflow: Any = optional("tensorflow", "tensorflow")
    try:
        check_graph(folder, where)
        model = tensorflow.saved_model.load(str(folder))
        function = model.signatures[signature]
    except SuffuseError:
        raise
    except Exception as error:  # TensorFlow's errors share no base class
        got = str(error).strip().splitlines()[0][:200]
        raise UsageError("this model can't be opened", where=where, got=got) from None

    def call(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert model is not None  # the signature alone doesn't keep its variables alive
        outputs_by_name = function(**{name: tensorflow.constant(array) for name, array in arrays.items()})
        return {name: tensor.numpy() for name, tensor in outputs_by_name.items()}

    inputs, outputs = list(function.structured_input_signature[1]), list(function.structured_outputs)
    return Signature(inputs, outputs, call, lambda: [variable.numpy() for variable in function.variables])


def check_graph(folder: Path, where: str) -> None:
    """Raise UsageError where the graph holds operators that a model of numbers doesn't need. Nothing is loaded."""
    protocol: Any = optional("tensorflow.core.protobuf.saved_model_pb2", "tensorflow")
    file = folder / GRAPH
    if not file.is_file() or file.stat().st_size > MAX_BYTES:
        raise UsageError("this is no SavedModel", where=where, got=f"no {GRAPH} in {folder}")
    for graph in protocol.SavedModel.FromString(file.read_bytes()).meta_graphs:
        for place, operator in unsafe_operators(graph):
            raise UsageError(
                "this model does more than compute", where=where, got=f"{operator} in {place}",
                hint="ask it in a program of your own and give its answers as a table of probabilities",
            )  # fmt: skip


def unsafe_operators(graph: Any) -> Iterator[tuple[str, str]]:
    """(function, operator or called function) of everything in a ``MetaGraphDef`` that is refused."""
    saver = graph.saver_def
    saver_names = {saver.save_tensor_name.partition(":")[0], saver.restore_op_name} - {""}
    saver_functions = {name for node in graph.graph_def.node if node.name in saver_names for name in _called(node)}
    bodies = [(MAIN, [node for node in graph.graph_def.node if node.name not in saver_names])]
    bodies += [
        (f"{LIBRARY} {function.signature.name}", function.node_def)
        for function in graph.graph_def.library.function
        if function.signature.name not in saver_functions
    ]
    for place, nodes in bodies:
        for node in nodes:
            if UNSAFE.search(node.op) and node.op not in HARMLESS:
                yield place, node.op
            yield from ((place, name) for name in _called(node) if name in saver_functions)
    restored = graph.object_graph_def.concrete_functions
    yield from (("what loading restores", name) for name in restored if name in saver_functions)


def _called(node: Any) -> Iterator[str]:
    """Names of the functions that a node can call."""
    for value in node.attr.values():
        yield from (function.name for function in (value.func, *value.list.func) if function.name)

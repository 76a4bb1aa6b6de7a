"""Cost of a network: parameters, bytes of its ONNX file, and milliseconds of a row in ONNX Runtime.

Latency is measured, not estimated: one row, one thread, median, on the exported graph. It doesn't depend on weights, so
a network is measured before it is trained. The recipe's own student is timed in turn with it, block by block, and the
ratio is used, so that load on the machine affects both. Each architecture is measured once.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..checked_json import read_checked, write_checked
from ..data.columns import Columns
from ..errors import SuffuseError
from ..exporters.onnx_export import export
from ..files import read_json, write_json
from ..model import FusionModel
from ..recipe import Network
from ..subsample import evenly_spaced

WARM, BLOCK, BLOCKS, ROWS = 3, 8, 9, 16  # calls that aren't timed, timed calls of a block, blocks, different rows
FREE_SETTINGS = ("dropout", "embedding_dropout", "hide")  # settings without an effect on inference


class Costs:
    """Costs of networks on a run's data, kept in a folder."""

    def __init__(self, columns: Columns, own: Network, folder: Path):
        self.columns, self.own, self.folder = columns, own.bare(), folder

    def of(self, network: Network) -> dict[str, Any]:
        """``parameters``, ``bytes``, ``latency_ms`` and ``ratio`` to the recipe's student; the last three are None
        where the recipe's student can't be exported. Raises SuffuseError where only this network can't."""
        file = self.folder / f"{shape_hash(network)}.json"
        cost = read_checked(file)
        if cost is None:
            cost = self._measure(network.bare())
            write_checked(file, cost)
        return cost

    def _measure(self, network: Network) -> dict[str, Any]:
        own, size = self._exported(self.own), self._model(network).size()
        if own is None:
            return {"parameters": size, "bytes": None, "latency_ms": None, "ratio": None}
        graph = self._exported(network)
        if graph is None:
            why = read_json(self.folder / f"{shape_hash(network)}.why.json")
            raise SuffuseError("this student can't be exported", where="student", got=why)
        times = self._time([(own, self.own), (graph, network)])
        ratio = 1.0 if own == graph else float(np.median(times[1]) / np.median(times[0]))
        facts = {"parameters": size, "bytes": graph.stat().st_size, "ratio": ratio}
        first = read_checked(self.folder / f"{shape_hash(self.own)}.json")
        base = first["latency_ms"] if first else float(np.median(times[0]))
        return {**facts, "latency_ms": base * ratio}

    def _model(self, network: Network) -> FusionModel:
        return FusionModel(network, self.columns.of(network.encoders).spec)

    def _exported(self, network: Network) -> Path | None:
        """The file of the graph; None where the export fails, with the reason in a file beside it."""
        file = self.folder / f"{shape_hash(network)}.onnx"
        why = file.with_suffix(".why.json")
        if not file.exists() and not why.exists():
            try:
                export(self._model(network), file)
            except SuffuseError as error:
                write_json(why, error.got or error.message)
        return file if file.exists() else None

    def _time(self, files: list[tuple[Path, Network]]) -> list[list[float]]:
        """Milliseconds of single rows, one list per file; the files take turns."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        sessions = [onnxruntime.InferenceSession(str(f), options, ["CPUExecutionProvider"]) for f, _ in files]
        feeds = [_feeds(self.columns.of(network.encoders)) for _, network in files]
        by_file: list[list[float]] = [[] for _ in files]
        for block in range(BLOCKS):
            for session, rows, times in zip(sessions, feeds, by_file, strict=True):
                for number in range(-WARM, BLOCK):
                    feed = rows[(block * BLOCK + number) % len(rows)]
                    start = time.perf_counter()
                    session.run(None, feed)
                    if number >= 0:
                        times.append(1000 * (time.perf_counter() - start))
        return by_file


def shape_hash(network: Network) -> str:
    """Hash of all settings that decide the cost of inference."""
    facts = _costly_settings(network.bare().model_dump(mode="json"))
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()


def _costly_settings(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _costly_settings(v) for key, v in value.items() if key not in FREE_SETTINGS}


def _feeds(columns: Columns) -> list[dict[str, np.ndarray]]:
    """Single validation rows as inputs of the graph; an absent modality gets the first entry."""
    rows, feeds = columns.rows("validation"), []
    for row in rows[evenly_spaced(len(rows), ROWS)]:
        present = columns.present[row : row + 1]
        feed = {"present": np.ascontiguousarray(present)}
        for m, name in enumerate(columns.spec.names):
            entry = np.asarray(columns.entries[name][np.array([columns.entry[row, m]])])
            entry = entry.astype(np.int64) if entry.dtype == np.int32 else entry
            feed[name] = np.ascontiguousarray(entry.astype(np.float32) if entry.dtype == np.float16 else entry)
        feeds.append(feed)
    return feeds

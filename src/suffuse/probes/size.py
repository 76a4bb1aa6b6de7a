"""Size: multiplications of one row, and of exported files the memory that a process needs and how fast it starts.

Multiplications (each with the addition that follows, "MACs") are counted operator by operator by PyTorch's flop
counter on one row that has every modality, as it comes alone, without padding: convolutions, matrix products,
attention, recurrent cells. Biases, norms, activations, embeddings and softmax are not counted. Memory and start are
measured in new processes that load nothing but the predictor (:mod:`suffuse.probes.resident`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import Columns
from ..errors import SuffuseError
from ..model import FusionModel
from .context import Context, Model
from .feeds import feed, feeds
from .members import Network

COUNTED = "convolutions, matrix products, attention and recurrent cells of one row with every modality, without padding"
STARTS, ROWS = 3, 20  # new processes, and rows that each answers
SECONDS = 300  # that one may take


def probe(context: Context) -> dict[str, dict]:
    """``macs`` of every main network (an export has its student's), ``memory`` and ``latency.cold_start_ms`` of
    exported files."""
    found: dict[str, dict] = {}
    for model in context.main():
        source = context.models.get("student") if model.who.startswith("export") else model
        counted = _network(source)
        facts: dict[str, Any] = {}
        if counted is not None:
            facts["macs"] = {"per_row": multiplications(counted), "counted": COUNTED}
        if model.folder is not None:
            context.tell(0.0, f"{model.who}: memory")
            facts |= started(context, model)
        found[model.who] = facts
    return found


def multiplications(network: Network) -> int:
    """Of one row that has every modality."""
    model, _ = network.opened
    return macs(model, network.columns.of(model.spec.names))


def macs(model: FusionModel, columns: Columns) -> int:
    """Multiplications of the first row that has most, all entries read as they are stored."""
    from torch.utils.flop_counter import FlopCounterMode

    row = int(columns.present.sum(1).argmax())
    entries, present = feed(columns, row)
    whole = replace(
        columns,
        entries=entries,
        entry=np.zeros((1, len(entries)), dtype=np.int64),
        present=np.ones_like(present),
        target=columns.target[row : row + 1],
        ready=frozenset(),
    )
    batch = whole.batch(np.zeros(1, dtype=np.int64))
    # without oneDNN a recurrent cell is the matrix products that it is made of
    with warnings.catch_warnings(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            model(batch)
    return counter.get_total_flops() // 2


def started(context: Context, model: Model) -> dict[str, Any]:
    """Memory, and milliseconds of a start: medians over new processes."""
    rows = context.rows[context.few(ROWS)]
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "rows.npz"
        arrays: Any = feeds(context.columns, model, rows)
        np.savez(file, **arrays)
        told = [_asked(model, file) for _ in range(STARTS)]
    middle = {key: float(np.median([one[key] for one in told])) for key in told[0]}
    return {
        "memory": {
            "peak_bytes": int(middle["peak"]),
            "libraries_bytes": int(middle["libraries"]),
            "model_bytes": int(middle["peak"] - middle["libraries"]),
            "rows": len(rows),
        },
        "latency": {
            "cold_start_ms": {**{k: middle[k] for k in ("process", "load", "first")}, "starts": STARTS},
        },
    }


def _asked(model: Model, file: Path) -> dict[str, float]:
    """What one new process says of itself."""
    import time

    package = str(Path(__file__).parents[2])
    way = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "suffuse.probes.resident", str(model.folder), model.form or "", str(file)]
    begun = time.time()
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": way}, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        raise SuffuseError("the exported model doesn't start", where=model.folder, got=done.stderr.strip()[-200:])
    facts = json.loads(done.stdout)
    return {**facts, "process": 1000 * (facts.pop("answered") - begun)}


def _network(model: Model | None) -> Network | None:
    first = next(iter(model.members.values()), None) if model else None
    return first if isinstance(first, Network) else None

"""Size: multiply-accumulates (MACs) of one row, and memory and start-up time of exported files.

MACs are counted operator by operator with PyTorch's flop counter (one MAC is two flops) on one row that has every
modality, without padding: convolutions, matrix products, attention, recurrent cells. Biases, norms, activations,
embeddings and softmax are not counted. Costly probes limit their rows by MACs, so the limit depends on recipe and data
and never on the speed of the machine.

Memory and start-up time are measured in new processes that load only the predictor (:mod:`suffuse.evaluation.memory`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.columns import Columns
from ..files import read_json
from ..model import FusionModel, open_model
from ..predictor import SIGNATURE
from . import ProbeDocs
from .context import MIN_ROWS, Context, Member, Model
from .latency import single_row
from .models import Exported, Network

FIELDS = ("macs", "memory", "latency")
DOCS = ProbeDocs(
    models="main", cost="one row; for exported forms three processes of a second", fields="`macs`, `memory`"
)
BUDGET = 2e11  # MACs that one probe may spend on all models
COUNTED = "convolutions, matrix products, attention and recurrent cells of one row with every modality, without padding"
STARTS, ROWS = 3, 20  # new processes, and rows that each predicts
TIMEOUT = 300  # seconds of one process


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one row."""

    total: int = 0
    fusion: int = 0  # of them, those after the encoders


def affordable_rows(context: Context, cost: Callable[[Member, Macs], float], limit: int) -> int:
    """The rows that fit the budget, from 64 to ``limit``, where one row costs ``cost`` of each member of the main
    models."""
    members = [member for model in context.main_models() for member in model.members.values()]
    total = sum(cost(member, member_macs(context, member)) for member in members)
    return max(min(limit, int(BUDGET / max(total, 1))), MIN_ROWS)


def member_macs(context: Context, member: Member) -> Macs:
    """MACs of one row; an exported form has its student's, a teacher that the run didn't train has unknown ones (0)."""
    if isinstance(member, Exported) and "student" in context.models:
        member = next(iter(context.models["student"].members.values()), member)
    if not isinstance(member, Network):
        return Macs()
    key = ("macs", member.folder)
    if key not in context.cache:
        on_processor = member.device.type == "cpu"  # where recurrent cells are counted as matrix products
        model = member.opened[0] if on_processor else open_model(member.folder)
        context.cache[key] = count_macs(model, member.columns.of(model.spec.names))
    return context.cache[key]


def count_macs(model: FusionModel, columns: Columns) -> Macs:
    """MACs of the first row with the most modalities; entries are encoded, also where frozen vectors are cached."""
    row = int(columns.present.sum(1).argmax())
    entries, present = single_row(columns, row)
    one_row = replace(
        columns,
        entries=entries,
        entry=np.zeros((1, len(entries)), dtype=np.int64),
        present=np.ones_like(present),
        target=columns.target[row : row + 1],
        ready=frozenset(),
    )
    batch = one_row.batch(np.zeros(1, dtype=np.int64))
    with flop_counter() as counter:
        encoded = model.encode(batch)
    encoders = counter.get_total_flops() // 2
    with flop_counter() as counter:
        model.fuse(encoded, batch.present)
    fusion = counter.get_total_flops() // 2
    return Macs(encoders + fusion, fusion)


@contextlib.contextmanager
def flop_counter() -> Iterator[Any]:
    """PyTorch's counter; with oneDNN disabled, a recurrent cell is counted as its matrix products."""
    from torch.utils.flop_counter import FlopCounterMode

    with warnings.catch_warnings(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield counter


def probe(context: Context) -> dict[str, dict]:
    """``macs`` of every main network (an export has its student's), ``memory`` and ``latency.cold_start_ms`` of
    exported files."""
    cards: dict[str, dict] = {}
    for model in context.main_models():
        fields: dict[str, Any] = {}
        macs = member_macs(context, next(iter(model.members.values()))).total
        if macs:
            fields["macs"] = {"per_row": macs, "counted": COUNTED}
        if model.folder is not None:
            context.tell(0.0, f"{model.name}: memory")
            fields |= measure_process(context, model)
        cards[model.name] = fields
    return cards


def measure_process(context: Context, model: Model) -> dict[str, Any]:
    """Memory, and milliseconds of a start: medians over new processes; ``not_measured`` where one fails."""
    rows = context.rows[context.sample(ROWS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npz"
        arrays: Any = flat_rows(context.columns, model, rows)
        np.savez(file, **arrays)
        try:
            runs = [_run_process(model, file) for _ in range(STARTS)]
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return {"not_measured": {"memory": str(error)[-200:]}}
    median = {key: float(np.median([facts[key] for facts in runs])) for key in runs[0]}
    return {
        "memory": {
            "peak_bytes": int(median["peak"]),
            "libraries_bytes": int(median["libraries"]),
            "model_bytes": int(median["peak"] - median["libraries"]),
            "rows": len(rows),
        },
        "latency": {
            "cold_start_ms": {**{k: median[k] for k in ("process", "load", "first")}, "starts": STARTS},
        },
    }


def flat_rows(columns: Columns, model: Model, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of an exported model's inputs, flat by number and name, as :mod:`suffuse.evaluation.memory` reads them."""
    assert model.folder is not None
    signature = read_json(model.folder / SIGNATURE) or {}
    selected, arrays = columns.of([modality["name"] for modality in signature["modalities"]]), {}
    for number, row in enumerate(rows):
        entries, present = single_row(selected, int(row))
        arrays |= {f"{number} {name}": array for name, array in {**entries, " present": present}.items()}
    return arrays


def _run_process(model: Model, file: Path) -> dict[str, float]:
    """What one new process measures of itself, and the milliseconds from its start to its first prediction."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "suffuse.evaluation.memory", str(model.folder), model.form or "", str(file)]
    start = time.time()
    process = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    if process.returncode:
        raise ValueError(process.stderr.strip())
    facts = json.loads(process.stdout)
    return {**facts, "process": 1000 * (facts.pop("answered") - start)}

"""Size: multiplications of one row, and of exported files the memory that a process needs and how fast it starts.

:mod:`suffuse.evaluation.macs` says what is counted. Memory and start are measured in new processes that load nothing
but the predictor (:mod:`suffuse.evaluation.memory`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from .context import Context, Model
from .macs import of_model
from .single_row_feeds import feeds

COUNTED = "convolutions, matrix products, attention and recurrent cells of one row with every modality, without padding"
STARTS, ROWS = 3, 20  # new processes, and rows that each answers
SECONDS = 300  # that one may take


def probe(context: Context) -> dict[str, dict]:
    """``macs`` of every main network (an export has its student's), ``memory`` and ``latency.cold_start_ms`` of
    exported files."""
    found: dict[str, dict] = {}
    for model in context.main():
        facts: dict[str, Any] = {}
        counted = of_model(context, model).whole
        if counted:
            facts["macs"] = {"per_row": counted, "counted": COUNTED}
        if model.folder is not None:
            context.tell(0.0, f"{model.who}: memory")
            facts |= started(context, model)
        found[model.who] = facts
    return found


def started(context: Context, model: Model) -> dict[str, Any]:
    """Memory, and milliseconds of a start: medians over new processes; why not, where one doesn't answer."""
    rows = context.rows[context.few(ROWS)]
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "rows.npz"
        arrays: Any = feeds(context.columns, model, rows)
        np.savez(file, **arrays)
        try:
            told = [_asked(model, file) for _ in range(STARTS)]
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return {"not_measured": {"memory": str(error)[-200:]}}
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
    package = str(Path(__file__).parents[2])
    way = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "suffuse.evaluation.memory", str(model.folder), model.form or "", str(file)]
    begun = time.time()
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": way}, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        raise ValueError(done.stderr.strip())
    facts = json.loads(done.stdout)
    return {**facts, "process": 1000 * (facts.pop("answered") - begun)}

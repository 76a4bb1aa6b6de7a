"""A process that loads an exported model, predicts some rows, and reports how much memory and time that took.

``python -m suffuse.evaluation.memory FOLDER FORM ROWS.npz`` writes JSON. It never imports torch: it measures what a
deployed predictor costs. Peaks are the kernel's ``VmHWM``; without /proc they are ``ru_maxrss``, which may include
memory of a parent process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def peak_memory() -> int:
    """The highest resident memory of this process so far, in bytes."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(folder: str, form: str, file: str) -> dict[str, float]:
    """Bytes: ``libraries``, ``peak``; milliseconds: ``load``, ``first``; ``answered``: time.time() of the first
    prediction."""
    import numpy as np

    from ..predictor import Predictor

    with np.load(file, allow_pickle=False) as arrays:
        rows: dict[str, dict[str, np.ndarray]] = {}
        for key in arrays.files:
            number, _, name = key.partition(" ")
            rows.setdefault(number, {})[name] = arrays[key]
    libraries, start = peak_memory(), time.perf_counter()
    model = Predictor.load(folder, 1, form or None, model_files="/")  # none is opened: rows are prepared
    loaded, first = time.perf_counter(), {}
    for entries in rows.values():
        model.logits(entries, entries.pop(" present"))
        first = first or {"first": 1000 * (time.perf_counter() - loaded), "answered": time.time()}
    return {"libraries": libraries, "peak": peak_memory(), "load": 1000 * (loaded - start), **first}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))

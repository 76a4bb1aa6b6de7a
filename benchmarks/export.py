"""What an export weighs, how long it takes and how well it answers: every form, on every subset of the modalities.

    python benchmarks/export.py runs/easy-vqa [RUN...] [--write]

Sizes are of files. Times are of prepared tensors on one thread, all forms in turn, at 1, 8 and 64 rows: the ratio to
fp32 is the median over paired blocks. Accuracy (or the main metric) is on the test rows, with a 95 % interval.
``--write`` keeps the numbers in ``benchmarks/results/export.json``; runs that aren't named keep theirs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from result_file import RESULTS, provenance
from suffuse import Predictor
from suffuse.activations import activate, main_metric
from suffuse.data.columns import Columns
from suffuse.evaluation import metrics
from suffuse.evaluation.intervals import bounds, summary
from suffuse.evaluation.metrics import measure
from suffuse.evaluation.verdict import compare
from suffuse.export_integrity import read, read_signature
from suffuse.exporters.export_folder import forms
from suffuse.exporters.onnx_session import Feed, Session, feed, latency_ratio
from suffuse.exporters.parity import entries, evenly, make_ask, subsets
from suffuse.files import read_json, write_json
from suffuse.temperature_scaling import subset_name

PLACE = RESULTS / "export.json"
ROWS = (1, 8, 64)
TIMES, SECONDS = 200, 3.0


def measured(folder: Path) -> dict:
    """One finished run."""
    export, columns = folder / "export", Columns.open(folder / "data")
    signature = read_signature(export)
    names = [one["name"] for one in signature["modalities"]]
    seen = columns.of(names)
    sessions = {form: Session(read(export, form)[2]) for form in forms(export)}
    parity = read_json(export / "parity.json") or {}
    return {
        "parameters": signature["parameters"],
        "forms": {form: {"bytes": signature["forms"][form]["bytes"]} for form in sessions},
        "int8": {key: parity.get("int8", {}).get(key) for key in ("asked", "ships", "why", "drift", "tried")},
        "temperatures": signature.get("temperatures"),
        "milliseconds": latency(sessions, seen),
        "test": accuracy(sessions, seen, columns.labelled("test")),
        "cold start, seconds": cold(export),
    }


def latency(sessions: dict[str, Session], columns: Columns) -> dict:
    """Rows -> form -> median milliseconds, and the ratio to fp32."""
    found: dict[str, dict] = {}
    for count in ROWS:
        rows = evenly(columns, count, "test")[:count]
        given = feed(entries(columns, rows), columns.present[rows])
        found[str(len(rows))] = {form: _one(form, sessions, given) for form in sessions}
    return found


def _one(form: str, sessions: dict[str, Session], given: Feed) -> dict:
    taken, started = [], time.perf_counter()
    while len(taken) < TIMES and (len(taken) < 10 or time.perf_counter() - started < SECONDS):
        start = time.perf_counter()
        sessions[form].run(given)
        taken.append(1000 * (time.perf_counter() - start))
    said = {"p50": round(float(np.quantile(taken, 0.5)), 4), "p95": round(float(np.quantile(taken, 0.95)), 4)}
    if form != "fp32":
        against = latency_ratio(sessions[form], sessions["fp32"], given, SECONDS)
        said |= {"of fp32": against.median, "quartiles": [against.low, against.high]}
    return said


def accuracy(sessions: dict[str, Session], columns: Columns, rows: np.ndarray) -> dict:
    """Subset -> form -> the main metric with its interval; of other forms than fp32 what is lost, paired."""
    spec, target = columns.spec, columns.target[rows]
    draws, metric = metrics.draw(columns.group[rows], 1000, 0.95), main_metric(columns.spec.heads)
    found: dict[str, Any] = {"metric": metric, "rows": len(rows)}
    for kept in subsets(spec.names):
        each = {
            form: measure(spec, activate(spec.heads, make_ask(one)(columns, rows, kept)), target, draws)[metric]
            for form, one in sessions.items()
        }
        said = {form: summary([values], 0.95, bounds(metric)) for form, values in each.items()}
        for form in set(each) - {"fp32"}:
            said[form]["lost"] = compare([each["fp32"]], [each[form]], 0.95, bounds(metric))
        for facts in said.values():
            facts.pop("per_seed")
        found[subset_name(spec.names, kept)] = said
    return found


def cold(export: Path) -> float:
    """Opening the folder, all files checked; imports not counted."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        Predictor.load(export)
        found.append(time.perf_counter() - start)
    return round(float(np.median(found)), 4)


def lines(name: str, facts: dict) -> list[str]:
    """For the terminal."""
    said = [f"{name}: {facts['parameters']:,} parameters; int8: {facts['int8']['ships']}, {facts['int8']['why']}"]
    for form, one in facts["forms"].items():
        times = "  ".join(f"{n} rows {t[form]['p50']:.3f} ms" for n, t in facts["milliseconds"].items())
        said.append(f"  {form:<5} {one['bytes']:>10,} bytes  {times}")
    for subset, each in facts["test"].items():
        if isinstance(each, dict):
            scores = "  ".join(f"{form} {one['mean']:.4f}" for form, one in each.items())
            said.append(f"  {subset:<30} {facts['test']['metric']}: {scores}")
    return said


def main() -> None:
    """Measure the runs, print a table, and keep the numbers where that is asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    found = {}
    for folder in arguments.runs:
        found[folder.name] = {**provenance(), "threads": 1, "onnxruntime": ort.__version__, **measured(folder)}
        print("\n".join(lines(folder.name, found[folder.name])))
    if arguments.write:
        known = read_json(PLACE) or {}
        write_json(PLACE, {**known, **found})


if __name__ == "__main__":
    main()

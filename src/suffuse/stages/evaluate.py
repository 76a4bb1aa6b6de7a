"""evaluate: every model on the test rows, once; scores with intervals, and the verdicts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..data import Columns
from ..engine.forward import logits
from ..engine.runtime import settle
from ..files import read_json, write_bytes, write_json
from ..model import open_model
from ..predictor import Predictor, softmax
from ..probes import quality
from ..probes.calibration import calibration
from ..probes.latency import latency
from ..progress import Tell, progress
from ..run import Run


def evaluate(run: Run) -> None:
    """Write ``scores/``: a file per model, the comparisons, and every model's answer on every test row."""
    settle(run.recipe.compute.threads)
    columns, folder = Columns.open(run.path("data")), run.partial("evaluate") / "scores"
    rows = columns.labelled("test")
    _note_look(run)
    with progress("evaluate") as tell:
        found = probabilities(run, columns, rows, tell)
        tell(0.9, "intervals")
        draws = quality.draw(columns.group[rows], run.recipe.evaluate.resamples, run.recipe.evaluate.confidence)
        target = columns.target[rows]
        measured = {who: [quality.metrics(p, target, draws) for p in seeds.values()] for who, seeds in found.items()}
        tell(0.95, "latency")
        exports = {"export": run.path("export"), "teacher": run.path("export-teacher")}
        times = latency(exports, columns, rows)
        for who, seeds in found.items():
            facts = score(who, list(seeds), measured[who], run)
            facts["calibration"] = calibration(np.concatenate(list(seeds.values())), np.tile(target, len(seeds)))
            facts |= size(run, who) | ({"latency_ms": times[who]} if who in times else {})
            write_json(folder / f"{who}.json", facts)
        write_json(folder / "comparisons.json", comparisons(measured, run.recipe.evaluate.confidence))
        write_predictions(folder / "predictions.parquet", found, columns, rows)
        tell(1.0, f"{len(rows):,} test rows")


def models(run: Run) -> dict[str, list[Path]]:
    """Who -> the folders of its seeds: the teacher, and everything that distill trained."""
    stamp = run.stamp("distill") or {"outputs": {}}
    found: dict[str, list[Path]] = {"teacher": [run.path("teacher")]}
    for file in sorted(stamp["outputs"]):
        who, *rest = Path(file).parts
        if len(rest) == 2 and rest[1] == "model.safetensors":
            found.setdefault(who, []).append(run.path(who, rest[0]))
    return found


def probabilities(run: Run, columns: Columns, rows: np.ndarray, tell: Tell) -> dict[str, dict[str, np.ndarray]]:
    """Who -> seed -> (N, C), on the test rows; ``majority`` and ``export`` among them."""
    prior = np.exp(np.array(columns.spec.log_prior, dtype=np.float32))
    found = {"majority": {"": np.tile(prior, (len(rows), 1))}}
    listed = models(run)
    for number, (who, folders) in enumerate(listed.items()):
        tell(0.9 * number / (len(listed) + 1), who)
        seen = columns.only(who.removeprefix("only-")) if who.startswith("only-") else columns
        found[who] = {f.name: softmax(logits(open_model(f), seen, rows)) for f in folders}
    found["export"] = {"": _exported(Predictor.load(run.path("export"), run.recipe.compute.threads), columns, rows)}
    return found


def _exported(predictor: Predictor, columns: Columns, rows: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(rows), 256):
        piece = rows[start : start + 256]
        entries = {n: columns.entries[n][columns.entry[piece, m]] for m, n in enumerate(columns.spec.names)}
        parts.append(softmax(predictor.logits(entries, columns.present[piece])))
    return np.concatenate(parts)


def score(who: str, seeds: list[str], measured: list[dict[str, np.ndarray]], run: Run) -> dict[str, Any]:
    """One model's scorecard."""
    confidence = run.recipe.evaluate.confidence
    schema = read_json(run.path("data", "schema.json"))
    return {
        "who": who,
        "split": "test",
        "rows": schema["labelled"]["test"],
        "seeds": [s.removeprefix("seed-") for s in seeds],
        "confidence": confidence,
        "metrics": {name: quality.summary([m[name] for m in measured], confidence) for name in measured[0]},
    }


def size(run: Run, who: str) -> dict[str, int]:
    """Parameters and bytes of the file that holds them."""
    if who == "export":
        folder = run.path("export")
        return {
            "parameters": read_json(folder / "signature.json")["parameters"],
            "bytes": (folder / "model.onnx").stat().st_size,
        }
    if who == "majority":
        return {}
    folder = models(run)[who][0]
    facts = read_json(folder / "training.json")
    return {"parameters": facts["parameters"], "bytes": (folder / "model.safetensors").stat().st_size}


def comparisons(measured: dict[str, list[dict[str, np.ndarray]]], confidence: float) -> list[dict]:
    """Every student against the same student on labels alone, on accuracy."""
    found = []
    for who in measured:
        other = who.replace("student", "baseline")
        if who.startswith("student") and other in measured:
            ours, theirs = ([m["accuracy"] for m in measured[name]] for name in (who, other))
            found.append(
                {
                    "who": who,
                    "against": other,
                    "metric": "accuracy",
                    **quality.compare(ours, theirs, confidence),
                }
            )
    return found


def write_predictions(file: Path, found: dict[str, dict[str, np.ndarray]], columns: Columns, rows: np.ndarray) -> None:
    """Row position, target, and each model's probabilities (its first seed), in test order."""
    table: dict[str, Any] = {"row": rows, "target": columns.target[rows]}
    for who, seeds in found.items():
        first = next(iter(seeds.values())).astype(np.float32)
        table[who] = pa.FixedSizeListArray.from_arrays(pa.array(first.ravel()), first.shape[1])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(table), sink)
    write_bytes(file, sink.getvalue().to_pybytes())


def _note_look(run: Run) -> None:
    """Every look at the test rows is written down: the first is the honest one."""
    looks = read_json(run.path("test-looks.json")) or []
    write_json(run.path("test-looks.json"), [*looks, datetime.now().astimezone().isoformat(timespec="seconds")])

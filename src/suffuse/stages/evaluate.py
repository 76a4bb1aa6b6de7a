"""evaluate: every model on the test rows, once; scores with intervals, and the verdicts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..answers import activate, main_metric
from ..data import Columns
from ..engine import features, forward
from ..engine.forward import logits
from ..engine.records import best_seed
from ..engine.runtime import settle
from ..files import read_json, write_bytes, write_json
from ..model import open_model
from ..predictor import Predictor
from ..probes import quality
from ..probes.calibration import calibrate
from ..probes.controls import worth
from ..probes.intervals import Size, bounds, summary
from ..probes.latency import latency
from ..probes.parts import by
from ..probes.protocol import protocol
from ..probes.targets import Measured, measure
from ..progress import Tell, progress
from ..run import Run
from ..teachers import asking
from ..teachers.opening import open_teacher
from ..types import Spec, heads_of


def evaluate(run: Run) -> None:
    """Write ``scores/``: a file per model, the comparisons, and every model's answer on every test row."""
    settle(run.recipe.compute.threads)
    columns, folder = Columns.open(run.path("data")), run.partial("evaluate") / "scores"
    rows = columns.labelled("test")
    _note_look(run)
    with progress("evaluate") as tell:
        said = None if run.recipe.trained else ask(run, columns, rows, tell)
        found = probabilities(run, columns, rows, said, tell)
        tell(0.9, "intervals")
        draws = quality.draw(columns.group[rows], run.recipe.evaluate.resamples, run.recipe.evaluate.confidence)
        target, spec = columns.target[rows], columns.spec
        measured = {who: [measure(spec, p, target, draws) for p in seeds.values()] for who, seeds in found.items()}
        tell(0.95, "latency")
        exports = {"export": run.path("export"), "teacher": run.path("export-teacher")}
        times = latency({who: place for who, place in exports.items() if place.exists()}, columns, rows)
        columns_of = values(run, rows)
        tell(0.96, "controls")
        worths = controlled(run, columns, rows, draws, measured) if run.recipe.evaluate.controls else {}
        told = protocol(run, columns, rows, draws, measured, {who: list(s.values()) for who, s in found.items()})
        for who, seeds in found.items():
            facts = score(who, list(seeds), measured[who], run, draws.size) | worths.get(who, {})
            facts |= calibrate(spec, np.concatenate(list(seeds.values())), np.concatenate([target] * len(seeds)))
            if columns_of:
                answers = list(seeds.values())
                facts["by"] = {name: by(spec, answers, target, draws, some) for name, some in columns_of.items()}
            facts |= abstentions(spec, said, target) if who == "teacher" and said is not None else {}
            facts |= told.cards.get(who, {})
            facts |= size(run, who) | ({"latency_ms": times[who]} if who in times else {})
            write_json(folder / f"{who}.json", facts)
        for name, content in told.files.items():
            write_json(folder / f"{name}.json", content)
        kept = {who: kept_row_by_row(run, who, seeds) for who, seeds in found.items()}
        write_predictions(folder / "predictions.parquet", kept, columns, rows)
        tell(1.0, f"{len(rows):,} test rows")


def ask(run: Run, columns: Columns, rows: np.ndarray, tell: Tell) -> np.ndarray:
    """What a teacher from outside says of the test rows: logits (N, C), NaN where it says nothing."""
    return asking.logits(open_teacher(run, columns), rows, lambda _, words: tell(0.0, f"teacher: {words}"))


def models(run: Run) -> dict[str, list[Path]]:
    """Who -> the folders of its seeds: the teacher, if the run trained it, and everything that distill trained."""
    found: dict[str, list[Path]] = {}
    for stage in ("teach", "distill"):
        for file in sorted((run.stamp(stage) or {"outputs": {}})["outputs"]):
            who, *rest = Path(file).parts
            if len(rest) == 2 and rest[1] == "model.safetensors" and who != "folds":
                found.setdefault("teacher" if who == "teachers" else who, []).append(run.path(who, rest[0]))
    return {**({"teacher": [run.path("teacher")]} if run.recipe.trained else {}), **found}


def probabilities(
    run: Run, columns: Columns, rows: np.ndarray, said: np.ndarray | None, tell: Tell
) -> dict[str, dict[str, np.ndarray]]:
    """Who -> seed -> (N, C), on the test rows; ``majority`` and ``export`` among them. ``said``: logits (N, C) of a
    teacher from outside; where it abstains, the training prior answers for it."""
    heads = columns.spec.heads
    prior = activate(heads, np.array([columns.spec.log_prior], dtype=np.float32))
    found = {"majority": {"": np.tile(prior, (len(rows), 1))}}
    if said is not None:
        silent = np.isnan(said).any(1, keepdims=True)
        found["teacher"] = {
            "": activate(heads, np.where(silent, np.array(columns.spec.log_prior, dtype=np.float32), said))
        }
    listed = models(run)
    for number, (who, folders) in enumerate(listed.items()):
        tell(0.9 * number / (len(listed) + 1), who)
        found[who] = {f.name: activate(heads, _answers(run, f, columns, rows)) for f in folders}
    found["export"] = {"": _exported(Predictor.load(run.path("export"), run.recipe.compute.threads), columns, rows)}
    return found


def abstentions(spec: Spec, said: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """On how many rows a teacher from outside said nothing, and its score on the others."""
    silent = np.isnan(said).any(1)
    found = forward.score(spec, said[~silent], target[~silent]) if not silent.all() else {}
    return {"abstained": int(silent.sum()), "answered": found}


def _answers(run: Run, folder: Path, columns: Columns, rows: np.ndarray) -> np.ndarray:
    model = open_model(folder)
    return logits(model, features.ready(columns, model, features.place(run)), rows)


def controlled(
    run: Run, columns: Columns, rows: np.ndarray, draws: quality.Draws, measured: dict[str, list[Measured]]
) -> dict[str, dict]:
    """What each modality is worth to teacher and student: who -> {"controls": ...}."""
    found, listed = {}, models(run)
    for who in (name for name in ("teacher", "student") if name in listed):
        networks = [open_model(folder) for folder in listed[who]]
        seen = [(model, features.ready(columns, model, features.place(run))) for model in networks]
        facts = worth(seen, rows, draws, measured[who])
        found[who] = {"controls": facts} if facts else {}
    return found


def values(run: Run, rows: np.ndarray) -> dict[str, list[str | None]]:
    """The cells of these rows in every column that scores are told apart by."""
    wanted = [f"by {name}" for name in run.recipe.evaluate.by]
    table = pq.read_table(run.path("data", "rows.parquet"), columns=wanted).take(pa.array(rows)) if wanted else None
    return {name.removeprefix("by "): table[name].to_pylist() for name in wanted} if table else {}


def _exported(predictor: Predictor, columns: Columns, rows: np.ndarray) -> np.ndarray:
    parts, columns = [], columns.of([i.field.name for i in predictor.inputs])
    size = columns.fitting(256)
    for start in range(0, len(rows), size):
        piece = rows[start : start + size]
        entries = {n: columns.entries[n][columns.entry[piece, m]] for m, n in enumerate(columns.spec.names)}
        parts.append(activate(columns.spec.heads, predictor.logits(entries, columns.present[piece])))
    return np.concatenate(parts)


def score(who: str, seeds: list[str], measured: list[dict[str, np.ndarray]], run: Run, sample: Size) -> dict[str, Any]:
    """One model's scorecard."""
    confidence = run.recipe.evaluate.confidence
    schema = read_json(run.path("data", "schema.json"))
    return {
        "who": who,
        "split": "test",
        "rows": schema["labelled"]["test"],
        "seeds": [s.removeprefix("seed-") for s in seeds],
        "confidence": confidence,
        "main": main_metric(heads_of(schema["heads"])),
        "metrics": {
            name: summary([m[name] for m in measured], confidence, sample, bounds(name)) for name in measured[0]
        },
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
    if who == "teacher" and run.recipe.trained is None:
        facts = read_json(run.path("teacher", "training.json"))
        return {key: facts[key] for key in ("parameters", "bytes") if facts.get(key) is not None}
    folder = models(run)[who][0]
    facts = read_json(folder / "training.json")
    return {"parameters": facts["parameters"], "bytes": (folder / "model.safetensors").stat().st_size}


def kept_row_by_row(run: Run, who: str, seeds: dict[str, np.ndarray]) -> np.ndarray:
    """The answers of one of a model's seeds (N, C): of the teacher the one that taught, else the first."""
    if who == "teacher" and len(seeds) > 1:
        return seeds[best_seed(run.path("teachers"))]
    return next(iter(seeds.values()))


def write_predictions(file: Path, kept: dict[str, np.ndarray], columns: Columns, rows: np.ndarray) -> None:
    """Row position, target, and each model's probabilities and numbers (N, C), in test order."""
    target = columns.target[rows]
    table: dict[str, Any] = {"row": rows, "target": target if target.ndim == 1 else list(target)}
    for who, answers in kept.items():
        flat = answers.astype(np.float32).ravel()
        table[who] = pa.FixedSizeListArray.from_arrays(pa.array(flat), answers.shape[1])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(table), sink)
    write_bytes(file, sink.getvalue().to_pybytes())


def _note_look(run: Run) -> None:
    """Every look at the test rows is written down: the first is the honest one."""
    looks = read_json(run.path("test-looks.json")) or []
    write_json(run.path("test-looks.json"), [*looks, datetime.now().astimezone().isoformat(timespec="seconds")])

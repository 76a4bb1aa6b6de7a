"""export: the best student -> ONNX, proven equal to torch on every subset of its modalities."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path

import numpy as np
import torch

from ..answers import THRESHOLD, activate
from ..data import Columns
from ..engine.records import best_seed
from ..engine.runtime import settle
from ..errors import SuffuseError
from ..exporters import folder as exporter
from ..files import write_json
from ..model import FusionModel, open_model
from ..predictor import Predictor
from ..progress import progress, say
from ..run import Run
from ..types import CLASSES, LABELS, Head, Spec

ROWS = 512  # validation rows that are compared


def export(run: Run) -> None:
    """Write ``export/`` (the student) and, if it can be exported, ``export-teacher/`` (for comparison); fail beyond the
    tolerance."""
    settle(run.recipe.compute.threads)
    columns = Columns.open(run.path("data"))
    student = run.path("student", best_seed(run.path("student")))
    with progress("export") as tell:
        for number, (name, source) in enumerate((("export", student), ("export-teacher", run.path("teacher")))):
            tell(number / 2, source.relative_to(run.folder).as_posix())
            place = run.partial("export") / name
            model = open_model(source)
            reasons = [model.encoder(n).hindrance for n in model.spec.names if model.encoder(n).hindrance]
            if name == "export-teacher" and reasons:
                say(f"the teacher has no export to compare with: {reasons[0]}")
                continue
            exporter.write(model, run.recipe, place)
            facts = {"source": source.relative_to(run.folder).as_posix(), "rows": ROWS}
            write_json(
                place / "parity.json",
                {**facts, "subsets": parity(model, place, columns, run.recipe.export.tolerance)},
            )
        tell(1.0, f"{(run.partial('export') / 'export' / 'model.onnx').stat().st_size / 1000:,.1f} kB")


def parity(model: FusionModel, folder: Path, columns: Columns, tolerance: float) -> dict[str, dict]:
    """Every subset of modalities: largest difference of a probability, share of equal answers, and whether
    what stands in an absent slot changed any bit. Raises SuffuseError beyond the tolerance."""
    columns = columns.of(model.spec.names)
    predictor, names = Predictor.load(folder), columns.spec.names
    labelled = columns.labelled("validation")
    rows = labelled[:: max(1, len(labelled) // ROWS)][:ROWS]
    batch = columns.batch(rows)
    entries = {n: columns.entries[n][columns.entry[rows, m]] for m, n in enumerate(names)}
    found = {}
    for kept in product((True, False), repeat=len(names)):
        present = columns.present[rows] & np.array(kept)
        with torch.inference_mode():
            exact = model(dataclasses.replace(batch, present=torch.from_numpy(present))).logits.numpy()
        logits = predictor.logits(entries, present)
        got, exact = (comparable(columns.spec.heads, z) for z in (logits, exact))
        other = predictor.logits({n: scramble(e, present[:, m]) for m, (n, e) in enumerate(entries.items())}, present)
        facts = {
            "difference": float(np.abs(got - exact).max()),
            "same_answer": same_answers(columns.spec, got, exact),
            "absent_changes_nothing": bool((other == logits).all()),
        }
        subset = "+".join(n for n, k in zip(names, kept, strict=True) if k) or "nothing"
        if facts["difference"] > tolerance or not facts["absent_changes_nothing"]:
            raise SuffuseError(
                "the export is not the model",
                where=f"{folder.name}, {subset}",
                got=facts,
                expected=f"{tolerance:g}",
            )
        found[subset] = facts
    return found


def comparable(heads: tuple[Head, ...], logits: np.ndarray) -> np.ndarray:
    """Probabilities; a number in standard deviations, so that one tolerance serves all targets."""
    return activate([dataclasses.replace(head, mean=0.0, std=1.0) for head in heads], logits)


def same_answers(spec: Spec, got: np.ndarray, exact: np.ndarray) -> float:
    """Share of equal answers over rows and targets; numbers are equal within a hundredth of a deviation."""
    found = []
    for (head, a), (_, b) in zip(spec.parts(got), spec.parts(exact), strict=True):
        if head.kind == CLASSES:
            found.append((a.argmax(1) == b.argmax(1)).mean())
        else:
            found.append(
                ((a > THRESHOLD) == (b > THRESHOLD)).mean() if head.kind == LABELS else (abs(a - b) < 0.01).mean()
            )
    return float(np.mean(found))


def scramble(entries: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Other, valid content wherever a row is absent."""
    changed = entries.copy()
    changed[~present] = np.roll(entries, 1, axis=0)[~present]
    return changed

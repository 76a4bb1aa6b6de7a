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
from ..files import read_json, write_json
from ..model import FusionModel, open_model
from ..predictor import Predictor
from ..progress import progress, say
from ..run import Run
from ..types import CLASSES, LABELS, Head, Spec

MOST_SUBSETS = 6  # modalities of which every subset is compared
ROWS, FEW = 512, 32  # validation rows that are compared: of the student, and of the teacher, which may be slow


def export(run: Run) -> None:
    """Write ``export/`` (the student) and, if it can be exported, ``export-teacher/`` (for comparison); fail beyond the
    tolerance."""
    settle(run.recipe.compute.threads)
    columns = Columns.open(run.path("data"))
    student = run.path("student", best_seed(run.path("student")))
    with progress("export") as tell:
        asked = {"export": student, **({"export-teacher": run.path("teacher")} if run.recipe.trained else {})}
        for number, (name, source) in enumerate(asked.items()):
            tell(number / 2, source.relative_to(run.folder).as_posix())
            place = run.partial("export") / name
            model = open_model(source)
            reasons = [model.encoder(n).hindrance for n in model.spec.names if model.encoder(n).hindrance]
            if name == "export-teacher" and reasons:
                say(f"the teacher has no export to compare with: {reasons[0]}")
                continue
            exporter.write(model, run.recipe, place, (read_json(run.path("data", "schema.json")) or {}).get("derive"))
            seen, count = columns.of(model.spec.names), ROWS if name == "export" else FEW
            compared = parity(model, place, evenly(seen, count), subsets(model, name == "export"), run)
            facts = {"source": source.relative_to(run.folder).as_posix(), "rows": count}
            write_json(place / "parity.json", {**facts, "subsets": compared})
        tell(1.0, f"{(run.partial('export') / 'export' / 'model.onnx').stat().st_size / 1000:,.1f} kB")


def subsets(model: FusionModel, every: bool) -> list[tuple[bool, ...]]:
    """Which modalities are present: every subset, or all, all but one, and none."""
    names = model.spec.names
    if every and len(names) <= MOST_SUBSETS:
        return list(product((True, False), repeat=len(names)))
    single = [tuple(other != one for other in names) for one in names]
    return list(dict.fromkeys([(True,) * len(names), *single, (False,) * len(names)]))


def evenly(columns: Columns, count: int) -> tuple[Columns, np.ndarray]:
    """Some labelled validation rows, fewer where their entries are large."""
    labelled, count = columns.labelled("validation"), columns.fitting(count)
    return columns, labelled[:: max(1, len(labelled) // count)][:count]


def parity(
    model: FusionModel, folder: Path, where: tuple[Columns, np.ndarray], kept_: list[tuple[bool, ...]], run: Run
) -> dict[str, dict]:
    """Each subset of modalities: largest difference of a probability, share of equal answers, and whether
    what stands in an absent slot changed any bit. Raises SuffuseError beyond the recipe's tolerance."""
    columns, rows = where
    predictor, names, tolerance = Predictor.load(folder), columns.spec.names, run.recipe.export.tolerance
    batch = columns.batch(rows)
    entries = {n: columns.entries[n][columns.entry[rows, m]] for m, n in enumerate(names)}
    found = {}
    for kept in kept_:
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

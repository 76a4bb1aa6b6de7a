"""Diagnostics before a search: what the store, trainings and validation rows show of teacher and student, and, where
the run was evaluated, its scorecards.

The teacher isn't run: its logits on validation rows are in the store. Scorecards are of the test rows. They may decide
what is tried first, and their facts are marked; the selection uses validation rows alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..activations import activate, main_metric
from ..data.columns import Columns
from ..data.device_transfer import to_array
from ..engine import feature_cache
from ..engine.inference import outputs, score
from ..engine.runtime import device_of
from ..engine.student_training import open_knowledge
from ..evaluation.ablations import blank
from ..evaluation.calibration import calibrate
from ..files import read_json
from ..knowledge import Knowledge
from ..model import FusionModel, open_model
from ..run import Run
from ..subsample import evenly_spaced
from ..types import CLASSES
from .samplers import LOGITS

MAX_ROWS = 4096  # of a split
Facts = dict[str, Any]


def collect_facts(run: Run, scorecards: bool = True) -> Facts:
    """``teacher``, ``student``, ``baseline`` -> what is known of each; unknown facts are left out."""
    columns = Columns.open(run.path("data"))
    knowledge = open_knowledge(run, columns)
    metric = main_metric(columns.spec.heads)
    facts: Facts = {"metric": metric, "teacher": teacher_facts(run, columns, knowledge)}
    trained = {name: training_facts(run.path(name), metric) for name in ("student", "baseline")}
    facts |= {name: trainings for name, trainings in trained.items() if trainings}
    if "student" in facts:
        facts["student"] |= student_facts(run, columns, knowledge)
        unimodal = {name: training_facts(run.path(f"only-{name}"), metric) for name in run.recipe.student.encoders}
        facts["floors"] = {name: trainings["score"] for name, trainings in unimodal.items() if trainings}
    if scorecards:
        facts["scorecards"] = scorecard_facts(run)
    return facts


def teacher_facts(run: Run, columns: Columns, knowledge: Knowledge) -> Facts:
    """Confidence and score of the teacher's stored logits on training and validation rows, and its mean gates."""
    facts: Facts = {"validation": (read_json(run.path("teacher", "training.json")) or {}).get("validation")}
    for split in ("train", "validation"):
        rows = sample_rows(columns.labelled(split))
        logits = stored_logits(knowledge, rows)
        known = ~np.isnan(logits).any(1)
        if known.any():
            facts[f"{split}_sure"] = confidence_facts(columns, logits[known], rows[known])
    if "gates" in knowledge.taps:
        rows = torch.from_numpy(sample_rows(columns.rows("validation")))
        gates = knowledge.gather(rows, ["gates"])["gates"].float().nanmean(0)
        order = knowledge.manifest["fingerprint"]["modalities"]
        facts["gates"] = dict(zip(order, gates.tolist(), strict=False))
    return facts


def student_facts(run: Run, columns: Columns, knowledge: Knowledge) -> Facts:
    """One seed on validation rows: confidence, score without each modality, mean gates; on training rows its score and
    its agreement with the teacher."""
    model = open_model(sorted(run.path("student").glob("seed-*"))[0]).to(device_of(run.recipe.compute))
    own = feature_cache.ready(columns, model, feature_cache.place(run)).of(model.spec.names)
    rows = sample_rows(columns.labelled("validation"))
    logits, gates = logits_and_gates(model, own, rows)
    facts: Facts = {"validation": confidence_facts(columns, logits, rows), "gates": gates, "without": {}}
    if len(model.spec.names) > 1:
        for name in model.spec.names:
            reduced = logits_and_gates(model, blank(own, name), rows)[0]
            facts["without"][name] = next(iter(score(columns.spec, reduced, columns.target[rows]).values()))
    train = sample_rows(columns.rows("train"))
    teacher = stored_logits(knowledge, train)
    known = ~np.isnan(teacher).any(1)
    agreement = teacher_agreement(columns, logits_and_gates(model, own, train[known])[0], teacher[known])
    return facts | ({"agreement": agreement} if agreement is not None else {})


def training_facts(folder: Path, metric: str) -> Facts:
    """Scores, best epochs and gradient shares of the losses over all seeds; empty without trainings."""
    trainings = [read_json(file) for file in sorted(folder.glob("seed-*/training.json"))]
    if not trainings:
        return {}
    scores = [t["validation"][metric] for t in trainings]
    return {
        "score": float(np.mean(scores)),
        "spread": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
        "seeds": len(scores),
        "epochs": trainings[0]["epochs"],
        "best_epochs": [t["best_epoch"] for t in trainings],
        "shares": {n: float(np.mean([t["shares"][n] for t in trainings])) for n in trainings[0].get("shares", {})},
    }


def scorecard_facts(run: Run) -> Facts:
    """Of the scorecards, on test rows: calibration and scores with missing modalities of teacher and student, and the
    scores of the unimodal baselines (``floors``)."""
    facts: Facts = {}
    for name in ("teacher", "student"):
        card = read_json(run.path("scores", f"{name}.json"))
        if isinstance(card, dict):
            tables = list(card.get("calibrations", {}).values()) + [c for c in [card.get("calibration")] if c]
            facts[name] = {"ece": float(np.mean([table["ece"] for table in tables]))} if tables else {}
            if isinstance(card.get("missing"), dict):
                facts[name]["missing"] = card["missing"].get("subsets", card["missing"])
    cards = {name: read_json(run.path("scores", f"only-{name}.json")) for name in run.recipe.student.encoders}
    floors = {n: c["metrics"][c["main"]]["mean"] for n, c in cards.items() if isinstance(c, dict)}
    return facts | ({"floors": floors} if floors else {})


def confidence_facts(columns: Columns, logits: np.ndarray, rows: np.ndarray) -> Facts:
    """Logits (N, C) of labelled rows -> score; for classes and labels the expected calibration error, the mean
    confidence, and its ``excess`` over the accuracy: above 0 is overconfident."""
    spec, target = columns.spec, columns.target[rows]
    facts: Facts = {"score": next(iter(score(spec, logits, target).values()))}
    calibrated = calibrate(spec, activate(spec.heads, logits), target)
    tables = list(calibrated.get("calibrations", {}).values()) or [c for c in [calibrated.get("calibration")] if c]
    if tables:
        facts["ece"] = float(np.mean([table["ece"] for table in tables]))
        facts["confidence"] = float(np.mean([_mean(table["bins"], "confidence") for table in tables]))
        facts["excess"] = facts["confidence"] - float(np.mean([_mean(table["bins"], "accuracy") for table in tables]))
    return facts


def stored_logits(knowledge: Knowledge, rows: np.ndarray) -> np.ndarray:
    """The teacher's stored logits (N, C) float32; NaN where it abstained."""
    return knowledge.gather(torch.from_numpy(rows), [LOGITS])[LOGITS].float().numpy()


def logits_and_gates(model: FusionModel, columns: Columns, rows: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Logits (N, C), and the mean gate of each modality where the fusion has gates."""
    logits, gates = np.empty((len(rows), columns.spec.outputs), dtype=np.float32), []
    for piece, output in outputs(model, columns, rows):
        logits[piece] = to_array(output.logits)
        if output.gates is not None:
            gates.append(output.gates.float().cpu().reshape(-1, output.gates.shape[-1]))
    means = torch.cat(gates).mean(0).tolist() if gates else []
    return logits, dict(zip(model.spec.names, means, strict=True)) if len(means) == len(model.spec.names) else {}


def teacher_agreement(columns: Columns, student: np.ndarray, teacher: np.ndarray) -> float | None:
    """Share of equal predictions over targets of classes; None without such targets, or without rows."""
    pairs = zip(columns.spec.parts(student), columns.spec.parts(teacher), strict=True)
    equal = [float((a.argmax(1) == b.argmax(1)).mean()) for (head, a), (_, b) in pairs if head.kind == CLASSES]
    return float(np.mean(equal)) if equal and len(student) else None


def sample_rows(rows: np.ndarray) -> np.ndarray:
    """At most MAX_ROWS of the rows, evenly spaced."""
    return rows[evenly_spaced(len(rows), MAX_ROWS)]


def _mean(bins: list[dict], key: str) -> float:
    rows = sum(b["rows"] for b in bins)
    return sum(b["rows"] * b[key] for b in bins) / max(rows, 1)

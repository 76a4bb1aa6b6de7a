"""What is known of teacher and student before a search: from the store, from trainings, from validation rows, and,
where the run was evaluated, from its scorecards.

The teacher is not asked: its answers on validation rows are in the store. A scorecard is of the test rows. It may say
what to try first, and its facts are marked so; what is chosen, is chosen on validation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..activations import activate, main_metric
from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.inference import outputs, score
from ..engine.student_training import open_knowledge
from ..evaluation.ablations import blank
from ..evaluation.calibration import calibrate
from ..files import read_json
from ..knowledge import Knowledge
from ..model import FusionModel, open_model
from ..run import Run
from ..subsample import evenly_spaced
from .search_context import LOGITS

MOST = 4096  # rows that are evaluated, of a split
Facts = dict[str, Any]


def gather(run: Run, scorecards: bool = True) -> Facts:
    """``teacher``, ``student``, ``baseline``: what is known of each; what isn't known is not there."""
    columns = Columns.open(run.path("data"))
    knowledge = open_knowledge(run, columns)
    metric = main_metric(columns.spec.heads)
    found: Facts = {"metric": metric, "teacher": of_teacher(run, columns, knowledge)}
    trained = {who: of_trainings(run.path(who), metric) for who in ("student", "baseline")}
    found |= {who: facts for who, facts in trained.items() if facts}
    if "student" in found:
        found["student"] |= of_student(run, columns, knowledge)
        floors = {name: of_trainings(run.path(f"only-{name}"), metric) for name in run.recipe.student.encoders}
        found["floors"] = {name: facts["score"] for name, facts in floors.items() if facts}
    if scorecards:
        found["scorecards"] = of_scorecards(run)
    return found


def of_teacher(run: Run, columns: Columns, knowledge: Knowledge) -> Facts:
    """How sure its stored answers are, on training and on validation rows, and how often they are right."""
    found: Facts = {"validation": (read_json(run.path("teacher", "training.json")) or {}).get("validation")}
    for split in ("train", "validation"):
        rows = some(columns.labelled(split))
        said = stored(knowledge, rows)
        known = ~np.isnan(said).any(1)
        if known.any():
            found[f"{split}_sure"] = sure(columns, said[known], rows[known])
    if "gates" in knowledge.taps:
        rows = torch.from_numpy(some(columns.rows("validation")))
        gates = knowledge.gather(rows, ["gates"])["gates"].float().nanmean(0)
        order = knowledge.manifest["fingerprint"]["modalities"]
        found["gates"] = dict(zip(order, gates.tolist(), strict=False))
    return found


def of_student(run: Run, columns: Columns, knowledge: Knowledge) -> Facts:
    """On validation, of one seed: how sure it is, without each modality, its gates; and how good it is on training
    rows, and how far it agrees with its teacher there."""
    model = open_model(sorted(run.path("student").glob("seed-*"))[0])
    seen = feature_cache.ready(columns, model, feature_cache.place(run)).of(model.spec.names)
    rows = some(columns.labelled("validation"))
    said, gates = answers(model, seen, rows)
    found: Facts = {"validation": sure(columns, said, rows), "gates": gates, "without": {}}
    if len(model.spec.names) > 1:
        for name in model.spec.names:
            less = answers(model, blank(seen, name), rows)[0]
            found["without"][name] = next(iter(score(columns.spec, less, columns.target[rows]).values()))
    train = some(columns.rows("train"))
    theirs = stored(knowledge, train)
    known = ~np.isnan(theirs).any(1)
    agreed = agreement(columns, answers(model, seen, train[known])[0], theirs[known])
    return found | ({"agreement": agreed} if agreed is not None else {})


def of_trainings(folder: Path, metric: str) -> Facts:
    """Of all seeds: scores, best epochs, shares of the losses; empty where there are none."""
    files = [read_json(file) for file in sorted(folder.glob("seed-*/training.json"))]
    if not files:
        return {}
    scores = [one["validation"][metric] for one in files]
    return {
        "score": float(np.mean(scores)),
        "spread": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
        "seeds": len(scores),
        "epochs": files[0]["epochs"],
        "best_epochs": [one["best_epoch"] for one in files],
        "shares": {name: float(np.mean([f["shares"][name] for f in files])) for name in files[0].get("shares", {})},
    }


def of_scorecards(run: Run) -> Facts:
    """Calibration, what is there of rows with missing modalities, and the same network on one modality alone
    (``floors``), as evaluate found them on the test rows."""
    found: Facts = {}
    for who in ("teacher", "student"):
        card = read_json(run.path("scores", f"{who}.json"))
        if isinstance(card, dict):
            several = list(card.get("calibrations", {}).values()) + [c for c in [card.get("calibration")] if c]
            found[who] = {"ece": float(np.mean([one["ece"] for one in several]))} if several else {}
            if isinstance(card.get("missing"), dict):
                found[who]["missing"] = card["missing"].get("subsets", card["missing"])
    alone = {name: read_json(run.path("scores", f"only-{name}.json")) for name in run.recipe.student.encoders}
    floors = {n: c["metrics"][c["main"]]["mean"] for n, c in alone.items() if isinstance(c, dict)}
    return found | ({"floors": floors} if floors else {})


def sure(columns: Columns, logits: np.ndarray, rows: np.ndarray) -> Facts:
    """Logits of labelled rows -> score; of classes and labels the expected calibration error and the mean stated
    confidence less the share that was right: above 0 is overconfident."""
    spec, target = columns.spec, columns.target[rows]
    facts: Facts = {"score": next(iter(score(spec, logits, target).values()))}
    found = calibrate(spec, activate(spec.heads, logits), target)
    several = list(found.get("calibrations", {}).values()) or [c for c in [found.get("calibration")] if c]
    if several:
        facts["ece"] = float(np.mean([one["ece"] for one in several]))
        facts["confidence"] = float(np.mean([_mean(one["bins"], "confidence") for one in several]))
        facts["excess"] = facts["confidence"] - float(np.mean([_mean(one["bins"], "accuracy") for one in several]))
    return facts


def stored(knowledge: Knowledge, rows: np.ndarray) -> np.ndarray:
    """The teacher's stored logits (N, C) float32; NaN where it abstained."""
    return knowledge.gather(torch.from_numpy(rows), [LOGITS])[LOGITS].float().numpy()


def answers(model: FusionModel, columns: Columns, rows: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Logits (N, C), and the mean gate of each modality where there are gates."""
    found, gates = np.empty((len(rows), columns.spec.outputs), dtype=np.float32), []
    for piece, output in outputs(model, columns, rows):
        found[piece] = output.logits.float().numpy()
        if output.gates is not None:
            gates.append(output.gates.float().reshape(-1, output.gates.shape[-1]))
    means = torch.cat(gates).mean(0).tolist() if gates else []
    return found, dict(zip(model.spec.names, means, strict=True)) if len(means) == len(model.spec.names) else {}


def agreement(columns: Columns, ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Share of equal answers over targets of classes; None where there are none, or no rows."""
    pairs = zip(columns.spec.parts(ours), columns.spec.parts(theirs), strict=True)
    equal = [float((a.argmax(1) == b.argmax(1)).mean()) for (head, a), (_, b) in pairs if head.kind == "classes"]
    return float(np.mean(equal)) if equal and len(ours) else None


def some(rows: np.ndarray) -> np.ndarray:
    """At most MOST of them, evenly."""
    return rows[evenly_spaced(len(rows), MOST)]


def _mean(bins: list[dict], key: str) -> float:
    rows = sum(one["rows"] for one in bins)
    return sum(one["rows"] * one[key] for one in bins) / max(rows, 1)

"""Some test rows explained: which modality decided the teacher's and the student's prediction of the first target, and
within it which region, words, seconds or columns.

A fixed rule picks three rows. Classes and labels: both models right, with the highest confidence of the less confident
one; the teacher right and the student wrong with the highest confidence; the lowest confidence of the student. Numbers:
both nearest to the target; the student worse than the teacher by most; the two furthest apart. Only rows with the most
modalities are candidates. Explanations use occlusion, which needs no gradients and costs one pass per segment; for a
network that is too large only the modalities are explained (:data:`suffuse.evaluation.size.BUDGET`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.seed_selection import best_seed
from ..explaining.explanation import describe_prediction, explain_modalities, explain_row, segment_entries
from ..explaining.perturbation import NetworkRow
from ..transcripts.frame_predictions import confidences
from ..types import LABELS, NUMBER, TOKENS, Head
from . import ProbeDocs
from .agreement import is_correct
from .context import Context, Member, Model
from .models import Network
from .size import BUDGET, member_macs

FIELDS = ("explained",)
DOCS = ProbeDocs(models="teacher, student", cost="three rows, a pass per part")
MODELS = ("teacher", "student")


def probe(context: Context) -> dict[str, dict]:
    """``explained`` of the teacher and the student, on the same rows: ``why``, ``number`` and the explanation."""
    if not set(MODELS) <= set(context.models):
        return {}
    selected = pick_rows(context)
    return {name: {"explained": explain_rows(context, context.models[name], selected)} for name in MODELS}


def pick_rows(context: Context) -> list[tuple[str, int]]:
    """(why, position in the test rows), in order; no row twice, and none for a rule that no row meets."""
    head, target = context.spec.targets(context.target)[0]
    teacher, student = (_first_target(context, context.models[name]) for name in MODELS)
    modalities = context.columns.present[context.rows].sum(1)
    candidates = head.known(target) & context.teacher_answers
    candidates &= modalities == modalities[candidates].max(initial=0)
    selected: dict[int, str] = {}
    for why, score in _rule_scores(head, teacher, student, target).items():
        open_scores = np.where(candidates & ~np.isin(np.arange(len(score)), list(selected)), score, -np.inf)
        if np.isfinite(open_scores).any():
            selected[int(open_scores.argmax())] = why
    return [(why, position) for position, why in selected.items()]


def _rule_scores(head: Head, teacher: np.ndarray, student: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Rule -> (N,) how well each row meets it, -inf where it doesn't. Predictions (N, C)."""
    if head.kind == NUMBER:
        true = target.astype(float) * head.std + head.mean
        student_error, teacher_error = np.abs(student[:, 0] - true), np.abs(teacher[:, 0] - true)
        return {
            "close": -np.maximum(student_error, teacher_error),
            "further": np.where(student_error > teacher_error, student_error - teacher_error, -np.inf),
            "apart": np.abs(student[:, 0] - teacher[:, 0]),
        }
    teacher_right, student_right = is_correct(head, teacher, target), is_correct(head, student, target)
    confidence = _confidence(head, student)
    both = np.minimum(confidence, _confidence(head, teacher))
    return {
        "agreed": np.where(teacher_right & student_right, both, -np.inf),
        "lost": np.where(teacher_right & ~student_right, confidence, -np.inf),
        "unsure": -confidence,
    }


def _confidence(head: Head, predictions: np.ndarray) -> np.ndarray:
    """(N,) of the prediction; of labels, the least confident one's."""
    if head.kind == TOKENS:
        return confidences(head, predictions)
    return np.maximum(predictions, 1 - predictions).min(1) if head.kind == LABELS else predictions.max(1)


def _first_target(context: Context, model: Model) -> np.ndarray:
    """(N, C) predictions of the first target."""
    return context.spec.parts(model.predictions(context.spec)[_seed(model)])[0][1]


def _seed(model: Model) -> str:
    """The seed that stands for a model: the teacher's that was distilled, the student's that is exported."""
    first, member = next(iter(model.members.items()))
    if model.name == "teacher" or not isinstance(member, Network):
        return model.reference or first
    return best_seed(member.folder.parent)


def explain_rows(context: Context, model: Model, selected: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """The explanation of each row; ``selected``: why it is explained, and its position."""
    member = model.members[_seed(model)]
    segments = isinstance(member, Network) and affordable(context, member, selected)
    explanations = []
    for number, (why, position) in enumerate(selected):
        context.tell(number / len(selected), f"{model.name}: an answer explained")
        row = int(context.rows[position])
        if member.limitation:
            facts = _prediction_only(context, model, position)
        else:
            facts = _explanation(context, member, row, segments)
        explanations.append({"why": why, "number": row + 1, **facts})
    return explanations


def affordable(context: Context, member: Network, selected: list[tuple[str, int]]) -> bool:
    """Whether the budget of MACs allows a pass for every segment of these rows: it depends on recipe and data, never on
    a clock."""
    settings = context.recipe.modalities
    passes = sum(
        1 + len(segments.labels)
        for _, position in selected
        for segments in segment_entries(_network_row(context, member, int(context.rows[position])), settings).values()
    )
    return passes * member_macs(context, member).total <= BUDGET / len(MODELS)


def _network_row(context: Context, member: Network, row: int) -> NetworkRow:
    model = member.opened[0]
    return NetworkRow(context.columns.of(model.spec.names), row, model)


def _explanation(context: Context, member: Member, row: int, segments: bool) -> dict[str, Any]:
    if isinstance(member, Network):
        method = "occlusion" if segments else None
        return explain_row(_network_row(context, member, row), context.recipe.modalities, 0, method)
    names = member.names
    present = context.columns.of(names).present[row]

    def logits(subsets: np.ndarray) -> np.ndarray:
        kept = np.zeros((len(subsets), 1, len(names)), dtype=bool)
        kept[:, 0, np.flatnonzero(present)] = subsets
        return member.masked_logits(np.array([row]), kept)[:, 0]

    return explain_modalities(names, present, logits, context.spec, 0)


def _prediction_only(context: Context, model: Model, position: int) -> dict[str, Any]:
    prediction = describe_prediction(context.spec, model.logits[_seed(model)][position], 0)
    note = model.members[_seed(model)].limitation
    return {**prediction, "modalities": [], "absent": [], "parts": {}, "note": note}

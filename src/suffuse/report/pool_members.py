"""What the teacher's and the student's answers are pooled from: members, validation scores and weights."""

from __future__ import annotations

from ..engine.seed_selection import best_seed
from ..files import read_json
from ..opinion_pool import JOINT, NETWORK
from ..run import Run
from . import metric_format
from .formatting import TextTable
from .i18n import t
from .scores_table import model_name


def members_table(run: Run) -> TextTable | None:
    """A row for each member of the teacher's portfolio, and for each head of the teacher's network and of the exported
    student. None where nothing is pooled. Of several targets the weights' mean is shown."""
    rows: list[tuple[str, ...]] = []
    teacher = read_json(run.path("teacher", "training.json")) or {}
    for member, facts in (teacher.get("portfolio") or {}).items():
        metric, value = next(iter(facts["validation"].items()))
        name = t("its network") if member == NETWORK else f"scikit-learn, {member}"
        rows.append((t("teacher"), name, metric_format.ascii_value(metric, value), _mean(facts["weights"])))
    rows += [(t("the teacher's network"), *row) for row in _heads(teacher)]
    if run.path("student").is_dir():
        student = read_json(run.path("student", best_seed(run.path("student")), "training.json")) or {}
        rows += [(model_name("export"), *row) for row in _heads(student)]
    if not rows:
        return None
    title = t("What answers are pooled from (weights of rows with all modalities, fitted on validation rows)")
    return TextTable(title, (t("model"), t("member"), t("validation"), t("weight")), rows)


def _heads(facts: dict) -> list[tuple[str, str, str]]:
    heads = facts.get("heads") or {}
    return [(t(name) if name == JOINT else name, "", _mean(weights)) for name, weights in heads.items()]


def _mean(weights: dict[str, float]) -> str:
    return f"{sum(weights.values()) / len(weights):.2f}"

"""What the teacher's and the student's answers are pooled from: members, validation scores and weights."""

from __future__ import annotations

from typing import Any

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
    if teacher.get("portfolio"):
        rows += [(t("teacher"), *row) for row in _members(portfolio_entries(run) or [])]
    rows += [(t("the teacher's network"), *row) for row in _heads(teacher)]
    if run.path("student").is_dir():
        student = read_json(run.path("student", best_seed(run.path("student")), "training.json")) or {}
        rows += [(model_name("export"), *row) for row in _heads(student)]
    if not rows:
        return None
    title = t("What answers are pooled from (weights of rows with all modalities, fitted on validation rows)")
    return TextTable(title, (t("model"), t("member"), t("validation"), t("seconds"), t("weight")), rows)


def portfolio_entries(run: Run) -> list[dict[str, Any]] | None:
    """The leaderboard of the teacher's portfolio; of a teacher from before there was one its members, without seconds.
    None where it has no portfolio."""
    entries = read_json(run.path("teacher", "portfolio", "leaderboard.json"))
    if entries is not None:
        return entries
    members = (read_json(run.path("teacher", "training.json")) or {}).get("portfolio")
    return [{"member": name, **facts} for name, facts in members.items()] if members else None


def leaderboard_table(entries: list[dict[str, Any]]) -> TextTable:
    """The members with their score, seconds and weight."""
    headings = (t("member"), t("validation"), t("seconds"), t("weight"))
    return TextTable(t("Members of the teacher"), headings, _members(entries))


def _members(entries: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows = []
    for entry in entries:
        name = t("its network") if entry["member"] == NETWORK else f"scikit-learn, {entry['member']}"
        if "skipped" in entry:
            rows.append((name, t("skipped: budget"), f"~{entry['estimated_seconds']:.1f}", ""))
            continue
        metric, value = next(iter(entry["validation"].items()))
        score, error = metric_format.ascii_value(metric, value), entry.get("standard_error")
        if error is not None:
            score += f" +- {metric_format.ascii_value(metric, error)}"
        seconds = entry.get("seconds")
        rows.append((name, score, "" if seconds is None else f"{seconds:.1f}", _mean(entry["weights"])))
    return rows


def _heads(facts: dict) -> list[tuple[str, ...]]:
    heads = facts.get("heads") or {}
    return [(t(name) if name == JOINT else name, "", "", _mean(weights)) for name, weights in heads.items()]


def _mean(weights: dict[str, float]) -> str:
    return f"{sum(weights.values()) / len(weights):.2f}"

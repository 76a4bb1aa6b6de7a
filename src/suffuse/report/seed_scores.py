"""Verdicts seed by seed: the scores of each seed of student and baselines beside the verdict, as a table."""

from __future__ import annotations

from ..run import Run
from . import metric_format, scores_table
from .formatting import TextTable
from .i18n import t
from .verdict_text import compared, p_text


def seed_table(run: Run) -> TextTable | None:
    """For each verdict the student's row and, below it, one for each baseline that it was compared with; None where
    older scores don't hold them."""
    rows: list[tuple[str, ...]] = []
    for c in compared(run):
        if "per_seed" in c:
            settled = "" if c.get("settled") is None else t("yes") if c["settled"] else t("no")
            own = _seeds(c, c["per_seed"][c["who"]])
            rows.append((scores_table.model_name(c["who"]), _epochs(c), own, "", "", t(c["verdict"]), settled))
            equal = {**c, "p": c["p_adjusted"], "per_seed": c["per_seed"][c["against"]]}
            equal["epochs"] = c.get("baseline_epochs")
            rows += [_baseline_row(c, length) for length in (equal, *c.get("longer", ()))]
    metric = scores_table.main_metric_name(run)
    headings = (t("model"), t("epochs"), t("%(metric)s of each seed", metric=metric), t("difference"), "p",
                t("verdict"), t("settled"))  # fmt: skip
    return TextTable(t("Verdicts, seed by seed"), headings, rows) if rows else None


def _baseline_row(comparison: dict, facts: dict) -> tuple[str, ...]:
    ends = (facts[key] for key in ("difference", "low", "high"))
    gap, low, high = (metric_format.ascii_difference(comparison["metric"], end) for end in ends)
    name, seeds = scores_table.model_name(facts["against"]), _seeds(comparison, facts["per_seed"])
    return name, _epochs(facts), seeds, f"{gap} [{low}, {high}]", p_text(facts["p"]), "", ""


def _epochs(facts: dict) -> str:
    return str(facts.get("epochs") or "")


def _seeds(comparison: dict, values: list[float]) -> str:
    return ", ".join(metric_format.ascii_value(comparison["metric"], value).removesuffix(" %") for value in values)

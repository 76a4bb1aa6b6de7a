"""Every sentence of the page, found in the templates and in the code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from suffuse.audit import ITEMS
from suffuse.explaining.explanation import GRADIENTS, LARGE, OCCLUSION, OUTSIDE, SILENT
from suffuse.explaining.log_odds import UNIT
from suffuse.prepare import split_leaks
from suffuse.prepare.quarantine import ACTIONS
from suffuse.report import (
    audit_section,
    confusion,
    cost_section,
    explanation_view,
    explanations,
    metric_names,
    modality_ablation,
    page,
    paired_runs,
    results_table,
    row_predictions,
    run_facts,
    scores_table,
    training_curves,
    verdict_text,
)
from suffuse.report.i18n import HERE
from suffuse.stages.explain import TABLE
from suffuse.teachers.batch_query import FEW, LOOKED_UP

COUNTED = ("test row", "row", "label", "labelled row", "note", "further target", "time", "core", "thread", "column",
           "seed", "epoch", "group", "validation row", "weaker part")  # fmt: skip


DRAWN = ("severity", "chance of losing each modality", "labels, in percent")  # at the axes of charts


def extracted(environment: Any, file: Path) -> Any:
    """What Jinja's i18n extension finds in a template."""
    return environment.extract_translations(file.read_text(encoding="utf-8"))


def of_templates() -> set[str]:
    """What stands in `trans` blocks and `_()` calls."""
    environment, found = page.environment(), set()
    for file in sorted(HERE.glob("*.jinja")):
        for _, _, spoken in extracted(environment, file):
            found.update(s for s in (spoken if isinstance(spoken, tuple) else (spoken,)) if isinstance(s, str))
    return found


def of_code() -> set[str]:
    """What is given to `t` as it stands, and to `count`."""
    found = set()
    for file in sorted(HERE.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t"):
                continue
            if isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
    return found


def of_tables() -> set[str]:
    """What stands in tables of words and is given to `t` by name."""
    found = {one for m in metric_names.METRICS.values() for one in (m.name, m.title, m.means)}
    found |= (
        set(training_curves.MEANING.values()) | set(training_curves.AXIS.values()) | set(results_table.USUAL.values())
    )
    found |= set(run_facts.STAGES.values()) | {*ACTIONS, *ACTIONS.values()} | set(row_predictions.CAPTION.values())
    found |= (
        set(row_predictions.MODELS.values())
        | set(confusion.MODELS.values())
        | of_verdicts()
        | {one.says for one in ITEMS}
    )
    return (
        found
        | set(audit_section.STATES.values())
        | set(audit_section.AREAS.values())
        | set(cost_section.AXES.values())
        | set(DRAWN)
    )


def of_verdicts() -> set[str]:
    """What comparisons, warnings and leaks say."""
    found = {
        *scores_table.SAID,
        *scores_table.SAID.values(),
        *verdict_text.ABOUT.values(),
        *modality_ablation.FUSION.values(),
    }
    found |= set(paired_runs.SAID.values())
    found |= {one for why in explanations.WHY.values() for one in why} | {
        one for line in explanation_view.PLACES for one in line
    }
    found |= {GRADIENTS, OCCLUSION, LARGE, OUTSIDE, *UNIT.values(), FEW, LOOKED_UP, SILENT, TABLE}
    return found | {
        modality_ablation.BY_HEART,
        modality_ablation.UNUSED,
        modality_ablation.UNSURE,
        split_leaks.COPIES,
        split_leaks.SAME,
        split_leaks.OF_ONE,
        *split_leaks.SAYS.values(),
    }

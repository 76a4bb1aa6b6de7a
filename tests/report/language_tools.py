"""Every sentence of the page, found in the templates and in the code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from suffuse.audit import ITEMS
from suffuse.explaining.attribution import UNIT
from suffuse.explaining.explanation import GRADIENTS, LARGE, OCCLUSION, OUTSIDE, SILENT
from suffuse.prepare import split_leaks
from suffuse.prepare.quarantine import ACTIONS
from suffuse.report import (
    confusion,
    cost_section,
    explanation_view,
    metric_format,
    paired_runs,
    results_section,
    run_facts,
    run_warnings,
    scores_table,
    stored_predictions,
    training_curves,
    verdict_text,
)
from suffuse.report.i18n import FOLDER
from suffuse.report.templates import environment
from suffuse.stages.explain import TABLE
from suffuse.teachers.batch_query import FEW, LOOKED_UP

COUNTED = ("test row", "row", "label", "labelled row", "note", "further target", "time", "core", "thread", "column",
           "seed", "epoch", "group", "validation row", "weaker part")  # fmt: skip


DRAWN = ("severity", "chance of losing each modality", "labels, in percent")  # at the axes of charts


def extracted(jinja: Any, file: Path) -> Any:
    """What Jinja's i18n extension finds in a template."""
    return jinja.extract_translations(file.read_text(encoding="utf-8"))


def of_templates() -> set[str]:
    """What stands in `trans` blocks and `_()` calls."""
    jinja, found = environment(), set()
    for file in sorted(FOLDER.glob("*.jinja")):
        for _, _, spoken in extracted(jinja, file):
            found.update(s for s in (spoken if isinstance(spoken, tuple) else (spoken,)) if isinstance(s, str))
    return found


def of_code() -> set[str]:
    """What is given to `t` as it stands, and to `count`."""
    found = set()
    for file in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t"):
                continue
            if isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
    return found


def of_tables() -> set[str]:
    """What stands in tables of words and is given to `t` by name."""
    found = {text for m in metric_format.METRICS.values() for text in (m.name, m.title, m.meaning)}
    found |= {item.says for item in ITEMS} | {*ACTIONS, *ACTIONS.values(), *DRAWN, *of_verdicts()}
    tables = (
        training_curves.AXIS, results_section.CONSTANT_PREDICTION, run_facts.STAGES,
        run_facts.STATES, run_facts.AREAS, stored_predictions.CAPTION, stored_predictions.MODELS, confusion.MODELS,
        cost_section.AXES, scores_table.NAMES, scores_table.FLOORS,
    )  # fmt: skip
    return found.union(*(table.values() for table in tables))


def of_verdicts() -> set[str]:
    """What comparisons, warnings and leaks say."""
    found = {*verdict_text.VERDICTS, *verdict_text.VERDICTS.values(), *verdict_text.BASELINES.values()}
    found |= set(verdict_text.SETTLED.values())
    found |= {*run_warnings.FUSION.values(), *paired_runs.SENTENCES.values()}
    found |= {text for rule in explanation_view.RULES.values() for text in rule}
    found |= {text for line in explanation_view.PLACES for text in line}
    found |= {GRADIENTS, OCCLUSION, LARGE, OUTSIDE, *UNIT.values(), FEW, LOOKED_UP, SILENT, TABLE}
    return found | {
        *run_warnings.REASONS,
        run_warnings.ASKED,
        run_warnings.OVERFITTED,
        run_warnings.UNUSED,
        run_warnings.UNSURE,
        split_leaks.COPIES,
        split_leaks.SAME,
        split_leaks.ONE_MODALITY,
        *split_leaks.SAYS.values(),
    }

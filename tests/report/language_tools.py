"""Every sentence of the page, found in the templates and in the code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from suffuse.audit import ITEMS
from suffuse.explaining.evidence import UNIT
from suffuse.explaining.one import GRADIENTS, LARGE, OCCLUSION, OUTSIDE, SILENT
from suffuse.report import (
    audited,
    confusion,
    cost,
    explained,
    facts,
    metrics,
    page,
    paired,
    reasons,
    results,
    said,
    settled,
    table,
    training,
    worth,
)
from suffuse.report.language import HERE
from suffuse.stages.explain import TABLE
from suffuse.tables import leaks
from suffuse.tables.quarantine import ACTIONS
from suffuse.teachers.asked import FEW, LOOKED_UP

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
    found = {one for m in metrics.METRICS.values() for one in (m.name, m.title, m.means)}
    found |= set(training.MEANING.values()) | set(training.AXIS.values()) | set(results.USUAL.values())
    found |= set(facts.STAGES.values()) | {*ACTIONS, *ACTIONS.values()} | set(said.CAPTION.values())
    found |= set(said.MODELS.values()) | set(confusion.MODELS.values()) | of_verdicts() | {one.says for one in ITEMS}
    return found | set(audited.STATES.values()) | set(audited.AREAS.values()) | set(cost.AXES.values()) | set(DRAWN)


def of_verdicts() -> set[str]:
    """What comparisons, warnings and leaks say."""
    found = {*table.SAID, *table.SAID.values(), *settled.ABOUT.values(), *worth.FUSION.values()}
    found |= set(paired.SAID.values())
    found |= {one for why in reasons.WHY.values() for one in why} | {one for line in explained.PLACES for one in line}
    found |= {GRADIENTS, OCCLUSION, LARGE, OUTSIDE, *UNIT.values(), FEW, LOOKED_UP, SILENT, TABLE}
    return found | {
        worth.BY_HEART,
        worth.UNUSED,
        worth.UNSURE,
        leaks.COPIES,
        leaks.SAME,
        leaks.OF_ONE,
        *leaks.SAYS.values(),
    }

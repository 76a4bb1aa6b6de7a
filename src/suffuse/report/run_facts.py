"""Facts of a run on the page: task, data, export, reproduction, and the trust audit."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, islice
from typing import Any

from ..checked_json import read_checked
from ..evaluation_log import evaluations
from ..files import read_json
from ..prepare.column_types import percent
from ..prepare.quarantine import ACTIONS, HIGH_SHARE, REASONS, LeftOut
from ..recipe import to_yaml
from ..run import Run
from . import metric_format, scores_table, verdict_text
from .dataset_view import DatasetView
from .formatting import minus
from .i18n import t
from .metric_format import METRICS
from .results_section import task

MAX_NOTES = 12  # lines of the quarantine file
STAGES = {
    "prepare": "raw rows to clean columns",
    "teach": "train the teacher",
    "extract": "store what it knows of each row",
    "distill": "train students and baselines",
    "export": "write and check the exported files",
    "evaluate": "score every model on the test rows",
}
STATES = {"broken": "broken", "warning": "warning", "kept": "kept", "by tests": "by tests", "not there": "not there",
          "unchecked": "unchecked"}  # fmt: skip
AREAS = {"teacher": "teacher", "store": "knowledge store", "losses": "losses", "loop": "training loop",
         "evaluation": "evaluation", "rows": "rows used by trainings"}  # fmt: skip


def headline(run: Run, dataset: DatasetView) -> dict:
    """Verdicts, task, inputs and rows."""
    schema = dataset.schema
    return {
        "name": run.recipe.name or run.folder.name,
        "verdicts": [
            {
                "kind": v.verdict.split()[0],
                "labels": v.labels[0].upper() + v.labels[1:],
                "conclusion": v.conclusion,
                "numbers": minus(v.numbers),
            }
            for v in verdict_text.verdicts(run)
        ],
        "metric": t(METRICS[metric_format.main_metric_of(run)].title),
        "mean_note": metric_format.mean_note(run),
        "splits": [{"name": n, "rows": r, "labelled": schema["labelled"][n]} for n, r in schema["rows"].items()],
        "rows": sum(schema["rows"].values()),
        "synthetic": schema.get("synthetic", 0),
        "quarantined": _quarantined(schema),
        "targets": [{"name": h.name, "task": task(h), "classes": h.classes} for h in dataset.columns.spec.heads],
        "modalities": [
            {"name": field.name, "kind": field.kind, "reader": _single_reader(run, field.name)}
            for field in dataset.columns.spec.fields
        ],
        "fractions": [scores_table.label_share(f"{fraction:g}") for fraction in run.recipe.fractions],
    }


def _quarantined(schema: dict) -> dict:
    """Rows that are left out of all splits, and the most frequent reasons."""
    left_out = LeftOut.of_schema(schema)
    return {
        "rows": left_out.rows,
        "total": left_out.total,
        "share": percent(left_out.share),
        "high": left_out.share > HIGH_SHARE,
        "reasons": dict(list(left_out.reasons.items())[:REASONS]),
        "further": max(len(left_out.reasons) - REASONS, 0),
    }


def _single_reader(run: Run, modality: str) -> str:
    """The network that reads a modality, where only one of the two does."""
    if modality not in run.recipe.student.encoders:
        return t("read by the teacher alone")
    trained = run.recipe.trained
    return t("read by the student alone") if trained and modality not in trained.encoders else ""


def data(run: Run, dataset: DatasetView) -> dict:
    """Notes about rows, and how often each modality is absent."""
    file = run.path("data", "quarantine.csv")
    lines: list[list[str]] = []
    if file.exists():
        with file.open(encoding="utf-8", newline="") as text:
            lines = list(islice(csv.reader(text), MAX_NOTES + 1))
    notes = [
        {"action": action, "meaning": ACTIONS.get(action, ""), "reasons": reasons, "rows": sum(reasons.values())}
        for action, reasons in dataset.schema["notes"].items()
    ]
    absent = (~dataset.columns.present).sum(0)
    return {
        "notes": notes,
        "columns": lines[0] if lines else [],
        "first_lines": lines[1:],
        "num_notes": sum(note["rows"] for note in notes),
        "duplicates": dataset.schema.get("duplicates") or {"rows": 0},
        "absent": [{"name": n, "rows": int(a)} for n, a in zip(dataset.columns.spec.names, absent, strict=True)],
        "rows": len(dataset.columns.present),
    }


def export(run: Run) -> dict:
    """Parity of the exported files with the networks, and the knowledge store."""
    files = []
    for folder, name in (("export", "exported student"), ("export-teacher", "exported teacher")):
        parity = read_json(run.path(folder, "parity.json"))
        if parity:
            int8 = {"subsets": {}, "why": "", **parity["int8"]} if parity.get("int8") else None
            files.append({"name": t(name), **parity, "int8": int8})
    store = read_json(run.path("knowledge", "manifest.json"))
    return {"files": files, "tolerance": f"{run.recipe.export.tolerance:g}", "store": store}


def reproduce(run: Run) -> dict:
    """Recipe, versions, evaluations on the test rows, times."""
    stamps = {verb: run.stamp(verb) for verb in STAGES}
    return {
        "recipe": to_yaml(run.source_recipe),
        "machine": read_checked(run.path("run.json")),
        "evaluations": evaluations(run.folder),
        "stages": [{"verb": verb, "text": STAGES[verb], **stamp} for verb, stamp in stamps.items() if stamp],
        "file": f"{run.recipe.name or 'recipe'}.yaml",
        "seed": run.recipe.seed,
    }


def trust_audit(run: Run, items: Sequence[dict] | None = None) -> dict[str, Any] | None:
    """Items of ``audit.json`` by area, and the number in each state; None where there was no audit. ``items``: where
    the run doesn't hold them yet."""
    items = items if items is not None else read_json(run.path("audit.json"))
    if not items:
        return None
    count = Counter(item["state"] for item in items)
    return {
        "areas": [
            {"name": t(AREAS.get(str(area), str(area))), "items": [_audit_item(item) for item in group]}
            for area, group in groupby(items, key=lambda item: item["area"])
        ],
        "counts": [
            {"state": state.replace(" ", "-"), "text": t(text), "number": count[state]}
            for state, text in STATES.items()
            if count[state]
        ],
    }


def _audit_item(item: dict) -> dict[str, str]:
    state = str(item["state"])
    return {"number": item["number"], "text": t(item["says"]), "kind": state.replace(" ", "-"),
            "state": t(STATES.get(state, state)), "fact": item["fact"]}  # fmt: skip

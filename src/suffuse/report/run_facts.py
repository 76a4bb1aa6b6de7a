"""What the page says about results, data, export and reproduction: read from the run, put into plain values."""

from __future__ import annotations

import csv
from itertools import islice

import numpy as np

from ..checked_json import read_checked
from ..evaluation_log import evaluations
from ..files import read_json
from ..prepare.column_types import percent
from ..prepare.quarantine import ACTIONS, HIGH_SHARE, REASONS, LeftOut
from ..recipe import to_yaml
from ..run import Run
from . import metric_names, scores_table
from .dataset_view import Prepared
from .formatting import minus
from .i18n import t
from .metric_names import METRICS
from .per_target import task

MOST_NOTES = 12  # lines of the quarantine file
STAGES = {
    "prepare": "raw rows to clean columns",
    "teach": "train the teacher",
    "extract": "store what it knows of each row",
    "distill": "train students and baselines",
    "export": "write and check the exported files",
    "evaluate": "score every model on the test rows",
}


def headline(run: Run, prepared: Prepared) -> dict:
    """What the run is."""
    schema = prepared.schema
    return {
        "name": run.recipe.name or run.folder.name,
        "verdicts": [
            {"kind": kind.split()[0], "when": when[0].upper() + when[1:], "said": said, "numbers": minus(numbers)}
            for kind, when, said, numbers in scores_table.judged(run)
        ],
        "metric": t(METRICS[metric_names.main_of(run)].title),
        "aside": metric_names.aside(run),
        "splits": [{"name": n, "rows": r, "labelled": schema["labelled"][n]} for n, r in schema["rows"].items()],
        "rows": sum(schema["rows"].values()),
        "quarantined": quarantined(schema),
        "targets": [{"name": h.name, "task": task(h), "classes": h.classes} for h in prepared.spec.heads],
        "modalities": [
            {"name": f["name"], "kind": f["kind"], "reader": reader(run, f["name"])} for f in schema["fields"]
        ],
        "fewer": [scores_table.share(f"{f:g}") for f in run.recipe.fractions],
    }


def quarantined(schema: dict) -> dict:
    """How many rows are left out of all splits, and the commonest reasons."""
    left = LeftOut.of_schema(schema)
    return {
        "rows": left.rows,
        "total": left.total,
        "share": percent(left.share),
        "high": left.share > HIGH_SHARE,
        "reasons": dict(list(left.reasons.items())[:REASONS]),
        "more": max(len(left.reasons) - REASONS, 0),
    }


def reader(run: Run, modality: str) -> str:
    """Which of the two networks reads it, where it isn't both."""
    if modality not in run.recipe.student.encoders:
        return t("read by the teacher alone")
    trained = run.recipe.trained
    return t("read by the student alone") if trained and modality not in trained.encoders else ""


def data(run: Run, prepared: Prepared) -> dict:
    """What was wrong with which rows, and how often each modality is absent."""
    file = run.path("data", "quarantine.csv")
    head: list[list[str]] = []
    if file.exists():
        with file.open(encoding="utf-8", newline="") as lines:
            head = list(islice(csv.reader(lines), MOST_NOTES + 1))
    notes = [
        {
            "action": action,
            "means": ACTIONS.get(action, ""),
            "reasons": reasons,
            "rows": sum(reasons.values()),
        }
        for action, reasons in prepared.schema["notes"].items()
    ]
    absent = (~np.asarray(prepared.present)).sum(0)
    names = [f["name"] for f in prepared.schema["fields"]]
    return {
        "notes": notes,
        "columns": head[0] if head else [],
        "head": head[1:],
        "all": sum(n["rows"] for n in notes),
        "duplicates": prepared.schema.get("duplicates") or {"rows": 0},
        "absent": [{"name": n, "rows": int(a)} for n, a in zip(names, absent, strict=True)],
        "rows": len(prepared.present),
    }


def export(run: Run) -> dict:
    """Whether the files say what the models say, and what the knowledge store holds."""
    files = []
    for folder, name in (("export", "exported student"), ("export-teacher", "exported teacher")):
        facts = read_json(run.path(folder, "parity.json"))
        if facts:
            int8 = {"subsets": {}, "why": "", **(facts.get("int8") or {})}
            files.append({"name": t(name), **facts, "int8": int8 if facts.get("int8") else None})
    store = read_json(run.path("knowledge", "manifest.json"))
    return {"files": files, "tolerance": f"{run.recipe.export.tolerance:g}", "store": store}


def reproduce(run: Run) -> dict:
    """Recipe, versions, evaluations on the test rows, times."""
    stamps = {verb: run.stamp(verb) for verb in STAGES}
    return {
        "recipe": to_yaml(run.recipe),
        "machine": read_checked(run.path("run.json")),
        "looks": evaluations(run.folder),
        "stages": [{"verb": v, "says": STAGES[v], **s} for v, s in stamps.items() if s],
        "file": f"{run.recipe.name or 'recipe'}.yaml",
        "seed": run.recipe.seed,
    }

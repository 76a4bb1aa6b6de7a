"""What the page says about results, data, export and reproduction: read from the run, put into plain values."""

from __future__ import annotations

import csv
from itertools import islice

import numpy as np

from ..files import read_json
from ..recipe import to_yaml
from ..run import Run
from ..tables.quarantine import ACTIONS
from . import charts, table
from .prepared import Prepared
from .words import kilobytes, percent, times

MOST_NOTES = 12  # lines of the quarantine file
STAGES = {
    "prepare": "raw rows to clean columns",
    "teach": "train the teacher",
    "extract": "store what it knows of each row",
    "distill": "train students and baselines",
    "export": "write and check the exported files",
    "evaluate": "score every model on the test rows",
}
CALIBRATED = ("teacher", "student", "baseline", "export")


def headline(run: Run, prepared: Prepared) -> dict:
    """What the run is."""
    schema = prepared.schema
    return {
        "name": run.recipe.name or run.folder.name,
        "verdicts": [
            {
                "kind": kind.split()[0],
                "when": when[0].upper() + when[1:],
                "said": said,
                "numbers": numbers.replace("-", "−"),
            }
            for kind, when, said, numbers in table.judged(run)
        ],
        "splits": [{"name": n, "rows": r, "labelled": schema["labelled"][n]} for n, r in schema["rows"].items()],
        "rows": sum(schema["rows"].values()),
        "classes": prepared.classes,
        "modalities": [{"name": f["name"], "kind": f["kind"]} for f in schema["fields"]],
        "target": run.recipe.data.target,
        "fewer": [table.share(f"{f:g}") for f in run.recipe.distill.label_fractions],
    }


def results(run: Run) -> dict:
    """The table, with the numbers that its bars need, and the comparison in words."""
    cards, lines = table.scores(run), table.lines(run)
    low = min((c["metrics"]["accuracy"]["low"] for c in cards.values()), default=0.0)
    floor = np.floor(low * 10) / 10
    rows = []
    for (who, card), line in zip(cards.items(), lines, strict=True):
        accuracy = {k: card["metrics"]["accuracy"][k] for k in ("mean", "low", "high")}
        bar = {k: f"{100 * (v - floor) / (1 - floor):.2f}%" if floor < 1 else "100%" for k, v in accuracy.items()}
        rows.append({"who": who, "line": line, **accuracy, "bar": bar})
    confidence = f"{100 * run.recipe.evaluate.confidence:g} %"
    return {"rows": rows, "from": percent(floor, 0), "confidence": confidence, "ratios": ratios(cards)}


def ratios(cards: dict[str, dict]) -> dict | None:
    """The exported student beside its teacher."""
    student, teacher = cards.get("export"), cards.get("teacher")
    if not student or not teacher:
        return None
    ours, theirs = student["metrics"]["accuracy"]["mean"], teacher["metrics"]["accuracy"]["mean"]
    quick, slow = student.get("latency_ms"), teacher.get("latency_ms")
    return {
        "accuracy": percent(ours),
        "teacher_accuracy": percent(theirs),
        "points": f"{100 * (ours - theirs):+.2f}".replace("-", "−"),
        "size": kilobytes(student["bytes"]),
        "teacher_size": kilobytes(teacher["bytes"]),
        "smaller": times(student["bytes"], teacher["bytes"], "smaller", "larger", "equally large"),
        "latency": f"{quick['p50']:.3f} ms" if quick else "",
        "teacher_latency": f"{slow['p50']:.3f} ms" if slow else "",
        "faster": times(quick["p50"], slow["p50"], "faster", "slower", "equally fast") if quick and slow else "",
        "threads": quick["threads"] if quick else 1,
    }


def reliability(run: Run) -> list[dict]:
    """A diagram for each model that people would rely on."""
    found = []
    for who, card in table.scores(run).items():
        if who in CALIBRATED:
            facts = card["calibration"]
            label = f"Reliability of {table.name(who)}: expected calibration error {percent(facts['ece'])}"
            chart = charts.reliability(facts["bins"], who, label, f"sure-{who}")
            name = table.name(who)
            found.append({"name": name, "chart": chart, "ece": percent(facts["ece"]), "brier": f"{facts['brier']:.4f}"})
    return found


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
            "reasons": {r.removeprefix(": "): n for r, n in reasons.items()},
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
        "absent": [{"name": n, "rows": int(a)} for n, a in zip(names, absent, strict=True)],
        "rows": len(prepared.present),
    }


def export(run: Run) -> dict:
    """Whether the files say what the models say, and what the knowledge store holds."""
    files = []
    for folder, name in (("export", "exported student"), ("export-teacher", "exported teacher")):
        facts = read_json(run.path(folder, "parity.json"))
        if facts:
            files.append({"name": name, **facts})
    store = read_json(run.path("knowledge", "manifest.json"))
    return {"files": files, "tolerance": f"{run.recipe.export.tolerance:g}", "store": store}


def reproduce(run: Run) -> dict:
    """Recipe, versions, looks at the test rows, times."""
    stamps = {verb: run.stamp(verb) for verb in STAGES}
    return {
        "recipe": to_yaml(run.recipe),
        "machine": read_json(run.path("run.json")),
        "looks": read_json(run.path("test-looks.json")) or [],
        "stages": [{"verb": v, "says": STAGES[v], **s} for v, s in stamps.items() if s],
        "file": f"{run.recipe.name or 'recipe'}.yaml",
        "seed": run.recipe.seed,
    }

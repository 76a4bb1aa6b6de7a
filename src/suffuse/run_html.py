"""How a run shows itself: a line for the interpreter, a table for a notebook. Reads stamps and scorecards alone."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from .errors import SuffuseError
from .files import read_json
from .integrity import read_stamp

MODELS = {"teacher": "teacher", "student": "student", "baseline": "student, labels only", "export": "exported student"}


def finished_stages(folder: Path) -> dict[str, float]:
    """Finished stage -> seconds, in the order in which they ended; none whose stamp can't be read."""
    stamps = []
    for file in (folder / "stamps").glob("*.json"):
        try:
            stamp = read_stamp(folder, file.stem)
        except SuffuseError:
            continue
        if stamp and "stage" in stamp:
            stamps.append((file.stat().st_mtime_ns, stamp))
    return {stamp["stage"]: stamp["seconds"] for _, stamp in sorted(stamps, key=lambda pair: pair[0])}


def scores(folder: Path) -> dict[str, tuple[str, float]]:
    """Model -> its main metric on test rows and the value, of the scorecards that are there."""
    found = {}
    for model, name in MODELS.items():
        try:
            card = read_json(folder / "scores" / f"{model}.json")
        except SuffuseError:
            continue
        try:
            found[name] = (str(card["main"]), float(card["metrics"][card["main"]]["mean"]))
        except (LookupError, TypeError, ValueError):  # no scorecard, or not of this form
            continue
    return found


def text(folder: Path, targets: tuple[str, ...]) -> str:
    """``Run('runs/rows', target='label', done: prepare, teach)``."""
    done = ", ".join(finished_stages(folder)) or "nothing"
    return f"Run({str(folder)!r}, target={', '.join(targets)!r}, done: {done})"


def page(folder: Path, targets: tuple[str, ...], modalities: dict[str, str]) -> str:
    """A table of what the run reads, which stages are done, and its scores; links the report."""
    stages = ", ".join(f"{verb} ({seconds:.1f} s)" for verb, seconds in finished_stages(folder).items())
    rows: list[tuple[str, Any]] = [
        ("folder", folder),
        ("target", ", ".join(targets)),
        ("modalities", ", ".join(f"{name} ({kind})" for name, kind in modalities.items())),
        ("stages done", stages or "none"),
        *((f"{name}: {metric}", f"{value:.4f}") for name, (metric, value) in scores(folder).items()),
    ]
    cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows)
    report = folder / "report.html"
    link = f'<a href="{html.escape(report.as_uri())}">report</a>' if report.is_file() else ""
    return f"<table>{cells}</table>{link}"

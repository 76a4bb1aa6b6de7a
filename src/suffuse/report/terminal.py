"""A finished run in the terminal, as text and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

from ..evaluation.readiness import best_classical
from ..files import read_json
from ..prepare import duplicates
from ..prepare.quarantine import LeftOut
from ..run import Run
from . import modality_ablation, run_warnings, scores_table, verdict_text
from .contribution_section import contribution_table
from .finetuning_choice import teacher_choice
from .formatting import align_columns
from .pool_members import members_table, portfolio_entries
from .readiness_text import readiness
from .robustness_section import subsets_table
from .seed_scores import seed_table
from .student_candidates import candidates_table, selection_facts, selection_sentence

MAX_LINES = 15  # of the summary that ends a run
MAX_WARNINGS, MAX_VERDICTS = 2, 2  # sentences of the summary; the report has all
SUMMARY_MODELS = ("teacher", "ensemble", "student", "baseline", "export")  # and the best classical baseline


def summary_lines(run: Run) -> Iterator[str]:
    """At most 15 lines: whether the student is ready, warnings, quarantined rows, which student was selected, verdicts,
    the scores of the main models, and the paths of report and student."""
    verdict = readiness(run)
    lines = [verdict.sentence] if verdict else []
    lines += _few([f"WARNING: {text}" for text in run_warnings.warnings(run)], MAX_WARNINGS, "warning")
    lines.append(next(row_counts(run)))
    if selection := selection_facts(run):
        lines.append(selection_sentence(selection))
    lines += _few([*verdict_text.sentences(run), *modality_ablation.equivalences(run)], MAX_VERDICTS, "verdict")
    paths = [f"report: {run.path('report.html')}", f"student: {run.path('export')}"]
    yield from lines
    yield from _main_scores(run, MAX_LINES - len(lines) - len(paths) - 1)
    yield from paths


def _few(sentences: list[str], limit: int, noun: str) -> list[str]:
    """The first sentences, and how many more there are."""
    rest = len(sentences) - limit
    return sentences[:limit] + ([f"and {rest} more {noun}{'s' * (rest > 1)} in the report"] if rest > 0 else [])


def _main_scores(run: Run, limit: int) -> list[str]:
    """The table's head and its rows of the main models, at most ``limit`` rows."""
    cards = scores_table.scores(run)
    models = {best_classical(cards), *SUMMARY_MODELS}
    pairs = zip(cards, scores_table.result_rows(run), strict=True)
    rows = [astuple(row) for model, row in pairs if model in models]
    return align_columns([scores_table.headings(run), *rows[-limit:]])


def terminal_lines(run: Run) -> Iterator[str]:
    """All tables of results, for ``suffuse run --tables``; then the summary."""
    seeds = seed_table(run)
    tables = [*scores_table.text_tables(run), *([seeds.lines()] if seeds else [])]
    for lines in (*tables, *modality_ablation.text_tables(run), *modality_tables(run)):
        yield from lines
        yield ""
    yield from modality_ablation.equivalences(run)
    yield from filter(None, [teacher_choice(run)])
    yield from verdict_text.sentences(run)
    yield from (f"WARNING: {sentence}" for sentence in run_warnings.warnings(run))
    yield from list(row_counts(run))[1:]
    yield ""
    yield from summary_lines(run)


def summary(run: Run) -> dict[str, Any]:
    """A finished run as plain data, for ``suffuse run --json``."""
    schema = read_json(run.path("data", "schema.json")) or {}
    verdict = readiness(run)
    return {
        "run": str(run.folder),
        "ready": {**verdict.facts, "sentence": verdict.sentence} if verdict else None,
        "warnings": run_warnings.warnings(run),
        "quarantined": LeftOut.of_schema(schema).to_json(),
        "verdicts": verdict_text.sentences(run),
        "rows": schema.get("rows", {}),
        "duplicates": schema.get("duplicates"),
        "scores": scores_table.scores(run),
        "comparisons": read_json(run.path("scores", "comparisons.json")) or [],
        "portfolio": portfolio_entries(run),
        "selection": selection_facts(run),
        "label_curve": read_json(run.path("scores", "label-curve.json")),
        "report": str(run.path("report.html")),
        "export": str(run.path("export")),
    }


def modality_tables(run: Run) -> list[list[str]]:
    """Scores with modalities missing, the contribution of each, the weights of what is pooled, and the candidates for
    the student."""
    tables = (subsets_table(run), contribution_table(run), members_table(run), candidates_table(run))
    return [table.lines() for table in tables if table]


def row_counts(run: Run) -> Iterator[str]:
    """Rows of each split, and quarantined rows by reason."""
    schema = read_json(run.path("data", "schema.json")) or {}
    splits = ", ".join(f"{count:,} {name}" for name, count in schema.get("rows", {}).items())
    yield f"rows: {splits}; quarantined: {LeftOut.of_schema(schema).sentence()}"
    yield from duplicates.lines(schema.get("duplicates"))

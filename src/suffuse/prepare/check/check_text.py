"""A check as lines of plain text, without colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from ...errors import visible
from ...progress import duration
from ..column_types import percent, short
from .cost_estimate import size
from .findings import NOTES, STOPS, WARNS, Check, Column, Modality

LINE_WIDTH = 110
MAX_LISTED = 25  # columns that are left out, one a line
DONE = {
    "data.id": "names rows; one without it, or with an earlier row's, is left out",
    "data.group": "rows with an equal value never stand in two splits",
    "data.split.column": "says which split a row is in; a row of no known split is left out",
    "data.split.hold_out.column": "says which rows are held out: they are the test rows",
    "data.derive": "a column that the recipe derives is made of it",
    "evaluate.slice_by": "scores are told for each of its values",
}
LEARNED = {
    "classes": "one of the training rows' classes is learned; a row without a label learns from the teacher alone",
    "labels": "any of the training rows' labels are learned, each by itself",
    "number": "learned as (value - mean) / standard deviation; a row whose cell is no number is left out",
    "tokens": "a unit for each frame of the recording, or none; a row without one learns from the teacher alone",
}
WORDS = {STOPS: "STOPS", WARNS: "WARNING", NOTES: "note"}


def lines(check: Check) -> Iterator[str]:
    """All lines of a check."""
    broken = f", {check.broken:,} lines that are no rows" if check.broken else ""
    yield f"{check.source}: {check.rows:,} rows{broken}"
    yield from (f"  {line}" for line in check.reading)
    columns, shown = {c.name: c for c in check.columns}, set()
    derivations = {d["name"]: f"by {d['kind']} from {d['from']}; {d['made']}" for d in check.derived}
    for modality in check.modalities:
        yield ""
        yield f"modality {modality.name}, {modality.kind}"
        for name in modality.columns:
            yield from _column(columns[name], len(modality.columns) > 1, check.rules.get(name, ""))
            if name in derivations:
                yield from _entry("derived", derivations[name])
            shown.add(name)
        yield from _modality(modality)
    targets = {t["name"]: t for t in check.targets}
    for column in (c for c in check.columns if c.use and (c.name not in shown or c.name in targets)):
        yield ""
        yield f"column {column.name}, for {', '.join(column.use)}"
        yield from _column(column, False, check.rules.get(column.name, ""))
        yield from _target(targets[column.name]) if column.name in targets else _role(column)
    yield ""
    yield from _splits(check)
    unused = [c for c in check.columns if not c.use]
    if unused:
        yield ""
        yield "columns that the recipe leaves out"
        yield from _left_out(unused)
    yield ""
    yield from _costs(check)
    yield ""
    yield from _findings(check)


def _entry(key: str, text: str) -> Iterator[str]:
    """A key and its text, folded."""
    yield from textwrap.wrap(visible(text), LINE_WIDTH, initial_indent=f"  {key:<11} ", subsequent_indent=" " * 14) or [
        f"  {key}"
    ]


def _column(column: Column, has_heading: bool, rule: str) -> Iterator[str]:
    if has_heading:
        yield from _entry("column", column.name)
    other_uses = [use for use in column.use if not use.startswith("modalities.")]
    if len(other_uses) < len(column.use) and other_uses:
        yield from _entry("used also", f"for {', '.join(other_uses)}")
    yield from _entry("type", f"{column.type}; {column.looks}")
    distinct = "" if column.distinct is None else f", {column.distinct:,} different values"
    if column.coverage is not None:
        yield from _entry("coverage", f"{percent(column.coverage)} of rows{distinct}")
    if column.examples:
        yield from _entry("examples", " | ".join(column.examples))
    if rule:
        yield from _entry("changed", f"by the source: {rule}")


def _role(column: Column) -> Iterator[str]:
    """How a column that no model reads is used."""
    for use in column.use:
        key = "data.derive" if use.startswith("data.derive.") else use
        if key in DONE:
            yield from _entry("done to it", DONE[key])


def _modality(modality: Modality) -> Iterator[str]:
    cells = f"{modality.cells:,} different cells, " if modality.cells else ""
    extent = "all of them" if modality.whole else f"{modality.read:,} of them, drawn by chance"
    yield from _entry("read", cells + extent)
    unit = "rows" if modality.whole else "of the cells read"
    problems = {"absent": modality.absent, "unreadable": modality.unreadable, "in part": modality.partly}
    for key, reasons in problems.items():
        if reasons:
            yield from _entry(key, "; ".join(f"{n:,} {unit}: {short(r, 80)}" for r, n in reasons.items()))
    for number, sentence in enumerate(modality.done):
        yield from _entry("done to it" if not number else "", sentence)


def _target(target: dict) -> Iterator[str]:
    labelled = ", ".join(f"{n:,} {name}" for name, n in target["labelled"].items())
    unlabelled = f"; {target['unlabelled']:,} have none" if target["unlabelled"] else ""
    yield from _entry("labelled", f"{labelled} rows{unlabelled}")
    if "counts" in target:
        counts = ", ".join(f"{label} {count:,}" for label, count in target["counts"].items())
        abridged = len(target["counts"]) < target["classes"]
        extent = "the most and least frequent in training rows" if abridged else "in training rows"
        name = "units" if target["kind"] == "tokens" else target["kind"]
        yield from _entry(name, f"{target['classes']:,}; {extent}: {counts}")
    if "mean" in target:
        words = f"mean {target['mean']:.4g}, standard deviation {target['deviation']:.4g} in training rows"
        yield from _entry(target["kind"], words)
    yield from _entry("done to it", LEARNED[target["kind"]])


def _splits(check: Check) -> Iterator[str]:
    facts = check.splits
    yield "splits"
    yield from _entry("rows", ", ".join(f"{n:,} {name}" for name, n in facts["rows"].items()))
    if facts["made"]:
        yield from _entry("made", f"{', '.join(facts['made'])}: cut from the training rows, the same for the same seed")
    if facts["groups"] is not None:
        yield from _entry("groups", f"{facts['groups']:,}, none of which stands in two splits")
    if facts["left_out"]:
        yield from _entry("left out", f"{facts['left_out']:,} rows, see below")


def _left_out(columns: list[Column]) -> Iterator[str]:
    width = min(max(len(c.name) for c in columns[:MAX_LISTED]), 30)
    for column in columns[:MAX_LISTED]:
        yield f"  {short(column.name, 30):<{width}}  {short(column.looks, LINE_WIDTH - width - 4)}"
    if len(columns) > MAX_LISTED:
        yield f"  and {len(columns) - MAX_LISTED:,} more"


def _costs(check: Check) -> Iterator[str]:
    disk, memory, time = (check.costs[key] for key in ("disk", "memory", "time"))
    yield "about what it costs"
    frozen = f"{size(disk['features'])} of frozen encoders' vectors, " if disk["features"] else ""
    written = f"{size(disk['data'])} of columns, {frozen}{size(disk['knowledge'])} of the teacher's knowledge"
    yield from _entry("disk", f"{written}, {size(disk['free'])} are free ({disk['how']})")
    yield from _entry("memory", f"{size(memory['prepare'])} to prepare, of {size(memory['machine'])} ({memory['how']})")
    trainings = ", ".join(_training(t) for t in time["trainings"])
    training_time = f", {duration(time['training'])} to train" if "training" in time else ""
    yield from _entry("time", f"{duration(time['prepare'])} to prepare{training_time}; {trainings} ({time['how']})")


def _training(training: dict) -> str:
    number, seconds = training["trainings"], training.get("step")
    count = f"{number:,} training{'s' * (number != 1)} of {training['who']}s, {training['steps']:,} steps each"
    if seconds is None:
        return count
    return f"{count} of " + (duration(seconds) if seconds >= 1 else f"{1000 * seconds:.3g} ms")


def _findings(check: Check) -> Iterator[str]:
    order = (STOPS, WARNS, NOTES)
    for weight in order:
        for finding in (f for f in check.findings if f.weight == weight):
            where = f"{finding.where}: " if finding.where else ""
            yield from _folded(f"{WORDS[weight]:<8} {where}{finding.says}")
    for sentence in check.sampled:
        yield from _folded(f"{'sample':<8} {sentence}")
    counts = {w: sum(f.weight == w for f in check.findings) for w in order}
    warnings = f"{counts[WARNS]} warning{'s' * (counts[WARNS] != 1)}"
    stop = f"it can't run: {counts[STOPS]} problem{'s' * (counts[STOPS] != 1)} would stop it, "
    yield ""
    yield (stop if counts[STOPS] else "it can run, ") + warnings


def _folded(text: str) -> Iterable[str]:
    return textwrap.wrap(visible(text), LINE_WIDTH, subsequent_indent=" " * 9)

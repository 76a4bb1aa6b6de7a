"""The whole check, in the order of prepare: read, inspect, leave rows out, split, count."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from ... import sources
from ...errors import SuffuseError, visible
from ...modalities.cell import Root
from ...progress import Tell, progress
from ...registry import TeacherSettings
from ...run import Run
from ...types import Head
from .. import duplicates, splits, table_rows
from ..column_types import percent
from ..row_state import Draft
from ..table_reading import reading_lines
from . import column_check, content_check, cost_estimate, leak_check, target_check
from .column_check import DerivedCheck
from .content_check import Contents
from .findings import NOTES, STOPS, WARNS, Check, Modality, Sample


def check(run: Run, full: bool = False) -> Check:
    """Check a run's recipe and table; writes nothing.

    ``full`` reads every cell, however long it takes. Raises UsageError where the recipe names what isn't there.
    """
    recipe = run.recipe
    with progress("check") as tell:
        start = time.perf_counter()
        rows = sources.read(recipe.data.source, table_format=recipe.data.table_format)
        read_seconds = time.perf_counter() - start
        table_rows.check_columns(recipe, rows)
        root, roles = table_rows.root(recipe.data, rows), table_rows.roles(recipe, rows)
        counts = (rows.table.num_rows, len(rows.broken))
        reading = reading_lines(rows, recipe.data)
        result = Check(visible(recipe.data.source), *counts, [], reading, rules=dict(rows.rules))
        _teacher(result, run)
        derived = column_check.derive_columns(
            recipe.data, rows, roles.names(), root, lambda part, words: tell(0.2 * part, words)
        )
        result.derived = derived.derivations
        contents = _read(result, run, derived, root, full, tell)
        tell(0.9, "splits and labels")
        draft = table_rows.draft(rows, roles, derived.derived, {name: c.cleaned for name, c in contents.items()})
        _columns(result, run, derived, root, draft)
        heads = _rows(result, run, draft)
        counts = {name: int((draft.keep & (draft.split == c)).sum()) for c, name in enumerate(splits.NAMES)}
        outputs = sum(t.get("classes", 1) for t in result.targets)
        result.costs = {
            "disk": cost_estimate.disk(result, recipe, counts, run.folder, outputs),
            "memory": cost_estimate.memory(result, rows.table.nbytes),
            "time": cost_estimate.time(result, recipe, read_seconds, counts),
        }
        result.sample = _sample(result, contents, heads) if result.runs else None
        tell(1.0, f"{result.rows:,} rows")
    return result


def _teacher(result: Check, run: Run) -> None:
    """Note missing files of an external teacher; they aren't opened."""
    if isinstance(run.recipe.teacher, TeacherSettings):
        for key, reference in run.recipe.teacher.references().items():
            if Path(reference).is_absolute() and not Path(reference).exists():  # else it is a name, or in a package
                result.add(STOPS, "no_teacher", f"teacher.{key}", f"no such file: {reference}")


def _sample(result: Check, contents: dict[str, Contents], heads: list[Head]) -> Sample:
    fields = tuple(c.field for c in contents.values() if c.field)
    cells = {name: c.facts.cells / max(result.rows, 1) for name, c in contents.items()}
    return Sample(fields, {name: c.entries for name, c in contents.items()}, cells, tuple(heads))


def _read(result: Check, run: Run, derived: DerivedCheck, root: Root, full: bool, tell: Tell) -> dict[str, Contents]:
    """Every modality's cells, and what is wrong with them."""
    contents: dict[str, Contents] = {}
    modalities, rows = run.recipe.modalities, derived.derived.rows
    for number, (name, settings) in enumerate(modalities.items()):

        def share(part: float, number: int = number, name: str = name) -> None:
            tell(0.2 + 0.7 * (number + part) / len(modalities), f"reading {name}")

        partial = [derived.partial_rows[column] for column in settings.columns if column in derived.partial_rows]
        selected = _select_rows(rows, partial[0]) if partial else rows
        content = content_check.read_contents(name, settings, selected, root, full, share)
        if partial:  # the content of a row isn't known before it is derived
            everywhere = content_check.unread_contents(np.arange(len(rows.line)), len(rows.line))
            facts = replace(content.facts, cells=len(rows.line), whole=False)
            content = replace(content, facts=facts, cleaned=everywhere)
        contents[name] = content
        result.modalities.append(content.facts)
        if not content.facts.whole:
            result.sampled.append(
                f"{name}: {content.facts.read:,} of {content.facts.cells:,} cells were read, so what can't be read is "
                "counted among these, and equal contents are found only where cells are equal"
                + ("; it reads a column that is slow to derive" if partial else "; --full reads all")
            )
        _unreadable(result, content)
    return contents


def _select_rows(rows: sources.Rows, positions: np.ndarray) -> sources.Rows:
    return replace(rows, table=rows.table.take(pa.array(positions)), line=[rows.line[r] for r in positions])


def _unreadable(result: Check, content: Contents) -> None:
    facts = content.facts
    for reason, count in facts.unreadable.items():
        total = result.rows if facts.whole else facts.read
        unit = "rows" if facts.whole else "cells that were read"
        text = f"{count:,} of {total:,} {unit} ({percent(count / total)}) can't be read: {reason}"
        text += _example(facts, reason)
        result.add(WARNS, "unreadable", facts.name, visible(text))
    for remark, count in facts.partly.items():
        unit = "rows" if facts.whole else "of the cells that were read"
        text = f"{count:,} {unit} are used in part: {remark}{_example(facts, remark)}"
        result.add(NOTES, "used_in_part", facts.name, visible(text))
    if not content.cleaned.entry.size or content.cleaned.entry.max() < 0:
        result.add(STOPS, "nothing_readable", facts.name, "nothing can be read in any row")


def _example(facts: Modality, reason: str) -> str:
    """The first line with this reason; nothing for reasons that are counted together."""
    return f" (e.g. {facts.first[reason]})" if reason in facts.first else ""


def _columns(result: Check, run: Run, derived: DerivedCheck, root: Root, draft: Draft) -> None:
    """Types and examples of all columns, and those that give a target away."""
    rows, used = derived.derived.rows, column_check.column_uses(run.recipe)
    names = rows.table.column_names
    positions = column_check.sample_rows(rows.table.num_rows, column_check.USED_ROWS)
    inspected = column_check.inspect_columns(rows, [n for n in names if n in used], positions, root)
    glanced = column_check.sample_rows(rows.table.num_rows, column_check.UNUSED_ROWS)
    others = column_check.inspect_columns(rows, [n for n in names if n not in used], glanced, root)
    facts = {
        c.name: column_check.column_facts(c, rows.table.column(c.name), used.get(c.name, ()))
        for c in (*inspected, *others)
    }
    for name, made_rows in derived.partial_rows.items():
        facts[name] = replace(
            facts[name], looks=f"{len(made_rows):,} cells of it were made", coverage=None, distinct=None
        )
    result.columns = [facts[n] for n in sorted(names, key=lambda n: [*used].index(n) if n in used else len(used))]
    if len(positions) < rows.table.num_rows:
        result.sampled.append(f"what stands in columns, and give-aways: {len(positions):,} of {result.rows:,} rows")
    inputs = {c: name for name, m in run.recipe.modalities.items() for c in m.columns if c not in derived.partial_rows}
    targets = [replace(c, values=[c.values[r] for r in positions]) for c in draft.targets]
    leak_check.check_give_aways(result, [c for c in inspected if c.name in inputs], inputs, targets)


def _rows(result: Check, run: Run, draft: Draft) -> list[Head]:
    """Splits, groups, copies and targets: as the table gives them, then as prepare would leave them."""
    data = run.recipe.data
    if data.split.column or data.split.hold_out:
        leak_check.check_table_split(result, draft, data.group)
    given, stopped = draft.split.copy(), _leave_out_and_split(result, run, draft)
    for reason in draft.notes.reasons():
        weight = WARNS if reason.rows > 0.05 * result.rows else NOTES
        text = f"{reason.rows:,} rows are left out: {reason.reason} (e.g. {reason.examples()})"
        result.add(weight, "left_out", visible(reason.column), visible(text))
    heads: list[Head] = []
    if draft.keep.any():
        heads = target_check.check_targets(result, draft, ()) if stopped else _check_kept_rows(result, run, draft)
    equal = duplicates.facts(draft, data.duplicates)
    leak_check.check_duplicates(result, equal)
    grouped = data.group or (equal["rows"] and data.duplicates == duplicates.GROUP)
    result.splits = {
        "given": bool(data.split.column or data.split.hold_out),
        "made": [n for c, n in enumerate(splits.NAMES) if not (given == c).any() and (draft.split == c).any()],
        "rows": {n: int((draft.keep & (draft.split == c)).sum()) for c, n in enumerate(splits.NAMES)},
        "groups": len(np.unique(draft.group[draft.keep])) if grouped else None,
        "left_out": int((~draft.keep).sum()) + result.broken,
    }
    return heads


def _leave_out_and_split(result: Check, run: Run, draft: Draft) -> bool:
    """Leave rows out and split as prepare does. Returns True where there are no splits."""
    data = run.recipe.data
    table_rows.leave_out(draft, data)
    if error := table_rows.too_few(draft, data):
        key = "data.max_quarantined" if draft.keep.any() else "data"
        result.add(STOPS, "quarantined" if draft.keep.any() else "no_rows", key, _error_text(error))
        if not draft.keep.any():
            return True
    try:
        table_rows.make_splits(draft, data, run.recipe.seed)
    except SuffuseError as error:
        result.add(STOPS, "no_splits", "data", _error_text(error))
        return True
    return False


def _error_text(error: SuffuseError) -> str:
    facts = [f"{word}{fact}" for word, fact in (("", error.got), ("expected ", error.expected)) if fact]
    return visible(f"{error.message}: {', '.join(facts)}" + (f" ({error.hint})" if error.hint else ""))


def _check_kept_rows(result: Check, run: Run, draft: Draft) -> list[Head]:
    """Findings about the rows that are kept."""
    leak_check.check_contradictions(result, draft)
    leak_check.check_shared_contents(result, draft, {m.name: m.bytes for m in result.modalities})
    train = draft.keep & (draft.split == splits.TRAIN)
    for name, column in draft.columns.items():
        if (column.entry >= 0).any() and not (column.entry[train] >= 0).any():
            result.add(STOPS, "absent_in_training", name, "no training row has this modality")
    needed = [name for name in splits.NAMES if name != "train" or run.recipe.needs_training_labels]
    return target_check.check_targets(result, draft, needed)

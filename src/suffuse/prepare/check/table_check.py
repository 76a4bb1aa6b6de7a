"""The whole check, in the order in which prepare works: read, look, leave out, split, count."""

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
from . import column_check, content_check, cost_estimate, derived_check, leak_check, target_check
from .content_check import Contents
from .derived_check import Made
from .findings import NOTES, STOPS, WARNS, Check, Modality, Sample


def check(run: Run, full: bool = False) -> Check:
    """Look at a run's recipe and table; writes nothing.

    ``full`` reads every cell, however long it takes. Raises UsageError where the recipe names what isn't there.
    """
    recipe = run.recipe
    with progress("check") as tell:
        start = time.perf_counter()
        rows = sources.read(recipe.data.source)
        read = time.perf_counter() - start
        table_rows.require(recipe, rows)
        root, roles = table_rows.root(recipe.data, rows), table_rows.roles(recipe, rows)
        made = Check(visible(recipe.data.source), rows.table.num_rows, len(rows.broken), [], rules=dict(rows.rules))
        _teacher(made, run)
        derived = derived_check.make(
            recipe.data, rows, roles.names(), root, lambda part, words: tell(0.2 * part, words)
        )
        made.derived = derived.told
        found = _read(made, run, derived, root, full, tell)
        tell(0.9, "splits and labels")
        draft = table_rows.draft(rows, roles, derived.derived, {name: c.cleaned for name, c in found.items()})
        _columns(made, run, derived, root, draft)
        heads = _rows(made, run, draft)
        counts = {name: int((draft.keep & (draft.split == c)).sum()) for c, name in enumerate(splits.NAMES)}
        outputs = sum(t.get("classes", 1) for t in made.targets)
        made.costs = {
            "disk": cost_estimate.disk(made, recipe, counts, run.folder, outputs),
            "memory": cost_estimate.memory(made, rows.table.nbytes),
            "time": cost_estimate.time(made, recipe, read, counts),
        }
        made.sample = _sample(made, found, heads) if made.runs else None
        tell(1.0, f"{made.rows:,} rows")
    return made


def _teacher(made: Check, run: Run) -> None:
    """Whether the files of a teacher from outside are there; they aren't opened."""
    if isinstance(run.recipe.teacher, TeacherSettings):
        for key, reference in run.recipe.teacher.references().items():
            if Path(reference).is_absolute() and not Path(reference).exists():  # else it is a name, or in a package
                made.add(STOPS, "no_teacher", f"teacher.{key}", f"no such file: {reference}")


def _sample(made: Check, found: dict[str, Contents], heads: list[Head]) -> Sample:
    fields = tuple(c.field for c in found.values() if c.field)
    cells = {name: c.facts.cells / max(made.rows, 1) for name, c in found.items()}
    return Sample(fields, {name: c.entries for name, c in found.items()}, cells, tuple(heads))


def _read(made: Check, run: Run, derived: Made, root: Root, full: bool, tell: Tell) -> dict[str, Contents]:
    """Every modality's cells, and what is wrong with them."""
    found: dict[str, Contents] = {}
    several, rows = run.recipe.modalities, derived.derived.rows
    for number, (name, settings) in enumerate(several.items()):

        def share(part: float, number: int = number, name: str = name) -> None:
            tell(0.2 + 0.7 * (number + part) / len(several), f"reading {name}")

        few = [derived.some[column] for column in settings.columns if column in derived.some]
        some = _taken(rows, few[0]) if few else rows
        one = content_check.look(name, settings, some, root, full, share)
        if few:  # what a row has is not known before it is derived
            everywhere = content_check.unknown(np.arange(len(rows.line)), len(rows.line))
            facts = replace(one.facts, cells=len(rows.line), whole=False)
            one = replace(one, facts=facts, cleaned=everywhere)
        found[name] = one
        made.modalities.append(one.facts)
        if not one.facts.whole:
            made.sampled.append(
                f"{name}: {one.facts.read:,} of {one.facts.cells:,} cells were read, so what can't be read is counted "
                "among these, and equal contents are found only where cells are equal"
                + ("; it reads a column that is slow to derive" if few else "; --full reads all")
            )
        _unreadable(made, one)
    return found


def _taken(rows: sources.Rows, some: np.ndarray) -> sources.Rows:
    return replace(rows, table=rows.table.take(pa.array(some)), line=[rows.line[r] for r in some])


def _unreadable(made: Check, one: Contents) -> None:
    facts = one.facts
    for reason, count in facts.unreadable.items():
        of = made.rows if facts.whole else facts.read
        what = "rows" if facts.whole else "cells that were read"
        says = f"{count:,} of {of:,} {what} ({percent(count / of)}) can't be read: {reason}{_example(facts, reason)}"
        made.add(WARNS, "unreadable", facts.name, visible(says))
    for remark, count in facts.partly.items():
        what = "rows" if facts.whole else "of the cells that were read"
        says = f"{count:,} {what} are used in part: {remark}{_example(facts, remark)}"
        made.add(NOTES, "used_in_part", facts.name, visible(says))
    if not one.cleaned.entry.size or one.cleaned.entry.max() < 0:
        made.add(STOPS, "nothing_readable", facts.name, "nothing can be read in any row")


def _example(facts: Modality, reason: str) -> str:
    """Where a reason holds first; nothing of several that are counted together."""
    return f" (e.g. {facts.first[reason]})" if reason in facts.first else ""


def _columns(made: Check, run: Run, derived: Made, root: Root, draft: Draft) -> None:
    """Types and examples of all columns, and those from which a target can be read off."""
    rows, used = derived.derived.rows, column_check.uses(run.recipe)
    names = rows.table.column_names
    picked = column_check.picked(rows.table.num_rows, column_check.LOOKED)
    ours = column_check.inspected(rows, [n for n in names if n in used], picked, root)
    glance = column_check.picked(rows.table.num_rows, column_check.GLANCED)
    others = column_check.inspected(rows, [n for n in names if n not in used], glance, root)
    facts = {c.name: column_check.facts(c, rows.table.column(c.name), used.get(c.name, ())) for c in (*ours, *others)}
    for name, some in derived.some.items():
        facts[name] = replace(facts[name], looks=f"{len(some):,} cells of it were made", coverage=None, distinct=None)
    made.columns = [facts[n] for n in sorted(names, key=lambda n: [*used].index(n) if n in used else len(used))]
    if len(picked) < rows.table.num_rows:
        made.sampled.append(f"what stands in columns, and give-aways: {len(picked):,} of {made.rows:,} rows")
    inputs = {c: name for name, m in run.recipe.modalities.items() for c in m.columns if c not in derived.some}
    looked = [replace(c, values=[c.values[r] for r in picked]) for c in draft.targets]
    leak_check.give_away(made, [c for c in ours if c.name in inputs], inputs, looked)


def _rows(made: Check, run: Run, draft: Draft) -> list[Head]:
    """Splits, groups, copies and targets: as the table gives them, then as prepare would leave them."""
    data = run.recipe.data
    if data.split.column or data.split.hold_out:
        leak_check.given(made, draft, data.group)
    before, stopped = draft.split.copy(), _settled(made, run, draft)
    for one in draft.notes.reasons():
        weight = WARNS if one.rows > 0.05 * made.rows else NOTES
        says = f"{one.rows:,} rows are left out: {one.reason} (e.g. {one.examples()})"
        made.add(weight, "left_out", visible(one.column), visible(says))
    heads = [] if not draft.keep.any() else target_check.look(made, draft, False) if stopped else _kept(made, draft)
    equal = duplicates.facts(draft, data.duplicates)
    leak_check.duplicated(made, equal)
    grouped = data.group or (equal["rows"] and data.duplicates == duplicates.GROUP)
    made.splits = {
        "given": bool(data.split.column or data.split.hold_out),
        "made": [n for c, n in enumerate(splits.NAMES) if not (before == c).any() and (draft.split == c).any()],
        "rows": {n: int((draft.keep & (draft.split == c)).sum()) for c, n in enumerate(splits.NAMES)},
        "groups": len(np.unique(draft.group[draft.keep])) if grouped else None,
        "left_out": int((~draft.keep).sum()) + made.broken,
    }
    return heads


def _settled(made: Check, run: Run, draft: Draft) -> bool:
    """Leave out and split as prepare does; whether there are no splits to look at."""
    data = run.recipe.data
    table_rows.leave_out(draft, data)
    if error := table_rows.too_few(draft, data):
        key = "data.max_quarantined" if draft.keep.any() else "data"
        made.add(STOPS, "quarantined" if draft.keep.any() else "no_rows", key, _says(error))
        if not draft.keep.any():
            return True
    try:
        table_rows.make_splits(draft, data, run.recipe.seed)
    except SuffuseError as error:
        made.add(STOPS, "no_splits", "data", _says(error))
        return True
    return False


def _says(error: SuffuseError) -> str:
    facts = [f"{word}{fact}" for word, fact in (("", error.got), ("expected ", error.expected)) if fact]
    return visible(f"{error.what}: {', '.join(facts)}" + (f" ({error.hint})" if error.hint else ""))


def _kept(made: Check, draft: Draft) -> list[Head]:
    """What there is to say of the rows that are kept."""
    leak_check.contradicting(made, draft)
    leak_check.shared(made, draft, {m.name: m.bytes for m in made.modalities})
    train = draft.keep & (draft.split == splits.TRAIN)
    for name, column in draft.columns.items():
        if (column.entry >= 0).any() and not (column.entry[train] >= 0).any():
            made.add(STOPS, "absent_in_training", name, "no training row has this modality")
    return target_check.look(made, draft)

"""prepare: raw rows -> clean columns on disk, with everything that was wrong written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import sources
from ..errors import SuffuseError
from ..files import new_file, write_array, write_json, write_text
from ..modalities import load_modality
from ..modalities.ragged import Ragged
from ..prepare import (
    derived_columns,
    duplicates,
    item_storage,
    split_leaks,
    splits,
    synthetic_rows,
    table_rows,
    targets,
    transcript_targets,
)
from ..prepare.cell_cleaning import Cleaned, clean
from ..prepare.derived_columns import Derived
from ..prepare.row_keys import summarise
from ..prepare.row_state import Draft
from ..prepare.table_reading import reading_lines
from ..prepare.table_rows import Roles
from ..progress import progress, say
from ..registry import implements
from ..run import Run
from ..types import TOKENS, UNLABELLED, Head, Spec

SPLITS = tuple(splits.NAMES)
DERIVED = 0.3  # of the time, where columns are derived
DECODING = 50  # times as long as a text is cleaned a file is decoded


def prepare(run: Run) -> None:
    """Read, clean and split the rows of the recipe's source into ``data/``."""
    with progress("prepare") as tell:
        rows = sources.read(run.recipe.data.source, table_format=run.recipe.data.table_format)
        table_rows.check_columns(run.recipe, rows)
        remarks = reading_lines(rows, run.recipe.data)
        roles = table_rows.roles(run.recipe, rows)
        derived = derive_all(run, rows, roles, tell)
        draft = table_rows.draft(rows, roles, derived, clean_all(run, derived.rows, tell))
        before = split_leaks.table_split_leaks(draft, run.recipe.data.duplicates != duplicates.KEEP)
        table_rows.leave_out(draft, run.recipe.data)
        stop_at_too_few(run, draft)
        table_rows.make_splits(draft, run.recipe.data, run.recipe.seed)
        equal = duplicates.facts(draft, run.recipe.data.duplicates)
        write(run, draft, equal, tell)
        facts = split_leaks.to_json(draft, before)
        write_json(run.partial("prepare") / "data" / "leaks.json", facts)
        tell(1.0, f"{draft.keep.sum():,} rows")
    hints = filter(None, [draft.notes.fetch_hint(run.recipe.data.source)])
    for line in (*remarks, *draft.notes.lines(), *hints, *duplicates.lines(equal)):
        say(f"          {line}")
    for line in (*filter(None, [duplicates.few_groups(equal)]), *split_leaks.warning_lines(facts)):
        say(f"WARNING: {line}")


def stop_at_too_few(run: Run, draft: Draft) -> None:
    """Raise SuffuseError where no row is left, or too many are quarantined; ``quarantine.csv`` is written first."""
    if error := table_rows.too_few(draft, run.recipe.data):
        place = run.partial("prepare") / "data" / "quarantine.csv"
        write_text(place, draft.notes.to_csv())
        error.hint = f"{place} lists them; {error.hint}"
        raise error


def derive_all(run: Run, rows: sources.Rows, roles: Roles, tell: Callable[[float, str], None]) -> Derived:
    """The table with the recipe's derived columns; what is slow is remembered in the run's ``.memory``."""

    def part(done: float, words: str) -> None:
        tell(DERIVED * done, words)

    root = table_rows.root(run.recipe.data, rows)
    return derived_columns.add(rows, run.recipe.data.derive, roles.names(), root, run.path(".memory"), part)


def clean_all(run: Run, rows: sources.Rows, tell: Callable[[float, str], None]) -> dict[str, Cleaned]:
    """Decode every modality's column, telling how far it is."""
    root = table_rows.root(run.recipe.data, rows)
    start = DERIVED if run.recipe.data.derive else 0.0
    efforts = {n: DECODING if load_modality(m.kind).stored(m) else 1 for n, m in run.recipe.modalities.items()}
    total, before = sum(efforts.values()), 0
    found: dict[str, Cleaned] = {}
    for name, settings in run.recipe.modalities.items():

        def share(part: float, before: int = before, name: str = name) -> None:
            tell(start + (0.95 - start) * (before + efforts[name] * part) / total, f"reading {name}")

        work = run.partial("prepare") / ".work" / name
        cells = sources.cells(rows, settings.column, f"modalities.{name}.column")
        found[name] = clean(settings, cells, root, work, share)
        before += efforts[name]
    return found


def write(run: Run, draft: Draft, equal: dict[str, Any], tell: Callable[[float, str], None]) -> None:
    """Fit on training rows, encode, write ``data/``, synthetic rows last. ``equal``: the facts of rows with equal
    contents."""
    folder, rows = run.partial("prepare") / "data", np.flatnonzero(draft.keep)
    lines, ids = [draft.lines[r] for r in rows], [draft.ids[r] for r in rows]
    heads, parts = learnable(draft, rows, (lines, ids))
    _check_scored(Spec((), heads, ()), targets.join(heads, parts), draft.split[rows], run)
    folder.mkdir(parents=True, exist_ok=True)
    fitted = rows[draft.split[rows] == splits.TRAIN]
    synthetic = synthetic_rows.make(draft, run.recipe.modalities, run.recipe.data.synthetic_rows, run.recipe.seed)
    fields, statistics = write_entries(run, draft, (synthetic.columns, fitted), folder)
    heads = tuple(with_frames(run, draft, rows, (h, p), statistics) for h, p in zip(heads, parts, strict=True))
    spec = Spec((), heads, _prior(heads, parts, draft.split[rows] == splits.TRAIN))
    target = targets.join(heads, parts)
    source, count = np.concatenate([rows, synthetic.source]), len(synthetic.source)
    entry = np.concatenate([draft.entries()[rows], synthetic.entries()])
    arrays = {
        "entry": np.maximum(entry, 0),
        "present": entry >= 0,
        "target": np.concatenate([target, targets.unlabelled(heads, target, count)]),
        "split": draft.split[source],
        "group": draft.group[source],
        "key": np.concatenate([draft.keys(rows), synthetic.keys()]),
    }
    for name, array in arrays.items():
        write_array(folder / f"{name}.npy", array)
    by = {name: [values[r] for r in source] for name, values in draft.slice_columns.items()}
    where = ([draft.lines[r] for r in source], [*ids, *synthetic.ids])
    write_rows(folder, where, [*(draft.label[r] for r in rows), *[None] * count], arrays, by)
    if count:
        synthetic.write(folder, rows)
    write_text(folder / "quarantine.csv", draft.notes.to_csv())
    split, known = arrays["split"], spec.known(arrays["target"])
    schema = {
        **spec.to_json(),
        "fields": fields,
        "classes": spec.classes,
        "rows": {name: int((split[: len(rows)] == code).sum()) for code, name in enumerate(SPLITS)},  # of the table
        "labelled": {name: int(((split == code) & known).sum()) for code, name in enumerate(SPLITS)},
        **({"synthetic": count} if count else {}),
        "notes": draft.notes.counts(),
        "fitted_on": summarise(np.flatnonzero(np.isin(rows, fitted)), split, arrays["group"], arrays["key"]),
        "duplicates": equal,
        **({"derive": draft.derive} if draft.derive else {}),
    }
    write_json(folder / "statistics.json", statistics)
    write_json(folder / "schema.json", schema)


def learnable(draft: Draft, rows: np.ndarray, where: tuple[list, list]) -> tuple[tuple[Head, ...], list[np.ndarray]]:
    """Heads, and the targets of each, of the rows that are kept; notes what is unlabelled or never seen."""
    split, heads, parts = draft.split[rows], [], []
    for whole in draft.targets:
        cells = replace(whole, values=[whole.values[r] for r in rows])
        head = targets.head(cells, split)
        target = targets.encode(head, cells, split)
        targets.note(head, target, cells, where, draft.notes)
        heads.append(head)
        parts.append(target)
    return tuple(heads), parts


def with_frames(
    run: Run, draft: Draft, rows: np.ndarray, target: tuple[Head, np.ndarray], statistics: dict[str, dict]
) -> Head:
    """The head of a transcript with the frames of its recordings; others as they are.

    A training row whose recordings are too short for its transcript loses it, with a note: the target is changed in
    place.
    """
    head, values = target
    if head.kind != TOKENS:
        return head
    recipe = run.recipe
    steps = transcript_targets.recordings(
        recipe.modalities, [tuple(n.encoders) for n in recipe.networks.values()], head.name
    )
    lengths = {name: int(statistics[name]["length"]) for name in steps}
    head = transcript_targets.framed(head, recipe.data.task(head.name), lengths, steps)
    needed, frames = transcript_targets.needed_frames(values), np.zeros(len(rows))
    for name, step in steps.items():
        column = draft.columns[name]
        entry = column.entry[rows]
        used = np.where(entry >= 0, np.minimum(column.items.length[entry], lengths[name]), 0)
        frames = np.maximum(frames, np.ceil(used * step / head.frame - 1e-9))
    for row in np.flatnonzero((needed > frames) & (draft.split[rows] == splits.TRAIN)):
        values[row] = UNLABELLED
        reason = f"its transcript needs {needed[row]} frames, its recording has {int(frames[row])}"
        draft.notes.note(draft.lines[rows[row]], draft.ids[rows[row]], head.name, "unlabelled", reason)
    return head


def _prior(heads: Sequence[Head], parts: Sequence[np.ndarray], is_train: np.ndarray) -> tuple[float, ...]:
    return tuple(z for head, part in zip(heads, parts, strict=True) for z in targets.prior(head, part[is_train]))


def write_entries(
    run: Run, draft: Draft, data: tuple[Mapping[str, Cleaned], np.ndarray], folder: Path
) -> tuple[list[dict], dict]:
    """Every modality's distinct items -> an array on disk; (fields, statistics). ``data``: the items of all rows, and
    the rows to fit on."""
    fields, statistics, (columns, train) = [], {}, data
    for name, settings in run.recipe.modalities.items():
        part, column = load_modality(settings.kind), columns[name]
        used = draft.columns[name].entry[train]
        used = used[used >= 0] if part.EVERY_ROW else np.unique(used[used >= 0])
        if not len(used):
            raise SuffuseError(
                "no training row has this modality", where=f"modalities.{name}", hint="see quarantine.csv"
            )
        statistics[name] = part.fit(settings, item_storage.take_items(column.items, used))
        field = {"name": name, "kind": settings.kind, "file": f"column-{name}.npy"}
        work = run.partial("prepare") / ".work" / name
        if isinstance(column.items, pa.ChunkedArray):
            item_storage.write_entries(
                part, settings, statistics[name], column.items, folder / field["file"], work / "entries"
            )
        else:
            _link(work / "items.npy", folder / field["file"])
        if isinstance(column.items, Ragged):
            field["bounds"] = f"column-{name}.bounds.npy"
            write_array(folder / field["bounds"], column.items.cut(statistics[name]["length"]).bounds())
        fields.append(field)
        if implements(part, "problems"):
            note_problems(draft, name, part.problems(settings, statistics[name], column.items))
    return fields, statistics


def note_problems(draft: Draft, name: str, problems: list[tuple[int, str, str]]) -> None:
    """Write down the cells that are left out of items which are used, for each row that has such an item."""
    column = draft.columns[name]
    slots = {slot for slot, _, _ in problems}
    rows: dict[int, list[int]] = {}
    for row in np.flatnonzero(draft.keep & np.isin(column.entry, list(slots))):
        rows.setdefault(int(column.entry[row]), []).append(int(row))
    for slot, cell, reason in problems:
        for row in rows.get(slot, ()):
            draft.notes.note(draft.lines[row], draft.ids[row], f"{name}.{cell}", "partly", reason)


def write_rows(
    folder: Path, where: tuple[list, list], label: list, arrays: dict[str, np.ndarray], by: dict[str, list]
) -> None:
    """rows.parquet: what stands where, for people and for joining predictions to. ``by``: the columns that scores are
    told apart by; each stands there as ``by NAME``."""
    table = pa.table(
        {
            "line": where[0],
            "id": pa.array(where[1], pa.string()),
            "split": pa.array(SPLITS).take(pa.array(arrays["split"])),
            "label": pa.array(label, pa.string()),
            **({"target": arrays["target"]} if arrays["target"].ndim == 1 else {}),
            "group": arrays["group"],
            "key": arrays["key"],
            **{f"by {name}": pa.array(values, pa.string()) for name, values in by.items()},
        }
    )
    with new_file(folder / "rows.parquet") as file:
        pq.write_table(table, file)


def _link(file: Path, place: Path) -> None:
    """The same file under a second name: killed after this, the work folder is still whole."""
    place.unlink(missing_ok=True)
    try:
        os.link(file, place)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, place)


def _check_scored(spec: Spec, target: np.ndarray, split: np.ndarray, run: Run) -> None:
    for code, name in enumerate(SPLITS):
        if code == splits.TRAIN and not run.recipe.needs_training_labels:
            continue
        if not spec.known(target[split == code]).any():
            raise SuffuseError(
                f"the {name} split has no labelled row",
                where=f"column '{', '.join(run.recipe.data.targets)}'",
                got=f"{(split == code).sum()} rows",
            )

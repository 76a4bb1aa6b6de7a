"""prepare: raw rows -> clean columns on disk, with everything that was wrong written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import modalities, sources
from ..errors import SuffuseError
from ..files import write_array, write_bytes, write_json, write_text
from ..modalities.cell import Root
from ..parts import load as load_part
from ..progress import progress, say
from ..ragged import Picked, Ragged
from ..run import Run
from ..tables import labels, splits, targets
from ..tables.columns import Cleaned, clean
from ..tables.draft import Draft, drop_bad_ids, drop_bad_targets, drop_duplicates, drop_empty, drop_straddling
from ..tables.quarantine import Quarantine
from ..types import Head, Spec

SPLITS = tuple(splits.NAMES)


def prepare(run: Run) -> None:
    """Read, clean and split the rows of the recipe's source into ``data/``."""
    with progress("prepare") as tell:
        rows = sources.read(run.recipe.data.source)
        draft = read_draft(run, rows, tell)
        drop_bad_ids(draft)
        drop_bad_targets(draft)
        drop_empty(draft)
        drop_duplicates(draft)
        if not draft.keep.any():
            raise _nothing_left(draft, run)
        draft.split[draft.keep] = splits.make(
            draft.split[draft.keep],
            draft.group[draft.keep],
            _strata(draft),
            run.recipe.data.split,
            run.recipe.seed,
        )
        drop_straddling(draft)
        write(run, draft, tell)
        tell(1.0, f"{draft.keep.sum():,} rows")
    for line in draft.notes.lines():
        say(f"          {line}")


def read_draft(run: Run, rows: sources.Rows, tell: Callable[[float, str], None]) -> Draft:
    """All columns that the recipe names, decoded; nothing is left out yet."""
    data, table = run.recipe.data, rows.table
    for name, settings in run.recipe.modalities.items():
        sources.cells(rows, settings.column, f"modalities.{name}.column")
    found = [targets.read(n, data.task(n), sources.column(rows, n, "data.target")) for n in data.targets]
    ids: list[str | None] = (
        sources.texts(sources.column(rows, data.id, "data.id").to_pylist())
        if data.id
        else [str(line) for line in rows.line]
    )
    group = np.arange(table.num_rows, dtype=np.int64)
    if data.group:
        values = sources.texts(sources.column(rows, data.group, "data.group").to_pylist())
        _, group = np.unique([f"={v}" if v else f"#{n}" for n, v in enumerate(values)], return_inverse=True)
    split = np.zeros(table.num_rows, dtype=np.int8)
    if data.split.column:
        split = splits.given(sources.texts(sources.column(rows, data.split.column, "data.split.column").to_pylist()))
    cleaned = clean_all(run, rows, tell)
    notes = Quarantine()
    for line, reason in rows.broken:
        notes.note(line, None, "", "quarantined", reason)
    label = _as_text(found, table.num_rows)
    keep = np.ones(table.num_rows, dtype=bool)
    return Draft(ids, rows.line, label, group, split, cleaned, keep, notes, found)


def _as_text(found: list[targets.Cells], rows: int) -> list[str | None]:
    """All targets of each row as one text: what tells copies apart, and what people see."""
    if len(found) == 1:
        return [found[0].text(row) for row in range(rows)]
    parts = ([(c.name, c.text(row)) for c in found] for row in range(rows))
    return ["; ".join(f"{n}={t}" for n, t in one if t is not None) or None for one in parts]


def clean_all(run: Run, rows: sources.Rows, tell: Callable[[float, str], None]) -> dict[str, Cleaned]:
    """Decode every modality's column, telling how far it is."""
    data = run.recipe.data
    root = Root.of(Path(data.root) if data.root else rows.root, Path(data.within) if data.within else None)
    found: dict[str, Cleaned] = {}
    for number, (name, settings) in enumerate(run.recipe.modalities.items()):

        def share(part: float, number: int = number, name: str = name) -> None:
            tell(0.95 * (number + part) / len(run.recipe.modalities), f"reading {name}")

        work = run.partial("prepare") / ".work" / name
        cells = sources.cells(rows, settings.column, f"modalities.{name}.column")
        found[name] = clean(settings, cells, root, work, share)
    return found


def write(run: Run, draft: Draft, tell: Callable[[float, str], None]) -> None:
    """Fit on training rows, encode, write ``data/``."""
    folder, rows = run.partial("prepare") / "data", np.flatnonzero(draft.keep)
    split, label = draft.split[rows], [draft.label[r] for r in rows]
    where = ([draft.lines[r] for r in rows], [draft.ids[r] for r in rows])
    heads, target, prior = learnable(draft, rows, where)
    spec = Spec((), heads, prior)
    _check_scored(spec, target, split, run)
    folder.mkdir(parents=True, exist_ok=True)
    fields, statistics = write_entries(run, draft, rows[split == splits.TRAIN], folder)
    entry = draft.entries()[rows]
    contents = draft.contents()
    arrays = {
        "entry": np.maximum(entry, 0),
        "present": entry >= 0,
        "target": target,
        "split": split,
        "group": draft.group[rows],
        "key": labels.keys(where[1], [contents[r] for r in rows]),
    }
    for name, array in arrays.items():
        write_array(folder / f"{name}.npy", array)
    write_rows(folder, where, label, arrays)
    write_text(folder / "quarantine.csv", draft.notes.to_csv())
    known = spec.known(target)
    schema = {
        **spec.to_json(),
        "fields": fields,
        "classes": spec.classes,
        "rows": {name: int((split == code).sum()) for code, name in enumerate(SPLITS)},
        "labelled": {name: int(((split == code) & known).sum()) for code, name in enumerate(SPLITS)},
        "notes": draft.notes.counts(),
    }
    write_json(folder / "statistics.json", statistics)
    write_json(folder / "schema.json", schema)


def learnable(
    draft: Draft, rows: np.ndarray, where: tuple[list, list]
) -> tuple[tuple[Head, ...], np.ndarray, tuple[float, ...]]:
    """Heads, targets and prior of the rows that are kept; notes what is unlabelled or never seen."""
    split, heads, parts, prior = draft.split[rows], [], [], []
    for whole in draft.targets:
        cells = replace(whole, values=[whole.values[r] for r in rows])
        head = targets.head(cells, split)
        target = targets.encode(head, cells, split)
        targets.note(head, target, cells, where, draft.notes)
        heads.append(head)
        parts.append(target)
        prior.extend(targets.prior(head, target[split == splits.TRAIN]))
    return tuple(heads), targets.join(heads, parts), tuple(prior)


def write_entries(run: Run, draft: Draft, train: np.ndarray, folder: Path) -> tuple[list[dict], dict]:
    """Every modality's distinct items -> an array on disk; (fields, statistics)."""
    fields, statistics = [], {}
    for name, settings in run.recipe.modalities.items():
        part, column = load_part(modalities.TABLE, settings.kind), draft.columns[name]
        used = np.unique(column.entry[train])
        used = used[used >= 0]
        if not len(used):
            raise SuffuseError(
                "no training row has this modality", where=f"modalities.{name}", hint="see quarantine.csv"
            )
        statistics[name] = part.fit(settings, _take(column.items, used))
        field = {"name": name, "kind": settings.kind, "file": f"column-{name}.npy"}
        if isinstance(column.items, list):
            items = [x or "" for x in column.items]
            write_array(folder / field["file"], part.encode(settings, statistics[name], items))
        else:
            _link(run.partial("prepare") / ".work" / name / "items.npy", folder / field["file"])
        if isinstance(column.items, Ragged):
            field["bounds"] = f"column-{name}.bounds.npy"
            write_array(folder / field["bounds"], column.items.cut(statistics[name]["length"]).bounds())
        fields.append(field)
    return fields, statistics


def write_rows(folder: Path, where: tuple[list, list], label: list, arrays: dict[str, np.ndarray]) -> None:
    """rows.parquet: what stands where, for people and for joining predictions to."""
    table = pa.table(
        {
            "line": where[0],
            "id": where[1],
            "split": [SPLITS[s] for s in arrays["split"]],
            "label": pa.array(label, pa.string()),
            **({"target": arrays["target"]} if arrays["target"].ndim == 1 else {}),
            "group": arrays["group"],
            "key": arrays["key"],
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_bytes(folder / "rows.parquet", sink.getvalue().to_pybytes())


def _link(made: Path, place: Path) -> None:
    """The same file under a second name: killed after this, the work folder is still whole."""
    place.unlink(missing_ok=True)
    try:
        os.link(made, place)
    except OSError:  # a file system without hard links
        shutil.copyfile(made, place)


def _take(items: Any, slots: np.ndarray) -> Any:
    """Some of the items; those on disk are read when they are looked at."""
    if isinstance(items, list):
        return [items[s] for s in slots]
    return items.take(slots) if isinstance(items, Ragged) else Picked(items, slots)


def _strata(draft: Draft) -> np.ndarray:
    """(K,) of the kept rows, by the first target."""
    return draft.targets[0].strata()[draft.keep]


def _check_scored(spec: Spec, target: np.ndarray, split: np.ndarray, run: Run) -> None:
    for code, name in enumerate(SPLITS):
        if not spec.known(target[split == code]).any():
            raise SuffuseError(
                f"the {name} split has no labelled row",
                where=f"column '{', '.join(run.recipe.data.targets)}'",
                got=f"{(split == code).sum()} rows",
            )


def _nothing_left(draft: Draft, run: Run) -> SuffuseError:
    return SuffuseError(
        "no row can be used",
        where=run.recipe.data.source,
        got="; ".join(draft.notes.lines()),
        hint="is data.root the folder that the file paths start from?",
    )

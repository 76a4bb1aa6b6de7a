"""A table -> what its columns are, and a recipe with comments that runs as it is."""

from __future__ import annotations

import keyword
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import sources
from ..errors import UsageError
from ..modalities.cell import Root
from . import defaults, recipe_writer
from .column_roles import Plan, assign
from .column_types import Column, inspect

TRAIN = 0.765  # share of the rows that is left for training where splits are made
FEW_LABELS = 0.5  # of the training rows have a label: below it three teachers together, who cost little then

# names that a recipe or the prepared columns keep for themselves
RESERVED = {"fused", "present", "logits", "entry", "target", "split", "group", "key"}
# what torch's ModuleDict is asked for by name, as far as a column may be called so
RESERVED |= {
    "type",
    "keys",
    "values",
    "items",
    "update",
    "train",
    "training",
    "float",
    "double",
    "half",
    "to",
}


@dataclass(frozen=True)
class Proposal:
    """What was found in the table, column by column, and the recipe's text (YAML with comments)."""

    columns: list[Column]
    text: str


def propose(
    source: str, target: str, root: str | None = None, place: Path = Path(), within: str | None = None
) -> Proposal:
    """Look at a table and propose a recipe for predicting ``target``.

    ``source`` is a file, a saved dataset or the name of a known set; ``root`` the folder that file paths
    start from, the table's own where there is none; ``within`` the folder that no file may lie outside of, the
    root where there is none; ``place`` the folder in which the recipe will stand.
    Raises UsageError where there is nothing to predict or nothing to predict it from.
    """
    rows = sources.read(source, "rows")
    sources.column(rows, target, "--target")
    for key, folder in (("--root", root), ("--within", within)):
        if folder is not None and not Path(folder).is_dir():
            raise UsageError("no such folder", where=key, got=folder)
    folder = rows.root if root is None else Path(root)
    plan = assign(inspect(rows, Root.of(folder, None if within is None else Path(within))), target)
    _check_usable(plan, folder)
    draft = replace(
        _draft(plan, source, place, rows.table.num_rows),
        root=None if root is None else _relative(root, place),
        within=None if within is None else _relative(within, place),
    )
    return Proposal(plan.columns, recipe_writer.write(plan, draft))


def names(columns: Iterable[str]) -> list[str]:
    """A plain, unique name for each column: ``Question text`` -> ``question_text``."""
    found: list[str] = []
    for column in columns:
        plain = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", column)).strip("_").lower() or "column"
        plain = f"column_{plain}" if plain[0].isdigit() or plain in RESERVED or keyword.iskeyword(plain) else plain
        number, name = 2, plain
        while name in found:
            number, name = number + 1, f"{plain}_{number}"
        found.append(name)
    return found


def _draft(plan: Plan, source: str, place: Path, rows: int) -> recipe_writer.Draft:
    """All that the recipe says about data and sizes."""
    used, table = plan.used(), plan.table()
    found = names([*(c.name for c in used), *["facts"][: len(table)]])
    modalities = dict(zip(found, map(_modality, used), strict=False))
    share = {c.name: min(c.distinct / rows, 1.0) if c.distinct else 1.0 for c in used}
    cost = sum(share[m["column"]] * _cost(m) for m in modalities.values())  # what repeats is encoded once
    if table:
        types = {c.name: c.role for c in table}
        modalities[found[-1]] = {"kind": "tabular", "column": list(types), "types": types}
        cost += 0.01
    train = plan.counts.get("train") or round(TRAIN * rows)
    labelled = max(plan.labelled if plan.split else round(TRAIN * plan.labelled), 1)
    known = source in sources.TABLE and not Path(source).exists()
    return recipe_writer.Draft(
        source=source if known else _relative(source, place),
        rows=rows,
        modalities=modalities,
        batch=defaults.batch_size(train),
        epochs=defaults.epochs(train, cost),
        taught=recipe_writer.Taught(
            defaults.batch_size(labelled), defaults.epochs(labelled, cost), 3 if labelled < FEW_LABELS * train else 1
        ),
    )


def _modality(column: Column) -> dict:
    if column.role == "image":
        return {"kind": "image", "column": column.name, "size": defaults.picture_size(column.side), **column.facts}
    if column.role in ("audio", "sequence"):
        return {"kind": column.role, "column": column.name, **column.facts}
    return {"kind": "text", "column": column.name, **defaults.text_settings(column.cells)}


def _cost(modality: dict) -> float:
    if modality["kind"] == "image":
        return modality.get("most", 1) * defaults.picture_cost(modality["size"])
    if modality["kind"] == "audio":
        return defaults.text_cost(100 * modality["seconds"])  # as many frames as a text has tokens
    return defaults.text_cost(modality["length"])


def _relative(path: str, place: Path) -> str:
    """A path from where the recipe will stand."""
    return Path(os.path.relpath(Path(path).resolve(), place.resolve())).as_posix()


def _check_usable(plan: Plan, folder: Path) -> None:
    lost = [c for c in plan.columns if c.role == "missing"]
    if lost and not any(c.role in ("image", "audio", "sequence") for c in plan.columns):
        raise UsageError(
            f"the {lost[0].facts['what']} of column '{lost[0].name}' aren't there",
            where=f"below the folder {folder}",
            got=f"'{lost[0].examples[0]}' and the like",
            hint="--within FOLDER says which folder may be read, a larger one than the root"
            if "outside" in lost[0].facts
            else "--root FOLDER says which folder the paths start from",
        )
    if not plan.used() and not plan.table():
        found = "; ".join(f"{c.name}: {c.role}" for c in plan.columns if c.name != plan.target)
        raise UsageError(
            "no column can be used",
            got=found or "no column besides the target",
            expected="a column of pictures, texts, recordings, sequences, numbers, categories or dates",
        )

"""Roles of columns: the target, splits, ids, groups, and columns that give the label away."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from ..recipe.data_settings import Data
from ..types import NUMBER
from . import label_leakage, splits
from .column_types import FEW, READ, Column, is_number, percent, raw_cells
from .target_type import TargetType, target_type

ID_NAMES = ("id", "uid", "uuid", "guid", "key", "index")
# names of things that several rows may share, and what may stand beside them in a column's name
PEOPLE = {"patient", "user", "speaker", "subject", "author", "customer", "person", "participant", "client"}
PEOPLE |= {"reviewer", "worker", "family", "household"}
PICTURES = {"picture", "image", "photo"}
MAX_LEFT_OUT = Data.model_fields["max_quarantined"].default  # share of the training rows; with more, no run starts
GROUPS = {"group", "session", "visit", "scene", "video", "document", "recording"} | PEOPLE | PICTURES
GROUP_SUFFIXES = {"id", "uid", "uuid", "number", "num", "no", "nr", "name", "key", "code", "index", "hash"}
TABULAR = ("number", "category", "date")
FULL = 0.9  # of the rows a split column must fill
DENSE, LONG = 2, 10**8  # numbers to a row at the most, and the least of long ones, of columns that number rows
SPLITS_ARE_MADE = "Splits are made, the same ones for the same seed."


@dataclass(frozen=True)
class Plan:
    """The columns with their final roles, and the contents of the recipe's ``data`` section.

    ``notes`` holds, for target, id, group and split, lines with the reasons.
    """

    columns: list[Column]
    target: str
    target_type: TargetType
    id: str | None
    group: str | None
    split: str | None
    counts: dict[str, int]  # rows of each given split
    labelled: int  # training rows that have a label; of all rows where no split is given
    notes: dict[str, list[str]]

    def used(self) -> list[Column]:
        """What the models read."""
        return [c for c in self.columns if c.role in READ]

    def table(self) -> list[Column]:
        """Numbers, categories and dates that are read together, as one modality."""
        return [c for c in self.columns if c.role in TABULAR and not left_out(c)]


def left_out(column: Column) -> str:
    """Why a number, category or date isn't read; nothing where it is."""
    if column.forced:
        return ""
    if column.leaks:
        return "left out"  # its reason says why
    if _id_rank(column.name) <= len(ID_NAMES) or _is_group(column.name):
        return "left out: named like an id or a group"
    filled = [v for v in column.cells if v is not None]
    is_full = column.role == "number" and len(filled) == len(column.cells) == column.distinct
    if is_full and _counts_up(filled):
        return "left out: another whole number in every row, as ids are"
    return ""


def _counts_up(cells: list[str]) -> bool:
    """Whether different whole numbers are numbers of rows: they rise or fall from row to row, or few are left out
    between the least and the largest, or they have many digits. Incomes and prices do none of these."""
    if not all(is_number(v) and float(v) % 1 == 0 for v in cells):
        return False
    values = np.array([float(v) for v in cells])
    steps = np.diff(values)
    is_dense = values.max() - values.min() < DENSE * len(values)
    return bool((steps > 0).all() or (steps < 0).all() or is_dense or np.abs(values).min() >= LONG)


def unused(plan: Plan) -> list[tuple[str, str]]:
    """(column, why) of those that no model reads and that have no other use, without those that the user left out."""
    used = [*plan.used(), *plan.table()]
    others = [c for c in plan.columns if c not in used and c.role not in ("target", "id", "group", "split", "ignored")]
    return [(c.name, f"{c.reason}; {left_out(c)}" if c.role in TABULAR else c.reason) for c in others]


def assign(columns: list[Column], target: str) -> Plan:
    """Roles for all columns. Raises UsageError where the target can't be predicted."""
    label = next(c for c in columns if c.name == target)
    inferred = target_type(label, has_recording=any(c.role == "audio" for c in columns))
    if inferred.kind != NUMBER:  # its classes are named as the table names them
        label = replace(label, cells=raw_cells(label))
    label = replace(label, role="target", reason=inferred.reason)
    columns = [label if c.name == target else c for c in columns]
    split, codes, split_notes = _split(columns, label)
    columns = _assign_role(columns, split, "split", "says which split a row is in")
    id_ = _id(columns)
    columns = _assign_role(columns, id_, "id", "another value in every row")
    group, group_notes = _group(columns, codes)
    columns = [_as_group(c) if c.name == group else c for c in columns]
    columns = label_leakage.mark_leaks(columns, target, inferred.kind == NUMBER)
    counts = {name: int((codes == code).sum()) for code, name in enumerate(splits.NAMES)} if split else {}
    known = np.array([v is not None for v in label.cells])
    labelled = int(known[codes == splits.TRAIN].sum())  # without a split column all rows are training rows as yet
    notes = {"target": [inferred.reason], "split": split_notes, "group": group_notes}
    return Plan(columns, target, inferred, id_, group, split, counts, labelled, notes)


def _assign_role(columns: list[Column], name: str | None, role: str, reason: str) -> list[Column]:
    return [replace(c, role=role, reason=reason) if c.name == name else c for c in columns]


def _as_group(column: Column) -> Column:
    """A column of pictures or recordings is read all the same."""
    if column.role in READ:
        return replace(column, reason=f"{column.reason}; rows that share one belong together")
    return replace(column, role="group", reason="rows with the same value belong together")


def _split(columns: list[Column], label: Column) -> tuple[str | None, np.ndarray, list[str]]:
    """(the split column, each row's code, notes); without one, all rows are training rows."""
    all_training = np.zeros(len(label.cells), dtype=np.int8)
    usable = [c for c in columns if c.role in ("category", "other", "text") and c.coverage >= FULL and not c.forced]
    candidates = [c for c in usable if {v.lower() for v in c.cells if v is not None} <= set(splits.CODE)]
    for column in sorted(candidates, key=lambda c: "split" not in c.name.lower()):
        codes = splits.parse_splits(column.cells)
        if splits.TRAIN not in codes or len(set(codes.tolist()) - {splits.UNKNOWN}) < 2:
            continue
        unlabelled = _unlabelled(codes, label)
        if unlabelled:
            return (
                None,
                all_training,
                [f"'{column.name}' isn't used: its {unlabelled[0]} rows have no labels.", SPLITS_ARE_MADE],
            )
        return column.name, codes, _split_notes(codes)
    return None, all_training, [f"No column says which split a row is in. {SPLITS_ARE_MADE}"]


def _unlabelled(codes: np.ndarray, label: Column) -> list[str]:
    """Names of given splits in which no row has a label."""
    known = np.array([v is not None for v in label.cells])
    names = list(splits.NAMES)
    return [names[code] for code in np.unique(codes[codes >= 0]) if not known[codes == code].any()]


def _split_notes(codes: np.ndarray) -> list[str]:
    notes = []
    if splits.VALIDATION not in codes:
        notes.append("The column gives no validation split: it is taken from the training rows.")
    if splits.TEST not in codes:
        notes.append("The column gives no test split: it is taken from the training rows.")
    unknown = int((codes == splits.UNKNOWN).sum())
    if unknown:
        notes.append(f"{unknown:,} rows say nothing about their split: they are left out.")
    return notes


def _id(columns: list[Column]) -> str | None:
    """A column that has another value in every row, and is named like an id or stands first."""
    usable = [
        c
        for place, c in enumerate(columns)
        if c.role in ("number", "other")
        and c.name
        and not c.forced
        and c.distinct == len(c.cells)
        and (place == 0 or _id_rank(c.name) <= len(ID_NAMES))
        and not any(is_number(v) and float(v) % 1 for v in c.cells if v)
    ]
    return min(usable, key=lambda c: _id_rank(c.name)).name if usable else None


def _id_rank(name: str) -> int:
    """How well a column is named for an id; less is better."""
    if name.lower() in ID_NAMES:
        return ID_NAMES.index(name.lower())
    return len(ID_NAMES) if _parts(name)[-1:] == ["id"] else len(ID_NAMES) + 1


def _group(columns: list[Column], codes: np.ndarray) -> tuple[str | None, list[str]]:
    """(the column that says which rows belong together, notes)."""
    notes = []
    for column in _group_candidates(columns):
        if column.distinct < FEW:
            reason = f"{column.distinct} different values, too few to make splits of"
            notes.append(f"'{column.name}' isn't used: {reason}")
            continue
        share = _straddling(column, codes)
        if share > MAX_LEFT_OUT:
            notes.append(
                f"'{column.name}' isn't used: for {percent(share)} of the training rows its value stands in "
                "validation or test too, and the given split would lose them"
            )
            continue
        if share:
            lost = f"{percent(share)} of the training rows are left out"
            notes.append(f"{lost}: their value stands in validation or test too")
        return column.name, notes
    return None, notes


def _group_candidates(columns: list[Column]) -> list[Column]:
    """Columns named like a group, then columns of pictures or recordings that repeat."""
    repeat = [c for c in columns if c.cells and 1 < c.distinct < sum(v is not None for v in c.cells)]
    named = [c for c in repeat if c.role in ("number", "category", "other") and not c.forced]
    by_name = [c for c in named if _is_group(c.name)]
    return by_name + [c for c in repeat if c.role in ("image", "audio")]


def _is_group(name: str) -> bool:
    """``speaker``, ``user_id``, ``pictureNumber``; not ``age_group`` or ``user_rating``."""
    parts = set(_parts(name))
    group_words = parts & GROUPS
    return (
        bool(group_words)
        and parts <= group_words | GROUP_SUFFIXES
        and (not group_words <= PICTURES or bool(parts & GROUP_SUFFIXES))
    )


def _parts(name: str) -> list[str]:
    """The words of a column's name."""
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())


def _straddling(column: Column, codes: np.ndarray) -> float:
    """Share of the training rows whose value stands in another split too."""
    values = np.array([v or "" for v in column.cells], dtype=object)
    held_out = set(values[codes > splits.TRAIN]) - {""}
    train = values[codes == splits.TRAIN]
    return float(np.mean([v in held_out for v in train]))

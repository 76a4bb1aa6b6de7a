"""Leaks between splits: ids, groups, rows and contents of one modality that are in two of them.

A copy of a held-out row in the training rows makes a score measure memory. Certain leaks are left out of training
(:func:`suffuse.prepare.duplicates.drop_duplicates`, :func:`suffuse.prepare.row_state.drop_straddling`) and reported as
warnings. Uncertain ones stay and are counted: rows of equal contents and another label, or none, and large contents of
one modality (the same picture) that rows of two splits share without a common group. Contents are equal only where no
modality is absent: a missing clip beside an equal transcript is no copy. Scores are reported with and without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ..modalities.ragged import Ragged
from . import row_keys, splits
from .row_state import Draft

NAMES = tuple(splits.NAMES)
LARGE = 500  # bytes: contents of that size don't repeat by chance
PAIRS = ((splits.TEST, splits.TRAIN), (splits.VALIDATION, splits.TRAIN), (splits.TEST, splits.VALIDATION))
Across = dict[tuple[str, str], int]
FillIn = Callable[..., str]
SAYS = {
    "copies": "in two splits: %(rows)s %(held)s rows stand in %(other)s too, with the same contents and label: of each "
    "the held-out copy alone is kept",
    "groups": "in two splits: %(rows)s %(held)s rows belong to groups that stand in %(other)s too: the %(other)s rows "
    "of these groups were left out",
    "ids": "in two splits: %(rows)s %(held)s rows have an id that stands in %(other)s too: the first row of each id is "
    "kept",
}
COPIES = (
    "in two splits: %(rows)s %(held)s rows stand in %(other)s too, with the same contents and label: they stay, as "
    "data.duplicates says"
)
SAME = (
    "in two splits: %(rows)s %(held)s rows have contents that stand in %(other)s rows too, with another label or none: "
    "they stay"
)
ONE_MODALITY = (
    "in two splits: %(rows)s %(held)s rows have a content of %(name)s that stands in %(other)s rows too: they stay"
)


def across(code: np.ndarray, split: np.ndarray) -> Across:
    """code (N,) of what must not stand in two splits, -1 where there is nothing; split (N,) -> (held-out split, other
    split) -> rows of the held-out one whose code stands in the other."""
    counts = {}
    for held, second in PAIRS:
        rows = (split == held) & (code >= 0)
        count = int(np.isin(code[rows], code[(split == second) & (code >= 0)]).sum())
        if count:
            counts[NAMES[held], NAMES[second]] = count
    return counts


def content_codes(draft: Draft, label: bool, complete: bool = True) -> np.ndarray:
    """(N,) int64: equal where rows have the same contents in all modalities (and the same label). -1 where a modality
    is absent; with ``complete`` False, where all are. Contents and labels of a draft don't change: computed once."""
    if (label, complete) in draft.equal:
        return draft.equal[label, complete]
    entries = draft.entries()
    parts = [*entries.T]
    if label:
        parts.append(row_keys.codes(draft.label))
    code = np.zeros(len(entries), dtype=np.int64)
    for column in parts:  # one code for the columns so far
        code = np.unique(code * (int(column.max(initial=0)) + 2) + column + 1, return_inverse=True)[1].reshape(-1)
    present = entries.min(1) if complete else entries.max(1)
    return draft.equal.setdefault((label, complete), np.where(present < 0, -1, code))


def table_split_leaks(draft: Draft, copies: bool = True) -> dict[str, Across]:
    """Leaks of the table's own split, before rows are left out: ``copies`` (where they will be left out),
    ``groups``, ``ids``."""
    leaks = {
        "copies": across(content_codes(draft, True), draft.split) if copies else {},
        "groups": across(draft.group, draft.split),
        "ids": across(row_keys.codes(draft.ids), draft.split),
    }
    return {name: pairs for name, pairs in leaks.items() if pairs}


def copies_across(draft: Draft) -> Across:
    """Copies with the same label among the kept rows of two splits."""
    return across(content_codes(draft, True), _kept_split(draft))


def kept_leaks(draft: Draft) -> dict[str, Across]:
    """Leaks among the kept rows besides :func:`copies_across`: ``contents`` of all modalities, and by name a modality's
    contents where they are large."""
    split, copies = _kept_split(draft), copies_across(draft)
    equal = across(content_codes(draft, False), split)
    leaks = {"contents": {pair: remaining for pair, n in equal.items() if (remaining := n - copies.get(pair, 0))}}
    if len(draft.columns) > 1:
        leaks |= {
            name: across(column.entry, split) for name, column in draft.columns.items() if size(column.items) >= LARGE
        }
    return {name: pairs for name, pairs in leaks.items() if pairs}


def _kept_split(draft: Draft) -> np.ndarray:
    return np.where(draft.keep, draft.split, splits.UNKNOWN)


def size(items: Any) -> float:
    """Mean bytes of an item."""
    if isinstance(items, Ragged):
        return float(items.flat.nbytes / max(len(items), 1))
    count = max(len(items), 1)
    return float(items.nbytes / count) if isinstance(items, (np.ndarray, pa.ChunkedArray)) else 0.0


def to_json(draft: Draft, table_leaks: Mapping[str, Across]) -> dict[str, Any]:
    """Plain values: ``left_out`` (of ``table_leaks``, see :func:`table_split_leaks`), ``copies`` and ``kept``, each a
    list of held-out split, other split, rows; the first and the last by name."""

    def plain(pairs: Across) -> list[dict[str, Any]]:
        return [{"held": held, "other": second, "rows": count} for (held, second), count in pairs.items()]

    return {
        "left_out": {name: plain(pairs) for name, pairs in table_leaks.items()},
        "copies": plain(copies_across(draft)),
        "kept": {name: plain(pairs) for name, pairs in kept_leaks(draft).items()},
    }


def fill_in(text: str, **values: object) -> str:
    """An English sentence with its placeholders filled."""
    return text % values


def warning_lines(facts: Mapping[str, Any], say: FillIn = fill_in) -> list[str]:
    """A sentence for each leak in ``leaks.json``. ``say`` fills a sentence's placeholders, and may translate it."""
    sentences = [(SAYS[name], "", fact) for name in SAYS for fact in facts.get("left_out", {}).get(name, ())]
    sentences += [(COPIES, "", fact) for fact in facts.get("copies", ())]
    for name, facts_of_name in facts.get("kept", {}).items():
        sentences += [(SAME if name == "contents" else ONE_MODALITY, name, fact) for fact in facts_of_name]
    return [
        say(text, **{"rows": f"{fact['rows']:,}", "held": fact["held"], "other": fact["other"], "name": name})
        for text, name, fact in sentences
    ]

"""Blocks: how the teacher saw the rows of one stretch of a store, which modalities and which view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ..errors import UsageError
from ..recipe import Extract

MOST_MODALITIES = 6  # for `all`: 63 subsets


@dataclass(frozen=True)
class Block:
    """One subset under one view."""

    subset: tuple[str, ...]  # what the teacher was shown, in its own order
    view: int | None = None  # None: rows as prepared

    @property
    def name(self) -> str:
        """``picture+question, view 3``."""
        return f"{'+'.join(self.subset) or 'full'}, {'as prepared' if self.view is None else f'view {self.view}'}"

    def to_json(self) -> dict:
        """As it stands in the manifest."""
        return {"subset": list(self.subset), "view": self.view}


def subsets(wanted: str | Sequence[Sequence[str]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """The recipe's wish and the teacher's modalities (M) -> subsets in the teacher's order, the full one first.

    Raises UsageError where the teacher doesn't read what is named, or can't be shown less.
    """
    full = tuple(names)
    if wanted == "full" or (wanted in ("each", "all") and len(names) == 1):
        return [full]
    if not names:
        raise UsageError(
            "this teacher has no modalities that could be hidden", where="extract.subsets", got=wanted, expected="full"
        )
    if wanted == "all" and len(names) > MOST_MODALITIES:
        raise UsageError(
            "too many subsets", where="extract.subsets", got=f"all of {len(names)} modalities",
            expected=f"{MOST_MODALITIES} modalities at most", hint="each, or a list of those that matter",
        )  # fmt: skip
    if wanted == "each":
        found = [(name,) for name in names]
    elif wanted == "all":
        found = [s for count in range(len(names) - 1, 0, -1) for s in combinations(names, count)]
    else:
        for name in (n for s in wanted for n in s):
            if name not in names:
                raise UsageError(
                    "the teacher doesn't read this modality", where="extract.subsets", got=name,
                    expected=" or ".join(names),
                )  # fmt: skip
        found = [tuple(n for n in names if n in s) for s in wanted]
    return list(dict.fromkeys([full, *found]))


def blocks(settings: Extract, names: Sequence[str]) -> list[Block]:
    """All blocks of a store: of each subset the rows as prepared, then each view."""
    views = [None, *range(settings.views)]
    return [Block(subset, view) for subset in subsets(settings.subsets, names) for view in views]

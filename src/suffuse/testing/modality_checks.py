"""What every modality keeps to, as checks of one: cells in, the model's arrays out, the same way every time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import modalities
from ..modalities.cell import Absent, Unreadable
from ..registry import ModalitySettings, settings


class Built:
    """A modality, fitted on its values."""

    def __init__(self, asked: dict, fitted_on: int = 5):
        self.part = modalities.load_modality(asked["kind"])
        chosen = settings(modalities.TABLE, asked)
        assert isinstance(chosen, ModalitySettings)
        self.settings = chosen
        self.values = self.part.examples(chosen)
        self.items = [self.load(v) for v in self.values]
        self.statistics = self.part.fit(self.settings, self.stack(self.items[:fitted_on]))

    def load(self, value: object) -> Any:
        """The item of a cell."""
        return self.part.load(self.settings, value, Path())[1]

    def stack(self, items: list[Any]) -> Any:
        """Items as ``fit`` gets them."""
        return np.stack(items) if isinstance(items[0], np.ndarray) and items[0].ndim != 2 else items

    def encode(self, items: list[Any]) -> np.ndarray:
        """(U, ...) with the statistics of the values."""
        return self.part.encode(self.settings, self.statistics, items)


def check_digests(make: Make) -> None:
    """Equal contents have equal digests, others others; a digest is hexadecimal."""
    one = make(5)
    digests = [one.part.load(one.settings, v, Path())[0] for v in one.values]
    assert digests == [one.part.load(one.settings, v, Path())[0] for v in one.values], "a digest changes"
    assert len(set(digests)) == len(digests), "different cells have the same digest"
    assert all(len(bytes.fromhex(digest)) == 16 for digest in digests), "a digest has 16 bytes, in hexadecimal"


def check_company(make: Make) -> None:
    """An item is encoded alone as in company, padding aside."""
    one = make(5)
    whole = one.encode(one.items)
    assert len(whole) == len(one.items), f"{len(whole)} entries of {len(one.items)} items"
    for row, item in enumerate(one.items):
        alone = one.encode([item])[0]
        wide = alone.shape[0]
        assert (whole[row][:wide] == alone).all(), f"item {row} is encoded differently in company"
        assert (whole[row][wide:] == 0).all(), f"the padding of item {row} isn't 0"


def check_differences(make: Make) -> None:
    """Different items are encoded differently."""
    one = make(5)
    assert len(np.unique(one.encode(one.items), axis=0)) == len(one.items), "different items have equal entries"


def check_absent_slot(make: Make) -> None:
    """The blank item can be encoded; items have the shape and dtype that ``stored`` states."""
    one = make(5)
    blank = one.part.blank(one.settings)
    assert one.encode([blank, *one.items]).shape[0] == len(one.items) + 1
    fixed = one.part.stored(one.settings)
    if fixed is not None:
        shape, dtype = fixed
        for item in (blank, *one.items):
            assert str(item.dtype) == dtype, f"an item is {item.dtype}, stored says {dtype}"
            assert item.ndim == len(shape) and all(w in (g, None) for w, g in zip(shape, item.shape, strict=True))


def check_statistics(make: Make) -> None:
    """Statistics come from the items that are given, go through JSON, and are read by ``Statistics``."""
    few, every = make(2), make(5)
    alone = few.part.fit(few.settings, few.stack(few.items[:2]))
    assert few.statistics == alone, "what other items there are changes the statistics"
    assert few.statistics != every.statistics, "other items give the same statistics"
    assert json.loads(json.dumps(every.statistics)) == every.statistics, "statistics aren't JSON"
    every.part.Statistics.model_validate(every.statistics)


def check_unusable_cells(make: Make) -> None:
    """An empty cell raises Absent, a broken one Unreadable."""
    one = make(5)
    for cell, kind in (*((empty, Absent) for empty in (None, float("nan"), "", "  \n\t ")), (BROKEN, Unreadable)):
        try:
            one.load(cell)
        except kind:
            continue
        raise AssertionError(f"the cell {cell!r} doesn't raise {kind.__name__}")


BROKEN = b"\xff\xfe\x00broken"
Make = Callable[[int], Built]  # how many of its example cells it is fitted on -> the modality
CHECKS: tuple[Callable[[Make], None], ...] = (
    check_digests, check_company, check_differences, check_absent_slot, check_statistics, check_unusable_cells,
)  # fmt: skip

"""Modalities: how a cell of the table becomes an array. No torch: the predictor runs the same code.

A modality is one module that follows :class:`ModalityPart`. Items that are strings come as a list or as an Arrow
column; :func:`cell.pieces` reads both. Where ``settings.column`` names several columns, a cell is a dictionary,
column -> value. Files are read by ``cell.content`` alone, which keeps to the data root and to a limit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..registry import KindTable, ModalitySettings, PartDocs, Statistics, default, load_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from .cell import Root

TABLE = KindTable(
    "modalities",
    ModalitySettings,
    {
        "audio": "suffuse.modalities.audio",
        "image": "suffuse.modalities.image",
        "sequence": "suffuse.modalities.sequence",
        "tabular": "suffuse.modalities.tabular",
        "text": "suffuse.modalities.text",
    },
)

Facts = dict[str, Any]  # the statistics of a modality, as JSON holds them


class ModalityPart(Protocol):
    """The interface of a modality's module. U items or entries."""

    Settings: type[ModalitySettings]
    DOCS: PartDocs
    EXAMPLES: tuple[dict[str, Any], ...]  # small settings that together show every form of it; no column: c
    AUGMENTED: dict[str, Any] | None = None  # ``augment`` that changes every entry; none: entries are no signals
    Statistics: type[Statistics]  # the types of its statistics: how a reader checks an export that comes from anywhere
    LAYOUT: str  # type, axes and meaning of the model's input, in words, with names of statistics in braces
    EVERY_ROW: bool = False  # ``fit`` gets an item for each training row, else each distinct item once
    DRAWS: int = 0  # random numbers for one augmented entry; 0: it can't be augmented

    def load(self, settings: ModalitySettings, value: Any, root: Path | Root) -> tuple[str, Any] | tuple[str, Any, str]:
        """A cell -> the hash of its content, and the cleaned item (a picture's array, a normalised string); equal
        contents are one entry. A third result says what was left out of an item that is used ("cut: ..."); nothing is
        left out in silence. Raises ``Absent`` where there is nothing and ``Unreadable`` where there is something that
        can't be read."""
        ...

    def stored(self, settings: ModalitySettings) -> tuple[tuple[int | None, ...], str] | None:
        """Shape and dtype of one item, where they are fixed before training data is seen; a first length of None stands
        for items of any length, (L, F). Such items are stored as entries, which ``encode`` only pads or cuts. None:
        items are strings."""
        ...

    def blank(self, settings: ModalitySettings) -> Any:
        """The item that fills an absent slot."""
        ...

    def fit(self, settings: ModalitySettings, items: Any) -> Facts:
        """Statistics of the training items, as JSON."""
        ...

    def encode(self, settings: ModalitySettings, statistics: Facts, items: Any) -> np.ndarray:
        """The model's input (U, ...), one row per item; of items (L, F) it is (U, longest, F + 1) float32, in which the
        last number says which steps are real."""
        ...

    def corrupt(
        self, settings: ModalitySettings, statistics: Facts, entries: np.ndarray, severity: int, seed: int
    ) -> np.ndarray:
        """Damage of severity 1 to 5 to encoded entries (U, ...), the same for the same seed."""
        ...

    def explain(self, settings: ModalitySettings, statistics: Facts) -> list[str]:
        """What is done to a cell, in sentences."""
        ...

    def axes(self, statistics: Facts) -> tuple[int | None, ...]:
        """Axes of an entry; a first one of None has any length."""
        ...

    def examples(self, settings: ModalitySettings) -> list[Any]:
        """Five different cells for these settings, one of ``EXAMPLES``."""
        ...

    @default
    def traced(self, statistics: Facts) -> np.ndarray:
        """Three entries (3, ...) with which a network is traced for its export."""
        import numpy as np

        return np.zeros((3, *(size or 1 for size in self.axes(statistics))), dtype=np.float32)

    @default
    def layout(self, statistics: Facts) -> str:
        """``LAYOUT`` for these statistics."""
        return self.LAYOUT.format(**statistics)

    @default
    def ready(self, settings: ModalitySettings, fitted: bool) -> None:
        """Raise UsageError where a library or a file isn't there; called before anything is read. ``fitted``: there are
        statistics already."""

    @default
    def packed(self, settings: ModalitySettings, value: Any) -> Any:
        """Python objects, arrays and the like as bytes, without loss, that ``load`` reads to the same item; what a
        table can hold stays as it is."""
        return value

    @default
    def problems(self, settings: ModalitySettings, statistics: Facts, items: Any) -> list[tuple[int, str, str]]:
        """(position, column, reason) of each part of an item that counts as missing by the statistics alone."""
        return []

    @default
    def synthesise(
        self, settings: ModalitySettings, items: list[str], copies: int, random: np.random.Generator
    ) -> Iterator[list[str]]:
        """``copies`` times a variation of each item, plausible and without a label of its own: synthetic rows are made
        of them (:mod:`suffuse.prepare.synthetic_rows`). Only of items that are strings. Without it items stay as they
        are."""
        return iter([items] * copies)

    @default
    def as_cells(self, settings: ModalitySettings, item: str) -> dict[str, str]:
        """Column -> cell, which ``load`` reads to this item; none where items stay as they are."""
        return {}

    @default
    def unknown(self, settings: ModalitySettings, statistics: Facts, items: Any) -> list[tuple[int, str, str]]:
        """(position, column, value) of each category of an item that the statistics don't know."""
        return []

    @default
    def augment(self, settings: ModalitySettings, entries: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """A training view of each entry (U, ...): a pure function of the entries and of numbers in [0, 1) (U, DRAWS),
        so that a view is replayed exactly from its seed."""
        return entries


def load_modality(kind: str) -> ModalityPart:
    """The modality of this kind. Raises UsageError where there is none."""
    return load_part(TABLE, kind, ModalityPart)

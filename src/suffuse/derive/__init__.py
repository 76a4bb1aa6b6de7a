"""Derived columns: a column that is made from another one, when rows are prepared and when a student predicts.

A derivation is one module that follows :class:`DerivationPart`. No torch: the predictor runs the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..registry import DeriveSettings, Statistics, default, load_part

if TYPE_CHECKING:
    from ..modalities.cell import Root

TABLE = {
    "mask_words": "suffuse.derive.mask_words",
    "transcribe": "suffuse.derive.transcribe",
}


class DerivationPart(Protocol):
    """The interface of a derivation's module."""

    Settings: type[DeriveSettings]
    Facts: type[Statistics]  # the types of its facts: how a reader checks an export that comes from anywhere
    LIBRARY: str = ""  # the package whose version decides the result

    def ready(self, settings: DeriveSettings) -> None:
        """Raise UsageError where a library that it needs isn't installed."""
        ...

    def fit(self, settings: DeriveSettings, labels: Sequence[str]) -> dict[str, Any]:
        """What it must know besides its settings, as JSON; it goes with an exported student. ``labels`` are those of
        the rows that may be training rows."""
        ...

    def make(self, settings: DeriveSettings, facts: dict[str, Any], value: Any, root: Path | Root) -> str:
        """One source cell -> one derived cell, which depends on this cell alone. Raises ``Absent`` where there is
        nothing to derive from and ``Unreadable`` where it can't be."""
        ...

    @default
    def content(self, settings: DeriveSettings, value: Any, root: Path | Root) -> bytes:
        """Of a slow derivation, which has its own: what a result depends on, so that it is kept and never made twice.
        Raises as ``make`` does."""
        return b""


def load_derivation(kind: str) -> DerivationPart:
    """The derivation of this kind. Raises UsageError where there is none."""
    return load_part(TABLE, kind, DerivationPart)

"""What a record may hold: the columns that a model reads, and what may stand in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..predictor import Predictor

MEDIA = ("image", "audio")  # come as bytes, never as a path


@dataclass(frozen=True)
class Column:
    """One key of a record."""

    name: str
    type: str  # image, audio, text, number, category or series
    most: int = 1  # pictures that stand in one cell


def columns(predictor: Predictor) -> Mapping[str, Column]:
    """By name. A column that is derived where it lacks brings what it is derived from; a modality's name stands for
    its only column."""
    found: dict[str, Column] = {}
    for one in predictor.describe()["inputs"]:
        for column in one["columns"]:
            found[column["name"]] = Column(column["name"], column["type"], column.get("most", 1))
    for derivation in predictor.derived.values():
        heard = derivation.settings.kind == "transcribe"
        source = derivation.settings.column
        found.setdefault(source, Column(source, "audio" if heard else "text"))
    for one in predictor.inputs:
        if isinstance(one.settings.column, str) and one.field.kind != "tabular":
            column = found[one.settings.column]
            found.setdefault(one.field.name, column)
    return found

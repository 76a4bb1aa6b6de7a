"""The example rows of an export, ``examples.json``, checked: rows to try the model on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..export_integrity import problem

FILE = "examples.json"
MAX_ROWS = 20
MAX_TEXT = 4_000_000  # characters of a cell
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Step = list[Number]


class ExampleFile(BaseModel):
    """A picture or recording."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    base64: Text


Cell = bool | int | Number | Text | ExampleFile | list[ExampleFile] | list[Number] | list[Step]


class Example(BaseModel):
    """One row: what a server takes as a record, and what the table has as its targets."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    record: Annotated[dict[str, Cell], Field(min_length=1)]
    targets: dict[str, bool | int | Number | Text | list[Text]]


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    rows: Annotated[list[Example], Field(max_length=MAX_ROWS)]


def parse(content: bytes, known: Collection[str]) -> tuple[Example, ...]:
    """The file's rows. Raises ValueError where it holds something else, or a column that isn't ``known``."""
    try:
        rows = _Document.model_validate_json(content).rows
    except ValidationError as error:
        raise ValueError(problem(error)) from None
    for number, row in enumerate(rows, 1):
        if unknown := next((name for name in row.record if name not in known), None):
            raise ValueError(f"row {number}: the model has no column '{unknown}'")
    return tuple(rows)

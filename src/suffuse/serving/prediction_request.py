"""A body -> what is asked: records whose cells are safe, and how the answers are to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import request_cells
from .decoding_budget import DecodingBudget
from .http_error import near, short, wrong
from .multipart import Part
from .record_columns import Column

KEYS = ("records", "top_k", "threshold", "contributions", "on_unreadable")
ON_UNREADABLE = ("error", "absent")
SUBSETS = 4096  # of modalities, of all records of a request together
WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Asked:
    """One request for predictions."""

    records: list[dict[str, Any]]
    top_k: int | None = None
    threshold: float | None = None
    contributions: bool = False
    strict: bool = True  # refused where something can't be read


def from_json(body: Any, known: Mapping[str, Column], budget: DecodingBudget) -> Asked:
    """{"records": [...]} and some of the other KEYS. Raises Refusal."""
    if not isinstance(body, dict):
        raise wrong("wrong_type", "the body isn't an object", 'send {"records": [{...}]}')
    for key in body:
        if key not in KEYS:
            raise wrong("unknown_key", f"there is no key '{short(key)}'", near(key, KEYS))
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise wrong("no_records", "'records' isn't a list of objects", 'send {"records": [{...}]}')
    check_count(len(records), budget)
    made = [_record(record, known, budget) for record in records]
    options = [body.get(key) for key in KEYS[1:]]
    asked = Asked(made, _top_k(options[0]), _threshold(options[1]), _contributions(options[2]), strict(options[3]))
    _check_filled(made)
    return asked


def from_form(parts: Sequence[Part], known: Mapping[str, Column], budget: DecodingBudget) -> Asked:
    """One record, a field for each column; options as JSON has them, with a ``_`` before them. Raises Refusal."""
    record: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for part in parts:
        if part.name.removeprefix("_") in KEYS[1:] and part.name.startswith("_"):
            if part.name in options or part.file:
                raise wrong("column_twice", f"the field '{part.name}' stands twice, or is a file")
            options[part.name] = _typed(part)
            continue
        one = column(known, part.name)
        cell = request_cells.from_form(one, part.content, part.file, budget)
        if one.most > 1:
            record.setdefault(one.name, []).append(cell)
            if len(record[one.name]) > one.most:
                raise wrong("too_many_pictures", f"'{one.name}' has too many pictures", f"at most {one.most}")
        else:
            put(record, one, cell)
    top_k, threshold = _top_k(options.get("_top_k")), _threshold(options.get("_threshold"))
    more = _contributions(options.get("_contributions")), strict(options.get("_on_unreadable"))
    _check_filled([record])
    return Asked([record], top_k, threshold, *more)


def put(record: dict[str, Any], one: Column, cell: Any) -> None:
    """Raises Refusal where the record has this column, by its own name or by its modality's."""
    if one.name in record:
        raise wrong("column_twice", f"the column '{one.name}' is there twice")
    record[one.name] = cell


def _record(given: Mapping[str, Any], known: Mapping[str, Column], budget: DecodingBudget) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in given.items():
        one = column(known, key)
        put(made, one, request_cells.from_json(one, value, budget))
    return made


def column(known: Mapping[str, Column], name: str) -> Column:
    """Raises Refusal where the model has no such column."""
    if name not in known:
        raise wrong("unknown_column", f"this model has no column '{short(name)}'", near(name, known))
    return known[name]


def check_count(count: int, budget: DecodingBudget) -> None:
    """Raises Refusal where a request has more records than it may, or none."""
    if not count:
        raise wrong("no_records", "there are no records")
    if count > budget.cells.records:
        raise wrong("too_many_records", f"{count:,} records at once", f"at most {budget.cells.records:,}")


def check_shares(asked: Asked, modalities: int) -> None:
    """Raises Refusal where what each modality brought is asked of more records than is answered at once."""
    most = max(SUBSETS // 2**modalities, 1)
    if asked.contributions and len(asked.records) > most:
        raise wrong("too_many_records", f"{len(asked.records):,} records with contributions", f"at most {most:,}")


def strict(value: Any) -> bool:
    """Whether a request is refused where something in it can't be read: on_unreadable. Raises Refusal."""
    if value not in (None, *ON_UNREADABLE):
        raise wrong("bad_on_unreadable", f"'on_unreadable' isn't {' or '.join(ON_UNREADABLE)}")
    return value != "absent"


def _check_filled(records: Sequence[Mapping[str, Any]]) -> None:
    """Raises Refusal where a record has no column at all: perhaps its keys stand elsewhere."""
    for number, record in enumerate(records, 1):
        if not record:
            raise wrong("empty_record", f"row {number} has none of the model's columns", "null is an empty cell")


def _typed(part: Part) -> Any:
    text = part.content.decode("utf-8", "replace").strip()
    if part.name == "_on_unreadable":
        return text
    if part.name == "_contributions":
        return WORDS.get(text, text)
    try:
        return int(text) if part.name == "_top_k" else float(text)
    except ValueError:
        return text


def _top_k(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 1 or value % 1:
        raise wrong("bad_top_k", "'top_k' isn't a whole number from 1 on")
    return int(min(value, 2**31))


def _threshold(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1):
        raise wrong("bad_threshold", "'threshold' isn't a number from 0 to 1")
    return value


def _contributions(value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise wrong("bad_contributions", "'contributions' isn't true or false")
    return bool(value)

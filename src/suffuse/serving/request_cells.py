"""A request's cells -> cells that a predictor may be given: bytes, texts and numbers, never a path or an address."""

from __future__ import annotations

import binascii
import math
from itertools import chain
from typing import Any

from ..modalities.cell import WEB
from .decoding_budget import DecodingBudget
from .http_error import Refusal, wrong
from .record_columns import MEDIA, Column

BASE64 = "base64"
SHORT = 1000  # characters of a cell that holds a number or a category
LARGEST = 3e38  # of a step's numbers, which become 32 bits wide
AS_BYTES = 'send it as {"base64": "..."} or as a file of a multipart form'
NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def from_json(column: Column, value: Any, budget: DecodingBudget) -> Any:
    """A cell as JSON spells it. Raises Refusal."""
    if value is None:
        return None
    if column.most > 1 and isinstance(value, list):
        _count(column, len(value))
        return [None if one is None else _file(column, one, budget) for one in value]
    if column.type in MEDIA:
        return _file(column, value, budget)
    if column.type == "series":
        return _file(column, value, budget) if isinstance(value, dict) else _series(column, value)
    return _text(column, value, budget.cells.characters) if column.type == "text" else _plain(column, value)


def from_form(column: Column, value: bytes, file: bool, budget: DecodingBudget) -> Any:
    """A field of a form: a file's bytes, or what was typed. Nothing is an empty cell. Raises Refusal."""
    if not value:
        return None
    if column.type in MEDIA and file:
        return checked(column, value, budget)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise wrong("not_utf8", f"'{column.name}' is no UTF-8: {error.reason} at byte {error.start}") from None
    if column.type in MEDIA:
        return _file(column, text, budget)
    if column.type == "series":
        raise wrong("wrong_type", f"'{column.name}' holds steps of numbers", "send JSON")
    return _text(column, text, budget.cells.characters) if column.type == "text" else _plain(column, text)


def checked(column: Column, content: bytes, budget: DecodingBudget) -> bytes:
    """A file's bytes, if they keep to the limits; nothing is decoded yet. Raises Refusal."""
    if len(content) > budget.cells.cell_bytes:
        raise Refusal(
            413, "file_too_large", f"'{column.name}' has {len(content):,} bytes", _most(budget.cells.cell_bytes)
        )
    if column.type == "image":
        budget.picture(column, content)
    elif column.type == "audio":
        budget.sound(column, content)
    return content


def _file(column: Column, value: Any, budget: DecodingBudget) -> bytes:
    """{"base64": ...} or a data: URL."""
    if isinstance(value, dict):
        value = value[BASE64] if value.keys() == {BASE64} else None
        if not isinstance(value, str):
            raise wrong("wrong_type", f"'{column.name}' takes a file", AS_BYTES)
    elif not isinstance(value, str):
        raise wrong("wrong_type", f"'{column.name}' takes a file, not {_called(value)}", AS_BYTES)
    elif not value.startswith("data:"):
        _refuse_name(column, value)
    if value.startswith("data:"):
        head, _, value = value.partition(",")
        if not head.endswith(";base64"):
            raise wrong("bad_base64", f"'{column.name}': a data: URL whose data isn't base64", AS_BYTES)
    if len(value) > 4 * (budget.cells.cell_bytes // 3 + 1):
        raise Refusal(413, "file_too_large", f"'{column.name}' is too large", _most(budget.cells.cell_bytes))
    try:
        content = binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise wrong(
            "bad_base64", f"'{column.name}' isn't base64: {error}", "the alphabet is A-Z a-z 0-9 + / ="
        ) from None
    return checked(column, content, budget) or None  # pyright: ignore[reportReturnType]


def _refuse_name(column: Column, value: str) -> None:
    """A server that opens what a client names reads files that aren't the client's."""
    if value.lower().lstrip().startswith((*WEB, "//", "file:")) or "://" in value[:32]:
        raise wrong("url_refused", f"'{column.name}' is an address: nothing is fetched", AS_BYTES)
    raise wrong("path_refused", f"'{column.name}' is a text: no file is opened by its name", AS_BYTES)


def _count(column: Column, count: int) -> None:
    if count > column.most:
        raise wrong("too_many_pictures", f"'{column.name}' has {count} pictures", f"at most {column.most}")


def _text(column: Column, value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise wrong("wrong_type", f"'{column.name}' takes a text, not {_called(value)}")
    if len(value) > most:
        raise wrong("text_too_long", f"'{column.name}' has {len(value):,} characters", f"at most {most:,}")
    return value


def _plain(column: Column, value: Any) -> Any:
    """A number, or a word."""
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong("not_finite", f"'{column.name}' is beyond all numbers")
    if isinstance(value, (bool, int, float)):
        return value
    return _text(column, value, SHORT) if isinstance(value, str) else _refuse_type(column, value)


def _refuse_type(column: Column, value: Any) -> None:
    raise wrong("wrong_type", f"'{column.name}' takes a {column.type}, not {_called(value)}")


def _series(column: Column, value: Any) -> Any:
    """Numbers, steps of numbers, or one number of a step."""
    steps = value if isinstance(value, list) else [value]
    if list in set(map(type, steps)):
        steps = list(chain.from_iterable(one if isinstance(one, list) else (one,) for one in steps))
    if other := set(map(type, steps)) - {int, float}:
        raise wrong("wrong_type", f"'{column.name}' takes numbers, not {NAMES.get(other.pop(), 'null')}")
    if steps and not -LARGEST <= min(steps) <= max(steps) <= LARGEST:
        raise wrong("not_finite", f"'{column.name}' has a number beyond 32 bits")
    return value


def _called(value: Any) -> str:
    return NAMES.get(type(value), "null")


def _most(count: int) -> str:
    return f"at most {count:,} bytes"

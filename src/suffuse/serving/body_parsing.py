"""Bodies of requests -> JSON values, strictly, or form fields; JSON values -> bodies of responses."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from .http_error import Refusal, shorten

# an unterminated string matches too, and no group backtracks: the time is linear in the body
STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.S)
DEPTH_CHANGES = np.zeros(256, dtype=np.int8)
DEPTH_CHANGES[list(b"[{")], DEPTH_CHANGES[list(b"]}")] = 1, -1


@dataclass(frozen=True)
class FormField:
    """One part of a multipart form."""

    name: str
    content: bytes
    is_file: bool  # it has a file name: it was uploaded, not typed


def dump_json(value: Any) -> bytes:
    """JSON in UTF-8. A lone surrogate, which a client may send as an escape, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def parse_json(body: bytes, max_depth: int) -> Any:
    """UTF-8, no key twice, no NaN, at most ``max_depth`` brackets within brackets. Raises Refusal (400)."""
    if body.count(b"[") + body.count(b"{") > max_depth:
        _check_depth(body, max_depth)
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Refusal(400, "not_utf8", f"the body is no UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise Refusal(400, "too_deep", "brackets are nested too deep", f"at most {max_depth}") from None
    except ValueError as error:  # of JSON, or of an integer with more digits than Python reads
        raise Refusal(400, "bad_json", f"the body is no JSON: {error}") from None


def parse_form(body: bytes, content_type: str, max_parts: int) -> list[FormField]:
    """The fields of a multipart form, in memory. Raises Refusal (400; 413 beyond ``max_parts``)."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Refusal(400, "bad_form", "the form has no boundary")
    fields: list[FormField] = []
    ends: list[bool] = []

    def add(part: Field | File, content: bytes | None) -> None:
        if len(fields) == max_parts:
            raise Refusal(413, "too_many_parts", "the form has too many parts", f"at most {max_parts}")
        if part.field_name is None:
            raise Refusal(400, "bad_form", "a part of the form has no name")
        fields.append(FormField(part.field_name.decode("utf-8", "replace"), content or b"", isinstance(part, File)))

    def add_file(file: File) -> None:
        file.file_object.seek(0)
        add(file, file.file_object.read())

    parser = FormParser(
        "multipart/form-data",
        lambda field: add(field, field.value),
        add_file,
        lambda: ends.append(True),
        boundary,
        config={"MAX_MEMORY_FILE_SIZE": len(body)},  # no part is written to disk
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(400, "bad_form", f"the form can't be read: {error}") from None
    if not ends:
        raise Refusal(400, "bad_form", "the form is cut off: its last boundary is missing")
    return fields


def _check_depth(body: bytes, max_depth: int) -> None:
    changes = DEPTH_CHANGES[np.frombuffer(STRINGS.sub(b"", body), dtype=np.uint8)]
    if changes.cumsum(dtype=np.int32).max(initial=0) > max_depth:
        raise Refusal(400, "too_deep", "brackets are nested too deep", f"at most {max_depth}")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise Refusal(400, "key_twice", f"the key '{shorten(repeated)}' stands twice in an object")
    return unique


def _refuse_constant(word: str) -> Any:
    raise Refusal(400, "bad_json", f"the body is no JSON: {word} is no number there", "leave out what is missing")

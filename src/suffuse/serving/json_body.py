"""A body of JSON -> objects, strictly: UTF-8, no key twice, no NaN, and not nested without end."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import numpy as np

from .http_error import Refusal, short

# a text without an end is one find too, and nothing is tried twice: so the time is that of reading once
TEXTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.S)
STEPS = np.zeros(256, dtype=np.int8)
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1


def parse(body: bytes, depth: int) -> Any:
    """Raises Refusal (400)."""
    if body.count(b"[") + body.count(b"{") > depth:
        _check_depth(body, depth)
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise Refusal(400, "not_utf8", f"the body is no UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise Refusal(400, "too_deep", "brackets are nested too deep", f"at most {depth}") from None
    except ValueError as error:  # of JSON, or of an integer with more digits than Python reads
        raise Refusal(400, "bad_json", f"the body is no JSON: {error}") from None


def _check_depth(body: bytes, most: int) -> None:
    steps = STEPS[np.frombuffer(TEXTS.sub(b"", body), dtype=np.uint8)]
    if steps.cumsum(dtype=np.int32).max(initial=0) > most:
        raise Refusal(400, "too_deep", "brackets are nested too deep", f"at most {most}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise Refusal(400, "key_twice", f"the key '{short(twice)}' stands twice in an object")
    return made


def _refuse(word: str) -> Any:
    raise Refusal(400, "bad_json", f"the body is no JSON: {word} is no number there", "leave out what is missing")

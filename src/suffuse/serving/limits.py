"""How much a server takes: of one request, of one cell, and of all requests together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError, did_you_mean

MEGABYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """Of the server. The command line sets them (docs/serve.md has the table)."""

    body: int = 16 * MEGABYTE  # bytes of one request's body
    memory: int = 256 * MEGABYTE  # bytes of all bodies that are being read or answered
    requests: int = 256  # being read or answered at the same time
    head: int = 65_536  # bytes of a request's head: its first line and its fields
    keep_alive: int = 10  # seconds between two requests on one connection
    body_seconds: float = 15.0  # until its body is there
    answer_seconds: float = 30.0  # from then until it is answered
    grace: float = 1.0  # after a signal to stop, in which requests are still taken
    drain: float = 10.0  # seconds after that, in which the accepted requests are answered; then the process exits
    request_pixels: int = 128_000_000  # of all pictures of one request, before any of them is decoded
    request_seconds: float = 1800.0  # of all its sounds
    request_samples: int = 120_000_000  # of all its sounds, frames times channels
    depth: int = 32  # of brackets within brackets in JSON
    parts: int = 256  # of a multipart form
    batch: int = 64  # rows that the network is given at once
    wait: float = 0.002  # seconds that a prepared row may wait for a running batch, to go with the rows after it

    @classmethod
    def from_options(cls, options: Iterable[str]) -> Limits:
        """Of ``name=number`` each. Raises UsageError."""
        limits: dict[str, Any] = {}
        for option in options:
            name, _, text = option.partition("=")
            if name not in cls.__dataclass_fields__:
                hint = did_you_mean(name, cls.__dataclass_fields__)
                raise UsageError("there is no such limit", where="--limit", got=f"'{name}'", hint=hint)
            number = _positive_number(text)
            is_whole = isinstance(getattr(cls, name), int)
            if number is None or (is_whole and number % 1):
                expected = "a whole number from 1 on" if is_whole else "a number above 0"
                raise UsageError("not a limit", where=f"--limit {name}", got=f"'{text}'", expected=expected)
            limits[name] = int(number) if is_whole else number
        return cls(**limits)


@dataclass(frozen=True)
class CellLimits:
    """Of one model's cells. An export may set them; these are the defaults."""

    pixels: int = 64_000_000  # of a picture, before it is decoded
    seconds: float = 600.0  # of a sound
    characters: int = 100_000  # of a text
    cell_bytes: int = 16 * MEGABYTE  # of a file
    records: int = 1000  # of one request

    @classmethod
    def from_export(cls, limits: Mapping[str, Any]) -> CellLimits:
        """Those that an export sets."""
        values = {key: limits.get(key) for key in cls.__dataclass_fields__}
        return cls(**{key: value for key, value in values.items() if value is not None and math.isfinite(value)})


def _positive_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None

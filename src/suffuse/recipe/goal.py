"""Settings of the goal: what a student must reach before the report calls it ready.

No stage's result depends on the goal: it only judges what was measured.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ByteSize, Field, TypeAdapter, ValidationError

from ..registry import Settings

_BYTES = TypeAdapter(ByteSize)


def byte_size(value: Any) -> Any:
    """Bytes of a number, or of a text such as ``1MB``, ``500kB`` or ``1.5 MiB``. Raises ValueError."""
    if value is None:
        return value
    try:
        size = 0 if isinstance(value, bool) else int(_BYTES.validate_python(value))
    except ValidationError:
        size = 0
    if size < 1:
        raise ValueError(f"got {value!r}, expected a number of bytes, or a text such as 1MB, 500kB or 1.5MiB")
    return size


class Goal(Settings):
    """What a student must reach before the report calls it ready."""

    keep: float | None = Field(default=0.98, gt=0, le=1)  # least share of the teacher's score; none: no comparison
    size: Annotated[int | None, BeforeValidator(byte_size)] = None  # largest exported file; none: any size
    latency_ms: float | None = Field(default=None, gt=0)  # longest median time of one row; none: any time

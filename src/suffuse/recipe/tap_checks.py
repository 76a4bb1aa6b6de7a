"""The features that losses name: one that isn't there is told when the recipe is read, not after hours of teaching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FUSED = "fused"
KEYS = ("tap", "taps", "map", "modalities")  # of losses: what the student has, and the teacher too
OTHER = ("teacher_tap", "teacher")  # what the teacher has instead


def check(
    losses: Mapping[str, Any], student: Sequence[str], teacher: Sequence[str] | None, columns: Mapping[str, Any]
) -> None:
    """Raise ValueError where a loss names a feature of a modality that the student, or the teacher, doesn't read.

    ``student``, ``teacher``: the modalities that they read; None of a teacher from outside, whose features are known
    when it is there. ``columns``: modality -> what it is read from; forms of one input are read from the same.
    """
    for name, loss in losses.items():
        for key in (key for key in KEYS if key in type(loss).model_fields):
            value, where = getattr(loss, key), f"distill.losses.{name}"
            says = next((one for one in OTHER if hasattr(loss, one)), "")
            other = getattr(loss, says) if says else ""
            for tap in (value,) if isinstance(value, str) else value:
                _known(f"{where}.{key}", tap, "student", student, key)
                if teacher is None:
                    continue
                forms = [one for one in teacher if columns.get(one) == columns.get(tap)] if tap != FUSED else []
                hint = f"; the teacher reads that as {forms[0]}: add `{says}: {forms[0]}`" if forms and says else ""
                _known(f"{where}.{says if other else key}", other or tap, "teacher", teacher, key, hint)


def _known(where: str, tap: str, who: str, there: Sequence[str], key: str, hint: str = "") -> None:
    some = (*((FUSED,) if key in ("tap", "taps") else ()), *there)
    if tap not in some:
        raise ValueError(f"{where}: got '{tap}', which the {who} hasn't, expected some of: {', '.join(some)}{hint}")

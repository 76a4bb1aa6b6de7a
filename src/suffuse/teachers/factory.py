"""The teacher that a recipe asks for, opened."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.columns import Columns
from ..errors import SuffuseError
from ..files import read_json
from ..prepare.raw_cells import RawRows
from ..registry import TeacherSettings, load
from ..run import Run
from . import TABLE, Teacher
from .deep_ensemble import DeepEnsemble
from .ensemble import Ensemble
from .ensemble import Settings as EnsembleSettings
from .external import Outside
from .out_of_fold import Folded
from .trained import Trained


def open_teacher(run: Run, columns: Columns) -> Teacher:
    """The teacher of a run whose ``teach`` is done.

    Raises SuffuseError where one from outside isn't the one that was measured then.
    """
    chosen = run.recipe.teacher
    if not isinstance(chosen, TeacherSettings):
        if chosen.ensemble:
            return DeepEnsemble.open(run, columns)
        return Folded.open(run, columns, chosen.folds) if chosen.folds else Trained.open(run, columns)
    teacher = open_outside(run, columns)
    recorded = (read_json(run.path("teacher", "training.json")) or {}).get("fingerprint")
    if recorded != teacher.fingerprint():
        raise SuffuseError(
            "the teacher isn't the one that was measured", where=f"teacher, kind {chosen.kind}",
            hint="`suffuse run` measures a changed one again; a function that makes one must make the same each time",
        )  # fmt: skip
    return teacher


def open_outside(run: Run, columns: Columns) -> Teacher:
    """The teacher from outside that the recipe names, measured or not."""
    chosen = run.recipe.teacher
    assert isinstance(chosen, TeacherSettings)
    return _opened(chosen, RawRows(run), columns, "teacher")


def _opened(chosen: TeacherSettings, raw: RawRows, columns: Columns, where: str) -> Teacher:
    heads = columns.spec.heads
    places = [columns.spec.names.index(name) for name in chosen.covers]
    covered = np.all(columns.present[:, places], axis=1, keepdims=False).reshape(-1)
    if isinstance(chosen, EnsembleSettings):
        members: dict[str, Teacher] = {
            n: _opened(one, raw, columns, f"{where}.members.{n}") for n, one in chosen.members.items()
        }
        return Ensemble(chosen, members, heads, covered)
    part: Any = load(TABLE, str(chosen.kind))
    return Outside.of(chosen, part.open(chosen, raw, heads, where), heads, covered, where)

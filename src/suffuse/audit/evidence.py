"""What a run has left behind, read once and only where a check asks for it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from ..data.columns import Columns
from ..files import read_array, read_json
from ..knowledge import manifest
from ..knowledge.teacher_logits import stored_logits
from ..report import scores_table
from ..run import Run


class Absent(Exception):
    """What a check needs isn't there: its stage wasn't run."""


class Evidence:
    """The artefacts of a run. Raises Absent where one is asked for that isn't there. ``run_code``: whether a check may
    run the code that the recipe names."""

    def __init__(self, run: Run, run_code: bool = False):
        self.run, self.run_code = run, run_code

    def need(self, *names: str) -> Path:
        """A path of the run that must be there."""
        place = self.run.path(*names)
        if not place.exists():
            raise Absent("/".join(names))
        return place

    @cached_property
    def columns(self) -> Columns:
        """The prepared data."""
        return Columns.open(self.need("data", "schema.json").parent)

    @cached_property
    def manifest(self) -> dict:
        """The store's facts."""
        return manifest.read(self.need("knowledge", "manifest.json").parent)

    @cached_property
    def keys(self) -> np.ndarray:
        """(K,) uint64, the store's rows."""
        self.manifest  # noqa: B018 - there, and whole
        return read_array(self.run.path("knowledge", "key.npy"), "r")

    @cached_property
    def logits(self) -> np.ndarray:
        """(K, C) float32, the stored answers on all that the teacher reads; NaN where it has none."""
        self.manifest  # noqa: B018 - there, and whole
        return stored_logits(self.run.path("knowledge"), self.columns.spec)

    @cached_property
    def teacher(self) -> dict:
        """What is known of the teacher."""
        return read_json(self.need("teacher", "training.json")) or {}

    @cached_property
    def scores(self) -> dict[str, dict]:
        """Who -> scorecard."""
        self.need("scores")
        return scores_table.scores(self.run)

    def trainings(self, who: str) -> dict[str, Path]:
        """Seed -> the folder of a student that was trained."""
        return {p.parent.name: p.parent for p in sorted(self.need(who).glob("seed-*/training.json"))}

"""What a proposed recipe says besides the columns' roles: sizes and trainings, of which its text is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..sources.table_format import MISSING_VALUES
from ..sources.text_format import TextFormat
from .installed_encoders import InstalledEncoders


@dataclass(frozen=True)
class TeacherTraining:
    """The teacher's training, on the rows that have a label."""

    batch: int
    epochs: int
    seeds: int
    finetuning: int = 3  # epochs in which pretrained encoders are trained too, where they are


@dataclass(frozen=True)
class Draft:
    """What the recipe says besides the columns' roles."""

    source: str
    rows: int
    modalities: dict[str, dict]  # name -> kind, column and settings
    batch: int
    epochs: int
    students: int  # seeds
    folds: int  # of the portfolio; 0: there is none
    unimodal_baselines: bool
    few_rows: bool  # too few for a hidden layer in the networks' heads
    teacher_training: TeacherTraining
    encoders: InstalledEncoders = field(default_factory=InstalledEncoders)  # pretrained ones, of the teacher
    finetuned: bool = False  # they are trained too, after the rest of the network
    text_format: TextFormat | None = None  # of a text table
    missing_values: tuple[str, ...] = MISSING_VALUES
    root: str | None = None
    allowed_dir: str | None = None
    longer_baselines: bool = True  # where a comparison isn't settled
    compared_exports: bool = True  # also the teacher's export and an int8 form, where they are worth it
    member_seconds: float | None = None  # estimated, that the portfolio's models may take
    transcript: bool = False  # the target is a sequence, along the first recording
    candidates: bool = False  # whether the student is selected among other networks too
    student_budget: tuple[tuple[str, float | str], ...] = ()  # limits of its cost: key of ``student.budget``, value
    minutes: float | None = None  # the time budget that the trainings were chosen for
    shortened: tuple[str, ...] = ()  # what the budget left out of the proposal


MOST_ALONE = 4  # modalities, each of which alone is a candidate for the student
BINS = 16  # intervals of a number: those of 8 and 32 differ little (docs/experiments/own-tables.md)


def student_candidates(modalities: Mapping[str, dict], table_width: int) -> dict[str, dict[str, Any]]:
    """Networks that may be better than the student, as ``student.candidates`` names them: with one hidden layer for a
    table, ``table_width`` wide, with intervals of its numbers, and of several modalities each alone."""
    tables = {name: settings["types"] for name, settings in modalities.items() if settings["kind"] == "tabular"}
    networks: dict[str, dict[str, Any]] = {}
    if tables:
        networks["shallow"] = {"encoders": {name: {"widths": [table_width]} for name in tables}}
    if numeric := [name for name, types in tables.items() if {"number", "date"} & set(types.values())]:
        networks["binned"] = {"encoders": {name: {"bins": BINS} for name in numeric}}
    if 1 < len(modalities) <= MOST_ALONE:
        networks |= {f"{name}_alone": {"modalities": [name]} for name in modalities}
    return networks

"""Opens the teacher that a recipe asks for. An external one is wrapped: classes matched by name, outputs as logits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.columns import Columns
from ..errors import SuffuseError, UsageError
from ..files import read_json
from ..knowledge.builder import teacher_seeds
from ..prepare.raw_cells import RawRows
from ..recipe.networks import Teacher as TrainedTeacher
from ..registry import TeacherSettings
from ..run import Run
from ..types import Head
from . import Question, Source, Teacher, load_teacher
from .ensemble import Ensemble
from .ensemble import Settings as EnsembleSettings
from .matching import FRAMES, Matching
from .out_of_fold import OutOfFold
from .portfolio import FOLDER as PORTFOLIO
from .portfolio import Portfolio
from .teacher_seeds import TeacherSeeds, seed_folder
from .trained import DeepEnsemble, Trained


def open_teacher(run: Run, columns: Columns) -> Teacher:
    """The teacher of a run whose ``teach`` is done.

    Raises SuffuseError where an external one isn't the one that was measured then.
    """
    chosen = run.recipe.teacher
    if not isinstance(chosen, TeacherSettings):
        network = open_network(run, columns, chosen)
        if chosen.portfolio is None:
            return network
        return Portfolio.open(network, columns, run.path("teacher", PORTFOLIO))
    teacher = open_external(run, columns)
    recorded = (read_json(run.path("teacher", "training.json")) or {}).get("fingerprint")
    if recorded != teacher.fingerprint():
        raise SuffuseError(
            "the teacher isn't the one that was measured", where=f"teacher, kind {chosen.kind}",
            hint="`suffuse run` measures a changed one again; a function that makes one must make the same each time",
        )  # fmt: skip
    return teacher


def open_teachers(run: Run, columns: Columns) -> TeacherSeeds:
    """All teachers that the store of a run holds: one, or that of every seed.

    Raises SuffuseError as :func:`open_teacher` does.
    """
    seeds = teacher_seeds(run)
    if seeds == (None,):
        return TeacherSeeds({None: open_teacher(run, columns)})
    return TeacherSeeds(
        {seed: open_seed(run, columns, seed_folder(run.folder, seed)) for seed in seeds if seed is not None}
    )


def open_seed(run: Run, columns: Columns, folder: Path) -> Teacher:
    """The trained teacher in this folder, with its portfolio where the recipe has one."""
    network = Trained.open(run, columns, folder)
    assert run.recipe.trained
    if run.recipe.trained.portfolio is None:
        return network
    return Portfolio.open(network, columns, folder / PORTFOLIO)


def open_network(run: Run, columns: Columns, chosen: TrainedTeacher, folder: Path | None = None) -> Teacher:
    """The networks that the run trained, as the recipe lets them answer. ``folder``: where they are, if not in the
    run."""
    place = folder or run.folder
    if chosen.ensemble:
        return DeepEnsemble.open(run, columns, place)
    if chosen.folds:
        return OutOfFold.open(run, columns, chosen.folds, place)
    return Trained.open(run, columns, place / "teacher")


def open_external(run: Run, columns: Columns) -> Teacher:
    """The external teacher that the recipe names, measured or not."""
    chosen = run.recipe.teacher
    assert isinstance(chosen, TeacherSettings)
    return _open(chosen, RawRows(run), columns, "teacher")


def _open(chosen: TeacherSettings, raw: RawRows, columns: Columns, where: str) -> Teacher:
    heads = columns.spec.heads
    places = [columns.spec.names.index(name) for name in chosen.covers]
    covered = np.all(columns.present[:, places], axis=1, keepdims=False).reshape(-1)
    if isinstance(chosen, EnsembleSettings):
        members: dict[str, Teacher] = {
            n: _open(member, raw, columns, f"{where}.members.{n}") for n, member in chosen.members.items()
        }
        return Ensemble(chosen, members, heads, covered)
    source = load_teacher(str(chosen.kind)).open(chosen, raw, heads, where)
    return ExternalTeacher.of(chosen, source, heads, covered, where)


@dataclass(frozen=True)
class ExternalTeacher:
    """Makes a teacher of a source."""

    settings: TeacherSettings
    source: Source
    matching: Matching | None  # None: its outputs are the run's own
    covered: np.ndarray  # (N,) bool, rows of the run that it is asked about
    where: str  # the recipe's key

    @classmethod
    def of(
        cls, settings: TeacherSettings, source: Source, heads: tuple[Head, ...], covered: np.ndarray, where: str
    ) -> ExternalTeacher:
        """Raises UsageError where its classes aren't the run's."""
        if source.form == FRAMES:
            return cls(settings, source, None, covered, where)
        matching = Matching.of(source.outputs, heads, settings.classes, f"{where}.classes")
        return cls(settings, source, matching, covered, where)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The run's names of the modalities that it reads."""
        return self.source.modalities

    def fingerprint(self) -> str:
        """Hash of the source, of its class names, and of what it covers. Rows that are added to the run don't change
        it: stored outputs of the other rows stay valid."""
        facts = self.settings.model_dump(mode="json", include={"kind", "classes", "covers"})
        facts["source"] = self.source.fingerprint()
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def facts(self) -> dict:
        """Facts for ``training.json``."""
        return {"kind": self.settings.kind, **self.source.facts()}

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Consecutive rows, ``size`` at a time."""
        return [np.arange(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """Its taps; ``logits`` (B, C) float32 in the run's order, NaN where it abstains.

        Raises UsageError for augmented rows, SuffuseError where its outputs are invalid.
        """
        if question.view is not None:
            hint = "take rows as they are, without views"
            raise UsageError("a teacher from outside can't see augmented rows", where=self.where, hint=hint)
        visible = self.modalities if question.modalities is None else question.modalities
        taps = self.source.answer(question.rows, frozenset(self.modalities) - set(visible))
        try:
            logits = taps["logits"]
            if self.matching is not None:
                logits = self.matching.logits(logits, self.source.form)
        except ValueError as error:
            got = str(error).removeprefix("got ")
            raise SuffuseError("the teacher's answers can't be used", where=self.where, got=got) from None
        if np.isinf(logits).any():
            raise SuffuseError("the teacher's answers can't be used", where=self.where, got="infinite logits")
        logits[~self.covered[question.rows]] = np.nan
        return {**{name: tap.astype(np.float32) for name, tap in taps.items()}, "logits": logits}

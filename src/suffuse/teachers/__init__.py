"""Teachers: anything that returns outputs for rows. ``extract`` uses one interface and knows no kind of teacher.

A teacher is frozen: nothing here trains. It has ``modalities`` (the names that it reads, in order; none where it looks
its outputs up), ``fingerprint()`` (a hash of everything that decides its outputs, the same before and after they were
read) and ``answer(question)``. Its outputs are in the order of the run's classes.

``factory.py`` opens the teacher that a recipe asks for: the network that the run trained (``trained.py``, which also
has the deep ensemble of all seeds; ``out_of_fold.py`` where training rows have networks of their own), or a kind of
``TABLE``. A kind is one module that follows :class:`TeacherPart`, whose ``open`` returns a :class:`Source`;
``factory.py`` makes a Teacher of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..registry import KindTable, TeacherSettings, load_part

if TYPE_CHECKING:
    import numpy as np

    from ..data.training_views import Viewer
    from ..prepare.raw_cells import RawRows
    from ..types import Head

TABLE = KindTable(
    "teachers",
    TeacherSettings,
    {
        "asked": "suffuse.teachers.asked",
        "ensemble": "suffuse.teachers.ensemble",
        "huggingface": "suffuse.teachers.huggingface",
        "keras": "suffuse.teachers.keras",
        "onnx": "suffuse.teachers.onnx",
        "recogniser": "suffuse.teachers.recogniser",
        "run": "suffuse.teachers.run",
        "sklearn": "suffuse.teachers.sklearn",
        "table": "suffuse.teachers.table",
        "torch": "suffuse.teachers.torch",
        "zero_shot": "suffuse.teachers.zero_shot",
    },
)


@dataclass(frozen=True)
class Question:
    """Rows that a teacher answers, and what it may see of them."""

    rows: np.ndarray  # (B,) positions in the prepared columns
    modalities: tuple[str, ...] | None = None  # all others are hidden from it; None: it sees whatever a row has
    view: tuple[Viewer, int] | None = None  # who augments, and the view's number; None: rows as prepared


class Teacher(Protocol):
    """The interface of every teacher. Outputs are float32: ``logits`` (B, C) always, and the taps that it has:
    ``fused`` (B, D), a vector per modality, ``gates`` (B, M). Where it abstains the logits of a row are NaN."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names that it reads, in order."""
        ...

    def fingerprint(self) -> str:
        """Hash of weights, settings and preprocessing."""
        ...

    def facts(self) -> dict[str, Any]:
        """Facts for ``training.json``: ``parameters`` (None: unknown), an external one's ``kind``, and what a kind
        adds."""
        ...

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Positions in ``rows``, in pieces of at most ``size`` that are answered together: the same ones every time."""
        ...

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """Tap -> (B, ...), in the order of the question's rows."""
        ...


class Source(Protocol):
    """The interface of a kind of external teacher. It reads raw rows by itself, and has its own names and order of
    outputs."""

    outputs: tuple[str, ...]  # the names of its T outputs, in its own order
    modalities: tuple[str, ...]  # what it reads, as this run calls it; none where it looks its answers up
    form: str  # of its answers: LOGITS or PROBABILITIES of classes and labels, FRAMES; numbers are in their own unit

    def fingerprint(self) -> str:
        """Hash of weights, settings and preprocessing."""
        ...

    def facts(self) -> dict[str, Any]:
        """Facts: ``parameters``, ``bytes``, and what a kind adds."""
        ...

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """Rows (B,) without the ``hidden`` modalities -> ``logits`` (B, T), in its form, NaN where it abstains; and
        other taps."""
        ...


class TeacherPart(Protocol):
    """The interface of a kind of external teacher. An ensemble has settings alone: ``factory.py`` opens its members."""

    Settings: type[TeacherSettings]

    def open(self, settings: TeacherSettings, raw: RawRows, heads: tuple[Head, ...], where: str) -> Source:
        """The source of these settings, which answers for the run's raw rows; ``where`` is the recipe's key. Raises
        UsageError where it can't be opened."""
        ...


def load_teacher(kind: str) -> TeacherPart:
    """The kind of teacher of this name. Raises UsageError where there is none."""
    return load_part(TABLE, kind, TeacherPart)

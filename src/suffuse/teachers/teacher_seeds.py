"""The teachers that a store holds: one, or the network of every seed where each seed of the student has its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import Question, Teacher


@dataclass(frozen=True)
class TeacherSeeds:
    """One teacher under the key None, or several by their seeds, the one of ``teacher/`` first. All read the same
    modalities and have the same taps."""

    members: Mapping[int | None, Teacher]

    @property
    def reference(self) -> Teacher:
        """The teacher of ``teacher/``."""
        return next(iter(self.members.values()))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that each of them reads."""
        return self.reference.modalities

    def of(self, seed: int | None) -> Teacher:
        """The teacher of a seed."""
        return self.members[seed]

    def fingerprint(self) -> str:
        """The hash of the one teacher; of several a hash of all hashes, with their seeds."""
        if None in self.members:
            return self.reference.fingerprint()
        parts = [f"{seed} {teacher.fingerprint()}" for seed, teacher in self.members.items()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """The pieces of one of them: all read the same."""
        return self.reference.pieces(rows, size)

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """The taps of the reference."""
        return self.reference.answer(question)


def seed_folder(folder: Path, seed: int) -> Path:
    """Where the teacher of a seed stands in ``folder``: the run, or the folder that ``teach`` works in."""
    return folder / "teachers" / f"seed-{seed}"

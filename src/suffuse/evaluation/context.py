"""What every probe gets: the test rows, the models with their logits, and ways to run each model on changed inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..activations import activate
from ..data.columns import Columns
from ..progress import Tell
from ..recipe import Recipe
from ..types import Spec
from .metrics import Draws, Metrics

SEED = 0  # of sampled rows, missing modalities and corruptions: the same for every model
MAX_SUBSET_LOGITS = 2**23  # numbers in the logits of one seed on all subsets
MIN_ROWS = 64  # of a costly probe
MAIN = ("teacher", "student", "baseline", "export")  # and every other exported form


class Member(Protocol):
    """One seed of a model, or one exported form of it. M modalities, in the order of ``names``."""

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that the model reads, in the order of its presence mask."""
        ...

    @property
    def limitation(self) -> str:
        """Why the model can't be run on subsets of its modalities; empty where it can."""
        ...

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, C) of the rows as they are."""
        ...

    def masked_logits(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(K, N, C): the rows under K presence masks; ``kept`` (K, N, M) bool says what each row keeps."""
        ...

    def logits_on(self, columns: Columns, name: str, rows: np.ndarray) -> np.ndarray | None:
        """(N, C) on columns in which modality ``name`` has changed entries; None where that isn't possible."""
        ...


@dataclass(frozen=True)
class Model:
    """A model in all its seeds; a constant predictor has no members."""

    name: str
    logits: dict[str, np.ndarray]  # seed -> (N, C) on the test rows
    members: dict[str, Member] = field(default_factory=lambda: {})
    reference: str = ""  # the seed that stands for the model: of the teacher the one that was distilled
    folder: Path | None = None  # of the exported file: the model's own or, for the teacher, one exported for timing
    form: str | None = None  # of the exported file; None: the only one

    @property
    def limitation(self) -> str:
        """Why the model can't be run on subsets of its modalities; empty where it can."""
        return next((m.limitation for m in self.members.values() if m.limitation), "")

    def predictions(self, spec: Spec) -> dict[str, np.ndarray]:
        """Seed -> (N, C) probabilities and numbers."""
        return {seed: activate(spec.heads, logits) for seed, logits in self.logits.items()}


@dataclass(frozen=True)
class Context:
    """Everything that a probe may use. N test rows."""

    recipe: Recipe
    columns: Columns
    rows: np.ndarray  # (N,) positions of the labelled test rows
    draws: Draws
    models: dict[str, Model]
    tell: Tell = lambda share, words: None
    metrics: dict[str, list[Metrics]] = field(default_factory=lambda: {})  # model -> one entry per seed
    abstained: np.ndarray | None = None  # (N,) bool, rows without a teacher's answer; None: it answers all
    classical: str = ""  # name of the classical baseline that is best on validation rows
    cache: dict[Any, Any] = field(default_factory=lambda: {})  # results that several probes need

    @property
    def spec(self) -> Spec:
        """Of the data."""
        return self.columns.spec

    @property
    def target(self) -> np.ndarray:
        """Targets of the test rows."""
        return self.columns.target[self.rows]

    @property
    def confidence(self) -> float:
        """Of the intervals."""
        return self.draws.confidence

    @property
    def teacher_answers(self) -> np.ndarray:
        """(N,) bool: the rows that the teacher answers."""
        return np.ones(len(self.rows), dtype=bool) if self.abstained is None else ~self.abstained

    def main_models(self) -> Iterator[Model]:
        """The models that costly probes run: those trained with all labels and all modalities."""
        for name, model in self.models.items():
            if model.members and (name in MAIN or name.startswith("export-")):
                yield model

    def maskable_models(self) -> Iterator[Model]:
        """The main models that can be run on subsets of their modalities."""
        return (model for model in self.main_models() if not model.limitation)

    def limitations(self, probe: str) -> dict[str, dict[str, Any]]:
        """``not_measured`` of the main models that can't be run on subsets of their modalities."""
        return {m.name: {"not_measured": {probe: m.limitation}} for m in self.main_models() if m.limitation}

    def sample(self, count: int) -> np.ndarray:
        """At most ``count`` positions in ``rows``, sorted; the same positions for every caller."""
        order = np.random.default_rng(SEED).permutation(len(self.rows))
        return np.sort(order[: min(count, len(self.rows))])

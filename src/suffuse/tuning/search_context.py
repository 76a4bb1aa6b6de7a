"""What a search space depends on: the recipe, what its targets are, and what the store holds of the teacher."""

from __future__ import annotations

from dataclasses import dataclass

from .. import fusions
from ..data.columns import Columns
from ..engine.student_training import open_knowledge
from ..losses import compatibility
from ..model import FusionModel
from ..recipe import Recipe
from ..run import Run
from ..types import CLASSES, Spec

FACTOR = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # of the epochs
LOGITS = "logits"


@dataclass(frozen=True)
class Ground:
    """The recipe as it is, and what is known of its data and its store."""

    recipe: Recipe
    heads: tuple[tuple[str, int], ...]  # kind of each target, and how many classes
    taps: dict[str, int]  # what the store holds of the teacher -> its width
    teacher: int | None  # its parameters, where the run trained it: a student must have fewer
    longest: float = 2.0  # times the recipe's epochs that a training may take

    @classmethod
    def of(cls, run: Run, longest: float = 2.0) -> Ground:
        """Of a run whose store is there."""
        columns = Columns.open(run.path("data"))
        knowledge, trained = open_knowledge(run, columns), run.recipe.trained
        size = FusionModel(trained.bare(), columns.of(trained.encoders).spec).size() if trained else None
        return cls(run.recipe, of_heads(columns.spec), knowledge.widths(), size, longest)

    @property
    def names(self) -> tuple[str, ...]:
        """The student's modalities."""
        return tuple(self.recipe.student.encoders)

    def frozen(self, name: str) -> bool:
        """Whether the student's encoder of a modality is frozen, and so sees rows as they are."""
        return getattr(self.recipe.student.encoders[name], "frozen", False)

    @property
    def by_subsets(self) -> bool:
        """Whether candidates are compared by their mean over subsets of the modalities."""
        return self.recipe.distill.train.by_subsets and len(self.names) > 1

    @property
    def headless(self) -> bool:
        """Whether the student's fusion gives logits itself."""
        return fusions.headless(self.recipe.student.fusion)

    @property
    def shared(self) -> tuple[str, ...]:
        """Modalities whose features both have."""
        return tuple(name for name in self.names if name in self.taps)

    @property
    def classes(self) -> bool:
        """Whether some target is one of several classes."""
        return any(kind == CLASSES for kind, _ in self.heads)

    def place(self, dropped: bool, gates: bool) -> compatibility.Place:
        """Where a loss would be used."""
        return compatibility.Place(self.heads, self.recipe.distill.train.batch, dropped, gates)


def of_heads(spec: Spec) -> tuple[tuple[str, int], ...]:
    """Kind of each target, and how many classes."""
    return tuple((head.kind, len(head.classes)) for head in spec.heads)

"""Losses: how far the student is from the labels or from the teacher.

Each kind is one file in ``kinds/``: the paper, the formula, a pure function of the kind's own name (tensors in, a
scalar out; ``from suffuse.losses import kd`` gives it) and the part that a recipe names, as :class:`LossPart` says.
:mod:`suffuse.losses.compatibility` refuses a loss where it would be wrong or say nothing.

Every function is a mean over rows, in float32 or more, weighed where rows have weights: sum w l / sum w, and 0 where
the weights sum to 0. What stands in a row of weight 0 changes no bit, NaN neither. Such rows are those in which a
feature's modality is absent (``student.present[modality]`` says which have it, and stands there only where some row
lacks it), those that the teacher abstains from (NaN), and unlabelled ones of which it is less sure than
``confidence``. Losses that compare rows with each other take the rows that count, and give 0 where they are too few.
A batch without rows gives 0, with a gradient of 0. A class whose logit is -inf has probability 0, and what is weighed
by it is 0. All have second derivatives. No gradient reaches the teacher.

A kind's module and its function have one name, so the modules lie in a package of their own: importing one never puts
a module where its function is expected. Nothing here loads torch before a function is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field as Setting

from ..registry import KindTable, PartDocs, PartSettings, default, load_part
from . import argument_shapes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..types import Output

KINDS = (
    "task",
    "kd",
    "hard_label",
    "dkd",
    "nkd",
    "dist",
    "lskd",
    "js",
    "reverse_kd",
    "multilabel_kd",
    "regression_kd",
    "ctc_kd",
    "guided_ctc",
    "sequence_kd",
    "hint",
    "modality_hints",
    "attention_transfer",
    "query_attention_transfer",
    "similarity",
    "rkd_distance",
    "rkd_angle",
    "crd",
    "cka",
    "affinity",
    "gate_transfer",
    "cross_modal_relation",
    "entropy_relations",
    "subset_consistency",
)
TABLE = KindTable("losses", PartSettings, {kind: f"suffuse.losses.kinds.{kind}" for kind in KINDS})

Weight = Annotated[
    float,
    Setting(gt=0, description="Factor of the loss; with `distill.balance_losses` its share of the gradient norm."),
]
Temperature = Annotated[float, Setting(gt=0, description="Softmax temperature of teacher and student.")]
Confidence = Annotated[float, Setting(ge=0, le=1, description="Smallest confidence of the teacher on unlabelled rows.")]
Tap = Annotated[str, Setting(description="Student feature: `fused` (the joint vector) or a modality's name.")]
TeacherTap = Annotated[str, Setting(description="The teacher's name of the feature. Default: the same name.")]
Modalities = Annotated[tuple[str, ...], Setting(description="Modalities to use. Default: all that both networks have.")]


@dataclass(frozen=True)
class LossDocs(PartDocs):
    """What docs/losses.md and the report say of a loss."""

    meaning: dict[str, str]  # language -> what the student learns by it, in the report
    paper: str
    formula: str
    helps: str  # when it helps
    pitfalls: str
    projector: str = "no"  # of a loss on features: whether it maps the student's first


class LossPart(Protocol):
    """The interface of a loss's module."""

    Settings: type[PartSettings]
    DOCS: LossDocs
    EXAMPLES: tuple[dict[str, Any], ...] = ({},)  # settings that together show every form of it
    ZERO_AT_TEACHER: bool = True  # it and its gradient are 0 where the student equals the teacher
    CONTINUOUS_AT_0: bool = True  # a class of the teacher's logit -inf costs the limit of ever smaller ones
    HEADS: tuple[str, ...] = ()  # kinds of targets that a loss on logits is valid for; none: it is one on features
    LABELLED: bool = False  # a mean over the labels that there are, not over rows
    FULL_INPUT: bool = False  # it also reads the student's logits on all modalities that a row has
    MIN_CLASSES: int = 1
    MIN_ROWS: int = 1  # of a batch
    HINT: str = ""  # what to use instead, where it can't be used

    def loss(
        self,
        settings: PartSettings,
        layers: nn.ModuleDict,
        student: Output,
        teacher: dict[str, Tensor],
        target: Tensor,
    ) -> Tensor:
        """The student's output and the teacher's taps (B, ...) for the same rows -> scalar. A loss with ``HEADS`` is
        given one target at a time: its logits, the teacher's, its labels, and what it is as ``student.head``; over
        several targets the mean is taken, weighed as the recipe weighs them."""
        ...

    @default
    def needs(self, settings: PartSettings) -> tuple[str, ...]:
        """The teacher's taps that it reads; ``*`` stands for each modality's feature."""
        return ("logits",)

    @default
    def asks(self, settings: PartSettings) -> tuple[str, ...]:
        """The student's taps that it reads and that aren't always there: by default those that it needs of the
        teacher."""
        return self.needs(settings)

    @default
    def layers(self, settings: PartSettings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
        """Its projectors; ``student`` and ``teacher`` map taps to widths. Raises ValueError where it can't be used on
        these taps."""
        from torch import nn

        return nn.ModuleDict()

    @default
    def min_classes(self, settings: PartSettings) -> int:
        """The least number of classes, where settings change ``MIN_CLASSES``."""
        return self.MIN_CLASSES


def load_loss(kind: str) -> LossPart:
    """The loss of this kind. Raises UsageError where there is none."""
    return load_part(TABLE, kind, LossPart)


def needs(chosen: Iterable[PartSettings]) -> tuple[str, ...]:
    """Everything of the teacher that some of these losses reads; ``*`` stands for each modality's feature."""
    return tuple(dict.fromkeys(tap for settings in chosen for tap in load_loss(settings.kind).needs(settings)))


def asks(chosen: Iterable[PartSettings]) -> tuple[str, ...]:
    """Everything of the student that some of these losses reads and that isn't always there."""
    return tuple(dict.fromkeys(tap for settings in chosen for tap in load_loss(settings.kind).asks(settings)))


def __getattr__(name: str) -> Callable[..., Tensor]:
    """The function of a loss, by the name of its kind. It checks its arguments' shapes."""
    if name not in TABLE:
        raise AttributeError(f"module 'suffuse.losses' has no attribute '{name}'")
    return argument_shapes.checked(name, getattr(import_module(TABLE[name]), name))


def __dir__() -> list[str]:
    return sorted([*globals(), *KINDS])

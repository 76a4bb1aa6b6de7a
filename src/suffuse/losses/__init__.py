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

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from ..registry import PartSettings, default, load_part

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
TABLE = {kind: f"suffuse.losses.kinds.{kind}" for kind in KINDS}
__all__ = [
    "KINDS",
    "TABLE",
    "affinity",
    "attention_transfer",
    "cka",
    "crd",
    "cross_modal_relation",
    "dist",
    "dkd",
    "entropy_relations",
    "gate_transfer",
    "hard_label",
    "hint",
    "js",
    "kd",
    "lskd",
    "modality_hints",
    "multilabel_kd",
    "needs",
    "nkd",
    "query_attention_transfer",
    "regression_kd",
    "reverse_kd",
    "rkd_angle",
    "rkd_distance",
    "similarity",
    "subset_consistency",
    "task",
]

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..types import Output
    from .kinds.affinity import affinity
    from .kinds.attention_transfer import attention_transfer
    from .kinds.cka import cka
    from .kinds.crd import crd
    from .kinds.cross_modal_relation import cross_modal_relation
    from .kinds.dist import dist
    from .kinds.dkd import dkd
    from .kinds.entropy_relations import entropy_relations
    from .kinds.gate_transfer import gate_transfer
    from .kinds.hard_label import hard_label
    from .kinds.hint import hint
    from .kinds.js import js
    from .kinds.kd import kd
    from .kinds.lskd import lskd
    from .kinds.modality_hints import modality_hints
    from .kinds.multilabel_kd import multilabel_kd
    from .kinds.nkd import nkd
    from .kinds.query_attention_transfer import query_attention_transfer
    from .kinds.regression_kd import regression_kd
    from .kinds.reverse_kd import reverse_kd
    from .kinds.rkd_angle import rkd_angle
    from .kinds.rkd_distance import rkd_distance
    from .kinds.similarity import similarity
    from .kinds.subset_consistency import subset_consistency
    from .kinds.task import task


class LossPart(Protocol):
    """The interface of a loss's module."""

    Settings: type[PartSettings]
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


def __getattr__(name: str) -> Any:
    if name not in TABLE:
        raise AttributeError(f"module 'suffuse.losses' has no attribute '{name}'")
    return getattr(import_module(TABLE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

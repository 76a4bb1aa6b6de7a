"""The classical models that teach together with a network, the cheapest first, and those that a budget leaves out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..data.columns import Columns
from ..recipe import Recipe
from .estimators import LINEAR
from .fit_seconds import feature_seconds, member_seconds

NAME_SEPARATOR = "."  # between a modality, which is an identifier, and the kind of its model


@dataclass(frozen=True)
class Member:
    """A model of one modality."""

    modality: str
    kind: str  # of its estimator
    seconds: float  # a rough estimate for one core, of all folds
    is_single: bool = False  # the modality has no other model

    @property
    def name(self) -> str:
        """Its name in files, weights and tables: ``title``, ``facts.boosting``."""
        return self.modality if self.is_single else f"{self.modality}{NAME_SEPARATOR}{self.kind}"


def modality_of(name: str) -> str:
    """The modality that a member reads."""
    return name.partition(NAME_SEPARATOR)[0]


def portfolio_members(recipe: Recipe, columns: Columns) -> tuple[list[Member], list[Member]]:
    """The members of the teacher's portfolio, and those that are skipped because they don't fit into its ``seconds``.

    Both are in order of their estimated cost. The estimates depend on the recipe and on the number of rows and not on a
    clock, so a run that continues has the same members. The cheapest of each modality is never skipped.
    """
    teacher = recipe.trained
    assert teacher and teacher.portfolio
    portfolio, entries = teacher.portfolio, {name: len(columns.entries[name]) for name in columns.spec.names}
    labelled = len(columns.labelled("train"))
    once = feature_seconds(recipe, entries)
    every: list[Member] = []
    for name in columns.spec.names:
        kinds = portfolio.table_kinds if recipe.modalities[name].kind == "tabular" else (LINEAR,)
        for kind in kinds:
            one_fit = member_seconds(recipe, name, kind, labelled, columns.spec.outputs)
            seconds = once[name] + portfolio.folds * one_fit
            every.append(Member(name, kind, seconds, recipe.modalities[name].kind != "tabular"))
    every.sort(key=lambda member: member.seconds)
    kept, skipped, used, covered = [], [], 0.0, set()
    for member in every:
        fits = portfolio.seconds is None or used + member.seconds <= portfolio.seconds
        if fits or member.modality not in covered:
            kept.append(member)
            covered.add(member.modality)
            used += member.seconds
        else:
            skipped.append(member)
    return kept, skipped


def member_key(recipe: Recipe, columns: Columns, fold: np.ndarray, member: Member) -> str:
    """Hash of what a member's outputs depend on: its kind, the settings of its modality and of a frozen encoder that
    the teacher reads it with, rows, folds and the targets of training rows."""
    teacher, train = recipe.trained, columns.labelled("train")
    encoder = teacher.encoders.get(member.modality) if teacher else None
    settings = recipe.modalities[member.modality].model_dump_json()
    digest = hashlib.sha256(f"{member.name}\n{member.kind}\n{settings}\n{encoder}\n".encode())
    for array in (fold, columns.key, train, columns.target[train]):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def weighted(weights: Mapping[str, Mapping[str, Mapping[str, float]]], name: str) -> bool:
    """Whether a member has a weight in any set of modalities and for any target."""
    return any(of_target.get(name, 0.0) > 0 for of_subset in weights.values() for of_target in of_subset.values())

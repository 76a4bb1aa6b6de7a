"""The trained network and classical models of each modality as one teacher: their late fusion.

A text, picture or recording has one model, a table several (:mod:`suffuse.classical.members`). They are cross-fitted
(:mod:`suffuse.classical.cross_fitting`): a training row is answered by models that weren't fitted on it.
``teacher/portfolio/`` holds their outputs for every row of the run, and the weights of all members for each set of
modalities (:mod:`suffuse.opinion_pool`). Outputs of a member without any weight aren't kept. A row is fused with the
weights of the modalities that it has, or that may be read of it. Taps other than logits are the network's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..activations import softmax
from ..classical.members import modality_of, weighted
from ..data.columns import Columns
from ..errors import SuffuseError
from ..files import read_array, read_json
from ..opinion_pool import NETWORK, pool, pool_weights
from ..types import CLASSES, Spec
from . import Question, Teacher, batch_query
from .matching import FLOOR

FOLDER, WEIGHTS = "portfolio", "weights.json"
MAX_MODALITIES = 4  # up to so many every set of modalities has weights of its own


@dataclass(frozen=True)
class Portfolio:
    """An opened network, the outputs of the classical models, and the weights."""

    network: Teacher
    outputs: Mapping[str, np.ndarray]  # classical model -> (N, C) outputs
    weights: Mapping[str, np.ndarray]  # set of modalities, as `a+b` -> (H, 1 + M), the network's first
    columns: Columns

    @classmethod
    def open(cls, network: Teacher, columns: Columns, folder: Path) -> Portfolio:
        """Open what ``teach`` wrote. Raises SuffuseError where it isn't complete."""
        written = read_json(folder / WEIGHTS)
        if written is None:
            raise SuffuseError("the portfolio has no weights", where=folder / WEIGHTS)
        named = next(iter(next(iter(written.values())).values()))
        members = [name for name in named if name == NETWORK or weighted(written, name)]
        outputs = {name: read_array(folder / f"{name}.npy", "r") for name in members if name != NETWORK}
        weights = {
            subset: np.array([[of_target[member] for member in members] for of_target in of_subset.values()])
            for subset, of_subset in written.items()
        }
        return cls(network, outputs, weights, columns)

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities: each has a classical model."""
        return self.columns.spec.names

    def fingerprint(self) -> str:
        """Hash of the network, of all outputs and of the weights."""
        digest = hashlib.sha256(self.network.fingerprint().encode())
        for name, outputs in self.outputs.items():
            digest.update(name.encode() + np.ascontiguousarray(outputs).tobytes())
        for subset, weights in self.weights.items():
            digest.update(subset.encode() + weights.tobytes())
        return digest.hexdigest()

    def facts(self) -> dict[str, Any]:
        """Facts of the network, and the members' names."""
        return {**self.network.facts(), "members": [NETWORK, *self.outputs]}

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """The pieces of the network."""
        return self.network.pieces(rows, size)

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """The fused logits (B, C) float32, and the network's other taps. The classical models answer an augmented
        row as the row itself."""
        visible = None if question.modalities is None else set(question.modalities)
        read = self.network.modalities
        seen = None if visible is None else tuple(name for name in read if name in visible)
        taps = self.network.answer(Question(question.rows, seen, question.view))
        names = self.columns.spec.names
        kept = np.array([visible is None or name in visible for name in names])
        present = self.columns.present[question.rows] & kept
        return {**taps, "logits": self.fused(taps["logits"], question.rows, present)}

    def fused(self, network_logits: np.ndarray, rows: np.ndarray, present: np.ndarray) -> np.ndarray:
        """(B, C) float32 of rows that have the modalities ``present`` (B, M); the network saw no others."""
        spec, logits = self.columns.spec, np.empty((len(rows), self.columns.spec.outputs), np.float32)
        for mask in np.unique(present, axis=0):
            positions = np.flatnonzero((present == mask).all(1))
            subset = "+".join(name for name, kept in zip(spec.names, mask, strict=True) if kept)
            weights = self.weights.get(subset, self.weights["+".join(spec.names)])
            outputs = member_outputs(spec, network_logits[positions], self.outputs, rows[positions], mask)
            logits[positions] = pool(spec, weights, outputs)
        return logits


def member_outputs(
    spec: Spec, network_logits: np.ndarray, outputs: Mapping[str, np.ndarray], rows: np.ndarray, mask: np.ndarray
) -> list[np.ndarray]:
    """1 + M arrays (B, C): of the network, and of each classical model; of one whose modality is hidden the prior."""
    prior = np.tile(np.asarray(spec.log_prior, np.float32), (len(rows), 1))
    parts = [
        np.log(np.maximum(softmax(part), FLOOR)) if head.kind == CLASSES else part
        for head, part in spec.parts(network_logits)
    ]
    network = np.concatenate(parts, axis=1) if mask.any() else prior
    is_kept = dict(zip(spec.names, mask, strict=True))
    return [network, *(values[rows] if is_kept[modality_of(name)] else prior for name, values in outputs.items())]


def subsets(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The sets of modalities that have weights: all of them up to MAX_MODALITIES, else all modalities, each alone, and
    all but one."""
    sizes = range(1, len(names) + 1) if len(names) <= MAX_MODALITIES else sorted({1, len(names) - 1, len(names)})
    return [subset for size in sizes for subset in combinations(names, size)]


def subset_weights(
    network: Teacher, columns: Columns, outputs: Mapping[str, np.ndarray], rows: np.ndarray
) -> dict[str, dict[str, dict[str, float]]]:
    """Set of modalities -> target -> member -> weight, from ``rows`` that no member was fitted on. A member whose
    modality isn't in the set has weight 0."""
    spec, weights = columns.spec, {}
    for subset in subsets(spec.names):
        mask = np.array([name in subset for name in spec.names])
        complete = rows[columns.present[rows][:, mask].all(1)]
        seen = tuple(name for name in network.modalities if name in subset)
        logits = np.zeros((0, spec.outputs), np.float32)
        if len(complete):
            logits = batch_query.logits(network, complete, names=seen)
        visible = {name: values for name, values in outputs.items() if modality_of(name) in subset}
        members = member_outputs(spec, logits, visible, complete, mask)
        matrix = pool_weights(spec, members, columns.target[complete], same_inputs=len(subset) == 1)
        weights["+".join(subset)] = {
            head.name: dict.fromkeys([NETWORK, *outputs], 0.0)
            | dict(zip([NETWORK, *visible], row.tolist(), strict=True))
            for head, row in zip(spec.heads, matrix, strict=True)
        }
    return weights

"""Logits of a model on every subset of its inputs: the basis of ``missing``, ``contribution`` and ``temperature``.

An input is what a row has, in however many forms models read it. A teacher may read a photo at 224 pixels for its
pretrained encoder, and its student the same photo at 64: two modalities of one column. A row without the photo lacks
both. So subsets, missing rates, contributions and ablations are of inputs: the modalities of the same columns, named
after the student's one (or the first, where the student reads none). This makes student and teacher comparable.
Shapes: I inputs, M modalities, S subsets, n sampled test rows, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..recipe import Recipe
from ..shapley import listed, masks
from .context import MAX_SUBSET_LOGITS, MIN_ROWS, Context, Member, Model
from .models import Exported, prior_logits
from .size import Macs, affordable_rows


def input_names(recipe: Recipe) -> dict[str, str]:
    """Modality -> name of its input."""
    first: dict[frozenset[str], str] = {}
    for name in (*recipe.student.encoders, *recipe.modalities):
        first.setdefault(frozenset(recipe.modalities[name].columns), name)
    return {name: first[frozenset(modality.columns)] for name, modality in recipe.modalities.items()}


def group_inputs(recipe: Recipe, modalities: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """M modalities -> the names of their I inputs, in the order of the recipe, and (I, M) bool: the modalities of each
    input."""
    input_of = input_names(recipe)
    used = {input_of[name] for name in modalities}
    inputs = tuple(name for name in recipe.modalities if name in used)
    forms = [[input_of[name] == input_name for name in modalities] for input_name in inputs]
    return inputs, np.array(forms, dtype=bool).reshape(len(inputs), len(modalities))


def present_inputs(present: np.ndarray, forms: np.ndarray) -> np.ndarray:
    """present (N, M), which modalities a row has, and forms (I, M) -> (N, I): the inputs it has in some form."""
    return np.asarray((present[:, None, :] & forms).any(2))


@dataclass(frozen=True)
class Subsets:
    """A model's logits, seed by seed, on S subsets of its I inputs and n of the test rows."""

    inputs: tuple[str, ...]  # I names
    present: np.ndarray  # (S, I) bool, the inputs of each subset
    logits: dict[str, np.ndarray]  # seed -> (S, n, C)
    modalities: tuple[str, ...]  # M names, those that the model reads
    forms: np.ndarray  # (I, M) bool, the modalities of each input

    @property
    def exhaustive(self) -> bool:
        """Whether all subsets are included, in the order of :func:`suffuse.shapley.masks`."""
        count = len(self.inputs)
        return len(self.present) == 2**count and bool((self.present == masks(count)).all())

    @property
    def titles(self) -> list[str]:
        """``picture+question``, ..., ``nothing``."""
        return [subset_title(self.inputs, mask) for mask in self.present]

    @property
    def export_titles(self) -> list[str]:
        """The same subsets as an export names them, by modalities."""
        return [subset_title(self.modalities, np.asarray(self.forms[mask].any(0))) for mask in self.present]

    def index(self, *inputs: str) -> int:
        """The position of the subset of these inputs."""
        mask = np.isin(self.inputs, inputs)
        return int(np.flatnonzero((self.present == mask).all(1))[0])

    def index_without(self, name: str) -> int:
        """The position of the subset of all inputs but one."""
        return self.index(*(other for other in self.inputs if other != name))


def subset_title(names: tuple[str, ...], mask: np.ndarray) -> str:
    """The name of a subset, as exports write it."""
    return "+".join(name for name, kept in zip(names, mask, strict=True) if kept) or "nothing"


def subset_rows(context: Context) -> np.ndarray:
    """(n,) positions in the test rows that subsets are evaluated on: as many as the recipe says, fewer where the logits
    of one seed would take too much memory, or networks are heavy."""
    key = ("rows", "subsets")
    if key not in context.cache:
        room = MAX_SUBSET_LOGITS // (len(listed(len(context.spec.names))) * context.spec.outputs)
        limit = min(context.recipe.evaluate.probe_rows, max(room, MIN_ROWS))
        count = affordable_rows(context, lambda member, macs: _cost(context.recipe, member, macs), limit)
        context.cache[key] = context.sample(count)
    return context.cache[key]


def _cost(recipe: Recipe, member: Member, macs: Macs) -> float:
    """MACs of one row: a network encodes it once and fuses every subset, an exported form computes each subset."""
    subsets = len(listed(len(group_inputs(recipe, member.names)[0])))
    return subsets * macs.total if isinstance(member, Exported) else macs.total + subsets * macs.fusion


def subset_logits(context: Context, model: Model) -> Subsets:
    """The model's logits on every subset, computed once. The last subset has the logits of the rows as they are, the
    empty one those of the training prior."""
    key = ("subsets", model.name)
    if key not in context.cache:
        context.cache[key] = _compute_subsets(context, model)
    return context.cache[key]


def _compute_subsets(context: Context, model: Model) -> Subsets:
    positions = subset_rows(context)
    modalities = next(iter(model.members.values())).names
    inputs, forms = group_inputs(context.recipe, modalities)
    subsets, by_seed = listed(len(inputs)), {}
    kept = subsets[1:-1] @ forms
    for number, (seed, member) in enumerate(model.members.items()):
        context.tell(number / len(model.members), f"{model.name}: subsets of modalities")
        logits = np.empty((len(subsets), len(positions), context.spec.outputs), dtype=np.float32)
        logits[0], logits[-1] = prior_logits(context.spec), model.logits[seed][positions]
        if len(kept):
            row_masks = np.broadcast_to(kept[:, None], (len(kept), len(positions), len(modalities)))
            logits[1:-1] = member.masked_logits(context.rows[positions], np.ascontiguousarray(row_masks))
        by_seed[seed] = logits
    return Subsets(inputs, subsets, by_seed, modalities, forms)


def masked_logits(context: Context, model: Model, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Seed -> (K, n, C): the model's logits where each row keeps the inputs that ``kept`` (K, n, I), over all inputs of
    the data, marks. Looked up where the logits of every subset are known."""
    subsets = subset_logits(context, model)
    data_inputs = group_inputs(context.recipe, context.spec.names)[0]
    places = [data_inputs.index(name) for name in subsets.inputs]
    rows = context.rows[subset_rows(context)]
    present = context.columns.present[rows][:, [context.spec.names.index(name) for name in subsets.modalities]]
    # an input that a row lacks counts as kept, so a row that keeps all it has gets its logits on the last subset
    masks = kept[:, :, places] | ~present_inputs(present, subsets.forms)
    if subsets.exhaustive:
        code = (masks * 2 ** np.arange(len(places))).sum(2)
        return {seed: logits[code, np.arange(len(rows))] for seed, logits in subsets.logits.items()}
    computed = {seed: member.masked_logits(rows, masks @ subsets.forms) for seed, member in model.members.items()}
    complete = np.expand_dims(masks.all(2), 2)
    return {seed: np.where(complete, subsets.logits[seed][-1], logits) for seed, logits in computed.items()}

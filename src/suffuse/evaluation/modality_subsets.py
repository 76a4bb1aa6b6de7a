"""Every subset of a model's inputs, on the same rows: what `missing`, `contribution` and `temperature` build on.

An input is what a row has, whatever forms of it a model reads (:mod:`suffuse.evaluation.row_inputs`); mostly one
modality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..recipe import Recipe
from ..shapley import listed, masks
from ..types import Spec
from .context import LEAST, NUMBERS, Context, Member, Model
from .macs import Work, affordable
from .model_adapters import Exported
from .row_inputs import grouped, there


@dataclass(frozen=True)
class Subsets:
    """A model's answers, seed by seed, on S subsets of its I inputs and n of the test rows."""

    names: tuple[str, ...]  # of the inputs
    there: np.ndarray  # (S, I) bool, which inputs each subset has
    logits: dict[str, np.ndarray]  # seed -> (S, n, C)
    modalities: tuple[str, ...]  # M, that the model reads
    forms: np.ndarray  # (I, M) bool, the modalities of each input

    @property
    def exact(self) -> bool:
        """Whether every subset is there, as :func:`suffuse.shapley.masks` orders them."""
        count = len(self.names)
        return len(self.there) == 2**count and bool((self.there == masks(count)).all())

    @property
    def titles(self) -> list[str]:
        """``picture+question``, ..., ``nothing``."""
        return [title(self.names, one) for one in self.there]

    @property
    def exported(self) -> list[str]:
        """The same subsets as an export calls them, by their modalities."""
        return [title(self.modalities, np.asarray(self.forms[one].any(0))) for one in self.there]

    def at(self, *names: str) -> int:
        """The position of the subset of these inputs."""
        wanted = np.isin(self.names, names)
        return int(np.flatnonzero((self.there == wanted).all(1))[0])


def title(names: tuple[str, ...], there: np.ndarray) -> str:
    """A subset in words, as exports call it."""
    return "+".join(n for n, here in zip(names, there, strict=True) if here) or "nothing"


def rows_of(context: Context) -> np.ndarray:
    """(n,) positions in the test rows that `missing` and `contribution` look at: as many as the recipe says, fewer
    where all answers of one seed would be too much to hold, or networks are heavy."""
    key = ("rows", "subsets")
    if key not in context.memory:
        room = NUMBERS // (len(listed(len(context.spec.names))) * context.spec.outputs)
        most = min(context.recipe.evaluate.probe_rows, max(room, LEAST))
        context.memory[key] = context.few(affordable(context, lambda *one: _cost(context.recipe, *one), most))
    return context.memory[key]


def _cost(recipe: Recipe, member: Member, work: Work) -> float:
    """Of one row: a network encodes it once and fuses every subset, an exported form computes each."""
    subsets = len(listed(len(grouped(recipe, member.names)[0])))
    return subsets * work.whole if isinstance(member, Exported) else work.whole + subsets * work.fusion


def subsets(context: Context, model: Model) -> Subsets:
    """The model's answers to every subset, computed once. The whole one is what it said of the rows as they are, the
    empty one the training prior."""
    key = ("subsets", model.who)
    if key not in context.memory:
        context.memory[key] = _asked(context, model)
    return context.memory[key]


def _asked(context: Context, model: Model) -> Subsets:
    where = rows_of(context)
    modalities = next(iter(model.members.values())).names
    names, forms = grouped(context.recipe, modalities)
    subset, found = listed(len(names)), {}
    kept = subset[1:-1] @ forms
    for number, (seed, member) in enumerate(model.members.items()):
        context.tell(number / len(model.members), f"{model.who}: subsets of modalities")
        inner = np.broadcast_to(kept[:, None], (len(kept), len(where), len(modalities)))
        said = np.empty((len(subset), len(where), context.spec.outputs), dtype=np.float32)
        said[0], said[-1] = prior(context.spec), model.logits[seed][where]
        if len(inner):
            said[1:-1] = member.under(context.rows[where], np.ascontiguousarray(inner))
        found[seed] = said
    return Subsets(names, subset, found, modalities, forms)


def prior(spec: Spec) -> np.ndarray:
    """(C,) logits of the training prior."""
    return np.array(spec.log_prior, dtype=np.float32)


def under(context: Context, model: Model, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Seed -> (K, n, C): the model where each of the rows keeps what ``kept`` (K, n, I), of all the data's inputs,
    says. Looked up where every subset is there."""
    found = subsets(context, model)
    places = [grouped(context.recipe, context.spec.names)[0].index(name) for name in found.names]
    rows = context.rows[rows_of(context)]
    present = context.columns.present[rows][:, [context.spec.names.index(name) for name in found.modalities]]
    # what a row lacks anyway counts as kept: all that it has is the whole subset, its answer that to the row as it is
    own = kept[:, :, places] | ~there(present, found.forms)
    if found.exact:
        code = (own * 2 ** np.arange(len(places))).sum(2)
        return {seed: said[code, np.arange(len(rows))] for seed, said in found.logits.items()}
    asked = {seed: member.under(rows, own @ found.forms) for seed, member in model.members.items()}
    whole = np.expand_dims(own.all(2), 2)
    return {seed: np.where(whole, found.logits[seed][-1], said) for seed, said in asked.items()}

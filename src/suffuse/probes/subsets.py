"""Every subset of a model's modalities, on the same rows: what `missing`, `contribution` and `temperature` build on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..shapley import masks
from ..types import Spec
from .context import LEAST, NUMBERS, Context, Member, Model
from .members import Exported
from .work import Work, affordable

EVERY = 5  # modalities of which every subset is asked; of more all, all but one, single ones and none


@dataclass(frozen=True)
class Subsets:
    """A model's answers, seed by seed, on S subsets of its M modalities and n of the test rows."""

    names: tuple[str, ...]  # of the modalities
    there: np.ndarray  # (S, M) bool, which modalities each subset has
    logits: dict[str, np.ndarray]  # seed -> (S, n, C)

    @property
    def exact(self) -> bool:
        """Whether every subset is there, as :func:`suffuse.shapley.masks` orders them."""
        count = len(self.names)
        return len(self.there) == 2**count and bool((self.there == masks(count)).all())

    @property
    def titles(self) -> list[str]:
        """``picture+question``, ..., ``nothing``."""
        return [title(self.names, one) for one in self.there]

    def at(self, *names: str) -> int:
        """The position of the subset of these modalities."""
        wanted = np.isin(self.names, names)
        return int(np.flatnonzero((self.there == wanted).all(1))[0])


def title(names: tuple[str, ...], there: np.ndarray) -> str:
    """A subset in words, as exports call it."""
    return "+".join(n for n, here in zip(names, there, strict=True) if here) or "nothing"


def listed(modalities: int) -> np.ndarray:
    """(S, M) bool: every subset, nothing first and all last; of many modalities a choice of them."""
    if modalities <= EVERY:
        return masks(modalities)
    one = np.eye(modalities, dtype=bool)
    return np.concatenate(
        [np.zeros((1, modalities), dtype=bool), one, ~one[::-1], np.ones((1, modalities), dtype=bool)]
    )


def rows_of(context: Context) -> np.ndarray:
    """(n,) positions in the test rows that `missing` and `contribution` look at: as many as the recipe says, fewer
    where all answers of one seed would be too much to hold, or networks are heavy."""
    key = ("rows", "subsets")
    if key not in context.memory:
        room = NUMBERS // (len(listed(len(context.spec.names))) * context.spec.outputs)
        most = min(context.recipe.evaluate.probe_rows, max(room, LEAST))
        context.memory[key] = context.few(affordable(context, _cost, most))
    return context.memory[key]


def _cost(member: Member, work: Work) -> float:
    """Of one row: a network encodes it once and fuses every subset, an exported form computes each."""
    subsets = len(listed(len(member.names)))
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
    names = next(iter(model.members.values())).names
    there, found = listed(len(names)), {}
    for number, (seed, member) in enumerate(model.members.items()):
        context.tell(number / len(model.members), f"{model.who}: subsets of modalities")
        inner = np.broadcast_to(there[1:-1, None], (len(there) - 2, len(where), len(names)))
        said = np.empty((len(there), len(where), context.spec.outputs), dtype=np.float32)
        said[0], said[-1] = prior(context.spec), model.logits[seed][where]
        if len(inner):
            said[1:-1] = member.under(context.rows[where], np.ascontiguousarray(inner))
        found[seed] = said
    return Subsets(names, there, found)


def prior(spec: Spec) -> np.ndarray:
    """(C,) logits of the training prior."""
    return np.array(spec.log_prior, dtype=np.float32)


def under(context: Context, model: Model, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Seed -> (K, n, C): the model where each of the rows keeps what ``kept`` (K, n, M), of all the data's
    modalities, says. Looked up where every subset is there."""
    found = subsets(context, model)
    places = [context.spec.names.index(name) for name in found.names]
    rows = context.rows[rows_of(context)]
    # what a row lacks anyway counts as kept: all that it has is the whole subset, its answer that to the row as it is
    own = kept[:, :, places] | ~context.columns.present[rows][:, places]
    if found.exact:
        code = (own * 2 ** np.arange(len(places))).sum(2)
        return {seed: said[code, np.arange(len(rows))] for seed, said in found.logits.items()}
    asked = {seed: member.under(rows, own) for seed, member in model.members.items()}
    whole = np.expand_dims(own.all(2), 2)
    return {seed: np.where(whole, found.logits[seed][-1], said) for seed, said in asked.items()}

"""Some test rows explained: which modality made the teacher's and the student's answer to the first target, and in it
which region, words, seconds or columns.

Three rows, by a rule that leaves no choice: both right and the less sure of the two surest; the teacher right and the
student surest of a wrong answer; the student least sure. Of a number: both nearest to the truth; the student further
off than the teacher by most; the two furthest apart. They are among the rows that lack least. Everything is asked by
occlusion, which needs no gradients and costs a pass for each part; of a network that is too large for that only the
modalities are told (:mod:`suffuse.evaluation.macs`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.training_record import best_seed
from ..explaining.explanation import answer, cuts, explained, only_modalities
from ..explaining.perturbation import OfNetwork
from ..types import LABELS, NUMBER, Head
from .agreement import right
from .context import Context, Member, Model
from .macs import BUDGET, of
from .model_adapters import Network

WHO = ("teacher", "student")


def probe(context: Context) -> dict[str, dict]:
    """``explained`` of the teacher and the student, row by row the same ones: ``why``, ``number`` and the answer."""
    if not set(WHO) <= set(context.models):
        return {}
    picked = chosen(context)
    return {who: {"explained": rows(context, context.models[who], picked)} for who in WHO}


def chosen(context: Context) -> list[tuple[str, int]]:
    """(why, position in the test rows), in order; no row twice, and none where no row is such a one."""
    spec = context.spec
    head, wanted = spec.targets(context.target)[0]
    theirs, ours = (_said(context, context.models[who]) for who in WHO)
    there = context.columns.present[context.rows].sum(1)
    open_ = head.known(wanted) & context.memory.get("answered", np.ones(len(wanted), dtype=bool))
    open_ &= there == there[open_].max(initial=0)
    picked: dict[int, str] = {}
    for why, worth in _worth(head, theirs, ours, wanted).items():
        left = np.where(open_ & ~np.isin(np.arange(len(worth)), list(picked)), worth, -np.inf)
        if np.isfinite(left).any():
            picked[int(left.argmax())] = why
    return [(why, position) for position, why in picked.items()]


def _worth(head: Head, theirs: np.ndarray, ours: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Why -> (N,) how well each row serves for it, -inf where it doesn't. Answers (N, C)."""
    if head.kind == NUMBER:
        true = target.astype(float) * head.std + head.mean
        far, near = np.abs(ours[:, 0] - true), np.abs(theirs[:, 0] - true)
        lost = np.where(far > near, far - near, -np.inf)
        return {"close": -np.maximum(far, near), "further": lost, "apart": np.abs(ours[:, 0] - theirs[:, 0])}
    known, mine = right(head, theirs, target), right(head, ours, target)
    sure = _sure(head, ours)
    both = np.minimum(sure, _sure(head, theirs))
    return {
        "agreed": np.where(known & mine, both, -np.inf),
        "lost": np.where(known & ~mine, sure, -np.inf),
        "unsure": -sure,
    }


def _sure(head: Head, said: np.ndarray) -> np.ndarray:
    """(N,) of the answer; of labels, of the least sure one."""
    return np.maximum(said, 1 - said).min(1) if head.kind == LABELS else said.max(1)


def _said(context: Context, model: Model) -> np.ndarray:
    """(N, C) answers to the first target."""
    return context.spec.parts(model.answers(context.spec)[_seed(model)])[0][1]


def _seed(model: Model) -> str:
    """The seed that stands for a model: the teacher's that was distilled, the student's that is exported."""
    first, member = next(iter(model.members.items()))
    if model.who == "teacher" or not isinstance(member, Network):
        return model.reference or first
    return best_seed(member.folder.parent)


def rows(context: Context, model: Model, picked: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Each picked row, explained."""
    member = model.members[_seed(model)]
    inside = isinstance(member, Network) and affordable(context, member, picked)
    found = []
    for at, (why, position) in enumerate(picked):
        context.tell(at / len(picked), f"{model.who}: an answer explained")
        row = int(context.rows[position])
        told = _one(context, member, row, inside) if not member.hindrance else _hindered(context, model, position)
        found.append({"why": why, "number": row + 1, **told})
    return found


def affordable(context: Context, member: Network, picked: list[tuple[str, int]]) -> bool:
    """Whether a network may be asked about every part of these rows: as the recipe and the data say, never a clock."""
    settings = context.recipe.modalities
    asks = sum(
        1 + len(cut.labels)
        for _, position in picked
        for cut in cuts(_asked(context, member, int(context.rows[position])), settings).values()
    )
    return asks * of(context, member).whole <= BUDGET / len(WHO)


def _asked(context: Context, member: Network, row: int) -> OfNetwork:
    model = member.opened[0]
    return OfNetwork(model, context.columns.of(model.spec.names), row)


def _one(context: Context, member: Member, row: int, inside: bool) -> dict[str, Any]:
    if isinstance(member, Network):
        method = "occlusion" if inside else None
        return explained(_asked(context, member, row), context.recipe.modalities, 0, method)
    names = member.names
    present = context.columns.of(names).present[row]

    def ask(subsets: np.ndarray) -> np.ndarray:
        kept = np.zeros((len(subsets), 1, len(names)), dtype=bool)
        kept[:, 0, np.flatnonzero(present)] = subsets
        return member.under(np.array([row]), kept)[:, 0]

    return only_modalities(names, present, ask, (context.spec, 0))


def _hindered(context: Context, model: Model, position: int) -> dict[str, Any]:
    """Its answer alone."""
    found = answer(context.spec, model.logits[_seed(model)][position], 0)
    why = model.members[_seed(model)].hindrance
    return {**found, "modalities": [], "absent": [], "parts": {}, "note": why}

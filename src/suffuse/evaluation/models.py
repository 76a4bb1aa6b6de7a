"""The models of a run: who there is, in which seeds and exported forms, and what each says of the test rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.training_record import best_seed
from ..files import read_json
from ..predictor import SIGNATURE
from ..progress import Tell
from ..run import Run
from .context import Member, Model
from .model_adapters import Exported, Network


def folders(run: Run) -> dict[str, list[Path]]:
    """Who -> the folders of its seeds: the teacher, if the run trained it, and everything that distill trained."""
    found: dict[str, list[Path]] = {}
    for stage in ("teach", "distill"):
        for file in sorted((run.stamp(stage) or {"outputs": {}})["outputs"]):
            who, *rest = Path(file).parts
            if len(rest) == 2 and rest[1] == "model.safetensors" and who != "folds":
                found.setdefault("teacher" if who == "teachers" else who, []).append(run.path(who, rest[0]))
    return {**({"teacher": [run.path("teacher")]} if run.recipe.trained else {}), **found}


def forms(folder: Path) -> dict[str, str | None]:
    """Who -> form, of an export: ``export`` is the form that is run by default, others are called after theirs."""
    signature = read_json(folder / SIGNATURE) or {}
    listed, usual = list(signature.get("forms") or ()), signature.get("form")
    others: dict[str, str | None] = {f"export-{form}": form for form in listed if form != usual} if usual else {}
    return {"export": usual, **others}


def gather(run: Run, columns: Columns, rows: np.ndarray, outside: Member | None, tell: Tell) -> dict[str, Model]:
    """Who -> model, with its answers to ``rows``; ``majority``, and the exports among them. ``outside``: a teacher
    that the run didn't train; where it abstains, the training prior answers for it."""
    prior = np.array(columns.spec.log_prior, dtype=np.float32)
    found = {"majority": Model("majority", {"": np.tile(prior, (len(rows), 1))})}
    makers: dict[str, Callable[[], Model]] = {}
    if outside is not None:
        makers["teacher"] = lambda: _model("teacher", {"": outside}, rows)
    for who, places in folders(run).items():
        makers[who] = lambda who=who, places=places: _trained(run, who, places, columns, rows)
    for who, form in forms(run.path("export")).items():
        makers[who] = lambda who=who, form=form: _exported(run, who, form, columns, rows)
    for number, (who, maker) in enumerate(makers.items()):
        tell(number / len(makers), who)
        found[who] = maker()
    return found


def _trained(run: Run, who: str, places: list[Path], columns: Columns, rows: np.ndarray) -> Model:
    members: dict[str, Member] = {p.name: Network(p, columns, feature_cache.place(run)) for p in places}
    taught = best_seed(run.path("teachers")) if who == "teacher" and len(places) > 1 else places[0].name
    beside = run.path("export-teacher") if who == "teacher" else None
    return _model(who, members, rows, taught, beside if beside and beside.exists() else None)


def _exported(run: Run, who: str, form: str | None, columns: Columns, rows: np.ndarray) -> Model:
    folder = run.path("export")
    members: dict[str, Member] = {"": Exported(folder, columns, run.recipe.compute.threads, form)}
    made = _model(who, members, rows, folder=folder)
    return Model(who, made.logits, members, "", folder, form)


def _model(
    who: str, members: dict[str, Member], rows: np.ndarray, reference: str = "", folder: Path | None = None
) -> Model:
    return Model(who, {seed: one.logits(rows) for seed, one in members.items()}, members, reference, folder)

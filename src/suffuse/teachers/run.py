"""A network of another suffuse run (or an exported folder) as the teacher: it reads the raw cells of this run's rows
through its own preprocessing, has its own modalities and its own order of labels.

A run whose network equals the student's makes it a born-again one (Furlanello et al. 2018): the same network, distilled
from its older self.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import Field

from ..errors import UsageError
from ..files import read_json
from ..integrity import exported, in_run, require
from ..registry import NameMap, TeacherSettings
from ..types import Head
from .suffuse_network import NetworkSource, check_kinds, find_columns

if TYPE_CHECKING:
    from ..model import FusionModel
    from ..predictor import Predictor
    from ..prepare.raw_cells import RawRows


class Settings(TeacherSettings):
    """Which run, and which of its networks."""

    kind: Literal["run"] = "run"
    FILES: ClassVar = ("folder",)
    folder: str  # of a finished run, or an exported folder
    model: Literal["teacher", "student", "export"] = "teacher"  # the student that was best on validation
    columns: NameMap = Field(default_factory=dict)  # that run's column -> this table's, where they differ
    batch: int = Field(default=256, ge=1)

    def references(self) -> dict[str, str]:
        """The network's folder, and the recipe that says how cells are read."""
        place = Path(self.folder)
        if self.model == "export":
            return {"folder": str(place / "export" if in_run(place) else place)}
        return {"folder": str(place / self.model), "recipe": str(place / "recipe.yaml")}


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> NetworkSource:
    """Open the run's network, and find the columns of this table that it reads.

    Raises UsageError where there is no such run or column, or it learned another kind of target.
    """
    model, predictor, mark = _loaded(settings, where, raw.root.allowed_dir)
    check_kinds(predictor.heads, heads, where)
    if model is not None:
        from ..engine.runtime import device_of

        model = model.to(device_of(raw.run.recipe.compute))
    return NetworkSource(
        predictor, model, raw, find_columns(predictor, raw, settings.columns, where), settings.batch, mark
    )


def _loaded(settings: Settings, where: str, allowed: str) -> tuple[FusionModel | None, Predictor, str]:
    from ..predictor import Derivation, Input, Predictor

    place = Path(settings.folder)
    if settings.model == "export":
        folder = exported(place)
        predictor = Predictor.load(folder, model_files=allowed)
        return None, predictor, hashlib.sha256((folder / "signature.json").read_bytes()).hexdigest()
    from .. import derive, modalities
    from ..engine.seed_selection import best_seed
    from ..model import open_model
    from ..recipe import read_recipe

    folder = place / settings.model
    if not (place / "recipe.yaml").is_file() or not folder.is_dir():
        hint = "the folder of a finished run; `model: export` takes an exported folder"
        raise UsageError("no such run", where=f"{where}.folder", got=f"'{folder}'", hint=hint)
    folder = folder if settings.model == "teacher" else folder / best_seed(folder)
    if not (folder / "model.safetensors").is_file():
        hint = "its teacher came from outside: name that one here, or take `model: student`"
        raise UsageError("this run has no network of its own there", where=f"{where}.folder", got=folder, hint=hint)
    require(place, "prepare", "teach" if settings.model == "teacher" else "distill")
    recipe, model = read_recipe(place / "recipe.yaml", own=False), open_model(folder)
    model.requires_grad_(False)
    schema = read_json(place / "data" / "schema.json") or {}
    inputs = tuple(
        Input(f, recipe.modalities[f.name], modalities.load_modality(f.kind)) for f in model.spec.fields
    )  # fmt: skip
    derived = {}
    for name, described in schema.get("derive", {}).items():
        chosen = cast(Any, recipe.data.derive[name])
        derived[name] = Derivation(chosen, derive.load_derivation(chosen.kind), described["facts"])
        derived[name].check_files(name, allowed)
    reads = [i.settings.model_dump(mode="json") for i in inputs]
    facts = json.dumps([model.spec.to_json(), reads, schema.get("derive")], sort_keys=True)
    predictor = Predictor(model.spec.heads, inputs, cast(Any, None), derived)
    return model, predictor, hashlib.sha256(facts.encode()).hexdigest()

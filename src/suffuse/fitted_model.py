"""From rows to a model: ``fit`` proposes a recipe, runs it, and returns the run with its predictor and report."""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import sources
from .epoch_events import Callback
from .errors import UsageError, did_you_mean
from .predictor import Prediction, Predictor
from .prepare.forced_roles import ROLES
from .prepare.recipe_proposal import Choices
from .recipe.yaml_io import yaml_text
from .run import Run
from .sources.frame import save_rows
from .table_run import TableRun, choose_folder, recipe_file, run_table, table_name
from .time_budget import TimeBudget

ROWS = "rows"  # what a run of rows in memory is called
SOURCE = "source.parquet"  # where these rows are kept, in the run's folder


@dataclass(frozen=True)
class FittedModel:
    """A finished run, and the exported student that it made."""

    run: Run

    @cached_property
    def predictor(self) -> Predictor:
        """The exported student. Needs no torch."""
        return Predictor.load(self.run.path("export"))

    @property
    def recipe(self) -> Path:
        """The proposed recipe: edit it, then ``suffuse run`` on it."""
        return recipe_file(self.run.folder)

    def predict(self, rows: Any, threshold: float | None = None) -> Prediction | list[Prediction]:
        """A frame, a list of records, or a table's path -> a list of predictions; one record -> its prediction. As
        :meth:`Predictor.predict`, which says more."""
        records, root = _records(rows)
        return self.predictor.predict(records, root, threshold=threshold)

    def predict_proba(self, rows: Any) -> np.ndarray:
        """The same rows -> (N, C) probabilities, in the order of ``predictor.classes()``."""
        records, root = _records(rows)
        return self.predictor.predict_proba(records, root)

    def evaluate(self, rows: Any) -> dict[str, dict[str, float]]:
        """Target -> metrics on rows that have the targets' columns too, as :meth:`Predictor.evaluate`."""
        records, root = _records(rows)
        return self.predictor.evaluate(records, root)

    def report(self) -> Path:
        """The file of the report's page. Opens nothing."""
        return self.run.path("report.html")

    def __repr__(self) -> str:
        return f"FittedModel({str(self.run.folder)!r}, target={', '.join(self.run.recipe.data.targets)!r})"

    def _repr_html_(self) -> str:
        return f"<div><code>{html.escape(repr(self))}</code></div>{self.run._repr_html_()}"


def fit(  # noqa: PLR0913  # keyword options of the entry point
    rows: Any,
    target: str,
    minutes: float | None = None,
    folder: str | Path | None = None,
    *,
    preset: str = "good",
    teacher: str | None = None,
    roles: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
) -> FittedModel:
    """Propose a recipe for predicting the column ``target``, run it, and return the model.

    ``rows`` is a pandas or Polars frame, a Hugging Face dataset, an Arrow table, a list of records, or a table's
    path. ``minutes``: a time budget; epochs, seeds and baselines are chosen so that the run fits, by steps timed on
    this machine, and a warning says what doesn't fit. ``folder``: of the run; by default a new one below ``runs/``.
    The recipe stands beside it, ``FOLDER.yaml``. ``preset``: fast, good or best. ``teacher``: small, pretrained or
    finetuned; by default pretrained where an encoder is installed, finetuned on a GPU. ``roles``: column -> text,
    number, category, image, audio or ignored, where the inferred role is wrong. ``settings``: recipe key -> value,
    such as ``{"student.fusion.width": 16}``. ``callbacks``: objects whose ``on_epoch_end`` is told of every epoch.

    Raises UsageError where there is nothing to predict, nothing to predict it from, or a run in the folder.
    """
    if minutes is not None and not minutes > 0:
        raise UsageError("this is no time budget", where="minutes", got=minutes, expected="more than 0")
    budget = None if minutes is None else TimeBudget(minutes)
    choices = Choices(roles=_checked_roles(roles or {}), teacher=teacher)
    texts = tuple(
        f"{key}={yaml_text(value, default_flow_style=True).strip()}" for key, value in (settings or {}).items()
    )
    is_path = isinstance(rows, (str, Path))
    place = choose_folder(table_name(str(rows)) if is_path else ROWS, folder)
    source = str(rows) if is_path else _saved(rows, place)
    order = TableRun(source, target, place, preset, choices, texts, None if is_path else ".")
    return FittedModel(run_table(order, budget, callbacks))


def _saved(rows: Any, place: Path) -> str:
    """The file of rows in memory, in the run's new folder, which is removed where they can't be written."""
    try:
        return str(save_rows(rows, place / SOURCE))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _checked_roles(roles: Mapping[str, str]) -> dict[str, str]:
    for column, role in roles.items():
        if role not in ROLES:
            raise UsageError("no such role", where=f"roles: '{column}'", got=role, hint=did_you_mean(role, ROLES))
    return dict(roles)


def _records(rows: Any) -> tuple[Any, str | Path]:
    """What the predictor takes, and the folder that relative paths start from: a table's own, else the current one."""
    if not isinstance(rows, (str, Path)):
        return rows, "."
    table = sources.read(str(rows), "rows")
    return table.table, table.root

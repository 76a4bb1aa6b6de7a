"""A small run, done up to its export, and what evaluate would ask of it."""

from __future__ import annotations

import pytest

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.evaluation.context import Context
from suffuse.run import Run
from suffuse.stages.evaluate import looked


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory: pytest.TempPathFactory, write_table, tiny_recipe) -> tuple[Run, Context]:
    """(run, context); read them, don't change them."""
    folder = tmp_path_factory.mktemp("probed")
    recipe = tiny_recipe(write_table(folder / "table"))
    recipe["distill"]["num_seeds"] = 2
    recipe["evaluate"] = {"resamples": 100}
    recipe["export"] = {}
    run = Run.of(recipe, folder / "run")
    for stage in ("prepare", "teach", "extract", "distill", "export"):
        pipeline.run_stage(run, stage)
    columns = Columns.open(run.path("data"))
    return run, looked(run, columns, columns.labelled("test"), None, lambda share, words: None)

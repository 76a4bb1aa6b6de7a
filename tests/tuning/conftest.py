"""A small run as far as its store, and a search on it, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import make_project
from search_tools import LITTLE, here

from suffuse import pipeline
from suffuse.engine import loop
from suffuse.run import Run
from suffuse.tuning import search_session, study
from suffuse.tuning.options import TuneOptions


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few first points, so that the sampler has its say; every epoch leaves a checkpoint; no processes."""
    for module in (search_session, study):
        monkeypatch.setattr(module, "STARTUP", 3)
    monkeypatch.setattr(search_session, "MAX_HEURISTICS", 1)
    monkeypatch.setattr(search_session, "run_jobs", here)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Rows and store are there, no student is. Read it; take a ``fresh`` copy to work on."""
    project = tmp_path_factory.mktemp("tuned")
    train = {"epochs": 3, "batch": 32}
    recipe = make_project(project, pictures=60, distill={"train": train, "num_seeds": 1, "unimodal_baselines": False})
    run = Run.open(recipe, folder=project / "run")
    for verb in ("prepare", "teach", "extract"):
        pipeline.run_stage(run, verb)
    return run


@pytest.fixture
def fresh(stored: Run, tmp_path: Path) -> Callable[[str], Run]:
    """Copies of that run."""
    return lambda name: Run.open(shutil.copytree(stored.folder, tmp_path / name))


@pytest.fixture
def tuned(fresh: Callable[[str], Run], quick: None) -> Callable[..., tuple[Run, dict[str, Any]]]:
    """A copy of the run, changed as ``change`` does, and the search on it."""

    def make(
        name: str, how: TuneOptions = LITTLE, change: Callable[[Run], None] = lambda run: None
    ) -> tuple[Run, dict]:
        run = fresh(name)
        change(run)
        return run, pipeline.run_tune(run, how)

    return make

"""A small project and its finished run, made once by the real command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_tools import Finished, done, make_project, suffuse


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """``suffuse run`` on a small project. Read it, never change it: take a ``copied`` one for that."""
    project = tmp_path_factory.mktemp("project")
    recipe = make_project(project, evaluate__probes="all", export__int8="auto", export__teacher=True)
    result = done(suffuse("run", "recipe.yaml", "--out", "run", cwd=project))
    return Finished(project, recipe, project / "run", result)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run's folder."""
    return Path(shutil.copytree(finished.run, tmp_path / "run"))


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Makes a small project in a folder of its own and returns its recipe."""
    return lambda **changes: make_project(tmp_path / "project", **changes)

"""Small projects and their finished runs, built once in a test run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import Finished, Result, check_success, make_project, suffuse


@pytest.fixture(scope="session")
def finished(build_once: Callable[..., Path]) -> Finished:
    """``suffuse run`` on a small project: all probes, int8 tried, the teacher exported. Read it, never change it: take
    a ``copied`` one for that."""
    changes = {"evaluate__probes": "all", "evaluate__classical_baselines": True}
    return run_once(build_once, "finished", **changes, export__int8="auto", export__teacher=True)


@pytest.fixture(scope="session")
def plain(build_once: Callable[..., Path]) -> Finished:
    """The same without probes, int8 and the teacher's export: what runs stages again takes a ``copied_plain`` of it."""
    return run_once(build_once, "plain")


def run_once(build_once: Callable[..., Path], name: str, **changes: Any) -> Finished:
    """A project with these changes of its recipe, and what ``suffuse run`` printed."""

    def make(folder: Path) -> None:
        make_project(folder, **changes)
        result = check_success(suffuse("run", "recipe.yaml", "--out", "run", cwd=folder))
        (folder / "result.json").write_text(json.dumps(asdict(result)), encoding="utf-8")

    project = build_once(name, changes, make)
    result = Result(**json.loads((project / "result.json").read_text(encoding="utf-8")))
    return Finished(project, project / "recipe.yaml", project / "run", result)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run's folder."""
    return Path(shutil.copytree(finished.run, tmp_path / "run"))


@pytest.fixture
def copied_plain(plain: Finished, tmp_path: Path) -> Path:
    """A copy of the plain run's folder."""
    return Path(shutil.copytree(plain.run, tmp_path / "run"))


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Makes a small project in a folder of its own and returns its recipe."""
    return lambda **changes: make_project(tmp_path / "project", **changes)

"""Every benchmark script runs: on a made-up data set where it can, else as far as its command line."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from suffuse import pipeline
from suffuse.run import Run
from toy import toy_run

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(file.stem for file in FOLDER.glob("*.py"))
ON_A_TOY = {  # script -> its arguments; RUN is a finished run, PICTURES a folder
    "overhead": ["--toy", "--seconds", "0"],
    "store": ["--toy", "--pairs", "1"],
    "processes": ["--steps", "1", "--turns", "1"],
    "prepare": ["PICTURES", "--blocks", "1", "--block", "8"],
    "evidence": ["--pairs", "1"],
    "answers": ["RUN", "--rows", "20", "--views", "1"],
    "export": ["RUN"],
    "targets": ["RUN"],
    "predict": ["RUN", "--rows", "20", "40"],
    "scale": ["300", "600"],
    "serve": ["RUN", "--only", "soak", "--requests", "60"],
}
JUDGES = {"targets", "predict", "scale", "serve"}  # end with 1 where a target isn't reached, as a toy may
NEEDS_DATA = {"causes", "distillation", "scenarios", "tune"}  # recipes of data sets that are not part of this project
LIBRARIES = {"anywhere", "copies", "pooled", "result_file", "rows", "seeds", "soak", "toy", "trials"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = toy_run(tmp_path_factory.mktemp("toy"))
    pipeline.run_all(run)
    return run


def called(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH", ""))))
    settings = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=settings, capture_output=True, text=True, timeout=300, check=False
    )


def test_every_script_is_one_of_the_kinds():
    assert sorted({*ON_A_TOY, *NEEDS_DATA, *LIBRARIES}) == SCRIPTS


@pytest.mark.slow
def test_every_script_can_be_imported(tmp_path: Path):
    done = called("-c", "\n".join(f"import {name}" for name in SCRIPTS), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NEEDS_DATA))
def test_a_script_that_needs_data_shows_its_help(name: str, tmp_path: Path):
    done = called(str(FOLDER / f"{name}.py"), "--help", cwd=tmp_path)
    assert done.returncode == 0 and f"benchmarks/{name}.py DATA" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ON_A_TOY))
def test_a_script_runs_on_a_made_up_data_set(name: str, finished: Run, tmp_path: Path):
    places = {"RUN": str(finished.folder), "PICTURES": str(finished.folder.parent / "data" / "pictures")}
    before = {file: file.stat().st_mtime_ns for file in (FOLDER / "results").glob("*")}
    done = called(str(FOLDER / f"{name}.py"), *(places.get(a, a) for a in ON_A_TOY[name]), cwd=tmp_path)
    judged = name in JUDGES and done.returncode == 1 and ("MISSED" in done.stdout or "AssertionError" in done.stderr)
    assert done.returncode == 0 or judged, done.stdout + done.stderr
    assert done.stdout.strip()
    assert before == {file: file.stat().st_mtime_ns for file in (FOLDER / "results").glob("*")}


@pytest.mark.slow
def test_overhead_tells_all_pairs_of_all_three_comparisons(tmp_path: Path):
    done = called(str(FOLDER / "overhead.py"), "--toy", "--seconds", "0", cwd=tmp_path)
    end = done.stdout.rindex("}") + 1
    found = json.loads(done.stdout[:end])
    names = ["step, student / labels alone", "epoch, student / labels alone", "fit, student / bare loop"]
    assert [name for name in found if "/" in name] == names
    assert all(len(found[name]["pairs"]) >= 3 and found[name]["median"] > 0 for name in names)


def test_no_script_stands_in_for_the_training_that_it_measures():
    """overhead.py takes its objective and plan from where distill takes them."""
    tree = ast.parse((FOLDER / "overhead.py").read_text(encoding="utf-8"))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert {"prepared", "fit"} <= imported and not {"Objective", "Sampler"} & imported

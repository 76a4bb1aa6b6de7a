"""Trainings that two processes share, through the command line: by the recipe, and started by a launcher."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e_tools import (
    check_failure,
    check_success,
    environment,
    hashes,
    make_project,
    start,
    suffuse,
    suffuse_process,
    undo,
)

TINY = {
    "teacher__train": {"epochs": 2, "batch": 16},
    "distill": {
        "train": {"epochs": 2, "batch": 16, "modality_dropout": 0.3},
        "num_seeds": 1,
        "unimodal_baselines": False,
    },
    "compute": {"threads": 2, "processes": 2},
}
pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """A run up to its students, each training by two processes."""
    folder = tmp_path_factory.mktemp("processes")
    make_project(folder, pictures=24, **TINY)
    for verb in ("prepare", "teach", "extract", "distill"):
        check_success(suffuse(verb, "recipe.yaml", "--out", "run", cwd=folder))
    return folder


def launched(verb: str, run: Path, *more: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, "-m", "suffuse", verb, str(run), *more],
        env=environment(GLOO_SOCKET_IFNAME="lo"), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_two_processes_train_what_one_does_and_the_same_bits_again(shared, tmp_path):
    run = Path(shutil.copytree(shared / "run", tmp_path / "run"))
    undo(run, "distill")
    check_success(suffuse("distill", run))
    assert hashes(run, ["distill"]) == hashes(shared / "run", ["distill"])
    alone = Path(shutil.copytree(shared / "run", tmp_path / "alone"))
    said = suffuse("status", alone, "--set", "compute.processes=1").out
    assert "compute.processes: 2 -> none" in said
    facts = json.loads((shared / "run" / "student" / "seed-1" / "training.json").read_text())
    assert facts["epochs"] == 2


def test_a_launcher_s_processes_train_the_same(shared, tmp_path):
    run = Path(shutil.copytree(shared / "run", tmp_path / "run"))
    undo(run, "teach")
    for verb in ("teach", "extract", "distill"):
        said = launched(verb, run)
        assert said.returncode == 0, said.stderr
    assert hashes(run, ["teach", "distill"]) == hashes(shared / "run", ["teach", "distill"])


def test_a_launcher_that_starts_another_number_is_told(shared, tmp_path):
    run = Path(shutil.copytree(shared / "run", tmp_path / "run"))
    undo(run, "distill")
    result = suffuse_process("distill", run, "--set", "compute.processes=3", env=environment(WORLD_SIZE="2", RANK="0"))
    check_failure(result, 2, "compute.processes", "got 3, expected 2", "--set compute.processes=2")


def test_killed_in_the_middle_it_goes_on(shared, tmp_path):
    run = Path(shutil.copytree(shared / "run", tmp_path / "run"))
    undo(run, "distill")
    process = start("distill", run, env=environment(OMP_NUM_THREADS="1"))
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None and not list(run.rglob("training.json"))[1:]:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    check_success(suffuse("distill", run))
    assert hashes(run, ["distill"]) == hashes(shared / "run", ["distill"])

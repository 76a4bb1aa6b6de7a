"""`suffuse tune`, by real processes: killed again and again, and then the chosen recipe's run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from e2e_tools import check_failure, check_success, make_project, start, suffuse, suffuse_process

from suffuse.checked_json import read_checked
from suffuse.tuning.study import Study


def test_what_the_command_line_refuses(tmp_path: Path) -> None:
    recipe = make_project(tmp_path, pictures=4)
    (tmp_path / "there.yaml").write_text("mine")
    check_failure(
        suffuse("tune", recipe, "--run", tmp_path / "run", "--out", tmp_path / "there.yaml"), 2, "there already"
    )
    check_failure(suffuse("tune", recipe, "--run", tmp_path / "run", "--objective", "speed"), 2, "objective", "speed")
    check_failure(suffuse("tune", tmp_path / "none.yaml"), 2, "no such recipe")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.long
def test_killed_and_called_again_then_trained_anew_and_tested_once(tmp_path: Path) -> None:
    distill = {"train": {"epochs": 3, "batch": 32}, "num_seeds": 1, "unimodal_baselines": False}
    make_project(tmp_path, pictures=60, distill=distill)
    for verb in ("prepare", "teach", "extract"):
        check_success(suffuse(verb, "recipe.yaml", "--out", "run", cwd=tmp_path))
    command = ("tune", "run", "--trials", "4", "--minutes", "30", "--out", "chosen.yaml", "--json")
    for _ in range(2):
        process = start(*command, cwd=tmp_path)
        begun, since = ended(tmp_path), time.monotonic()
        while process.poll() is None and ended(tmp_path) < begun + 1 and time.monotonic() - since < 200:
            time.sleep(0.3)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    result = check_success(suffuse_process(*command, cwd=tmp_path, timeout=600))
    found = json.loads(result.out)
    assert found["trials"] == {"student": 4, "baseline": 4}
    assert read_checked(tmp_path / "run" / "tuning.json") == found["trials"]
    assert "because" in result.err and not (tmp_path / "run" / "test_evaluations.json").exists()
    kinds = [k for k in found["outcomes"] if k not in ("trials", "finished", "open")]
    assert found["outcomes"]["finished"] + sum(found["outcomes"][k] for k in kinds) == 4
    assert none_left(tmp_path)
    assert (
        json.loads(check_success(suffuse_process(*command, cwd=tmp_path, timeout=600)).out) == found
    )  # its own file is no obstacle
    check_success(suffuse("run", "chosen.yaml", "--out", "run", cwd=tmp_path))
    assert len(json.loads((tmp_path / "run" / "test_evaluations.json").read_text())) == 1
    assert (tmp_path / "run" / "report.html").exists() and (tmp_path / "run" / "tuning.json").exists()
    again = ("tune", "run", "--trials", "1", "--no-baseline", "--objective", "quality")
    for more, read in (
        ((), True),
        (("--no-scorecards", "--max-epochs", "1"), False),
    ):  # what was trained is evidence now
        said = check_success(suffuse_process(*again, *more, cwd=tmp_path, timeout=600))
        evidence = json.loads((tmp_path / "run" / "tuning" / "plan.json").read_text())["evidence"]
        assert evidence["student"]["best_epochs"] and set(evidence["student"]["without"]) == {"picture", "question"}
        assert 0 <= evidence["student"]["agreement"] <= 1 and evidence["baseline"]["seeds"] == 1
        assert bool(evidence.get("scorecards", {}).get("student")) == read
        assert "earlier evaluations: 1" in said.out


def ended(project: Path) -> int:
    """Trials that were told so far."""
    folder = project / "run" / "tuning"
    if not (folder / "study.db").exists() or not (folder / "plan.json").exists():
        return 0
    return Study(folder, "student", ("quality", "latency", "size"), 0).count_ended()


def none_left(project: Path) -> bool:
    """No process of a search outlives it."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return not any("suffuse.tuning" in line and str(project) in line for line in listed.splitlines())

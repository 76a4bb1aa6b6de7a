"""Killed at any moment and called again, a run ends with the same bits as one that was never killed.

Real processes get a real signal. A small module, imported by them at their start, makes checkpoints and pieces
frequent, so that there is something to go on from in a run of seconds; the run that is never killed doesn't have it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_tools import (
    change_modules,
    check_success,
    environment,
    hashes,
    make_project,
    stamp,
    start,
    suffuse,
    suffuse_process,
    undo,
    without,
)  # fmt: skip
from safetensors import safe_open
from safetensors.numpy import save_file

from suffuse.stages import STAGES

EPOCHS = 8
OFTEN = {"suffuse.engine.loop": {"CHECKPOINT_SECONDS": 0.25}, "suffuse.prepare.cell_cleaning": {"PIECE": 40}}
TRAINED = ("prepare", "teach", "extract", "distill")
# what stands in a stage's working folder once it is at its real work, and the longest wait after that
AT_WORK = {
    "prepare": (".work/picture/journal.jsonl", 0.1),
    "teach": (".work/teacher/checkpoints/last.safetensors", 0.4),
    "extract": (".parts", 0.03),
    "distill": (".work/*/*/checkpoints/last.safetensors", 0.5),
}
KILLS = {"prepare": 4, "teach": 3, "extract": 3, "distill": 2}


@pytest.fixture(scope="module")
def whole(build_once: Callable[..., Path]) -> Path:
    """A run that was never killed, as far as distill."""
    train = {"epochs": EPOCHS, "batch": 16}
    facts = {
        "pictures": 320,
        "side": 200,
        "teacher__train": train,
        "distill": {"train": train, "num_seeds": 2, "unimodal_baselines": False},
    }

    def make(folder: Path) -> None:
        make_project(folder, **facts)
        for verb in TRAINED:
            check_success(suffuse(verb, "recipe.yaml", "--out", "run", cwd=folder))

    return build_once("whole", facts, make) / "run"


@pytest.fixture
def often(tmp_path: Path) -> dict[str, str]:
    """The environment of processes that leave something to go on from at every moment."""
    return environment(PYTHONPATH=str(change_modules(tmp_path / "often", OFTEN)))


def session(leader: int) -> list[int]:
    """The living processes of a session, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                facts = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended just now
                continue
            if int(facts[3]) == leader and facts[0] not in "ZX":
                found.append(int(folder.name))
    return found


def wait_for(true: Callable[[], object], seconds: float) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.002)
    return bool(true())


def at_work(run: Path, stage: str, process: subprocess.Popen[str]) -> bool:
    """Wait until the stage does what it is for, or the process has ended; whether it is still there."""
    pattern = AT_WORK[stage][0]
    wait_for(lambda: process.poll() is not None or any((run / ".partial" / stage).glob(pattern)), 60)
    return process.poll() is None


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("stage", TRAINED)
def test_killed_and_called_again_ends_with_the_same_bits(
    stage: str, whole: Path, often: dict[str, str], tmp_path: Path
) -> None:
    run, chance = without(whole, tmp_path / "run", stage), random.Random(f"kill {stage}")
    inside = 0
    for number in range(3 * KILLS[stage]):
        process = start(stage, run, env=often)
        if number == 0 and stage != "prepare":  # at any moment: most likely while torch is being imported
            wait_for((run / ".partial" / stage).exists, 30)
            time.sleep(chance.uniform(0, 1))
        elif at_work(run, stage, process):
            time.sleep(chance.uniform(0, AT_WORK[stage][1]))
        process.kill()
        said = process.communicate()[1]
        assert "error:" not in said
        assert wait_for(lambda leader=process.pid: not session(leader), 5), "a worker has outlived its parent"
        if (run / "stamps" / f"{stage}.json").exists():  # it was done before it was killed
            undo(run, stage)
            continue
        inside += (run / ".partial" / stage).exists()
        if inside == KILLS[stage]:
            break
    assert inside == KILLS[stage], "too few of the kills have hit the stage"
    result = check_success(suffuse_process(stage, run, env=often))
    assert f"{stage:<9} done in" in result.err
    assert not (run / "previous").exists()
    assert not list((run / ".partial").iterdir())
    assert hashes(run, [stage]) == hashes(whole, [stage])
    assert stamp(run, stage)["digest"] == stamp(whole, stage)["digest"]


def read_checkpoint(file: Path) -> tuple[dict, dict]:
    """A checkpoint's tensors and state."""
    with safe_open(file, framework="np") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, json.loads(opened.metadata()["state"])  # noqa: SIM118


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_training_goes_on_from_its_checkpoint(whole: Path, often: dict[str, str], tmp_path: Path) -> None:
    """It isn't begun anew: a mark that is set in the checkpoint's history is in what the training leaves behind."""
    run = without(whole, tmp_path / "run", "teach")
    checkpoint = run / ".partial" / "teach" / AT_WORK["teach"][0]
    process = start("teach", run, env=often)
    assert at_work(run, "teach", process)
    assert wait_for(lambda: read_checkpoint(checkpoint)[1]["history"], 20)
    process.kill()
    process.communicate()
    assert f"{'teach':<9} continues" in check_success(suffuse("status", run)).out
    tensors, state = read_checkpoint(checkpoint)
    state["history"][0]["mark"] = True
    save_file(tensors, checkpoint, {"state": json.dumps(state)})
    check_success(suffuse("teach", run))
    history = [json.loads(line) for line in (run / "teacher" / "metrics.jsonl").read_text().splitlines()]
    assert [h.get("mark") for h in history] == [True] + [None] * (EPOCHS - 1)
    name = "teacher/model.safetensors"
    assert (run / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("stage", ["teach", "distill"])
def test_interrupted_by_the_keyboard(stage: str, whole: Path, often: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C reaches all processes of the terminal: one line, exit code 130, and it can be called again."""
    run = without(whole, tmp_path / "run", stage)
    process = start(stage, run, env=often)
    assert at_work(run, stage, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert [line for line in err.splitlines() if line.startswith("error:")] == [
        "error: stopped; call it again to go on from here"
    ]
    assert "Traceback" not in err + out
    assert wait_for(lambda: not session(process.pid), 5)
    check_success(suffuse_process(stage, run, env=often))
    assert hashes(run, [stage]) == hashes(whole, [stage])


def test_all_stages_that_take_long_are_killed() -> None:
    assert {*TRAINED, "export", "evaluate", "report"} == set(STAGES)

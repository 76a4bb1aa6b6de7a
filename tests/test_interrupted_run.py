"""What kills leave in a run, and a run that can only be read."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from suffuse import evaluation_log, pipeline
from suffuse.errors import SuffuseError
from suffuse.files import remove_temporaries, write_json
from suffuse.run import QUIET, Run


@pytest.fixture
def run(tmp_path: Path, write_table, tiny_recipe) -> Run:
    """Prepared."""
    run = Run.of(tiny_recipe(write_table(tmp_path / "table")), tmp_path / "run")
    assert pipeline.run_stage(run, "prepare")
    return run


def evaluate(run: Run, number: int) -> None:
    """As the stage commits: scores and the record of evaluations, in one step."""
    partial = run.begin("evaluate", {"a": number})
    run.replace("evaluate")
    write_json(partial / "scores" / "student.json", {"number": number})
    evaluation_log.add(run.folder, partial)
    run.commit("evaluate", 1.0)


def test_each_evaluation_counts_once_and_stays(run):
    for number in range(1, 4):
        evaluate(run, number)
        assert len(json.loads(run.path("test_evaluations.json").read_text())) == number
        assert run.stamp("evaluate")["evaluations"] == evaluation_log.evaluations(run.folder)


@pytest.mark.parametrize("nth", range(1, 9))
def test_killed_anywhere_in_its_commit_an_evaluation_counts_once(run, killed_at_rename, nth):
    evaluate(run, 1)
    partial = run.begin("evaluate", {"a": 2})
    run.replace("evaluate")
    write_json(partial / "scores" / "student.json", {})
    evaluation_log.add(run.folder, partial)
    killed = killed_at_rename(nth, lambda: run.commit("evaluate", 1.0))
    if killed:
        assert len(evaluation_log.evaluations(run.folder)) in (1, 2)
        run.commit("evaluate", 1.0)
    assert len(evaluation_log.evaluations(run.folder)) == 2


def test_a_killed_evaluation_counts_nothing_and_the_next_attempt_once(run):
    evaluate(run, 1)
    for _ in range(3):  # killed before it ends
        partial = run.begin("evaluate", {"a": 2})
        run.replace("evaluate")
        write_json(partial / "scores" / "student.json", {})
        assert len(evaluation_log.evaluations(run.folder)) == 1
    evaluation_log.add(run.folder, partial)
    run.commit("evaluate", 1.0)
    assert len(evaluation_log.evaluations(run.folder)) == 2


def test_the_stage_itself_writes_the_record_with_its_scores(run, monkeypatch):
    """And nothing at its start."""
    from suffuse.stages import evaluate as stage

    run.begin("evaluate", {})

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "looked", killed)
    with pytest.raises(KeyboardInterrupt):
        stage.evaluate(run)
    assert evaluation_log.evaluations(run.folder) == []
    assert not list(run.folder.rglob("test_evaluations.json"))


def dead() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def left(folder: Path, pid: int, name: str = "scores.json", age: float = 0.0) -> Path:
    file = folder / f".{name}.{pid}.tmp"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"half")
    then = time.time() - age
    os.utime(file, (then, then))
    return file


def test_who_takes_the_lock_removes_what_dead_processes_left_half_written(run):
    alive, gone = os.getppid(), dead()
    kept = [left(run.path("stamps"), alive), left(run.path(".partial", "extract", ".parts"), gone), run.path("x.tmp")]
    kept += [left(run.path("stamps"), os.getpid(), "mine.json")]  # another thread's, or of a container's last life
    kept[2].write_bytes(b"not ours")
    old = [left(run.path("stamps"), gone), left(run.path("tuning", "deep"), gone)]
    old += [left(run.path("features"), gone, age=2 * QUIET), left(run.path("stamps"), os.getpid(), "b", 2 * QUIET)]
    old += [left(run.path("stamps"), alive, "c", age=2 * 86_400)]
    with run.locked():
        assert not any(file.exists() for file in old)
        assert all(file.exists() for file in kept)


def test_a_file_in_writing_is_not_removed_by_others(tmp_path):
    file = left(tmp_path, 12)
    remove_temporaries(tmp_path, lambda path, pid: pid != 12)
    assert file.exists()
    remove_temporaries(tmp_path, lambda path, pid: pid == 12)
    assert not file.exists()


@pytest.fixture(params=[errno.EROFS, errno.EACCES])
def read_only(request, monkeypatch, run):
    """The run can't be written to: the system refuses every file that is opened for writing in it, and every folder."""
    system_open, mkdir, path_open, replace = os.open, Path.mkdir, Path.open, Path.replace

    def refuse(path) -> None:
        if str(path).startswith(str(run.folder)):
            raise OSError(request.param, os.strerror(request.param), str(path))

    def opened(path, flags, *rest, **more):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return system_open(path, flags, *rest, **more)

    def path_opened(self, mode="r", *rest, **more):
        if set(mode) & set("wxa+"):
            refuse(self)
        return path_open(self, mode, *rest, **more)

    def made(self, *rest, exist_ok=False, **more):
        if not (exist_ok and self.is_dir()):
            refuse(self)
        return mkdir(self, *rest, exist_ok=exist_ok, **more)

    def replaced(self, target):
        refuse(target)
        return replace(self, target)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(Path, "open", path_opened)
    monkeypatch.setattr(Path, "mkdir", made)
    monkeypatch.setattr(Path, "replace", replaced)
    return run


def test_a_read_only_run_that_is_up_to_date_says_so(read_only):
    assert not pipeline.run_stage(read_only, "prepare")
    assert pipeline.plan(read_only)["prepare"] == []


def test_a_read_only_run_that_is_not_says_what_is_to_do(read_only):
    for call in (pipeline.run_all, lambda run: pipeline.run_stage(run, "teach")):
        with pytest.raises(SuffuseError, match=r"can't be written to.* teach: not made yet"):
            call(read_only)
    with pytest.raises(SuffuseError, match=r"can't be written to.* prepare: asked for"):
        pipeline.run_all(read_only, "prepare")


def test_a_changed_file_of_a_read_only_run_is_named(read_only):
    file = read_only.path("data", "target.npy")
    np.save(str(file), np.load(file) + 1)  # as somebody who may
    with pytest.raises(SuffuseError, match=r"target\.npy"):
        pipeline.run_stage(read_only, "prepare")

"""Trainings in processes of their own: what they say arrives, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suffuse.engine.workers import run_jobs
from suffuse.errors import SuffuseError

JOBS = """
import os, signal, time
from pathlib import Path
from suffuse.errors import SuffuseError, UsageError

def good(job, tell):
    for part in range(1, 5):
        tell(part / 4, f"{job['name']} {part}")
    print("talk of a library")
    Path(job["folder"], job["name"]).write_text(os.environ["OMP_NUM_THREADS"] + f" {os.getpid()}")

def picky(job, tell):
    if job["name"] == "b":
        raise UsageError("it won't do", where="here", got="b", expected="a", hint="try a")
    good(job, tell)

def full(job, tell):
    raise OSError(28, "No space left on device", "/a/file")

def defect(job, tell):
    {}["missing"]

def killed(job, tell):
    tell(0.5, "half")
    os.kill(os.getpid(), signal.SIGKILL)

def endless(job, tell):
    Path(job["folder"], f"pid-{os.getpid()}").touch()
    while True:
        time.sleep(0.05)
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch) -> list[dict]:
    (tmp_path / "pooljobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return [{"name": name, "folder": str(tmp_path)} for name in "abcde"]


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_all_jobs_are_done_and_the_share_only_grows(jobs, tmp_path, workers):
    shares: list[float] = []
    words: list[str] = []
    run_jobs("pooljobs:good", jobs, workers, lambda share, said: (shares.append(share), words.append(said))[0])
    said = [(tmp_path / job["name"]).read_text().split() for job in jobs]
    assert {s[0] for s in said} == {"1"}
    assert len({s[1] for s in said}) <= min(workers, 5)
    assert str(os.getpid()) not in {s[1] for s in said}
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1) and len(shares) == 25
    assert {w for w in words if w} == {f"{job['name']} {part}" for job in jobs for part in range(1, 5)}


def test_no_jobs_are_no_processes(capfd):
    run_jobs("no.such.module:at_all", [], 2, lambda share, words: None)
    assert capfd.readouterr().err == ""


def caught(function: str, jobs: list[dict], workers: int = 2) -> SuffuseError:
    with pytest.raises(SuffuseError) as found:
        run_jobs(function, jobs, workers, lambda share, words: None)
    return found.value


def test_an_error_arrives_as_it_was_raised(jobs):
    error = caught("pooljobs:picky", jobs, 1)
    assert error.line() == "it won't do (here): got b, expected a"
    assert error.hint == "try a"


def test_a_full_disk_is_told_by_file(jobs):
    assert caught("pooljobs:full", jobs).line() == "No space left on device (/a/file)"


def test_a_defect_is_told_in_one_line(jobs):
    assert "KeyError: 'missing'" in caught("pooljobs:defect", jobs).line()


def test_a_worker_that_is_killed_is_told(jobs):
    assert caught("pooljobs:killed", jobs).line() == "a training process died (exit code -9)"


def test_a_worker_that_can_t_begin_is_told(jobs, capfd):
    assert "died" in caught("pooljobs:no_such_function", jobs).line()
    assert "no_such_function" in capfd.readouterr().err


def alive(process: int) -> bool:
    """Whether it runs; one that ended and that nobody has asked after doesn't."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def waited(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc")
def test_workers_end_when_their_parent_is_killed(jobs, tmp_path):
    code = f"from suffuse.engine.workers import run_jobs; run_jobs('pooljobs:endless', {jobs!r}, 2, print)"
    parent = subprocess.Popen([sys.executable, "-c", code])

    def workers() -> list[int]:
        return [int(p.name.removeprefix("pid-")) for p in tmp_path.glob("pid-*")]

    try:
        assert waited(lambda: len(workers()) == 2)
        assert all(alive(w) for w in workers())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert waited(lambda: not any(alive(w) for w in workers()), 5)
    finally:
        parent.kill()
        for worker in filter(alive, workers()):
            os.kill(worker, signal.SIGKILL)

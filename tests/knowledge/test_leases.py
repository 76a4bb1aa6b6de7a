"""Claims on parts: one process has each, and what a dead one had is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from suffuse.knowledge import leases as module
from suffuse.knowledge.leases import Leases, host, start_time


def fake(folder: Path, name: str, age: float = 0.0, **owner) -> Path:
    """A claim of somebody else."""
    file = folder / f"{name}.claim"
    file.write_text(json.dumps({"host": host(), "pid": os.getpid(), "started": start_time(os.getpid()), **owner}))
    now = time.time()
    os.utime(file, (now - age, now - age))
    return file


def test_one_gets_it(tmp_path):
    a, b = Leases(tmp_path), Leases(tmp_path)
    assert a.claim("x") and not b.claim("x") and b.claim("y")
    a.release("x")
    assert b.claim("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.claim", "y.claim"]


def test_of_many_threads_each_piece_goes_to_one(tmp_path):
    got: list[list[str]] = [[] for _ in range(8)]

    def take(number: int) -> None:
        own = Leases(tmp_path)
        got[number] = [str(n) for n in range(40) if own.claim(str(n))]

    threads = [threading.Thread(target=take, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((n for some in got for n in some), key=int) == [str(n) for n in range(40)]


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = start_time(process.pid)
    file = fake(tmp_path, "x", pid=process.pid, started=since)
    assert not Leases(tmp_path).is_dead("x") and not Leases(tmp_path).claim("x")
    process.kill()
    process.wait()
    assert Leases(tmp_path).is_dead("x") and Leases(tmp_path).claim("x")
    assert json.loads(file.read_text())["pid"] == os.getpid()


def test_a_number_that_was_given_to_another_process_is_not_taken_for_it(tmp_path):
    fake(tmp_path, "x", started="1")
    assert Leases(tmp_path).claim("x")


@pytest.mark.parametrize("owner", [{"host": "elsewhere"}, {"host": f"{socket.gethostname()} an earlier start"}])
def test_of_another_machine_the_heartbeat_decides(tmp_path, owner):
    fake(tmp_path, "fresh", module.STALE / 2, **owner)
    fake(tmp_path, "old", 2 * module.STALE, **owner)
    assert not Leases(tmp_path).claim("fresh")
    assert Leases(tmp_path).claim("old")


def test_the_leader_takes_its_claim_from_whoever_has_it(tmp_path):
    fake(tmp_path, "leader", host="elsewhere")
    own = Leases(tmp_path)
    own.take("leader")
    assert json.loads((tmp_path / "leader.claim").read_text())["host"] == host()
    assert not Leases(tmp_path).claim("leader")


def test_one_that_is_cut_off_waits_for_its_time(tmp_path):
    (tmp_path / "x.claim").write_text('{"host": ')
    assert not Leases(tmp_path).claim("x")
    os.utime(tmp_path / "x.claim", (0, 0))
    assert Leases(tmp_path).claim("x")


def test_the_heart_beats_and_at_the_end_all_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.02)
    with Leases(tmp_path / "new").heartbeat() as own:
        assert own.claim("x")
        file = tmp_path / "new" / "x.claim"
        os.utime(file, (0, 0))
        end = time.monotonic() + 10
        while file.stat().st_mtime < 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert file.stat().st_mtime > 1
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_somebody_took_away_is_no_trouble(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.01)
    with Leases(tmp_path / "new").heartbeat() as own:
        own.claim("x")
        (tmp_path / "new" / "x.claim").unlink()
        (tmp_path / "new").rmdir()
        own.touch()
        assert not own.claim("y") and not (tmp_path / "new").exists()
        time.sleep(0.05)

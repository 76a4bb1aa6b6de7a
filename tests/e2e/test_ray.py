"""Trainings on a real Ray cluster of three nodes on this machine: the bits of local ones, also where a node or the
driver is killed in the middle. And the Ray that a command starts for itself: who can reach it, and that it ends."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from e2e_tools import (
    change_modules,
    check_failure,
    check_success,
    environment,
    hashes,
    make_project,
    start,
    suffuse,
    without,
)  # fmt: skip
from test_kill import wait_for

from suffuse.file_lock import lock

pytestmark = [pytest.mark.long, pytest.mark.slow]

# small trainings go to the cluster too, and leave something to resume from at every moment
CHANGES = {"suffuse.engine.loop": {"CHECKPOINT_SECONDS": 0.25}, "suffuse.engine.workers": {"BRIEF_STEPS": 0}}
STAGES = ("teach", "distill")
OF_CLUSTER = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}  # loopback, and no token
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")  # they notice after a minute that Ray is gone
LIMIT = 180.0  # seconds in which a command ends


@pytest.fixture(scope="module", autouse=True)
def only_ray(shared_folder: Path) -> Iterator[None]:
    """Workers take turns: tests count Ray's processes on the machine, and two clusters that start together may take
    each other's ports."""
    with (shared_folder / "ray.lock").open("w") as file:
        lock(file, shared_folder, wait=True)
        yield


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH that changes every Python process."""
    return change_modules(tmp_path_factory.mktemp("site"), CHANGES)


@pytest.fixture(scope="module")
def local(build_once: Callable[..., Path]) -> Path:
    """A run whose trainings ran on this machine: two teachers, four students, and baselines."""
    facts = {
        "teacher__num_seeds": 2,
        "compute": {"threads": 1},
        "distill": {"train": {"epochs": 12, "batch": 8}, "num_seeds": 2},
    }

    def make(folder: Path) -> None:
        make_project(folder, **facts)
        for verb in ("prepare", "teach", "extract", "distill"):
            check_success(suffuse(verb, "recipe.yaml", "--out", "run", cwd=folder))

    return build_once("ray", facts, make) / "run"


class Nodes:
    """The cluster of ``ray_nodes.py``."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process
        self.address = self.line()

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def do(self, command: str) -> None:
        """``kill`` a node, or ``add`` one."""
        assert self.process.stdin
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        assert self.line() == command


@pytest.fixture(scope="module")
def cluster(site: Path) -> Iterator[Nodes]:
    """A head and two nodes of one CPU each, on the loopback interface."""
    folder = Path("/tmp", f"suffuse-test-{os.getpid()}")  # paths of sockets are short
    folder.mkdir()
    variables = {**OF_CLUSTER, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder), "PYTHONPATH": str(site)}
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("ray_nodes.py")], stdin=-1, stdout=-1, text=True,
        env=environment(**variables),
    )  # fmt: skip
    try:
        yield Nodes(process)
    finally:
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def driver(stage: str, run: Path, site: Path, *overrides: str) -> Iterator[subprocess.Popen[str]]:
    """A stage with the executor ray, in a process that is killed at the end."""
    sets = [part for text in ("compute.executor=ray", *overrides) for part in ("--set", text)]
    more = OF_CLUSTER if any("address" in text for text in overrides) else {}
    process = start(stage, run, *sets, env=environment(PYTHONPATH=str(site), **more))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def at(cluster: Nodes) -> str:
    return f"compute.ray.address={cluster.address}"


def ended(process: subprocess.Popen[str]) -> str:
    """What the process said, which had to end well."""
    said = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return said


def finished(stage: str, run: Path, site: Path, *overrides: str) -> str:
    """What a stage said that ended well."""
    with driver(stage, run, site, *overrides) as process:
        return ended(process)


def checkpoints(run: Path, stage: str = "distill") -> list[Path]:
    return list((run / ".partial" / stage / ".work").rglob("last.safetensors"))


def tasks() -> list[psutil.Process]:
    """Processes that do a training for Ray."""
    found = []
    for process in psutil.process_iter():
        try:
            if "ray::suffuse training" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # ended just now
            continue
    return found


def is_training(run: Path) -> bool:
    """Whether the cluster's three nodes train, and left something to resume from."""
    return len(tasks()) == 3 and len(checkpoints(run)) >= 3


def test_trainings_on_a_cluster_have_the_bits_of_local_ones(local: Path, cluster: Nodes, site: Path, tmp_path: Path):
    run = without(local, tmp_path / "run", "teach")
    assert "cluster of 3 nodes" in finished("teach", run, site, at(cluster))
    check_success(suffuse("extract", run))
    assert "cluster of 3 nodes" in finished("distill", run, site, at(cluster))
    assert hashes(run, STAGES) == hashes(local, STAGES)


def test_a_node_that_is_killed_costs_its_trainings_no_bit(local: Path, cluster: Nodes, site: Path, tmp_path: Path):
    run = without(local, tmp_path / "run", "distill")
    with driver("distill", run, site, at(cluster)) as process:
        assert wait_for(lambda: is_training(run), 90)
        cluster.do("kill")
        try:
            assert process.poll() is None
            assert wait_for(lambda: len(tasks()) < 3, 10), "the node's training goes on"
            ended(process)
        finally:
            cluster.do("add")
    assert hashes(run, ("distill",)) == hashes(local, ("distill",))


def test_a_driver_that_is_killed_goes_on_when_it_is_called_again(
    local: Path, cluster: Nodes, site: Path, tmp_path: Path
):
    run = without(local, tmp_path / "run", "distill")
    with driver("distill", run, site, at(cluster)) as process:
        assert wait_for(lambda: is_training(run), 90)
        check_failure(suffuse("distill", run), 1, "another process works on this run")  # a second driver
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert wait_for(lambda: not tasks(), 20), "tasks have outlived their driver"
    finished("distill", run, site, at(cluster))
    assert hashes(run, ("distill",)) == hashes(local, ("distill",))


def listening(processes: list[psutil.Process]) -> set[str]:
    """Addresses on which processes listen for connections."""
    found: set[str] = set()
    for process in processes:
        with suppress(psutil.Error):
            found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return found


def is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ((ip.version == 6 and ip.ipv4_mapped) or ip).is_loopback


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def named(processes: list[psutil.Process]) -> list[tuple[str, psutil.Process]]:
    """Living processes with their names."""
    found = []
    for process in processes:
        with suppress(psutil.Error):
            found.append((process.name(), process))
    return found


@pytest.mark.parametrize("end", ["finishes", "is killed"])
def test_a_ray_that_is_started_here_is_for_this_machine_alone_and_ends(
    end: str, local: Path, site: Path, tmp_path: Path
):
    run = without(local, tmp_path / "run", "distill")
    with driver("distill", run, site) as process:
        assert wait_for(tasks, 90)
        started = named(psutil.Process(process.pid).children(recursive=True))
        assert {"gcs_server", "raylet"} <= {name for name, _ in started}
        socket = next(a for name, p in started if name == "raylet" for a in p.cmdline() if "raylet_socket" in a)
        folder = Path(socket.partition("=")[2]).parents[2]
        addresses = listening([psutil.Process(process.pid), *(p for _, p in started)])
        assert addresses and all(map(is_loopback, addresses)), addresses
        assert folder.name.startswith("suffuse-ray-") and folder.exists()
        if end == "finishes":
            ended(process)
            assert not folder.exists()
    working = [p for name, p in started if name not in AGENTS]
    assert wait_for(lambda: not alive(working), 20), alive(working)
    finished("distill", run, site, "compute.ray.memory=100MB")
    assert hashes(run, ("distill",)) == hashes(local, ("distill",))
    assert wait_for(lambda: not alive([p for _, p in started]), 120), started
    shutil.rmtree(folder, ignore_errors=True)  # which a driver that is killed leaves


def test_a_teacher_alone_and_candidates_have_the_bits_of_local_ones(site: Path, tmp_path: Path):
    small = {"kind": "gru", "embedding": 4, "width": 4}
    make_project(
        tmp_path, compute={"threads": 2}, teacher__unimodal_baselines=False,
        student__candidates={"question": {"encoders": {"question": small}, "fusion": {"kind": "concat", "width": 4}}},
        distill={"train": {"epochs": 8, "batch": 8}, "num_seeds": 2, "unimodal_baselines": False},
    )  # fmt: skip
    check_success(suffuse("prepare", "recipe.yaml", "--out", "local", cwd=tmp_path))
    local, run = tmp_path / "local", Path(shutil.copytree(tmp_path / "local", tmp_path / "run"))
    for verb in ("teach", "extract", "distill"):
        check_success(suffuse(verb, local))
        finished(verb, run, site)
    assert json.loads((run / "selection.json").read_text())["rounds"]
    different = {name for name, digest in hashes(run, STAGES).items() if hashes(local, STAGES)[name] != digest}
    assert different == {"selected.yaml"}  # a recipe, which says where it runs

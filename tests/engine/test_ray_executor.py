"""Trainings on Ray, the parts that need no cluster: what a recipe may ask for, which nodes may train, what a task does
in its process, and what the driver makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import check_failure, make_project, make_recipe, suffuse

from suffuse import epoch_events, pipeline
from suffuse.engine import ray_cluster, ray_executor
from suffuse.engine.ray_cluster import node_facts, require_node, require_nodes, usable_nodes
from suffuse.engine.ray_executor import RayExecutor, job_name, run_task
from suffuse.engine.runtime import CPU, device_of
from suffuse.engine.workers import report_progress
from suffuse.epoch_events import Epoch
from suffuse.errors import SuffuseError, UsageError
from suffuse.recipe import Compute
from suffuse.recipe import make_recipe as recipe_of
from suffuse.recipe.stage_settings import RaySettings
from suffuse.run import Run
from suffuse.stages import STAGES


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        ({"executor": "ray", "processes": 2}, "processes: got 2 with executor ray"),
        ({"ray": {"cpus": 2}}, "expected executor: ray"),
        ({"executor": "ray", "ray": {"address": "ray://head:10001"}}, "Ray Client"),
        ({"executor": "ray", "ray": {"address": "head"}}, "expected auto or HOST:PORT"),
        ({"executor": "ray", "ray": {"gpus": 1.5}}, "expected a whole number, or a part of one"),
        ({"executor": "ray", "ray": {"memory": "much"}}, "expected a number of bytes"),
        ({"executor": "ray", "device": "cuda"}, "expected ray.gpus above 0"),
        ({"executor": "ray", "device": "cuda:1", "ray": {"gpus": 1}}, "expected cuda"),
        ({"executor": "ray", "device": "cpu", "ray": {"gpus": 1}}, "expected 0"),
        ({"executor": "dask"}, "'local' or 'ray'"),
    ],
)
def test_what_doesn_t_go_together_is_refused_when_the_recipe_is_read(compute: dict, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        recipe_of(make_recipe(compute=compute))
    assert "compute" in refused.value.line() and words in refused.value.line()


def test_what_a_training_reserves() -> None:
    settings = RaySettings.model_validate({"cpus": 2, "gpus": 0.5, "memory": "1GiB"})
    assert RayExecutor(settings, 2, Path()).needs() == {"CPU": 2, "GPU": 0.5, "memory": 2**30}
    assert RayExecutor(RaySettings(), 8, Path(), threads=8).needs() == {"CPU": 8}


def test_without_gpus_of_ray_the_device_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suffuse.engine.runtime.count_devices", lambda kind: int(kind == "cuda"))
    assert device_of(Compute(executor="ray")) == CPU
    assert device_of(Compute(executor="ray", ray=RaySettings(gpus=1))).type == "cuda"
    assert device_of(Compute()).type == "cuda"


def test_the_executor_makes_no_stage_stale(tmp_path: Path) -> None:
    recipe = make_project(tmp_path, pictures=4)
    local, ray = (
        Run.open(recipe, overrides, tmp_path / "run")
        for overrides in ((), ("compute.executor=ray", "compute.ray.cpus=3", "compute.ray.address=auto"))
    )
    assert ray.recipe.compute.cluster and ray.recipe.compute.cluster.cpus == 3
    for stage in STAGES.values():
        assert pipeline.inputs(ray, stage) == pipeline.inputs(local, stage)


@pytest.fixture
def no_teacher(tmp_path: Path) -> Path:
    """A prepared run."""
    recipe = make_project(tmp_path, pictures=8, compute={"executor": "ray"})
    assert suffuse("prepare", recipe, "--out", tmp_path / "run").code == 0
    return tmp_path / "run"


def test_without_the_package_the_command_says_what_to_install(no_teacher: Path, monkeypatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None if name == "ray" else find_spec(name))
    check_failure(suffuse("teach", no_teacher), 2, "ray isn't installed", "pip install 'suffuse[cluster]'")
    assert not (no_teacher / ".partial" / "teach").exists()


def test_a_launcher_is_refused(no_teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match="a launcher's processes don't go with Ray") as refused:
        pipeline.run_stage(Run.open(no_teacher), "teach")
    assert refused.value.where == "compute.executor"


IMPORTS = """
import sys
import suffuse.pipeline
from suffuse.engine import ray_cluster, ray_executor, workers
print("ray" in sys.modules)
if sys.argv[1:]:
    from suffuse.stages import distill, teach, tune
    workers.run_jobs(sys.argv[1], [{}], 1, lambda share, words: None, brief=True)
    print("ray" in sys.modules)
"""


def imports(*args: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", IMPORTS, *args], cwd=cwd, capture_output=True, text=True, check=True
    ).stdout


def test_ray_is_not_imported_unless_asked_for(tmp_path: Path) -> None:
    assert imports(cwd=tmp_path) == "False\n"


@pytest.mark.long
def test_local_trainings_don_t_import_ray(tmp_path: Path) -> None:
    (tmp_path / "nojobs.py").write_text("def nothing(job, tell): pass\n")
    assert imports("nojobs:nothing", cwd=tmp_path) == "False\nFalse\n"


# which nodes may train


def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeManagerHostname": name, "NodeID": name, "Alive": alive, "Resources": resources}


def test_nodes_that_can_hold_a_training_are_asked() -> None:
    nodes = [node("head", CPU=0), node("small", CPU=1), node("big", CPU=4, GPU=1), node("gone", False, CPU=8, GPU=8)]
    assert [n["NodeID"] for n in usable_nodes(nodes, {"CPU": 1})] == ["small", "big"]
    assert [n["NodeID"] for n in usable_nodes(nodes, {"CPU": 1, "GPU": 0.5})] == ["big"]
    with pytest.raises(SuffuseError) as refused:
        usable_nodes(nodes, {"CPU": 8, "memory": 2**31})
    assert "no node of the Ray cluster can hold one training" in refused.value.line()
    assert "small: 1 CPU, 0.0 GiB" in refused.value.got and refused.value.expected == "8 CPU, 2.0 GiB"
    assert "gone" not in refused.value.got


def test_a_node_must_see_the_folder_and_have_the_driver_s_versions(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.write_text("token")
    own = node_facts(str(marker), "token")
    require_node(own, own, tmp_path)
    for other in (node_facts(str(marker), "another run's"), node_facts(str(tmp_path / "nowhere"), "token")):
        with pytest.raises(SuffuseError) as refused:
            require_node(other, own, tmp_path)
        assert "doesn't see the run's folder" in refused.value.message and own["node"] in refused.value.where
        assert str(tmp_path) in refused.value.got and "mount at the same path" in refused.value.hint
    other = {**own, "versions": {**own["versions"], "torch": "2.0"}}
    with pytest.raises(SuffuseError) as refused:
        require_node(other, own, tmp_path)
    assert refused.value.got == "torch 2.0" and refused.value.expected == f"torch {own['versions']['torch']}"


class FakeRay:
    """Tasks that have ended, or never do. A reference is a number; an outcome that is an exception is raised."""

    class exceptions:
        RayError = type("RayError", (Exception,), {})
        RayTaskError = type("RayTaskError", (RayError,), {})
        OutOfMemoryError = type("OutOfMemoryError", (RayError,), {})

    def __init__(self, outcomes: list[Any], nodes: list[dict[str, Any]] | None = None):
        self.outcomes, self.cancelled, self.listed = outcomes, [], nodes or []

    def nodes(self) -> list[dict[str, Any]]:
        return self.listed

    def wait(self, references: list[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        assert num_returns == len(references)
        ended = [r for r in references if self.outcomes[r] is not None]
        return ended, [r for r in references if r not in ended]

    def get(self, reference: int) -> Any:
        outcome = self.outcomes[reference]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def cancel(self, reference: int, force: bool) -> None:
        self.cancelled.append(reference)


def asked_nodes(outcomes: list[Any]) -> FakeRay:
    """Ask as many nodes, which answer so."""
    ray = FakeRay(outcomes, [node(f"n{number}", CPU=1) for number in range(len(outcomes))])
    own = {"node": "driver", "sees": True, "versions": {"torch": "1"}, "processor": "p"}
    require_nodes(ray, {"CPU": 1}, lambda n: int(n["NodeID"][1:]), own, Path("/run"))
    return ray


def test_every_node_is_asked_before_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    good = {"node": "n0", "sees": True, "versions": {"torch": "1"}, "processor": "p"}
    asked_nodes([good, good, FakeRay.exceptions.RayError("died")])  # lost meanwhile: it gets no task either
    assert capsys.readouterr().err == ""
    asked_nodes([good, {**good, "processor": "q"}])
    assert "processors differ (p, q)" in capsys.readouterr().err
    missing = FakeRay.exceptions.RayTaskError("Traceback\nModuleNotFoundError: No module named 'suffuse'")
    for outcome, words in (
        ({**good, "sees": False}, "doesn't see the run's folder"),
        ({**good, "versions": {"torch": "2"}}, "got torch 2, expected torch 1"),
        (missing, "can't import suffuse (node n1): got ModuleNotFoundError: No module named 'suffuse'"),
        (None, "don't answer (n1)"),
    ):
        with pytest.raises(SuffuseError, match="node") as refused:
            asked_nodes([good, outcome])
        assert words in refused.value.line()


# a task in its process

JOBS = """
from suffuse.epoch_events import Epoch, tell_epoch
from suffuse.errors import UsageError

def good(job, tell):
    tell(0.5, "half")
    tell_epoch(Epoch("student/seed-1", 1, 2, 0.5, {}, {"accuracy": 0.5}))
    job.pop("name")

def picky(job, tell):
    raise UsageError("it won't do", where="here", got="b", hint="try a")

def defect(job, tell):
    {}["missing"]

def replaced(job, tell):
    import shutil
    shutil.rmtree(job["place"])
    tell(0.5, "still here")
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a call, with its marker and the file of one job's progress."""
    (tmp_path / "rayjobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(epoch_events, "_forward", [])
    place = tmp_path / "call-token"
    place.mkdir()
    (tmp_path / "locks").mkdir()
    (place / "marker").write_text("token")
    (place / "0.jsonl").touch()
    return place


def done_task(place: Path, function: str, **changes: Any) -> dict[str, Any]:
    """What a task of this function returns."""
    own = node_facts(str(place / "marker"), "token")
    job = {"name": "a", "place": str(place)}
    order = {"function": f"rayjobs:{function}", "job": job, "number": 0, "place": str(place), "token": "token"}
    return run_task({**order, **changes}, own)


def test_a_task_reports_through_its_file(place: Path) -> None:
    assert done_task(place, "good") == {"done": True}
    share, epoch = map(json.loads, (place / "0.jsonl").read_text().splitlines())
    assert share == {"share": 0.5, "words": "half"}
    assert epoch["epoch"]["training"] == "student/seed-1" and epoch["epoch"]["validation"] == {"accuracy": 0.5}


def test_a_task_returns_its_error(place: Path) -> None:
    assert done_task(place, "picky")["error"]["hint"] == "try a"
    assert "KeyError: 'missing'" in done_task(place, "defect")["error"]["message"]
    elsewhere = done_task(place, "good", token="another")
    assert "doesn't see the run's folder" in elsewhere["error"]["message"]
    assert (place / "0.jsonl").read_text() == ""


def test_a_task_whose_driver_was_replaced_ends_when_it_reports(place: Path) -> None:
    assert "No such file" in done_task(place, "replaced")["error"]["message"]
    assert not place.exists()


HOLD = """
import sys
from suffuse.file_lock import lock
file = open(sys.argv[1], "a")
lock(file, "")
print("held", flush=True)
input()
"""


def test_a_training_is_done_by_one_process_at_a_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = job_name("rayjobs:good", {"place": str(place), "name": "a"})
    file = place.parent / "locks" / f"{name}.lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, file], stdin=-1, stdout=-1, text=True)
    assert other.stdout and other.stdout.readline() == "held\n"
    monkeypatch.setattr(ray_executor, "POLL_SECONDS", 0.01)
    with monkeypatch.context() as brief:
        brief.setattr(ray_executor, "LOCK_SECONDS", 0.05)
        assert done_task(place, "good")["error"]["message"] == "another process does this training"
    assert done_task(place, "good", job={"name": "b"}) == {"done": True}
    other.kill()
    other.wait()
    assert done_task(place, "good") == {"done": True}


# what the driver makes of it


def test_progress_of_all_tasks_reaches_terminal_and_callbacks(tmp_path: Path) -> None:
    epoch = {"training": "a", "number": 1, "epochs": 2, "loss": 0.5, "losses": {}, "validation": {"accuracy": 0.5}}
    lines = [json.dumps(line) for line in ({"share": 0.5, "words": "half"}, {"epoch": epoch})]
    (tmp_path / "0.jsonl").write_text("\n".join(lines) + "\n" + '{"share": 0.9')  # the last is being written
    (tmp_path / "1.jsonl").touch()
    told: list[tuple[float, str]] = []
    epochs: list[Epoch] = []
    callback = type("Callback", (), {"on_epoch_end": lambda self, epoch: epochs.append(epoch)})()
    ray = FakeRay([{"done": True}, {"done": True}])
    running = {0: 0, 1: 1}
    with epoch_events.listening([callback]):
        report_progress(
            ray_executor._messages(ray, running, tmp_path), 2, lambda share, words: told.append((share, words))
        )
    assert told == [(0.25, "half"), (0.5, ""), (1.0, "")]
    assert [e.training for e in epochs] == ["a"] and not running


@pytest.mark.parametrize(("kind", "hint"), [("RayError", "call suffuse again"), ("OutOfMemoryError", "ray.memory")])
def test_a_task_that_was_lost_too_often_is_an_error(kind: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").touch()
    (tmp_path / "1.jsonl").touch()
    ray, running = FakeRay([getattr(FakeRay.exceptions, kind)("The node died\nmore"), None]), {0: 0, 1: 1}
    with pytest.raises(SuffuseError, match="a training process died") as lost:
        report_progress(ray_executor._messages(ray, running, tmp_path), 2, lambda share, words: None)
    assert lost.value.got == "The node died" and hint in lost.value.hint and "resumes" in lost.value.hint
    assert running == {1: 1}  # what the caller cancels


def test_files_of_an_earlier_call_go(tmp_path: Path) -> None:
    with ray_executor._call_folder(tmp_path) as (earlier, token):
        assert (earlier / "marker").read_text() == token
        with ray_executor._call_folder(tmp_path) as (place, other):
            assert not earlier.exists() and (place / "marker").read_text() == other != token
    assert [p.name for p in tmp_path.iterdir()] == ["locks"]

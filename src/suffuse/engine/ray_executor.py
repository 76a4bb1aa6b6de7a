"""Trainings as tasks of a Ray cluster whose nodes share the run's folder.

A task calls the same function as a worker process does (:mod:`.workers`), with as many threads, so that its training
has the same bits. Its progress goes through a file in the run's folder, which the driver reads. A task whose process or
node is lost starts again elsewhere and resumes from the training's checkpoint. What fails by itself is not repeated.

Two processes never train in the same folder: each task holds a lock there, and one whose driver was replaced by another
fails when it next reports.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SuffuseError
from ..file_lock import lock
from ..recipe.stage_settings import RaySettings
from ..run import Run
from ..user_parts import VARIABLE
from . import distributed_launch
from .ray_cluster import Facts, connect, node_facts, require_node, require_nodes
from .workers import Message, outcome, report_progress

FOLDER = ".ray"  # in a stage's working folder
LOCKS = "locks"  # there, beside a folder for each call
MARKER = "marker"  # in a call's folder: a text that every node must read
POLL_SECONDS = 0.5
LOCK_SECONDS = 180.0  # in which a network file system gives up the lock of a node that was lost
PASSED_ON = ("SUFFUSE_DEBUG", VARIABLE)  # environment variables that tasks have from the driver


def ray_executor(run: Run, stage: str, threads: int = 1) -> RayExecutor | None:
    """The executor of a stage's trainings, each with ``threads`` threads; None where the recipe asks for none."""
    cluster = run.recipe.compute.cluster
    return cluster and RayExecutor(cluster, run.recipe.compute.threads, run.partial(stage) / FOLDER, threads)


@dataclass(frozen=True)
class RayExecutor:
    """Runs trainings on a Ray cluster."""

    settings: RaySettings
    cores: int  # of a Ray that is started here
    folder: Path  # of progress and locks, which all nodes see
    threads: int = 1  # of one training

    def run(self, function: str, jobs: list[dict[str, Any]], tell: Callable[[float, str], None]) -> None:
        """:func:`suffuse.engine.workers.run_jobs` with a task for each job."""
        ray = connect(self.settings, self.cores)
        with _call_folder(self.folder) as (place, token):
            own = node_facts(str(place / MARKER), token)
            self._require_nodes(ray, place, token, own)
            task = ray.remote(**self._options())(run_task)
            running: dict[Any, int] = {}
            try:
                for number, job in enumerate(jobs):
                    _progress_file(place, number).touch()
                    order = {"function": function, "job": job, "number": number, "place": str(place), "token": token}
                    running[task.remote(order, own)] = number
                report_progress(_messages(ray, running, place), len(jobs), tell)
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)

    def needs(self) -> dict[str, float]:
        """Ray's names of resources -> what one training takes."""
        needs = {"CPU": max(self.settings.cpus, self.threads), "GPU": self.settings.gpus}
        if self.settings.memory is not None:
            needs["memory"] = self.settings.memory
        return {name: amount for name, amount in needs.items() if amount}

    def _options(self) -> dict[str, Any]:
        needs = self.needs()
        variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        options = {
            "num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0), "max_retries": self.settings.retries,
            "retry_exceptions": False, "name": "suffuse training",
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(self.threads), **variables}},
        }  # fmt: skip
        return options | ({"memory": needs["memory"]} if "memory" in needs else {})

    def _require_nodes(self, ray: Any, place: Path, token: str, own: Facts) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = ray.remote(**{**self._options(), "num_cpus": 0, "num_gpus": 0, "memory": 0, "max_retries": 0})(
            node_facts
        )

        def ask(node: Facts) -> Any:
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            return task.options(scheduling_strategy=strategy).remote(str(place / MARKER), token)

        require_nodes(ray, self.needs(), ask, own, place)


@contextlib.contextmanager
def _call_folder(folder: Path) -> Generator[tuple[Path, str]]:
    """A new folder for the files of one call, with its marker, and the marker's text. Those of earlier calls go: what
    still runs of them fails when it next reports."""
    for earlier in folder.glob("call-*"):
        shutil.rmtree(earlier, ignore_errors=True)
    token = secrets.token_hex(16)
    place = folder / f"call-{token}"
    place.mkdir(parents=True)
    (folder / LOCKS).mkdir(exist_ok=True)
    (place / MARKER).write_text(token, encoding="utf-8")
    try:
        yield place, token
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _progress_file(place: Path, number: int) -> Path:
    return place / f"{number}.jsonl"


def run_task(order: dict[str, Any], driver: Facts) -> Message:
    """One job, in a process that Ray started. Returns what :func:`suffuse.engine.workers.outcome` does.

    The file of its progress must be there: the driver makes it, and takes it away when it gives up the job.
    """
    place, function, job = Path(order["place"]), order["function"], order["job"]
    file = _progress_file(place, order["number"])

    def say(**facts: Any) -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(facts) + "\n")

    def run() -> None:
        require_node(node_facts(str(place / MARKER), order["token"]), driver, place)
        call = distributed_launch.import_function(function)
        with _locked(place.parent / LOCKS / f"{job_name(function, job)}.lock"):
            call(dict(job), lambda share, words: say(share=share, words=words))

    return outcome(run, function, say)


def job_name(function: str, job: dict[str, Any]) -> str:
    """The same for the same training in every call."""
    return hashlib.blake2b(json.dumps([function, job], sort_keys=True).encode(), digest_size=12).hexdigest()


@contextlib.contextmanager
def _locked(file: Path) -> Generator[None]:
    """Inside, this process alone does the job, on whichever node: another process of it is waited for.

    Raises SuffuseError where it doesn't end.
    """
    end = time.monotonic() + LOCK_SECONDS
    with file.open("a", encoding="utf-8") as stream:
        while True:
            try:
                lock(stream, file)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    hint = "wait until it ends, or end it; then call suffuse again"
                    raise SuffuseError("another process does this training", where=file, hint=hint) from None
                time.sleep(POLL_SECONDS)
        yield


def _messages(ray: Any, running: dict[Any, int], place: Path) -> Iterator[Message]:
    """What the tasks report, and their outcomes; a task that ended is taken out of ``running``."""
    read = dict.fromkeys(running.values(), 0)
    while running:
        ended, _ = ray.wait(list(running), num_returns=len(running), timeout=POLL_SECONDS)
        for number in running.values():
            for line in _new_lines(_progress_file(place, number), read, number):
                yield {**json.loads(line), "job": number}
        for reference in ended:
            yield {**_outcome(ray, reference), "job": running.pop(reference)}


def _new_lines(file: Path, read: dict[int, int], number: int) -> list[bytes]:
    """The whole lines behind what was read; counts their bytes."""
    with file.open("rb") as stream:
        stream.seek(read[number])
        new = stream.read()
    whole = new[: new.rfind(b"\n") + 1]
    read[number] += len(whole)
    return whole.splitlines()


def _outcome(ray: Any, reference: Any) -> Message:
    """What a task returned; the facts of an error where its process or node was lost too often."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        if os.environ.get("SUFFUSE_DEBUG"):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        hint = "call suffuse again: it resumes from the checkpoint"
        if isinstance(error, ray.exceptions.OutOfMemoryError):
            hint = f"compute.ray.memory: what one training needs, so that fewer run on a node; then {hint}"
        facts = {"message": "a training process died", "where": "Ray", "got": lines[0], "hint": hint}
        return {"error": facts}

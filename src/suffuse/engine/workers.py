"""Several trainings side by side, one process each, one thread each: small networks don't gain from threads,
and a training's bits then don't depend on how many run beside it.

Where a recipe asks for it several processes share each training (:mod:`.group`).

Parent and workers speak JSON lines over pipes. A worker whose parent dies reads the end of its input and
stops at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import SuffuseError, from_system
from . import distributed_launch

if TYPE_CHECKING:
    from ..data.columns import Columns
    from ..recipe import Network, Training

CAUSE_SECONDS = 10.0  # in which the process that ended shows, after others have missed it
BRIEF_STEPS = 800  # of small networks: some milliseconds each
BRIEF_PARAMETERS = 2e8  # times rows that are learned from, each epoch's: a second or two
BRIEF_NUMBERS = 2e7  # of those rows' entries: a convolution's first layer needs seconds for as many


def run_jobs(
    function: str,
    jobs: list[dict],
    workers: int,
    tell: Callable[[float, str], None],
    processes: int = 1,
    brief: bool = False,
) -> None:
    """Call ``function`` ("module:name", taking a job and a tell) on every job, ``workers`` processes at a time, of
    which so many share each job. Under a launcher its processes share one job after the other; ``brief`` jobs, which
    take less time than starting a process, are done here.

    Raises SuffuseError as the first failing job does; the others are stopped.
    """
    if not jobs:
        return
    if distributed_launch.leads():
        distributed_launch.together(function, jobs, tell)
        return
    if brief and processes == 1:
        from .runtime import restored  # torch: a worker, which imports this module first, has to listen before that

        with restored():
            distributed_launch.one_by_one(function, jobs, tell)
        return
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(jobs)):
        todo.put(number)
    news: queue.SimpleQueue[dict] = queue.SimpleQueue()
    count = min(max(workers // processes, 1), len(jobs))
    with tempfile.TemporaryDirectory(prefix="suffuse-") as folder:
        teams = [Team([_start(function) for _ in range(processes)], Path(folder, str(n))) for n in range(count)]
        threads = [threading.Thread(target=_serve, args=(team, jobs, todo, news), daemon=True) for team in teams]
        try:
            for thread in threads:
                thread.start()
            _follow(news, jobs, tell)
        finally:
            for process in (p for team in teams for p in team.processes):
                process.kill()
                process.wait()


def brief(network: Network, columns: Columns, trainings: list[Training]) -> bool:
    """Whether all of these ``trainings`` of ``network``, one after the other, take less time than starting a process.

    A forecast from sizes alone, so it is the same wherever a run goes on. It decides nothing but who trains: one thread
    has the same bits in any process.
    """
    from ..model import FusionModel  # torch: a worker imports this module first, and must listen before that

    rows, own = len(columns.rows("train")), columns.of(network.encoders)
    if sum(how.epochs * -(-rows // how.batch) for how in trainings) > BRIEF_STEPS:
        return False
    learned = rows * sum(how.epochs for how in trainings)
    return (
        learned * own.numbers() <= BRIEF_NUMBERS and learned * FusionModel(network, own.spec).size() <= BRIEF_PARAMETERS
    )


def _start(function: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "suffuse.engine.workers", function],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


class Team:
    """Processes that share each of their jobs, and a place where they find each other."""

    def __init__(self, processes: list[subprocess.Popen], place: Path):
        self.processes, self.place, self.jobs = processes, place, 0
        self.said: queue.SimpleQueue[tuple[int, dict]] = queue.SimpleQueue()
        for rank, process in enumerate(processes):
            threading.Thread(target=self._listen, args=(rank, process), daemon=True).start()

    def _listen(self, rank: int, process: subprocess.Popen) -> None:
        for line in process.stdout:  # type: ignore[union-attr]
            self.said.put((rank, json.loads(line)))
        where = f"exit code {process.wait()}" + (f", process {rank + 1}" if len(self.processes) > 1 else "")
        self.said.put((rank, {"error": {"what": "a training process died", "where": where}}))

    def give(self, job: dict) -> None:
        """Hand a job to all of them; how they find each other is part of it."""
        self.jobs += 1
        size = len(self.processes)
        for rank, process in enumerate(self.processes):
            group = {"rank": rank, "size": size, "file": f"{self.place}-{self.jobs}"} if size > 1 else None
            with contextlib.suppress(
                OSError
            ):  # the process died: `hear` reads its end and reports it, also for this job
                process.stdin.write(json.dumps({"job": job, "group": group}) + "\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]

    def hear(self) -> Iterator[dict]:
        """What they say of a job, until all are done or one fails; of the first one's progress alone. A process that
        lost another one is not the cause: that is waited for a moment."""
        left = len(self.processes)
        while left:
            rank, said = self.said.get()
            if "error" in said:
                yield self._cause(said)
                return
            left -= bool(said.get("done"))
            if not said.get("done") and not rank:
                yield said
        yield {"done": True}

    def _cause(self, said: dict) -> dict:
        first, end = said, time.monotonic() + CAUSE_SECONDS
        while said.get("lost") and time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                _, other = self.said.get(timeout=max(end - time.monotonic(), 0.01))
                said = other if "error" in other else said
        return first if said.get("lost") else said


def _serve(team: Team, jobs: list[dict], todo: queue.SimpleQueue, news: queue.SimpleQueue) -> None:
    """Hand jobs to one team until there are none, and pass on what it says."""
    while True:
        try:
            number = todo.get_nowait()
        except queue.Empty:
            return
        team.give(jobs[number])
        for said in team.hear():
            news.put({**said, "job": number})
            if "error" in said:
                return


def _follow(news: queue.SimpleQueue, jobs: list[dict], tell: Callable[[float, str], None]) -> None:
    shares = [0.0] * len(jobs)
    done = 0
    while done < len(jobs):
        said = news.get()
        if "error" in said:
            raise SuffuseError(**said["error"])
        if said.get("done"):
            done += 1
            shares[said["job"]] = 1.0
        else:
            shares[said["job"]] = said["share"]
        tell(sum(shares) / len(jobs), said.get("words", ""))


def work(function: str, incoming: TextIO, outgoing: TextIO) -> None:
    """The worker: one job after the other, in the order in which they come."""
    jobs: queue.SimpleQueue[dict] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, jobs), daemon=True).start()  # first: imports take seconds
    call = distributed_launch.named(function)

    def say(**facts: Any) -> None:
        outgoing.write(json.dumps(facts) + "\n")
        outgoing.flush()

    while True:
        order = jobs.get()
        try:
            with _among(order["group"]):
                call(order["job"], lambda share, words: say(share=share, words=words))
            say(done=True)
        except (SuffuseError, OSError) as error:
            said = from_system(error) if isinstance(error, OSError) else error
            facts = {"what": said.what, "where": said.where, "got": said.got, "expected": said.expected}
            say(error={**facts, "hint": said.hint}, lost=getattr(said, "lost", False))
        except Exception as error:
            if os.environ.get("SUFFUSE_DEBUG"):
                raise
            facts = {"what": f"a defect in suffuse: {type(error).__name__}: {error}", "where": function}
            say(error={**facts, "hint": "SUFFUSE_DEBUG=1 shows where"})


def _among(group: dict | None) -> contextlib.AbstractContextManager:
    """This process among those that share the job."""
    if group is None:
        return contextlib.nullcontext()
    from .process_group import joined

    return joined(group["rank"], group["size"], Path(group["file"]))


def _listen(incoming: TextIO, jobs: queue.SimpleQueue) -> None:
    for line in incoming:
        jobs.put(json.loads(line))
    os._exit(0)  # the parent is gone, or needs nothing more


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is talk
    work(sys.argv[1], sys.stdin, answers)

"""Trainings in parallel, one process with one thread each: small networks don't gain from threads, and a training is
then bit-identical however many run in parallel.

Where a recipe asks for it several processes share each training (:mod:`.process_group`), or a Ray cluster runs them
(:mod:`.ray_executor`).

Parent and workers exchange JSON lines over pipes. A worker whose parent dies reads the end of its input and stops.
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

from ..epoch_events import forward, received
from ..errors import SuffuseError, from_system
from . import distributed_launch

if TYPE_CHECKING:
    from ..data.columns import Columns
    from ..recipe import Network, Training
    from .ray_executor import RayExecutor

Message = dict[str, Any]  # of a worker or to it, as JSON
CAUSE_SECONDS = 10.0  # in which the process that ended shows, after others have missed it
BRIEF_STEPS = 800  # of small networks: some milliseconds each
BRIEF_PARAMETERS = 2e8  # times rows that are learned from, each epoch's: a second or two
BRIEF_NUMBERS = 2e7  # of those rows' entries: a convolution's first layer needs seconds for as many


def run_jobs(
    function: str,
    jobs: list[dict[str, Any]],
    workers: int,
    tell: Callable[[float, str], None],
    processes: int = 1,
    brief: bool = False,
    ray: RayExecutor | None = None,
) -> None:
    """Call ``function`` ("module:name", taking a job and a tell) on every job, in ``workers`` processes, of which
    ``processes`` share each job; with ``ray`` as tasks of a cluster. A launcher's processes share one job after the
    other. ``brief`` jobs, which take less time than starting a process, run in this one. Raises SuffuseError as the
    first failing job does, and stops the others.
    """
    if not jobs:
        return
    if distributed_launch.is_leader():
        distributed_launch.run_together(function, jobs, tell)
        return
    if brief and processes == 1:
        from .runtime import restored  # torch: a worker, which imports this module first, has to listen before that

        with restored():
            distributed_launch.run_sequentially(function, jobs, tell)
    elif ray is not None:
        ray.run(function, jobs, tell)
    else:
        _run_in_processes(function, jobs, workers, tell, processes)


def _run_in_processes(
    function: str, jobs: list[dict[str, Any]], workers: int, tell: Callable[[float, str], None], processes: int
) -> None:
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(jobs)):
        todo.put(number)
    news: queue.SimpleQueue[Message] = queue.SimpleQueue()
    count = min(max(workers // processes, 1), len(jobs))
    with tempfile.TemporaryDirectory(prefix="suffuse-") as folder:
        teams = [Team([_start(function) for _ in range(processes)], Path(folder, str(n))) for n in range(count)]
        threads = [threading.Thread(target=_work_off, args=(team, jobs, todo, news), daemon=True) for team in teams]
        try:
            for thread in threads:
                thread.start()
            report_progress(iter(news.get, None), len(jobs), tell)
        finally:
            for process in (p for team in teams for p in team.processes):
                process.kill()
                process.wait()


def is_brief(network: Network, columns: Columns, trainings: list[Training]) -> bool:
    """Whether all of these ``trainings`` of ``network``, one after the other, take less time than starting a process.

    An estimate from sizes only, so that it is the same on every machine. It decides only where the training runs: with
    one thread the bits are the same in any process.
    """
    from ..model import FusionModel  # torch: a worker imports this module first, and must listen before that

    rows, own_columns = len(columns.rows("train")), columns.of(network.encoders)
    if sum(training.epochs * -(-rows // training.batch) for training in trainings) > BRIEF_STEPS:
        return False
    rows_learned = rows * sum(training.epochs for training in trainings)
    return (
        rows_learned * own_columns.numbers() <= BRIEF_NUMBERS
        and rows_learned * FusionModel(network, own_columns.spec).size() <= BRIEF_PARAMETERS
    )


def _start(function: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "suffuse.engine.workers", function],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


class Team:
    """Processes that share each of their jobs, and a file path by which they find each other."""

    def __init__(self, processes: list[subprocess.Popen[str]], place: Path):
        self.processes, self.place, self.jobs = processes, place, 0
        self.messages: queue.SimpleQueue[tuple[int, Message]] = queue.SimpleQueue()
        for rank, process in enumerate(processes):
            threading.Thread(target=self._listen, args=(rank, process), daemon=True).start()

    def _listen(self, rank: int, process: subprocess.Popen[str]) -> None:
        for line in process.stdout:  # type: ignore[union-attr]
            self.messages.put((rank, json.loads(line)))
        where = f"exit code {process.wait()}" + (f", process {rank + 1}" if len(self.processes) > 1 else "")
        self.messages.put((rank, {"error": {"message": "a training process died", "where": where}}))

    def send(self, job: dict[str, Any]) -> None:
        """Send a job to all processes, with the file by which they find each other."""
        self.jobs += 1
        size = len(self.processes)
        for rank, process in enumerate(self.processes):
            group = {"rank": rank, "size": size, "file": f"{self.place}-{self.jobs}"} if size > 1 else None
            # where the process died, `receive` reads its end and reports it, also for this job
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps({"job": job, "group": group}) + "\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]

    def receive(self) -> Iterator[dict[str, Any]]:
        """Messages about a job, until all are done or one fails; progress comes from the first process only. A process
        that lost another one is not the cause of a failure: the cause is waited for a moment."""
        running = len(self.processes)
        while running:
            rank, message = self.messages.get()
            if "error" in message:
                yield self._root_cause(message)
                return
            running -= bool(message.get("done"))
            if not message.get("done") and not rank:
                yield message
        yield {"done": True}

    def _root_cause(self, message: dict[str, Any]) -> dict[str, Any]:
        first, end = message, time.monotonic() + CAUSE_SECONDS
        while message.get("lost") and time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                _, next_message = self.messages.get(timeout=max(end - time.monotonic(), 0.01))
                message = next_message if "error" in next_message else message
        return first if message.get("lost") else message


def _work_off(
    team: Team, jobs: list[dict[str, Any]], todo: queue.SimpleQueue[int], news: queue.SimpleQueue[Message]
) -> None:
    """Send jobs to one team until none is left, and forward its messages."""
    while True:
        try:
            number = todo.get_nowait()
        except queue.Empty:
            return
        team.send(jobs[number])
        for message in team.receive():
            news.put({**message, "job": number})
            if "error" in message:
                return


def report_progress(messages: Iterator[Message], count: int, tell: Callable[[float, str], None]) -> None:
    """Forward the messages of ``count`` jobs to the terminal and to callbacks until all are done. ``job`` of a message
    is the job's number.

    Raises SuffuseError as soon as a job failed.
    """
    shares = [0.0] * count
    done = 0
    while done < count:
        message = next(messages)
        if "error" in message:
            raise SuffuseError(**message["error"])
        if "epoch" in message:
            received(message["epoch"])
            continue
        if message.get("done"):
            done += 1
            shares[message["job"]] = 1.0
        else:
            shares[message["job"]] = message["share"]
        tell(sum(shares) / count, message.get("words", ""))


def work(function: str, incoming: TextIO, outgoing: TextIO) -> None:
    """The worker's loop: one job after the other."""
    jobs: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, jobs), daemon=True).start()  # first: imports take seconds
    call = distributed_launch.import_function(function)

    def say(**facts: Any) -> None:
        outgoing.write(json.dumps(facts) + "\n")
        outgoing.flush()

    while True:
        order = jobs.get()

        def run(group: dict[str, Any] | None = order["group"], job: dict[str, Any] = order["job"]) -> None:
            with _join_group(group):
                call(job, lambda share, words: say(share=share, words=words))

        say(**outcome(run, function, say))


def outcome(run: Callable[[], None], function: str, say: Callable[..., None]) -> Message:
    """Run a job here; ``say(epoch=facts)`` is called with its epochs. Returns ``done``, or the facts of its ``error``:
    a process that others wait for doesn't end by it. SUFFUSE_DEBUG lets a defect through."""
    forward(lambda epoch: say(epoch=epoch))
    try:
        run()
    except (SuffuseError, OSError) as error:
        failure = from_system(error) if isinstance(error, OSError) else error
        facts = {
            "message": failure.message,
            "where": failure.where,
            "got": failure.got,
            "expected": failure.expected,
        }
        return {"error": {**facts, "hint": failure.hint}, "lost": getattr(failure, "lost", False)}
    except Exception as error:
        if os.environ.get("SUFFUSE_DEBUG"):
            raise
        facts = {"message": f"a defect in suffuse: {type(error).__name__}: {error}", "where": function}
        return {"error": {**facts, "hint": "SUFFUSE_DEBUG=1 shows where"}}
    return {"done": True}


def _join_group(group: dict[str, Any] | None) -> contextlib.AbstractContextManager[Any]:
    """Join the processes that share the job."""
    if group is None:
        return contextlib.nullcontext()
    from .process_group import join_group

    return join_group(group["rank"], group["size"], Path(group["file"]))


def _listen(incoming: TextIO, jobs: queue.SimpleQueue[Message]) -> None:
    for line in incoming:
        jobs.put(json.loads(line))
    os._exit(0)  # the parent is gone, or needs nothing more


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is talk
    work(sys.argv[1], sys.stdin, answers)

"""Several trainings side by side, one process each, one thread each: small networks don't gain from threads,
and a training's bits then don't depend on how many run beside it.

Parent and workers speak JSON lines over pipes. A worker whose parent dies reads the end of its input and
stops at once.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from ..errors import SuffuseError, from_system


def run_jobs(function: str, jobs: list[dict], workers: int, tell: Callable[[float, str], None]) -> None:
    """Call ``function`` ("module:name", taking a job and a tell) on every job, ``workers`` at a time.

    Raises SuffuseError as the first failing job does; the others are stopped.
    """
    if not jobs:
        return
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(jobs)):
        todo.put(number)
    news: queue.SimpleQueue[dict] = queue.SimpleQueue()
    processes = [_start(function) for _ in range(min(workers, len(jobs)))]
    threads = [threading.Thread(target=_serve, args=(p, jobs, todo, news), daemon=True) for p in processes]
    try:
        for thread in threads:
            thread.start()
        _follow(news, jobs, tell)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(function: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "suffuse.engine.pool", function],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def _serve(process: subprocess.Popen, jobs: list[dict], todo: queue.SimpleQueue, news: queue.SimpleQueue) -> None:
    """Hand jobs to one worker until there are none, and pass on what it says."""
    while True:
        try:
            number = todo.get_nowait()
        except queue.Empty:
            return
        try:
            process.stdin.write(json.dumps(jobs[number]) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            for line in process.stdout:  # type: ignore[union-attr]
                said = json.loads(line)
                news.put({**said, "job": number})
                if said.get("done") or "error" in said:
                    break
            else:
                raise BrokenPipeError
        except (BrokenPipeError, OSError):
            news.put(
                {
                    "job": number,
                    "error": {"what": "a training process died", "where": f"exit code {process.wait()}"},
                }
            )
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
    module, name = function.split(":")
    call: Callable[[dict, Callable[[float, str], None]], None] = getattr(importlib.import_module(module), name)

    def say(**facts: Any) -> None:
        outgoing.write(json.dumps(facts) + "\n")
        outgoing.flush()

    while True:
        job = jobs.get()
        try:
            call(job, lambda share, words: say(share=share, words=words))
            say(done=True)
        except (SuffuseError, OSError) as error:
            said = from_system(error) if isinstance(error, OSError) else error
            facts = {"what": said.what, "where": said.where, "got": said.got, "expected": said.expected}
            say(error={**facts, "hint": said.hint})
        except Exception as error:
            if os.environ.get("SUFFUSE_DEBUG"):
                raise
            facts = {"what": f"a defect in suffuse: {type(error).__name__}: {error}", "where": function}
            say(error={**facts, "hint": "SUFFUSE_DEBUG=1 shows where"})


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

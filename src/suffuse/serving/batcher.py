"""Dynamic batching: threads that prepare the rows of requests, and run the network on the rows of several requests.

A thread takes its share of the waiting jobs and prepares them. Prepared jobs go to a common queue. A thread that gets
the network's lock runs the queue; a thread that finds the network running waits for it, at most ``wait`` seconds. Then
either its rows have been run by the other thread, or it runs a batch of its own beside. So an idle server answers at
once, a busy one makes batches as large as its load, and a slow network keeps all threads at work.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .http_error import Refusal, internal_error
from .row_batches import Cancelled, Rows, concatenate_rows

SHARE_BYTES = 2**18  # of jobs that one thread prepares before it runs the network
Prepare = Callable[[Callable[[], bool]], Rows]
Forward = Callable[[Any, np.ndarray], np.ndarray]  # entries (B, ...) and present (B, M) -> outputs (B, C)
log = logging.getLogger("suffuse.serving")


@dataclass(eq=False)
class Job:
    """One request: ``prepare`` reads it, ``finish`` writes its response; both run in a thread. ``prepare`` is given a
    function that returns whether the request was cancelled: its time is over, or its client has disconnected."""

    prepare: Prepare
    finish: Callable[[Rows, np.ndarray], Any]
    num_bytes: int
    future: asyncio.Future
    rows: Rows | None = None


class Batcher:
    """The threads of one model."""

    def __init__(self, forward: Forward, threads: int, max_rows: int, wait: float):
        self.forward, self.max_rows, self.wait = forward, max_rows, wait
        self.observe_rows: Callable[[int], None] = lambda rows: None  # called with the rows of every batch
        self.waiting: deque[Job] = deque()
        self.prepared: deque[Job] = deque()
        self.changed, self.network = threading.Condition(), threading.Lock()
        self.idle, self.is_open = 0, True
        self.threads = [threading.Thread(target=self._work, daemon=True, name=f"suffuse-{n}") for n in range(threads)]
        for thread in self.threads:
            thread.start()

    async def submit(self, prepare: Prepare, finish: Callable[[Rows, np.ndarray], Any], num_bytes: int) -> Any:
        """The result of ``finish`` on the rows of ``prepare``. Raises what either of them raises."""
        job = Job(prepare, finish, num_bytes, asyncio.get_running_loop().create_future())
        with self.changed:
            self.waiting.append(job)
            self.changed.notify()
        return await job.future

    @property
    def queue(self) -> int:
        """Jobs that no thread has begun."""
        return len(self.waiting)

    def close(self, deadline: float | None = None) -> None:
        """End the threads once all jobs are done. They are waited for until ``deadline``, a second of
        ``time.monotonic``; what a thread still decodes then ends with the process."""
        with self.changed:
            self.is_open = False
            self.changed.notify_all()
        for thread in self.threads:
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))

    @property
    def busy(self) -> bool:
        """Whether a thread still runs."""
        return any(thread.is_alive() for thread in self.threads)

    def _work(self) -> None:
        while jobs := self._share():
            failed = [(job, error) for job in jobs if (error := self._prepare(job)) is not None]
            _deliver(failed)
            self._run_prepared()

    def _share(self) -> list[Job]:
        """Some of the waiting jobs, so that the other idle threads get as many; none once the batcher is closed."""
        with self.changed:
            self.idle += 1
            while not self.waiting and self.is_open:
                self.changed.wait()
            count, num_bytes = -(-len(self.waiting) // self.idle), 0
            self.idle -= 1
            jobs: list[Job] = []
            while self.waiting and len(jobs) < min(count, self.max_rows) and (not jobs or num_bytes < SHARE_BYTES):
                jobs.append(self.waiting.popleft())
                num_bytes += jobs[-1].num_bytes
            if self.waiting:
                self.changed.notify()
            return jobs

    def _prepare(self, job: Job) -> Any:
        """Queue its rows; return the error where it has none."""
        if job.future.cancelled():
            return None
        try:
            job.rows = job.prepare(job.future.cancelled)
        except Cancelled:
            return None
        except Refusal as error:
            return error
        except Exception:
            log.exception("a request can't be prepared")
            return internal_error()
        self.prepared.append(job)
        return None

    def _run_prepared(self) -> None:
        held = self.network.acquire(timeout=self.wait)
        try:
            while batch := self._batch():
                _deliver(self._run(batch))
        finally:
            if held:
                self.network.release()

    def _batch(self) -> list[Job]:
        """Prepared jobs with at most ``max_rows`` rows; a job that has more is a batch of its own."""
        with self.changed:
            batch, rows = [], 0
            while self.prepared:
                if self.prepared[0].future.cancelled():  # its client has its refusal already
                    self.prepared.popleft()
                    continue
                size = len(self.prepared[0].rows or ())
                if batch and rows + size > self.max_rows:
                    break
                batch.append(self.prepared.popleft())
                rows += size
            return batch

    def _run(self, batch: list[Job]) -> list[tuple[Job, Any]]:
        """(job, response or error) of each."""
        parts = [job.rows for job in batch if job.rows is not None]
        self.observe_rows(sum(map(len, parts)))
        try:
            outputs = self.forward(*concatenate_rows(parts))
        except Exception:
            if len(batch) > 1:  # one of them isn't what the network takes: run each by itself
                return [result for job in batch for result in self._run([job])]
            log.exception("the network can't run")
            return [(batch[0], internal_error())]
        ends = np.cumsum([len(rows) for rows in parts]).tolist()
        starts = [0, *ends[:-1]]
        return [(job, _finish(job, outputs[a:b])) for job, a, b in zip(batch, starts, ends, strict=True)]


def _finish(job: Job, outputs: np.ndarray) -> Any:
    try:
        assert job.rows is not None
        return None if job.future.cancelled() else job.finish(job.rows, outputs)
    except Refusal as error:
        return error
    except Exception:
        log.exception("an answer can't be written")
        return internal_error()


def _deliver(results: list[tuple[Job, Any]]) -> None:
    """Wake the event loop once for all of them."""
    if results:
        try:
            results[0][0].future.get_loop().call_soon_threadsafe(_settle, results)
        except RuntimeError:  # the loop is closed: no client waits any more
            log.warning("%d answers came after the end", len(results))


def _settle(results: list[tuple[Job, Any]]) -> None:
    for job, result in results:
        if job.future.done():
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)

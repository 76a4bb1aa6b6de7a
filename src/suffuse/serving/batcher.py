"""Requests -> batches: threads that prepare rows, and one run of the network for the rows of many requests.

A thread takes its share of the waiting jobs and prepares them. What is prepared goes to a common heap. Who gets the
network takes the heap; who finds it running waits for it, at the most ``wait`` seconds, and then either its rows have
been taken along or it runs a batch of its own beside the other. So an idle server answers at once, a busy one makes
batches as large as its load, and a slow network keeps all threads at work. Nothing waits for company.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .http_error import Refusal, defect
from .row_batches import Cancelled, Rows, joined

LIGHT = 2**18  # bytes of jobs that one thread prepares before it runs the network
Prepare = Callable[[Callable[[], bool]], Rows]
Forward = Callable[[Sequence[Rows]], np.ndarray]  # rows of some jobs -> what the network says of them (B, C)
log = logging.getLogger("suffuse.serving")


@dataclass(eq=False)
class Job:
    """One request: ``prepare`` reads it, ``finish`` writes its answer; both run in a thread. ``prepare`` is given what
    says whether the request was cancelled: its time is over, or its client has gone."""

    prepare: Prepare
    finish: Callable[[Rows, np.ndarray], Any]
    weight: int  # bytes
    future: asyncio.Future
    rows: Rows | None = None


class Batcher:
    """The threads of one model."""

    def __init__(self, forward: Callable[[Any, np.ndarray], np.ndarray], threads: int, most: int, wait: float):
        self.forward, self.most, self.wait = forward, most, wait
        self.sizes: Callable[[int], None] = lambda rows: None  # told the rows of every batch
        self.waiting: deque[Job] = deque()
        self.heap: deque[Job] = deque()
        self.changed, self.network = threading.Condition(), threading.Lock()
        self.idle, self.open = 0, True
        self.threads = [threading.Thread(target=self._work, daemon=True, name=f"suffuse-{n}") for n in range(threads)]
        for thread in self.threads:
            thread.start()

    async def ask(self, prepare: Prepare, finish: Callable[[Rows, np.ndarray], Any], weight: int) -> Any:
        """What ``finish`` makes of the rows that ``prepare`` gives. Raises what either of them raises."""
        job = Job(prepare, finish, weight, asyncio.get_running_loop().create_future())
        with self.changed:
            self.waiting.append(job)
            self.changed.notify()
        return await job.future

    @property
    def queue(self) -> int:
        """Jobs that no thread has begun."""
        return len(self.waiting)

    def close(self, until: float | None = None) -> None:
        """Ends the threads once all jobs are done. ``until``: the second (of ``time.monotonic``) from which on they are
        waited for no longer; what a thread decodes then can't be ended but with the process."""
        with self.changed:
            self.open = False
            self.changed.notify_all()
        for thread in self.threads:
            thread.join(None if until is None else max(until - time.monotonic(), 0))

    @property
    def busy(self) -> bool:
        """Whether a thread is still there."""
        return any(thread.is_alive() for thread in self.threads)

    def _work(self) -> None:
        while jobs := self._share():
            done = [(job, error) for job in jobs if (error := self._prepare(job)) is not None]
            _deliver(done)
            self._run_heap()

    def _share(self) -> list[Job]:
        """Some of the waiting jobs, so that the other idle threads get as many; none once all is over."""
        with self.changed:
            self.idle += 1
            while not self.waiting and self.open:
                self.changed.wait()
            count, weight = -(-len(self.waiting) // self.idle), 0
            self.idle -= 1
            jobs: list[Job] = []
            while self.waiting and len(jobs) < min(count, self.most) and (not jobs or weight < LIGHT):
                jobs.append(self.waiting.popleft())
                weight += jobs[-1].weight
            if self.waiting:
                self.changed.notify()
            return jobs

    def _prepare(self, job: Job) -> Any:
        """Puts its rows on the heap; an error where it has none."""
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
            return defect()
        self.heap.append(job)
        return None

    def _run_heap(self) -> None:
        held = self.network.acquire(timeout=self.wait)
        try:
            while batch := self._batch():
                _deliver(self._answer(batch))
        finally:
            if held:
                self.network.release()

    def _batch(self) -> list[Job]:
        """Jobs of the heap with at most so many rows; a job that has more is a batch of its own."""
        with self.changed:
            batch, rows = [], 0
            while self.heap:
                if self.heap[0].future.cancelled():  # its client was told that it took too long
                    self.heap.popleft()
                    continue
                size = len(self.heap[0].rows or ())
                if batch and rows + size > self.most:
                    break
                batch.append(self.heap.popleft())
                rows += size
            return batch

    def _answer(self, batch: list[Job]) -> list[tuple[Job, Any]]:
        """(job, answer or error) of each."""
        several = [job.rows for job in batch if job.rows is not None]
        self.sizes(sum(map(len, several)))
        try:
            found = self.forward(*joined(several))
        except Exception:
            if len(batch) > 1:  # one of them isn't what the network takes: the others don't suffer for it
                return [answer for job in batch for answer in self._answer([job])]
            log.exception("the network can't run")
            return [(batch[0], defect())]
        ends = np.cumsum([len(rows) for rows in several]).tolist()
        starts = [0, *ends[:-1]]
        return [(job, _finished(job, found[a:b])) for job, a, b in zip(batch, starts, ends, strict=True)]


def _finished(job: Job, found: np.ndarray) -> Any:
    try:
        assert job.rows is not None
        return None if job.future.cancelled() else job.finish(job.rows, found)
    except Refusal as error:
        return error
    except Exception:
        log.exception("an answer can't be written")
        return defect()


def _deliver(done: list[tuple[Job, Any]]) -> None:
    """Wakes the loop once for all of them."""
    if done:
        try:
            done[0][0].future.get_loop().call_soon_threadsafe(_settle, done)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.warning("%d answers came after the end", len(done))


def _settle(done: list[tuple[Job, Any]]) -> None:
    for job, answer in done:
        if job.future.done():
            continue
        if isinstance(answer, Exception):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)

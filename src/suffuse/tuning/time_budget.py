"""A search's time: when its trials end, so that the finals after them end with the budget.

The best trials and the recipe as it is are trained again with several seeds. How long that takes is known from the
search itself, and differs from search to search: the longest trainings are often the best. So the search ends early
enough for the finals of the recipe and of its best trial, and a trial that would end too late for its own finals isn't
finished.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

SLACK = 1.05  # of an estimate: processes start, columns are opened
EARLY = 0.1  # share of a training from which its length is told


@dataclass(frozen=True)
class Budget:
    """``deadline``: time.time() at which trials end; ``end``: at which their finals do, of so many ``seeds`` each, so
    many ``workers`` at a time."""

    deadline: float
    end: float
    seeds: int
    workers: int

    def finals(self, seconds: Sequence[float]) -> float:
        """Seconds that finals take of candidates which take so long each."""
        return SLACK * makespan([one for one in seconds for _ in range(self.seeds)], self.workers)

    def until(self, own: float | None, best: float | None) -> float:
        """When trials end, where the recipe as it is took ``own`` and the best trial ``best`` seconds; None: there is
        none yet."""
        if own is None or best is None:
            return self.deadline
        return min(self.deadline, self.end - self.finals([own, best]))

    def fits(self, own: float, share: float, seconds: float, now: float) -> bool:
        """Whether a trial ends early enough for its own finals, of which ``share`` has taken ``seconds``."""
        if share < EARLY:
            return True
        whole = seconds / share
        return now + whole - seconds + self.finals([own, whole]) <= self.end


def makespan(seconds: Sequence[float], workers: int) -> float:
    """How long jobs of these lengths take that are begun longest first, each by who is free first (Graham 1969)."""
    free = [0.0] * max(workers, 1)
    for one in sorted(seconds, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + one)
    return max(free)

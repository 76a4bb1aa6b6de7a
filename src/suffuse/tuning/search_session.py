"""One call of a search: its phases, each with a share of the minutes, and what of them is spent.

The student is searched, and its best trials are trained again; then the baseline, in the same way. What a phase leaves
over belongs to those after it. Time that a killed call took is counted.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..checked_json import read_checked, write_checked
from ..engine.workers import run_jobs
from ..errors import UsageError
from ..run import Run
from . import reruns, search_results, search_space, trial_worker
from .options import BASELINE, PREFER, STUDENT, How
from .selection import Choice, choose
from .study import STARTUP
from .trial import Search

MOST = 9  # points that the evidence may put first; what is left of the first ones is drawn near the recipe
KEEP = 0.75  # probability with which a value of those stays the recipe's
PHASES = {True: (0.40, 0.20, 0.27, 0.13), False: (0.65, 0.35, 0.0, 0.0)}  # of the minutes, with a baseline or not
NAMES = (STUDENT, f"{STUDENT} finals", BASELINE, f"{BASELINE} finals")


class Session:
    """One call of the search: what is spent of its budget, and how far it is."""

    def __init__(self, run: Run, how: How, place: Path, tell: Callable[[float, str], None]):
        self.run, self.how, self.place, self.tell = run, how, place, tell
        self.spent: dict[str, float] = read_checked(place / "spent.json") or {}
        self.shares: dict[str, float] = dict(zip(NAMES, PHASES[how.baseline], strict=True))

    def search(self, who: str, base: Path, most: int | None) -> Search:
        """Trials until the budget is spent; returns the search with all that were ever told."""
        left, both = self._left(who), self._left(f"{who} finals")
        order: dict[str, Any] = {
            "folder": str(self.run.folder),
            "place": str(self.place),
            "base": str(base),
            "who": who,
        }
        now, count = time.time(), self.how.processes
        order["budget"] = {"deadline": now + left, "end": now + both, "seeds": self.how.seeds, "workers": count}
        search = trial_worker.opened(order)
        first(search, read_checked(self.place / "plan.json") or {})
        left_open = search.study.running()
        if left > 0 and (left_open or most is None or search.study.ended() < most):
            jobs = [{**order, "trials": most, "open": left_open[n::count]} for n in range(count)]
            self._jobs("suffuse.tuning.trial_worker:work", jobs, who, lambda: self._searched(search, most, left))
        if not search.study.done():
            raise UsageError(
                "no trial was finished in the budget", where=search.who,
                got=", ".join(f"{count} {kind}" for kind, count in search_results.counted(search.study).items()),
                hint="call it again with more --minutes: it goes on from here",
            )  # fmt: skip
        return search

    def finals(self, search: Search) -> tuple[reruns.Candidate, dict[str, Any]]:
        """The best again with fresh seeds, and the one that is chosen of them."""
        name, folder = f"{search.who} finals", self.place / "finals" / f"{search.who}-{short(search.base.read_text())}"
        some = reruns.candidates(search, self._room(search, name))
        if len(some) == 1:
            made = Choice(0, "the recipe as it is stays: no trial that costs no more was finished beside it")
            return some[0], {"words": made.words, "chosen": some[0]["name"], "candidates": some, "who": search.who}
        orders = reruns.orders(search, some, self.how.seeds, folder)
        if orders:
            state = {"share": 0.0}
            self._jobs("suffuse.tuning.reruns:work", orders, name, lambda: state["share"], state)
        measured = reruns.measured(self.run, some, self.how.seeds, folder)
        sizes = [one["parameters"] for one in some]
        prefer = self.how.prefer if search.who == STUDENT else PREFER[0]
        made = choose([one["name"] for one in some], measured, sizes, prefer)
        losses = reruns.losses(some, self.how.seeds, folder)
        return some[made.number], _told(search, some, (measured, losses), made)

    def _room(self, search: Search, phase: str) -> int:
        """How many trials can be trained again in what is left of the budget, beside the recipe as it is; one at the
        least. Decided once for so many trials: a kill in the middle changes nothing."""
        if self.how.minutes is None:
            return self.how.finalists
        file, key = self.place / "finals.json", f"{search.study.who} after {search.study.ended()}"
        known = read_checked(file) or {}
        if key not in known:
            write_checked(file, {**known, key: self._fitting(search, phase)})
        return (read_checked(file) or {})[key]

    def _fitting(self, search: Search, phase: str) -> int:
        """Each is taken to need as long as it took in the search."""
        some, left = reruns.candidates(search, self.how.finalists), self._left(phase)
        took = reruns.seconds(search, some)
        return max([1, *(n for n in range(1, len(some)) if search.budget.finals(took[: n + 1]) <= left)])

    def _left(self, phase: str) -> float:
        """Seconds of the budget that are left to a phase; what those before it left over is its own too."""
        if self.how.minutes is None:
            return float("inf")
        before = list(self.shares)[: list(self.shares).index(phase) + 1]
        return 60 * self.how.minutes * sum(self.shares[p] for p in before) - sum(self.spent.get(p, 0.0) for p in before)

    def _searched(self, search: Search, most: int | None, left: float) -> float:
        """How much of a search is done: of its trials, or of its time."""
        parts = [search.study.ended() / most] if most else []
        if self.how.minutes is not None:
            parts.append(1 - max(search.until() - time.time(), 0.0) / max(left, 1e-9))
        return min(1.0, max(parts, default=0.0))

    def _jobs(
        self, function: str, jobs: list[dict], phase: str, done: Callable[[], float], state: dict | None = None
    ) -> None:
        """Run them, with the time that they take added to what is spent, whatever ends them."""
        names = list(self.shares)
        before = sum(self.shares[name] for name in names[: names.index(phase)])
        start, earlier, looked = time.monotonic(), self.spent.get(phase, 0.0), 0.0

        def follow(share: float, words: str) -> None:
            nonlocal looked
            if state is not None:
                state["share"] = share
            now = time.monotonic()
            if now - looked > 1.0:
                looked = now
                self.spent[phase] = earlier + now - start
                write_checked(self.place / "spent.json", self.spent)
                self.tell(min(before + self.shares[phase] * done(), 0.999), words)

        try:
            run_jobs(function, jobs, self.how.processes, follow)
        finally:
            self.spent[phase] = earlier + time.monotonic() - start
            write_checked(self.place / "spent.json", self.spent)


def first(search: Search, plan: dict[str, Any]) -> None:
    """Propose what is tried before the sampler has its say, once: what a kill left out is proposed by the next call,
    before any trial is begun."""
    if search.study.proposed:
        return
    for number, (values, why) in enumerate(openings(search, plan)):
        if number >= search.study.asked():
            search.study.propose(values, why, as_is=number == 0)
    search.study.proposed = True


def openings(search: Search, plan: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The recipe as it is, what the evidence says, and points near the recipe; each with its reason."""
    ground, who = search.ground, search.who
    found = [(search_space.shipped(who, ground), "the recipe as it is")]
    tries = [(t, one["because"]) for one in plan["because"] for t in one["tries"]] if who == STUDENT else []
    for values, why in tries:
        point = search_space.changed(who, ground, values)
        if len(found) <= MOST and not any(point == other for other, _ in found):
            found.append((point, why))
    random = np.random.default_rng([search.run.recipe.seed, 11, who == STUDENT])
    while len(found) < STARTUP:
        found.append((search_space.neighbour(who, ground, random, KEEP), "a point near the recipe"))
    return found


def _told(
    search: Search, some: list[reruns.Candidate], scores: tuple[list[np.ndarray], list[float]], made: Choice
) -> dict[str, Any]:
    listed = [
        {**one, "validation": [float(v) for v in m[:, 0]], "log_loss": loss}
        for one, m, loss in zip(some, *scores, strict=True)
    ]
    return {"words": made.words, "chosen": some[made.number]["name"], "candidates": listed, "who": search.who}


def short(value: Any) -> str:
    """A name made of a value."""
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=6).hexdigest()

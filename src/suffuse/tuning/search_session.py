"""One call of a search: its phases, each with a share of the minutes, and the time that they spend.

The student is searched, and its best trials are trained again; then the baseline, in the same way. Time that a phase
doesn't use goes to the phases after it. Time spent by a killed call counts.
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
from . import reruns, search_space
from .options import BASELINE, PREFER, STUDENT, TuneOptions
from .search_results import count_outcomes
from .study import STARTUP
from .trial import Search, open_search

MAX_HEURISTICS = 9  # first points from heuristics; the remaining first points are neighbours of the recipe
KEEP = 0.75  # probability with which a value of a neighbour stays the recipe's
PHASES = {True: (0.40, 0.20, 0.27, 0.13), False: (0.65, 0.35, 0.0, 0.0)}  # of the minutes, with a baseline or not
NAMES = (STUDENT, f"{STUDENT} finals", BASELINE, f"{BASELINE} finals")


class Session:
    """One call of the search: what is spent of its budget, and its progress."""

    def __init__(self, run: Run, options: TuneOptions, place: Path, tell: Callable[[float, str], None]):
        self.run, self.options, self.place, self.tell = run, options, place, tell
        self.spent: dict[str, float] = read_checked(place / "spent.json") or {}
        self.shares: dict[str, float] = dict(zip(NAMES, PHASES[options.baseline], strict=True))

    def search(self, role: str, base: Path, limit: int | None) -> Search:
        """Run trials until the budget is spent, or there are ``limit`` of them; returns the search with all its
        trials."""
        left, with_reruns = self._seconds_left(role), self._seconds_left(f"{role} finals")
        order: dict[str, Any] = {
            "folder": str(self.run.folder),
            "place": str(self.place),
            "base": str(base),
            "who": role,
        }
        now, workers = time.time(), self.options.processes
        order["budget"] = {
            "deadline": now + left, "end": now + with_reruns, "seeds": self.options.seeds, "workers": workers,
        }  # fmt: skip
        search = open_search(order)
        propose_first(search, read_checked(self.place / "plan.json") or {})
        left_open = search.study.running()
        if left > 0 and (left_open or limit is None or search.study.count_ended() < limit):
            jobs = [{**order, "trials": limit, "open": left_open[n::workers]} for n in range(workers)]
            self._run("suffuse.tuning.trial:work", jobs, role, lambda share: self._progress(search, limit, left))
        if not search.study.completed():
            raise UsageError(
                "no trial was finished in the budget", where=search.role,
                got=", ".join(f"{count} {kind}" for kind, count in count_outcomes(search.study).items()),
                hint="call it again with more --minutes: it goes on from here",
            )  # fmt: skip
        return search

    def finals(self, search: Search) -> tuple[reruns.Candidate, dict[str, Any]]:
        """Train the best candidates again with fresh seeds; returns the selected one, and the facts of all."""
        phase = f"{search.role} finals"
        folder = self.place / "finals" / f"{search.role}-{short_hash(search.base.read_text())}"
        selected = reruns.candidates(search, self._count_reruns(search, phase))
        names = [candidate["name"] for candidate in selected]
        if len(selected) == 1:
            words = "the recipe as it is stays: no trial that costs no more was finished beside it"
            return selected[0], {"words": words, "chosen": names[0], "candidates": selected, "who": search.role}
        orders = reruns.rerun_orders(search, selected, self.options.seeds, folder)
        if orders:
            self._run("suffuse.tuning.reruns:work", orders, phase, lambda share: share)
        scores = reruns.validation_scores(self.run, selected, self.options.seeds, folder)
        sizes = [candidate["parameters"] for candidate in selected]
        choice = reruns.choose(names, scores, sizes, self.options.prefer if search.role == STUDENT else PREFER[0])
        losses = reruns.log_losses(selected, self.options.seeds, folder)
        listed = [
            {**candidate, "validation": [float(v) for v in score[:, 0]], "log_loss": loss}
            for candidate, score, loss in zip(selected, scores, losses, strict=True)
        ]
        facts = {"words": choice.words, "chosen": names[choice.number], "candidates": listed, "who": search.role}
        return selected[choice.number], facts

    def _count_reruns(self, search: Search, phase: str) -> int:
        """How many trials can be trained again in the remaining budget, beside the unchanged recipe; at least one.
        Decided once for a number of trials, so that a kill changes nothing."""
        if self.options.minutes is None:
            return self.options.finalists
        file, key = self.place / "finals.json", f"{search.study.role} after {search.study.count_ended()}"
        known = read_checked(file) or {}
        if key not in known:
            write_checked(file, {**known, key: self._fitting_reruns(search, phase)})
        return (read_checked(file) or {})[key]

    def _fitting_reruns(self, search: Search, phase: str) -> int:
        """The same, assuming that each training takes as long as it did in the search."""
        selected, left = reruns.candidates(search, self.options.finalists), self._seconds_left(phase)
        seconds = reruns.training_seconds(search, selected)
        fitting = (n for n in range(1, len(selected)) if search.budget.rerun_seconds(seconds[: n + 1]) <= left)
        return max([1, *fitting])

    def _seconds_left(self, phase: str) -> float:
        """Seconds of the budget that are left to a phase, with what the phases before it didn't use."""
        if self.options.minutes is None:
            return float("inf")
        phases = list(self.shares)[: list(self.shares).index(phase) + 1]
        share, spent = sum(self.shares[p] for p in phases), sum(self.spent.get(p, 0.0) for p in phases)
        return 60 * self.options.minutes * share - spent

    def _progress(self, search: Search, limit: int | None, left: float) -> float:
        """The share of a search that is done: of its trials, or of its time."""
        shares = [search.study.count_ended() / limit] if limit else []
        if self.options.minutes is not None:
            shares.append(1 - max(search.until() - time.time(), 0.0) / max(left, 1e-9))
        return min(1.0, max(shares, default=0.0))

    def _run(self, function: str, jobs: list[dict], phase: str, progress: Callable[[float], float]) -> None:
        """Run jobs and add their time to what is spent, whatever ends them. ``progress``: share of the jobs that is
        done, as the workers report it -> share of the phase."""
        phases = list(self.shares)
        before = sum(self.shares[name] for name in phases[: phases.index(phase)])
        start, earlier, reported = time.monotonic(), self.spent.get(phase, 0.0), 0.0

        def follow(share: float, words: str) -> None:
            nonlocal reported
            now = time.monotonic()
            if now - reported > 1.0:
                reported = now
                self.spent[phase] = earlier + now - start
                write_checked(self.place / "spent.json", self.spent)
                self.tell(min(before + self.shares[phase] * progress(share), 0.999), words)

        try:
            run_jobs(function, jobs, self.options.processes, follow)
        finally:
            self.spent[phase] = earlier + time.monotonic() - start
            write_checked(self.place / "spent.json", self.spent)


def propose_first(search: Search, plan: dict[str, Any]) -> None:
    """Propose the points that are tried before the sampler's own, once: points that a kill left out are proposed by the
    next call, before any trial begins."""
    if search.study.proposed:
        return
    for number, (values, why) in enumerate(first_points(search, plan)):
        if number >= search.study.count():
            search.study.propose(values, why, as_is=number == 0)
    search.study.proposed = True


def first_points(search: Search, plan: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The unchanged recipe, points from heuristics, and neighbours of the recipe; each with its reason."""
    context, role = search.context, search.role
    points = [(search_space.recipe_point(role, context), "the recipe as it is")]
    findings = plan["because"] if role == STUDENT else []
    for values, why in ((values, finding["because"]) for finding in findings for values in finding["tries"]):
        point = search_space.point_with(role, context, values)
        if len(points) <= MAX_HEURISTICS and not any(point == other for other, _ in points):
            points.append((point, why))
    random = np.random.default_rng([search.run.recipe.seed, 11, role == STUDENT])
    while len(points) < STARTUP:
        points.append((search_space.neighbour_point(role, context, random, KEEP), "a point near the recipe"))
    return points


def short_hash(value: Any) -> str:
    """A short name derived from a JSON value."""
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=6).hexdigest()

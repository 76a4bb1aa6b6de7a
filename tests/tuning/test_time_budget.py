"""A search keeps to its minutes: its trials end early enough for the finals, and those are as many as fit."""

from __future__ import annotations

import time
from itertools import permutations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from suffuse.tuning import reruns
from suffuse.tuning.options import SLACK, Budget, TuneOptions, makespan
from suffuse.tuning.search_session import Session
from suffuse.tuning.study import Study
from suffuse.tuning.trial import OutOfTime, TooLong, Watch

NOBODY: Any = None


def done(seconds: float, as_is: bool = False, quality: float = 0.5, over: float = 0.0) -> Any:
    facts = {"seconds": seconds, "quality": quality, "over": over}
    return SimpleNamespace(user_attrs={"as_is": as_is, "facts": facts, "overrides": [] if as_is else [str(seconds)]})


@pytest.mark.parametrize("jobs", [[5.0], [2, 2, 2], [3, 3, 2, 2, 2], [7, 1, 1, 4], [9, 2, 2, 2, 2, 1]])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_makespan_is_never_below_the_best_and_within_graham_s_bound(jobs: list[float], workers: int) -> None:
    best = min(
        max(sum(j for j, w in zip(jobs, where, strict=True) if w == k) for k in range(workers))
        for where in product(range(workers), repeat=len(jobs))
    )
    found = makespan(jobs, workers)
    assert best <= found <= best * (4 / 3 - 1 / (3 * workers)) + 1e-9
    assert {makespan(one, workers) for one in permutations(jobs)} == {found}


def test_trials_end_early_enough_for_the_finals_of_the_best_of_them() -> None:
    budget = Budget(deadline=1170.0, end=1800.0, seeds=3, workers=2)
    assert budget.until(None, None) == budget.until(100.0, None) == 1170.0
    assert budget.until(100.0, 100.0) == 1170.0  # 300 seconds of finals fit into what is left
    assert budget.until(189.0, 284.0) == 1800.0 - SLACK * 757.0  # 284, 284 | 189 and 284, 189, 189
    assert Budget(float("inf"), float("inf"), 3, 2).until(189.0, 284.0) == float("inf")


def test_a_trial_that_would_end_too_late_for_its_own_finals_doesn_t_fit() -> None:
    budget = Budget(deadline=1170.0, end=1800.0, seeds=3, workers=2)
    assert budget.fits(100.0, 0.5, 100.0, now=500.0)  # ends at 600, its finals take 525 of what is left then
    assert not budget.fits(100.0, 0.5, 200.0, now=900.0)  # at 1100, 840 for 700
    assert budget.fits(100.0, 0.05, 200.0, now=900.0)  # its first epoch says too little


def test_what_the_recipe_and_the_best_trial_took(tmp_path: Path, monkeypatch) -> None:
    study = Study(tmp_path, "student", ("quality",), 0)
    told: list[Any] = []
    monkeypatch.setattr(study, "completed", lambda: told)
    assert study.reference_seconds() == (None, None)
    told += [done(10.0, as_is=True, quality=0.9), done(20.0, quality=0.6), done(30.0, quality=0.7)]
    assert study.reference_seconds() == (10.0, 30.0)
    told.append(done(99.0, quality=0.95, over=0.2))  # costs more than it may: never chosen
    assert study.reference_seconds() == (10.0, 30.0)


@pytest.mark.parametrize(
    ("pace", "left", "expected"),
    [
        ((None, None), 10.0, None),
        ((None, None), -1.0, OutOfTime),
        ((10.0, 10.0), 100.0, None),
        ((10.0, 10.0), 10.0, OutOfTime),  # no room is left for finals
        ((10.0, 10.0), 40.0, TooLong),  # room for others' finals, not for those of one that takes so long
    ],
)
def test_a_training_is_stopped_by_what_is_left(pace, left, expected) -> None:
    """It has taken 10 seconds for half of its epochs."""
    now = time.time()
    study = SimpleNamespace(reference_seconds=lambda: pace)
    search = SimpleNamespace(study=study, budget=Budget(now + left, now + left, 3, 2))
    trial = SimpleNamespace(user_attrs={"cost": {"parameters": 1}}, number=0)
    watch = Watch(search, trial, lambda *_: None, lambda: 10.0)  # pyright: ignore
    if expected is None:
        watch._check_time(0.5)
    else:
        with pytest.raises(expected):
            watch._check_time(0.5)


@pytest.mark.parametrize(("minutes", "fits"), [(3, 1), (11, 1), (11.6, 2), (13, 3)])
def test_as_many_are_trained_again_as_fit_by_the_time_that_each_took(
    tmp_path: Path, monkeypatch, minutes: float, fits: int
) -> None:
    """The recipe took 60 seconds, the best trials 300, 60 and 60; each three times, two side by side."""
    told = [done(60.0, as_is=True), done(300.0), done(60.0), done(60.0)]
    some = [{"overrides": one.user_attrs["overrides"]} for one in told]
    monkeypatch.setattr(reruns, "candidates", lambda search, most: some[: most + 1])
    search: Any = SimpleNamespace(study=SimpleNamespace(completed=lambda: told), budget=Budget(0.0, 0.0, 3, 2))
    session = Session(NOBODY, TuneOptions(minutes=minutes, processes=2, seeds=3), tmp_path, lambda *_: None)
    session.shares = {"student": 0.0, "student finals": 1.0}
    assert session._fitting_reruns(search, "student finals") == fits


def test_the_longest_are_begun_first(tmp_path: Path) -> None:
    told = [done(60.0, as_is=True), done(300.0)]
    some = [{"overrides": one.user_attrs["overrides"], "name": str(n)} for n, one in enumerate(told)]
    study = SimpleNamespace(completed=lambda: told)
    search: Any = SimpleNamespace(study=study, run=SimpleNamespace(folder=tmp_path), base=tmp_path, role="student")
    assert [one["name"] for one in reruns.rerun_orders(search, some, 3, tmp_path)] == ["1", "1", "1", "0", "0", "0"]

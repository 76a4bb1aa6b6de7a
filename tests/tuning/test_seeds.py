"""Seeds of a search: those of its trials are neither the recipe's nor those of what is trained again after it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from suffuse.engine.student_training import jobs
from suffuse.run import Run
from suffuse.tuning import reruns, trial
from suffuse.tuning.options import BASELINE, STUDENT

SEEDS = 5


class Begun(Exception):
    """What ends a training here, as it begins."""


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The job of every training that begins."""
    started: list[Any] = []

    def prepared(run: Run, job: Any, *_: Any) -> Any:
        started.append(job)
        raise Begun

    monkeypatch.setattr(trial, "prepared", prepared)
    return started


def again(run: Run, who: str, folder: Path) -> list[dict[str, Any]]:
    """The orders of what is trained again: two candidates, in every seed."""
    search = SimpleNamespace(
        run=run, role=who, base=run.path("recipe.yaml"), study=SimpleNamespace(completed=lambda: [DONE])
    )
    some = [{"name": "recipe", "overrides": []}, {"name": "trial 3", "overrides": ["distill.train.epochs=2"]}]
    return reruns.rerun_orders(search, some, SEEDS, folder)  # type: ignore[arg-type]


DONE = SimpleNamespace(user_attrs={"overrides": [], "facts": {"seconds": 1.0}})


@pytest.mark.parametrize("who", [STUDENT, BASELINE])
def test_finals_are_trained_with_seeds_that_nothing_was_trained_with(stored: Run, tmp_path, begun, who) -> None:
    for order in again(stored, who, tmp_path):
        with pytest.raises(Begun):
            reruns.work(order, lambda share, words: None)
    fresh = [job.seed for job in begun]
    assert sorted(fresh[:SEEDS]) == sorted(fresh[SEEDS:]) and len(set(fresh)) == SEEDS  # the same for each candidate
    assert {job.distilled for job in begun} == {who == STUDENT}
    begun.clear()
    search = SimpleNamespace(run=stored, role=who, folder=tmp_path)
    attempt = SimpleNamespace(number=0, user_attrs={"overrides": [], "cost": {"parameters": 1}})
    with pytest.raises(Begun):
        trial.train(search, attempt, stored.recipe, lambda share, words: None)  # type: ignore[arg-type]
    searched = {job.seed for job in begun}
    own = {job.seed for job in jobs(stored)} | {stored.recipe.seed}
    assert not searched & set(fresh) and not own & set(fresh) and not own & searched

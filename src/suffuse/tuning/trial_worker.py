"""A process of the search: takes one trial after the other until the budget is spent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from ..checked_json import read_checked
from ..data.columns import Columns
from ..progress import Tell
from ..run import Run
from .model_cost import Costs
from .options import STUDENT
from .search_context import Ground
from .search_space import made
from .study import Study
from .time_budget import Budget
from .trial import OutOfTime, Search, TooLong, attempt

SHORTEST = 0.5  # of a usual training must fit into what is left of the budget, else none is begun


def work(order: dict[str, Any], tell: Tell) -> None:
    """Trials of one search, in a process of its own (:mod:`suffuse.engine.workers`)."""
    search = opened(order)
    with contextlib.suppress(OutOfTime):
        for trial in trials(search, order["trials"], order["open"]):
            with contextlib.suppress(TooLong):
                attempt(search, trial, tell)


def trials(search: Search, most: int | None, left_open: list[int]) -> Iterator[Any]:
    """Those that a kill left open, then new ones."""
    for number in left_open:
        yield search.study.again(number)
    while time.time() < search.until():
        seconds = [one.user_attrs["facts"]["seconds"] for one in search.study.done()]
        if seconds and search.until() - time.time() < SHORTEST * median(seconds):
            return
        trial = search.study.next(most)
        if trial is None:
            return
        yield trial


def opened(order: dict[str, Any]) -> Search:
    """Everything that an order names: ``folder`` (run), ``place`` (of the search), ``base`` (recipe), ``who``,
    ``budget``."""
    place, base = Path(order["place"]), Path(order["base"])
    recipe, plan = made(base, []), read_checked(place / "plan.json") or {}
    run = Run(Path(order["folder"]), recipe)
    ground = Ground.of(run, plan["longest"])
    name = order["who"] if order["who"] == STUDENT else f"{order['who']}-{base.stem}"  # of that student
    return Search(
        run, order["who"], base, ground,
        Study(place, name, plan["objectives"], recipe.seed),
        Costs(Columns.open(run.path("data")), recipe.student, place / "costs"),
        plan["narrow"] if order["who"] == STUDENT else {},
        plan["largest"], Budget(**order["budget"]),
    )  # fmt: skip

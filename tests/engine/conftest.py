"""A training of some milliseconds, that everything of the engine is part of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suffuse import losses
from suffuse.data.columns import Columns
from suffuse.data.sampler import Sampler
from suffuse.engine import feature_cache
from suffuse.engine.checkpoint import State
from suffuse.engine.loop import Plan, fit
from suffuse.engine.objective import Objective
from suffuse.engine.runtime import seed, settle
from suffuse.engine.validation import scorer
from suffuse.model import FusionModel
from suffuse.recipe import Network, Training
from suffuse.registry import settings


@dataclass
class Trained:
    """What came out."""

    objective: Objective
    state: State

    def weights(self) -> dict[str, torch.Tensor]:
        return self.objective.state_dict()


@dataclass
class Trainer:
    """Builds the same training every time: dropout, BatchNorm, three losses, a last batch that isn't full."""

    columns: Columns
    network: Network
    folder: Path

    def objective(self, number: int = 0) -> Objective:
        seed(number)
        model = FusionModel(self.network, self.columns.spec)
        chosen = {
            "soft": {"kind": "kd", "weight": 0.9},
            "labels": {"kind": "task", "weight": 0.1},
            "near": {"kind": "hint", "tap": "picture", "weight": 0.5},
        }
        return Objective(model, {n: settings(losses.TABLE, s) for n, s in chosen.items()}, {"picture": 6})

    def plan(self, **changes: Any) -> Plan:
        rows = self.columns.rows("train")
        random = torch.Generator().manual_seed(8)
        taught = {
            n: torch.randn(len(self.columns.target), w, generator=random) for n, w in (("logits", 3), ("picture", 6))
        }

        def gather(picked: np.ndarray, number: int) -> tuple:
            batch = self.columns.batch(picked)
            return batch, {n: t.index_select(0, batch.rows) for n, t in taught.items()}

        training = Training(epochs=4, batch=8, learning_rate=0.02)
        sampler = Sampler(rows, self.columns.shared()[rows], 8, 3)
        plan = Plan(
            training, sampler, every=sampler.steps, gather=gather,
            validate=scorer(self.columns, self.columns.labelled("validation")),
            folder=self.folder, tell=lambda share, words: None,
        )  # fmt: skip
        return replace(plan, **changes)

    def fit(self, threads: int = 1, number: int = 0, **changes: Any) -> Trained:
        settle(threads)
        objective = self.objective(number)
        return Trained(objective, fit(objective, self.plan(**changes)))


@pytest.fixture(autouse=True)
def machine_as_before():
    """Other tests get the threads and kernels that they had."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


@pytest.fixture
def columns(make_columns, monkeypatch) -> Columns:
    """Of 60 rows; frozen encoders read four entries at a time."""
    monkeypatch.setattr(feature_cache, "PART", 4)
    return make_columns(rows=60, absent=0.2)


@pytest.fixture
def trainer(make_columns, make_network, tmp_path) -> Trainer:
    return Trainer(make_columns(rows=36, absent=0.2), make_network(hidden=6, dropout=0.2), tmp_path)


@pytest.fixture
def same() -> Callable[[Trained, Trained], None]:
    """Assert that two trainings ended with the same bits and the same history."""

    def check(one: Trained, other: Trained) -> None:
        assert one.state == other.state
        assert one.weights().keys() == other.weights().keys()
        for name, value in one.weights().items():
            assert torch.equal(value, other.weights()[name]), name

    return check

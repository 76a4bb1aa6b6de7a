"""One served model: its predictor, what it takes, and the threads that answer for it."""

from __future__ import annotations

from ..predictor import Predictor
from .batcher import Batcher
from .decoding_budget import DecodingBudget
from .limits import CellLimits, Limits
from .record_columns import columns


class Model:
    """A predictor behind a batcher."""

    def __init__(self, name: str, predictor: Predictor, limits: Limits, threads: int):
        self.name, self.predictor, self.limits = name, predictor, limits
        said = predictor.describe()
        self.cells = CellLimits.of(said["limits"])
        self.columns = columns(predictor)
        self.facts = {**said, "name": name, "limits": vars(self.cells)}
        self.batcher = Batcher(predictor.probabilities, threads, limits.batch, limits.wait)

    def budget(self) -> DecodingBudget:
        """What one request's cells may be, one by one and together."""
        return DecodingBudget(self.cells, self.limits)

    def close(self, until: float | None = None) -> None:
        """Once all that was asked is answered, or at the second ``until`` of ``time.monotonic``."""
        self.batcher.close(until)

"""One served model: its predictor, what it takes, and the threads that answer for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..predictor import Predictor
from . import asked, json_body, multipart
from .asked import Asked
from .batcher import Batcher
from .columns import columns
from .limits import CellLimits, Limits
from .reply import reply
from .rows import Rows, prepared


class Model:
    """A predictor behind a batcher."""

    def __init__(self, name: str, predictor: Predictor, limits: Limits, threads: int):
        self.name, self.predictor, self.limits = name, predictor, limits
        said = predictor.describe()
        self.cells = CellLimits.of(said["limits"])
        self.columns = columns(predictor)
        self.facts = {**said, "name": name, "limits": {**said["limits"], **vars(self.cells)}}
        self.batcher = Batcher(predictor.probabilities, threads, limits.batch, limits.wait)

    async def predict(self, body: bytes, content_type: str, form: bool) -> bytes:
        """A body -> the answer's body. Raises Refusal."""
        return await self._ask(lambda: self._read(body, content_type, form), len(body))

    def _read(self, body: bytes, content_type: str, form: bool) -> Asked:
        if form:
            parts = multipart.parse(body, content_type, self.limits.parts)
            return asked.from_form(parts, self.columns, self.cells)
        return asked.from_json(json_body.parse(body, self.limits.depth), self.columns, self.cells)

    async def _ask(self, read: Callable[[], Asked], weight: int) -> bytes:
        request: list[Asked] = []

        def prepare() -> Rows:
            request.append(read())
            return prepared(self.predictor, request[0].records)

        def finish(rows: Rows, found: Any) -> bytes:
            return reply(self.name, self.predictor, request[0], rows, found)

        return await self.batcher.ask(prepare, finish, weight)

    def close(self) -> None:
        """Once all that was asked is answered."""
        self.batcher.close()

"""One served model: its predictor, the types of its requests, and the threads that answer for it."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ..predictor import Predictor
from .batcher import Batcher
from .body_parsing import dump_json
from .decoding_budget import DecodingBudget
from .http_error import unprocessable
from .limits import CellLimits, Limits
from .request_schema import PredictRequest, form_model, model_columns, refusal_of, request_model

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"  # a white PNG


class ServedModel:
    """A predictor behind a batcher."""

    def __init__(self, name: str, predictor: Predictor, limits: Limits, threads: int):
        self.name, self.predictor, self.limits = name, predictor, limits
        description = predictor.describe()
        self.cell_limits = CellLimits.from_export(description["limits"])
        self.description = {**description, "name": name, "limits": vars(self.cell_limits)}
        self.examples = dump_json({"examples": [row.model_dump() for row in predictor.facts.examples]})
        self.columns = model_columns(predictor)
        types = name.replace(".", "_"), self.columns, self.cell_limits
        self.request_type, self.form_type = request_model(*types), form_model(*types)
        self.batcher = Batcher(predictor.probabilities, threads, limits.batch, limits.wait)

    def validate(self, body: Any) -> PredictRequest:
        """A request for predictions, its cells checked and counted against the decoding budget. Raises Refusal."""
        try:
            request = self.request_type.model_validate(body, context=DecodingBudget(self.cell_limits, self.limits))
        except ValidationError as error:
            raise refusal_of(error, self.columns) from None
        for number, record in enumerate(request.records, 1):
            if not record:  # perhaps its keys are elsewhere
                message = f"row {number} has none of the model's columns"
                raise unprocessable("empty_record", message, "null is an empty cell")
        return request

    def example_record(self) -> dict[str, Any]:
        """A record of the columns that need no file but a picture, as JSON holds it."""
        columns = [column for modality in self.description["inputs"] for column in modality["columns"]]
        choices = {column["name"]: column.get("choices") for column in columns}
        examples = {"image": {"base64": PIXEL}, "text": "a text", "number": 1.5, "category": "a word"}
        return {
            column.name: (choices.get(column.name) or [examples[column.type]])[0]
            for column in dict.fromkeys(self.columns.values())
            if column.type in examples
        }

    def close(self, deadline: float | None = None) -> None:
        """Once all jobs are done, or at the second ``deadline`` of ``time.monotonic``."""
        self.batcher.close(deadline)

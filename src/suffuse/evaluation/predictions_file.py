"""The file ``scores/predictions.parquet``: every model's predictions on the test rows, of all its seeds.

Columns: ``row`` (position in the prepared rows), ``target``, and for each model ``MODEL``, the probabilities and
numbers (C,) float32 of its first seed (of the teacher's seeds the one that was distilled). Each further seed has a
column ``MODEL/SEED``, as ``student/seed-2``. Files of earlier versions hold the columns ``MODEL`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..files import write_bytes
from .context import Context, Model

SEPARATOR = "/"  # between the name of a model and a further seed


def write_predictions(file: Path, context: Context) -> None:
    """Write the predictions of all models and seeds, in the order of the test rows."""
    target = context.target
    columns: dict[str, Any] = {"row": context.rows, "target": target if target.ndim == 1 else list(target)}
    for name, model in context.models.items():
        first = first_seed(model)
        for seed, predictions in model.predictions(context.spec).items():
            flat = pa.array(predictions.astype(np.float32).ravel())
            column = name if seed == first else f"{name}{SEPARATOR}{seed}"
            columns[column] = pa.FixedSizeListArray.from_arrays(flat, predictions.shape[1])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_bytes(file, sink.getvalue().to_pybytes())


def first_seed(model: Model) -> str:
    """The seed whose predictions are in the column with the model's own name."""
    return model.reference if model.name == "teacher" else next(iter(model.logits))


def seed_columns(names: Sequence[str], model: str) -> list[str]:
    """The columns of a model among all columns, one per seed, the first seed first; empty without the model."""
    return [name for name in names if name == model or name.startswith(f"{model}{SEPARATOR}")]


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A model's column -> (N, C) float32."""
    return np.asarray(column.combine_chunks().flatten()).reshape(len(column), -1)

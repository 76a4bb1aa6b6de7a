"""The file ``scores/predictions.parquet``: every model's predictions on the test rows, of all its seeds.

Columns: ``row`` (position in the prepared rows), ``target``, and of each model ``WHO``, the probabilities and numbers
(C,) float32 of its first seed (of the teacher's seeds the one that was distilled). Each further seed stands in a column
``WHO/SEED``, as ``student/seed-2``. Files of earlier versions hold the columns ``WHO`` alone.
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

FURTHER = "/"  # between a model's name and a further seed


def write_predictions(file: Path, context: Context) -> None:
    """All models and seeds, in test order."""
    target = context.target
    columns: dict[str, Any] = {"row": context.rows, "target": target if target.ndim == 1 else list(target)}
    for who, model in context.models.items():
        first = first_seed(model)
        for seed, answers in model.answers(context.spec).items():
            name = who if seed == first else f"{who}{FURTHER}{seed}"
            flat = answers.astype(np.float32).ravel()
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat), answers.shape[1])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_bytes(file, sink.getvalue().to_pybytes())


def first_seed(model: Model) -> str:
    """The seed whose predictions stand under the model's own name."""
    return model.reference if model.who == "teacher" else next(iter(model.logits))


def seed_columns(names: Sequence[str], who: str) -> list[str]:
    """The columns of a model among all columns, one a seed, the first seed first; empty where it is not there."""
    return [name for name in names if name == who or name.startswith(f"{who}{FURTHER}")]


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A model's column -> (N, C) float32."""
    return np.asarray(column.combine_chunks().flatten()).reshape(len(column), -1)

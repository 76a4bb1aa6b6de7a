"""A store as one Parquet table, for people and other programs: row id, split, label, and the answers by class name."""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ..activations import activate
from ..data.columns import Columns
from ..files import new_file, parsing
from ..transcripts.frame_predictions import confidences, texts
from ..types import CLASSES, LABELS, TOKENS, Spec
from . import manifest
from .row_reuse import find_keys
from .teacher_logits import CHUNK, decode_rows


def export(run_folder: Path, out: Path) -> int:
    """Write ``out``; returns its number of rows: one for each row, subset and view.

    Columns: ``id``, ``split``, ``label``, ``subset``, ``view`` (null: as prepared), ``teacher_seed`` (where the store
    holds several teachers); ``teacher``, the class that it
    says (of several targets ``teacher: TARGET``); ``teacher: CLASS``, its probability (of a number: the number). An
    abstention is null.
    """
    folder = run_folder / "knowledge"
    facts = manifest.read(folder)
    arrays = manifest.load(folder, facts)
    columns = Columns.open(run_folder / "data")
    with parsing(run_folder / "data" / "rows.parquet"):
        table = pq.read_table(run_folder / "data" / "rows.parquet", columns=["id", "split", "label", "key"])
    place = find_keys(table["key"].to_numpy().astype(np.uint64), arrays["key"])
    rows = table.select(["id", "split", "label"])
    written = 0
    with new_file(out) as file:
        writer = None
        for number, block in enumerate(manifest.blocks(facts)):
            count = facts["blocks"][number]["rows"]
            for start in range(0, count, CHUNK):
                rows_slice = slice(start, min(start + CHUNK, count))
                piece = rows.take(pa.array(place[rows_slice], mask=place[rows_slice] < 0)).combine_chunks()
                new_columns = {
                    "subset": pa.array(["+".join(block.subset)] * len(piece)),
                    "view": pa.array([block.view] * len(piece), pa.int32()),
                    **({} if block.teacher is None else {"teacher_seed": pa.array([block.teacher] * len(piece))}),
                    **dict(
                        _answers(
                            columns.spec, torch.from_numpy(decode_rows(facts, arrays, columns.spec, number, rows_slice))
                        )
                    ),
                }
                for name, column in new_columns.items():
                    piece = piece.append_column(name, column)
                writer = writer or pq.ParquetWriter(file, piece.schema)
                writer.write_table(piece)
                written += len(piece)
        if writer:
            writer.close()
    return written


def _answers(spec: Spec, logits: torch.Tensor) -> Iterator[tuple[str, pa.Array]]:
    several = len(spec.heads) > 1
    values: list[Any] = []
    best_classes: list[tuple[str, Any]] = []
    for head, part in spec.parts(logits):
        silent = part.isnan().any(1).numpy()
        if head.kind == CLASSES:
            best = part.nan_to_num(nan=-np.inf).argmax(1).numpy()
            names = pa.array(head.classes).take(pa.array(best, mask=silent))
            best_classes.append((f"teacher: {head.name}" if several else "teacher", names))
            part = part.softmax(1)
        elif head.kind == TOKENS:
            predictions = activate([head], part.nan_to_num().numpy())
            text = pa.array(texts(head, predictions), pa.string(), mask=silent)
            best_classes.append((f"teacher: {head.name}" if several else "teacher", text))
            sure = confidences(head, predictions).astype(np.float32)
            best_classes.append(("teacher: confidence", pa.array(sure, mask=silent)))
            continue
        elif head.kind == LABELS:
            part = part.sigmoid()
        else:
            part = part * head.std + head.mean
        values += [pa.array(column, pa.float32(), mask=silent) for column in part.numpy().T]
    yield from best_classes
    if not values:  # a transcript
        return
    yield from ((f"teacher: {name}", column) for name, column in zip(spec.classes, values, strict=True))

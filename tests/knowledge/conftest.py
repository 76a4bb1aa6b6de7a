"""Stores of a small teacher in a folder without data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from knowledge_tools import Fake, Maker

from suffuse.data.columns import Columns
from suffuse.files import write_json
from suffuse.recipe import make_recipe
from suffuse.run import Run


@pytest.fixture(scope="session")
def small_run():
    """A maker of runs without data: a folder, a recipe of picture and question, and a stamp of a finished teach."""

    def make(folder: Path, **changes: Any) -> Run:
        def network(width: int) -> dict:
            picture, question = {"kind": "conv", "widths": [width]}, {"kind": "gru", "embedding": 4, "width": width}
            return {"encoders": {"picture": picture, "question": question}, "fusion": {"kind": "gated", "width": width}}

        made = make_recipe(
            {
                "data": {"source": "rows.csv", "target": "answer"},
                "modalities": {
                    "picture": {
                        "kind": "image",
                        "column": "image",
                        "size": 16,
                        "augment": {"shift": 0.3, "brightness": 0.3},
                    },
                    "question": {"kind": "text", "column": "text", "length": 6},
                },
                "teacher": network(8),
                "student": network(4),
                "distill": {"train": {"augment": True, "modality_dropout": "uniform"}, **changes.pop("distill", {})},
                **changes,
            }
        )
        write_json(folder / "stamps" / "teach.json", {"digest": "d1", "outputs": {}})
        return Run(folder, made)

    return make


@pytest.fixture
def columns(make_columns) -> Columns:
    return make_columns(rows=60, absent=0.3)


@pytest.fixture
def maker(columns, small_run, tmp_path) -> Maker:
    return Maker(tmp_path / "run", small_run, columns)


@pytest.fixture
def teacher(columns) -> Fake:
    return Fake(columns)


@pytest.fixture
def changed():
    """Columns with some of the rows, in another order, or with other contents."""

    def change(columns: Columns, rows: np.ndarray, **more: Any) -> Columns:
        fields = ("entry", "present", "target", "split", "group", "key")
        return dataclasses.replace(columns, **{f: getattr(columns, f)[rows] for f in fields}, **more)

    return change

"""Preparing keeps little of each row in memory; ``benchmarks/scale.py`` measures the same on a million rows."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from suffuse.run import Run


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    file = Path(__file__).parents[1] / "benchmarks" / "scale.py"
    spec = importlib.util.spec_from_file_location("scale", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.long
def test_memory_grows_by_less_than_a_million_rows_may_take(scale, tmp_path):
    peaks = []
    for rows in (20_000, 80_000):  # both are several pieces; closer ones differ by less than an allocator's mood
        (tmp_path / str(rows)).mkdir()
        peaks.append(scale.measure(rows, tmp_path / str(rows))["peak"])
    each = (peaks[1] - peaks[0]) / 60_000
    assert peaks[0] + 1e6 * each < scale.MOST_MEMORY, f"{each:.0f} bytes a row"
    folder = tmp_path / "80000" / "run"
    run = Run.open(folder)
    column = np.load(run.path("data", "column-text.npy"), mmap_mode="r")
    facts = np.load(run.path("data", "column-facts.npy"), mmap_mode="r")
    entry = np.load(run.path("data", "entry.npy"))
    assert len(np.unique(entry[:, 0])) > 78_000 and column.shape[1] == 12 and facts.shape[1] == 7

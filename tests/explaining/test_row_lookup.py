"""`explain --row`: the rows of a run by their ids, of which a table may have any number."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suffuse.errors import UsageError
from suffuse.recipe import make_recipe
from suffuse.run import Run
from suffuse.stages.explain import find


@pytest.fixture
def run_with(tmp_path: Path, tiny_recipe):
    def make(ids: list[str | None]) -> Run:
        run = Run(tmp_path, make_recipe(tiny_recipe(tmp_path / "rows.csv")))
        (tmp_path / "data").mkdir()
        pq.write_table(pa.table({"id": pa.array(ids, pa.string())}), run.path("data", "rows.parquet"))
        return run

    return make


def test_an_unknown_id_names_the_five_nearest_and_how_many_there_are(run_with):
    run = run_with([f"train-{n}" for n in range(38_575)] + [f"test-{n}" for n in range(9_673)])
    with pytest.raises(UsageError) as caught:
        find(run, "tset-9672")
    assert caught.value.line() == ("no such row (--row): got tset-9672, expected an id of the table, or #1 to #48248")
    hint = caught.value.hint
    assert hint.startswith("of 48,248 ids the nearest are: test-9672, ")
    assert hint.count(",") == 1 + 4 and len(hint) < 120
    for row in ("nope", "x" * 10_000, "#48249"):
        with pytest.raises(UsageError) as caught:
            find(run, row)
        assert len(caught.value.text()) < 400
    assert find(run, "test-9672") == 48_247 and find(run, "#3") == 2


def test_a_table_without_ids(run_with):
    with pytest.raises(UsageError, match="no such row") as caught:
        find(run_with([None, None]), "a")
    assert caught.value.hint == "the table has no ids"

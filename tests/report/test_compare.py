"""suffuse compare: runs beside each other, paired only where their test rows are the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser_tools import look
from report_tools import restamp
from typer.testing import CliRunner

from suffuse.cli import app
from suffuse.errors import UsageError
from suffuse.report import compare, paired
from suffuse.run import Run


@pytest.fixture
def other(finished_run: Run, tmp_path: Path) -> Path:
    """The same run with another learning rate in its recipe, whose exported student always says the first class."""
    place = tmp_path / "other"
    shutil.copytree(finished_run.folder, place)
    recipe = (place / "recipe.yaml").read_text(encoding="utf-8")
    (place / "recipe.yaml").write_text(recipe.replace("batch: 16", "batch: 8", 1), encoding="utf-8")
    return place


def change(place: Path, **columns) -> None:
    file = place / "scores" / "predictions.parquet"
    found = pq.read_table(file)
    for name, values in columns.items():
        at = found.column_names.index(name)
        found = found.set_column(
            at, name, pa.array(values(found.column(name).to_pylist()), found.schema.field(name).type)
        )
    pq.write_table(found, file)
    restamp(place, "evaluate")


def opened(*places: Path) -> dict[str, Run]:
    return compare.opened(list(places))


def test_a_run_beside_its_copy_shows_no_difference(finished_run: Run, other: Path):
    (found,) = paired.pairs(opened(finished_run.folder, other))
    assert (found["difference"], found["verdict"], found["who"]) == (0.0, "no evidence", "export")
    assert "no evidence of a difference between run and other" in paired.sentence(found)


def test_the_difference_is_that_of_the_answers_row_by_row(finished_run: Run, other: Path):
    change(other, export=lambda rows: [[1.0, *([0.0] * (len(r) - 1))] for r in rows])
    runs = opened(finished_run.folder, other)
    ours, theirs = (paired.rows(run) for run in runs.values())
    right = [float((r.answers["export"].argmax(1) == r.target).mean()) for r in (ours, theirs) if r]
    (found,) = paired.pairs(runs)
    assert found["difference"] == pytest.approx(right[0] - right[1])
    assert found["low"] <= found["difference"] <= found["high"]


def test_rows_in_another_order_are_paired_by_id(finished_run: Run, other: Path):
    file = other / "scores" / "predictions.parquet"
    found = pq.read_table(file)
    pq.write_table(found.take(list(range(len(found)))[::-1]), file)
    restamp(other, "evaluate")
    assert paired.pairs(opened(finished_run.folder, other))[0]["difference"] == 0.0


def test_other_test_rows_are_not_paired(finished_run: Run, other: Path):
    file = other / "scores" / "predictions.parquet"
    found = pq.read_table(file)
    pq.write_table(found.slice(1), file)
    restamp(other, "evaluate")
    (facts,) = paired.pairs(opened(finished_run.folder, other))
    assert "difference" not in facts
    assert f"{len(found) - 1} of {len(found)} and {len(found) - 1} are the same" in facts["why"]
    assert "not paired" in paired.sentence(facts)


def test_what_differs_in_the_recipes_is_listed_and_nothing_else(finished_run: Run, other: Path):
    found = compare.differences(opened(finished_run.folder, other))
    assert [values for _, values in found] == [["16", "8"]]
    assert found[0][0].endswith("train.batch")


def test_one_run_or_a_folder_without_scores_is_refused(finished_run: Run, tmp_path: Path):
    with pytest.raises(UsageError, match="one run alone"):
        opened(finished_run.folder)
    with pytest.raises(UsageError, match="no scores"):
        opened(finished_run.folder, tmp_path)


def test_the_verb_prints_a_table_writes_a_page_and_overwrites_nothing(finished_run: Run, other: Path, tmp_path: Path):
    call, page = CliRunner(), tmp_path / "page.html"
    done = call.invoke(app, ["compare", str(finished_run.folder), str(other), "-o", str(page)])
    assert done.exit_code == 0
    assert "exported student" in done.stdout and "train.batch" in done.stdout
    text = page.read_text(encoding="utf-8")
    assert '<main lang="en">' in text and '<main lang="zh">' in text
    assert "<script" not in text.lower() and "http://" not in text and len(text.encode()) < 3_000_000
    again = call.invoke(app, ["compare", str(finished_run.folder), str(other), "-o", str(page)])
    assert isinstance(again.exception, UsageError)
    said = json.loads(call.invoke(app, ["compare", str(finished_run.folder), str(other), "--json"]).stdout)
    assert set(said) == {"runs", "scores", "paired", "differences", "warnings"}
    assert list(said["runs"]) == ["run", "other"]


@pytest.mark.slow
def test_a_browser_shows_the_page_on_screen_and_phone(chromium: str, finished_run: Run, other: Path, tmp_path: Path):
    looks, console = look(chromium, {"compare": compare.render(opened(finished_run.folder, other))}, tmp_path)
    assert console == []
    assert all(one["out"] == [] and one["wide"] <= one["width"] for one in looks)

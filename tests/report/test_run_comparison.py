"""suffuse compare: runs beside each other, paired only where their test rows are the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser_tools import act, look
from report_tools import restamp, without_script
from typer.testing import CliRunner

from suffuse.cli import app
from suffuse.errors import UsageError
from suffuse.report import paired_runs, run_comparison
from suffuse.report.i18n import use_language
from suffuse.run import Run

SCREENS = 5  # of 900 pixels, as the page opens


@pytest.fixture
def other(finished_run: Run, tmp_path: Path) -> Path:
    """The same run with another batch size in its recipe."""
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


def first_class(rows: list[list[float]]) -> list[list[float]]:
    return [[1.0, *([0.0] * (len(r) - 1))] for r in rows]


def open_runs(*places: Path) -> dict[str, Run]:
    return run_comparison.open_runs(list(places))


def test_a_run_beside_its_copy_shows_no_difference(finished_run: Run, other: Path):
    (found,) = paired_runs.paired_differences(open_runs(finished_run.folder, other))
    assert (found["difference"], found["verdict"], found["who"]) == (0.0, "no evidence", "student")
    assert (found["seeds"], found["seeds_stored"], found["method"]) == (2, [2, 2], "seeds and rows")
    assert "no evidence of a difference between run and other" in paired_runs.sentence(found)


def test_the_difference_is_that_of_the_predictions_row_by_row_and_seed_by_seed(finished_run: Run, other: Path):
    change(other, **{"student/seed-2": first_class})
    runs = open_runs(finished_run.folder, other)
    ours, theirs = (paired_runs.read_test_rows(run) for run in runs.values())
    right = [
        [float((z.argmax(1) == r.target).mean()) for z in r.outputs["student"]] for r in (ours, theirs) if r is not None
    ]
    (found,) = paired_runs.paired_differences(runs)
    assert right[0][0] == right[1][0]
    assert found["difference"] == pytest.approx((right[0][1] - right[1][1]) / 2)
    assert found["low"] <= found["difference"] <= found["high"]


def test_all_seeds_predictions_are_kept_and_are_those_that_were_scored(finished_run: Run):
    found = paired_runs.read_test_rows(finished_run)
    assert found is not None
    card = json.loads(finished_run.path("scores", "student.json").read_text(encoding="utf-8"))
    right = [float((z.argmax(1) == found.target).mean()) for z in found.outputs["student"]]
    assert len(right) == 2 and right == pytest.approx(card["metrics"]["accuracy"]["per_seed"])


def right_in(share: float, target: list[int], classes: int) -> list[list[float]]:
    """Predictions of which the first ``share`` of the rows are right."""
    many = round(share * len(target))
    said = [y % classes if n < many else (y + 1) % classes for n, y in enumerate(target)]
    return [[float(c == s) for c in range(classes)] for s in said]


def predictions(place: Path, *shares: float) -> None:
    """Write a student of so many seeds, each with its share of right predictions."""
    file = place / "scores" / "predictions.parquet"
    found = pq.read_table(file)
    target = [max(int(y), 0) for y in found.column("target").to_pylist()]
    kind = found.schema.field("student").type
    found = found.drop_columns([name for name in found.column_names if name.startswith("student")])
    for seed, share in enumerate(shares, 1):
        values = pa.array(right_in(share, target, kind.list_size), kind)
        found = found.append_column("student" if seed == 1 else f"student/seed-{seed}", values)
    pq.write_table(found, file)
    restamp(place, "evaluate")


@pytest.fixture
def two(finished_run: Run, other: Path, tmp_path: Path) -> list[Path]:
    """Two runs of one recipe with other seeds."""
    return [Path(shutil.copytree(finished_run.folder, tmp_path / "again")), other]


def test_one_recipe_with_other_seeds_is_not_called_worse(two: list[Path]):
    """The first seeds differ by far more than the rows explain; the recipes' other seeds turn it round."""
    predictions(two[0], 0.2, 0.9, 0.5)
    predictions(two[1], 0.9, 0.2, 0.6)
    (found,) = paired_runs.paired_differences(open_runs(*two))
    assert found["method"] == "seeds and rows" and found["seeds"] == 3
    assert found["verdict"] == "no evidence"
    assert "3 seeds" in paired_runs.sentence(found)


def test_recipes_that_differ_in_every_seed_are_told_apart(two: list[Path]):
    predictions(two[0], 0.2, 0.2, 0.2, 0.25)
    predictions(two[1], 0.9, 0.9, 0.95, 0.9)
    (found,) = paired_runs.paired_differences(open_runs(*two))
    assert found["verdict"] == "hurts" and "is worse than" in paired_runs.sentence(found)


@pytest.mark.parametrize(("ours", "theirs"), [((0.1,), (0.9,)), ((0.1, 0.2, 0.1), (0.9,))])
def test_with_one_seed_on_a_side_nothing_is_claimed_about_the_recipes(two: list[Path], ours, theirs):
    predictions(two[0], *ours)
    predictions(two[1], *theirs)
    (found,) = paired_runs.paired_differences(open_runs(*two))
    assert found["high"] < 0 and found["verdict"] == "no evidence" and found["method"] == "rows"
    said = paired_runs.sentence(found)
    assert "one seed on a side: the interval covers rows only; no claim about the recipes" in said
    assert "worse" not in said and "better" not in said
    with use_language("zh"):
        assert "对配方不下结论" in paired_runs.sentence(found) and "不如" not in paired_runs.sentence(found)
    page = run_comparison.render(open_runs(*two))
    assert "no claim about the recipes" in page and "对配方不下结论" in page


def test_a_run_with_the_first_seeds_predictions_alone_is_read_and_said_so(finished_run: Run, other: Path):
    """Earlier versions stored no others."""
    file = other / "scores" / "predictions.parquet"
    found = pq.read_table(file)
    pq.write_table(found.drop_columns([name for name in found.column_names if "/" in name]), file)
    restamp(other, "evaluate")
    runs = open_runs(finished_run.folder, other)
    (facts,) = paired_runs.paired_differences(runs)
    assert facts["difference"] == 0 and facts["seeds_stored"] == [2, 1]
    assert any(
        "the predictions of 1 of its student's seeds are not stored" in one for one in paired_runs.warnings(runs)
    )
    assert not any(
        "not stored" in one for one in paired_runs.warnings(open_runs(finished_run.folder, finished_run.folder))
    )


def test_rows_in_another_order_are_paired_by_id(finished_run: Run, other: Path):
    file = other / "scores" / "predictions.parquet"
    found = pq.read_table(file)
    pq.write_table(found.take(list(range(len(found)))[::-1]), file)
    restamp(other, "evaluate")
    assert paired_runs.paired_differences(open_runs(finished_run.folder, other))[0]["difference"] == 0.0


def test_other_test_rows_are_not_paired(finished_run: Run, other: Path):
    file = other / "scores" / "predictions.parquet"
    found = pq.read_table(file)
    pq.write_table(found.slice(1), file)
    restamp(other, "evaluate")
    (facts,) = paired_runs.paired_differences(open_runs(finished_run.folder, other))
    assert "difference" not in facts
    assert f"{len(found) - 1} of {len(found)} and {len(found) - 1} are the same" in facts["why"]
    assert "not paired" in paired_runs.sentence(facts)


def test_what_differs_in_the_recipes_is_listed_and_nothing_else(finished_run: Run, other: Path):
    found = run_comparison.recipe_differences(open_runs(finished_run.folder, other))
    assert [values for _, values in found] == [["16", "8"]]
    assert found[0][0].endswith("train.batch")


def test_one_run_or_a_folder_without_scores_is_refused(finished_run: Run, tmp_path: Path):
    with pytest.raises(UsageError, match="one run alone"):
        open_runs(finished_run.folder)
    with pytest.raises(UsageError, match="no scores"):
        open_runs(finished_run.folder, tmp_path)


def test_the_verb_prints_a_table_writes_a_page_and_overwrites_nothing(finished_run: Run, other: Path, tmp_path: Path):
    call, page = CliRunner(), tmp_path / "page.html"
    done = call.invoke(app, ["compare", str(finished_run.folder), str(other), "-o", str(page)])
    assert done.exit_code == 0
    assert "exported student" in done.stdout and "train.batch" in done.stdout
    text = page.read_text(encoding="utf-8")
    assert '<main lang="en">' in text and '<main lang="zh">' in text
    assert "http://" not in without_script(text) and len(text.encode()) < 3_000_000
    again = call.invoke(app, ["compare", str(finished_run.folder), str(other), "-o", str(page)])
    assert isinstance(again.exception, UsageError)
    said = json.loads(call.invoke(app, ["compare", str(finished_run.folder), str(other), "--json"]).stdout)
    assert set(said) == {"runs", "scores", "paired", "differences", "warnings"}
    assert list(said["runs"]) == ["run", "other"]


@pytest.mark.slow
@pytest.mark.long
def test_a_browser_shows_the_page_on_screen_and_phone(chromium: str, finished_run: Run, other: Path, tmp_path: Path):
    """Of many runs too it opens within five screens of a desktop, with all its sections in the contents."""
    many = {f"run {number}": Run.open(other if number % 2 else finished_run.folder) for number in range(6)}
    pages = {"two": open_runs(finished_run.folder, other), "many": many}
    looks, console = look(chromium, {n: run_comparison.render(runs) for n, runs in pages.items()}, tmp_path)
    assert console == []
    assert all(one["out"] == [] and one["wide"] <= one["width"] for one in looks)
    assert all(one["high"] <= SCREENS * 900 for one in looks if one["width"] == 1280)


@pytest.mark.slow
def test_the_contents_lead_into_every_folded_section(chromium: str, finished_run: Run, other: Path, tmp_path: Path):
    script = """
      const page = frame.contentDocument, main = page.querySelector("main[lang=en]");
      const open = () => [...main.querySelectorAll("details.section[open] > section")].map(e => e.id);
      const seen = [open()];
      for (const link of main.querySelectorAll('nav a')) link.click();
      await turn(); seen.push(open());
      return {seen, links: [...main.querySelectorAll("nav a")].map(e => e.hash.slice(1))};"""
    page = run_comparison.render(open_runs(finished_run.folder, other))
    found = act(chromium, page, tmp_path / "browser", script)
    assert found["seen"] == [["models"], ["models", "cost", "subsets", "contribution", "recipes"]]
    assert found["links"] == ["summary", *found["seen"][1]]

"""``suffuse init`` on a table it has never seen; the recipe it proposes runs as it is."""

from __future__ import annotations

import csv
import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from e2e_tools import check_failure, check_success, make_rows, suffuse, write_csv

SHORTER = (
    "distill.num_seeds=1",
    "distill.unimodal_baselines=false",
    "distill.train.epochs=25",
    "distill.baseline={epochs: 25}",
    "teacher.train.epochs=25",
    "export.teacher=false",
)
OPENINGS = ("please tell me", "well", "can you say", "dear friend", "now", "look here", "so", "quickly", "hm", "i ask")


def accuracy(run: Path, who: str) -> float:
    """On test rows, over all seeds."""
    return json.loads((run / "scores" / f"{who}.json").read_text())["metrics"]["accuracy"]["mean"]


def part_of(manifest: Path, place: Path, count: int, columns: tuple[str, ...]) -> Path:
    """Some rows, of the six commonest labels, and some columns of a data set's manifest, as a table elsewhere."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    common = {label for label, _ in Counter(row["label"] for row in rows).most_common(6)}
    rows = [row for row in rows if row["label"] in common]
    picked = random.Random(0).sample(rows, count)
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(picked)
    return place


@pytest.mark.slow
@pytest.mark.long
def test_the_proposed_recipe_runs_unedited(tmp_path: Path) -> None:
    rows, chance = make_rows(tmp_path, pictures=30), random.Random(0)
    for row in rows:  # with so few questions the column would be taken for a category
        row["question"] = f"{chance.choice(OPENINGS)} {row['question']}"
    write_csv(tmp_path / "rows.csv", rows)
    made = check_success(
        suffuse("init", "rows.csv", "--target", "answer", "--preset", "fast", "-o", "recipe.yaml", cwd=tmp_path)
    )
    assert "next: suffuse check recipe.yaml" in made.err
    for column, role in (("id", "id"), ("picture", "image"), ("question", "text"), ("answer", "target")):
        assert any(line.split()[:2] == [column, role] for line in made.err.splitlines()), made.err
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text())["data"]["group"] == "picture"
    check_success(suffuse("run", "recipe.yaml", cwd=tmp_path))
    run = tmp_path / "runs" / "recipe"
    assert (run / "report.html").exists()
    assert accuracy(run, "student") > accuracy(run, "majority")


def test_the_folders_of_the_recipe_are_made(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", make_rows(tmp_path, pictures=12))
    check_success(suffuse("init", "rows.csv", "--target", "answer", "-o", "x/y/z.yaml", cwd=tmp_path))
    assert yaml.safe_load((tmp_path / "x" / "y" / "z.yaml").read_text())["data"]["source"] == "../../rows.csv"


def test_a_recipe_that_can_t_be_written_is_told_before_the_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("no table that could be read")
    for out, words in (("rows.csv/x.yaml", ("can't make this folder", "is a file")), (".", ("is there already",))):
        check_failure(suffuse("init", "rows.csv", "--target", "answer", "-o", out, cwd=tmp_path), 2, *words)


def test_a_recipe_is_never_overwritten(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", make_rows(tmp_path, pictures=12))
    (tmp_path / "recipe.yaml").write_text("mine", encoding="utf-8")
    check_failure(suffuse("init", "rows.csv", "--target", "answer", cwd=tmp_path), 2, "is there already", "--out")
    assert (tmp_path / "recipe.yaml").read_text(encoding="utf-8") == "mine"


def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", make_rows(tmp_path, pictures=12))
    check_failure(
        suffuse("init", "rows.csv", "--target", "anwser", cwd=tmp_path), 2, "--target", "did you mean 'answer'?"
    )
    check_failure(suffuse("init", "row.csv", "--target", "answer", cwd=tmp_path), 2, "row.csv")
    check_failure(suffuse("init", "rows.csv", "--target", "answer", "--root", "no", cwd=tmp_path), 2, "no such folder")
    check_failure(
        suffuse("init", "rows.csv", "--target", "answer", "-o", "rows.csv/x.yaml", cwd=tmp_path), 2, "rows.csv"
    )
    assert not list(tmp_path.glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [
        ("fashion9k", 160, ("id", "split", "image", "text_masked", "label", "season", "group")),
        ("avmnist10k", 300, ("id", "split", "image", "label", "speaker")),
    ],
)
def test_a_part_of_a_real_table(
    name: str, count: int, columns: tuple[str, ...], shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / name
    part_of(folder / "manifest.csv", tmp_path / "rows.csv", count, columns)
    start = time.monotonic()
    check_success(suffuse("init", "rows.csv", "--target", "label", "--root", folder, "-o", "recipe.yaml", cwd=tmp_path))
    fewer = [w for one in SHORTER for w in ("--set", one)]
    check_success(suffuse("run", "recipe.yaml", "--out", "run", *fewer, cwd=tmp_path))  # unedited it runs above
    print(f"{name}: {time.monotonic() - start:.0f} s")
    assert accuracy(tmp_path / "run", "student") > accuracy(tmp_path / "run", "majority") + 0.2
    answers = tmp_path / "answers.csv"
    check_success(suffuse("predict", "run", "rows.csv", "--root", folder, "-o", answers, cwd=tmp_path))
    with answers.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert [int(a["line"]) for a in found] == list(range(2, count + 2))
    right = sum(a["label"] == label for a, label in zip(found, labels, strict=True))
    assert right / count > accuracy(tmp_path / "run", "majority") + 0.2

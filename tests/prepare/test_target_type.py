"""What `suffuse init` takes a target for, and the recipe that comes of it."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from suffuse.prepare.column_types import Column
from suffuse.prepare.label_leakage import number_leak_reason
from suffuse.prepare.recipe_proposal import Proposal, propose
from suffuse.prepare.target_type import target_type
from suffuse.prepare.targets import read
from suffuse.recipe import Recipe, make_recipe

ROWS = 240
WORDS = ("a", "small", "old", "dog", "saw", "nine", "birds", "by", "that", "river")
TAGS = ("action", "comedy", "drama", "horror", "romance")


def column(cells: list) -> Column:
    return Column("goal", "other", "", (), 1.0, [None if c is None else str(c) for c in cells])


def tags(row: int, separator: str = ";") -> str:
    some = random.Random(row)
    return separator.join(some.sample(TAGS, some.randint(1, 3)))


def table(folder: Path, goal: list, **more: list) -> str:
    """Texts, the target and what else there is."""
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["words", "goal", *more])
        for row in range(len(goal)):
            some = " ".join(random.Random(row).choices(WORDS, k=7))
            writer.writerow([f"{some} {row}", "" if goal[row] is None else goal[row], *(m[row] for m in more.values())])
    return str(folder / "rows.csv")


def recipe(found: Proposal) -> Recipe:
    return make_recipe(yaml.safe_load(found.text), [])


def test_a_number_near_the_largest_there_is() -> None:
    with np.errstate(all="raise"):
        found = target_type(column([(row + 0.5) * (-1) ** row * 1e306 for row in range(170)]))
    assert found.kind == "number" and "-1.695e+308 to 1.685e+308" in found.reason


@pytest.mark.parametrize(
    ("cells", "kind", "task"),
    [
        ([("yes", "no")[row % 2] for row in range(ROWS)], "classes", {}),
        ([row % 10 for row in range(ROWS)], "classes", {}),
        ([row % 30 for row in range(ROWS)], "classes", {}),  # whole numbers that repeat: codes of classes
        ([row * 0.37 for row in range(ROWS)], "number", {"kind": "number"}),
        ([1000 + 7 * row for row in range(ROWS)], "number", {"kind": "number"}),
        ([tags(row) for row in range(ROWS)], "labels", {"kind": "labels", "separator": ";"}),
        ([tags(row, " | ") for row in range(ROWS)], "labels", {"kind": "labels", "separator": "|"}),
        ([tags(row, ", ") for row in range(ROWS)], "labels", {"kind": "labels", "separator": ","}),
        ([json.dumps(tags(row).split(";")) for row in range(ROWS)], "labels", {"kind": "labels"}),
        ([f"{a}, {b}" for a in TAGS for b in ("men", "women")] * 24, "classes", {}),  # always two parts: a name
        ([("well, yes", "yes", "no")[row % 3] for row in range(ROWS)], "classes", {}),  # a comma in few classes
    ],
)
def test_what_a_target_is(cells: list, kind: str, task: dict) -> None:
    found = target_type(column(cells))
    assert (found.kind, found.task) == (kind, task)


@pytest.mark.parametrize("separator", [";", "|", ","])
def test_labels_are_counted_as_prepare_will_read_them(separator: str) -> None:
    from suffuse.recipe import Task

    cells = [tags(row, f" {separator} ") for row in range(ROWS)]
    found = target_type(column(cells))
    theirs = read("goal", Task.model_validate(found.task), pa.chunked_array([cells])).values
    assert f"{len({one for some in theirs for one in some})} labels" in found.reason
    commonest = max(sum(tag in some for some in theirs) for tag in TAGS)
    assert f"in {100 * commonest / ROWS:.0f} % of rows" in found.reason


def test_the_recipe_of_a_number_learns_and_distils_numbers(tmp_path: Path) -> None:
    price = [round(random.Random(row).lognormvariate(5, 1), 2) for row in range(ROWS)]
    found = propose(table(tmp_path, price), "goal")
    made = recipe(found)
    assert made.data.tasks["goal"].kind == "number"
    assert {name: one.kind for name, one in made.distill.losses.items()} == {"labels": "task", "soft": "regression_kd"}
    assert "a number, " in found.text


def test_the_recipe_of_labels_learns_and_distils_each(tmp_path: Path) -> None:
    made = recipe(propose(table(tmp_path, [tags(row) for row in range(ROWS)]), "goal"))
    assert (made.data.tasks["goal"].kind, made.data.tasks["goal"].separator) == ("labels", ";")
    assert made.distill.losses["soft"].kind == "multilabel_kd"
    words = pa.array([f"a small dog saw {row} birds by the river" for row in range(ROWS)])
    lists = pa.array([tags(row).split(";") for row in range(ROWS)])
    pq.write_table(pa.table({"words": words, "goal": lists}), tmp_path / "rows.parquet")
    made = recipe(propose(str(tmp_path / "rows.parquet"), "goal"))
    assert made.data.tasks["goal"].kind == "labels"
    assert {one.column for one in made.modalities.values()} == {"words"}, "a list of labels became an input"


def test_whole_numbers_as_classes_are_offered_as_a_number(tmp_path: Path) -> None:
    found = propose(table(tmp_path, [row % 30 for row in range(ROWS)]), "goal")
    assert "# tasks: {goal: {kind: number}}" in found.text
    assert recipe(found).data.tasks == {}


@pytest.mark.parametrize("wrong", [False, True])
def test_a_number_that_tells_the_number_isn_t_read(tmp_path: Path, wrong: bool) -> None:
    random_ = np.random.default_rng(0)
    price = np.exp(random_.normal(5, 1, ROWS)).round(2)
    other = np.exp(random_.normal(0, 1, ROWS)).round(3) if wrong else (1.17 * price).round(1)
    third = [("low", "middle", "high")[int(r)] for r in np.searchsorted(np.quantile(price, [1 / 3, 2 / 3]), price)]
    area = (10 * price + random_.normal(0, 2000, ROWS)).round(1)
    made = recipe(
        propose(table(tmp_path, price.tolist(), euro=other.tolist(), third=third, area=area.tolist()), "goal")
    )
    assert made.modalities["facts"].model_dump()["column"] == (("euro", "area") if wrong else ("area",))


def test_a_number_follows_another_by_its_rank() -> None:
    values = np.random.default_rng(1).normal(size=200)
    pairs = [(repr(float(np.exp(v))), float(v)) for v in values]
    assert "follow it" in number_leak_reason("number", pairs)
    assert "follow it" in number_leak_reason("number", [(v, -y) for v, y in pairs])  # the other way round
    assert number_leak_reason("number", [(v, pairs[n - 1][1]) for n, (v, _) in enumerate(pairs)]) == ""
    assert number_leak_reason("number", pairs[:20]) == ""  # too few to say
    assert number_leak_reason("number", [("5", y) for _, y in pairs]) == ""
    assert number_leak_reason("text", pairs) == ""
    huge = [(f"{(-1) ** n}e308", 1.7e308 * (-1) ** n) for n in range(len(pairs))]
    with np.errstate(all="raise"):  # no difference of two of them is a number
        assert "follow it" in number_leak_reason("number", huge)


@pytest.mark.parametrize(("share", "seeds"), [(1.0, 1), (0.6, 1), (0.1, 3)])
def test_a_teacher_with_few_labels_is_three_that_are_trained_for_long_enough(
    tmp_path: Path, share: float, seeds: int
) -> None:
    rows = 6000
    labels = [("yes", "no")[row % 2] if row % 100 < 100 * share else None for row in range(rows)]
    made = recipe(propose(table(tmp_path, labels), "goal"))
    assert made.trained is not None
    assert (made.trained.num_seeds, made.trained.ensemble) == (seeds, seeds > 1)
    known = round(0.765 * rows * share)
    steps = made.trained.train.epochs * -(-known // made.trained.train.batch)
    assert steps >= 400  # of its own, on rows that have a label
    assert made.distill.train.batch == 256  # the student sees all rows

"""The protocol through the command line: a rival with the whole way's compute, label curves, and a planted leak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import Result, check_failure, check_success, make_recipe, make_rows, suffuse, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.long]  # a run with fourteen trainings
PICTURES, COPIES, BARE = 60, 4, 3  # and of the test rows: copied into train with their label, and without


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A table with its own split, in which some test rows stand in train too, under other ids and file names."""
    folder = tmp_path_factory.mktemp("leaky")
    rows = make_rows(folder, PICTURES)
    for n, row in enumerate(rows):
        row["split"] = "test" if n >= 90 else "validation" if n >= 70 else "train"
    test = [row for row in rows if row["split"] == "test"]
    planted = []
    for n, row in enumerate(test[: COPIES + BARE]):
        name = f"images/copy{n}.png"
        (folder / name).write_bytes((folder / row["picture"]).read_bytes())
        answer = row["answer"] if n < COPIES else ""
        planted.append({**row, "id": f"copy{n}", "picture": name, "answer": answer, "split": "train"})
    import csv

    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows([*rows, *planted])
    recipe = make_recipe(
        data__split={"column": "split"},
        data__group=None,
        modalities__picture__size=24,
        distill__compute_matched_baseline=True,
        distill__unimodal_baselines=False,
        distill__label_fractions=[],
        distill__num_seeds=2,
        teacher__train__epochs=3,
    )
    write_recipe(folder / "recipe.yaml", recipe)
    asked = ("--set", "evaluate.label_curve=[0.5, 0.25]", "--out", "run", "--tables")
    return folder / "run", check_success(suffuse("run", "recipe.yaml", *asked, cwd=folder))


def read(run: Path, *names: str) -> Any:
    return json.loads(run.joinpath(*names).read_text(encoding="utf-8"))


def test_a_planted_leak_is_found_and_told(leaky: tuple[Path, Result]) -> None:
    run, result = leaky
    facts = read(run, "data", "leaks.json")
    copies = {(c["held"], c["other"]): c["rows"] for c in facts["left_out"]["copies"]}
    assert copies[("test", "train")] == COPIES
    contents = {(c["held"], c["other"]): c["rows"] for c in facts["kept"]["contents"]}
    assert contents[("test", "train")] == BARE  # the unlabelled copies stay, and the teacher would answer them
    assert facts["kept"]["picture"]  # both questions of a picture, which nothing keeps together
    for told in (result.out, result.err):
        assert (
            f"WARNING: in two splits: {COPIES} test rows stand in train too, with the same contents and label" in told
        )
        assert f"WARNING: in two splits: {BARE} test rows have contents that stand in train rows too" in told


def test_scores_without_the_leaked_rows_stand_beside_the_others(leaky: tuple[Path, Result]) -> None:
    run, result = leaky
    rows = read(run, "data", "schema.json")["labelled"]["test"]
    for who in ("teacher", "student", "baseline", "export", "majority"):
        card = read(run, "scores", f"{who}.json")
        assert card["clean"]["leaked"]["contents"] == BARE and card["clean"]["rows"] <= rows - BARE
    assert "test rows without a leak: teacher " in result.out
    assert "test rows without a leak: teacher " in (run / "report.html").read_text(encoding="utf-8")


def test_no_copy_of_a_test_row_with_its_label_is_trained_on(leaky: tuple[Path, Result]) -> None:
    text = (leaky[0] / "data" / "quarantine.csv").read_text(encoding="utf-8")
    assert text.count("duplicate row: same contents and label") >= COPIES
    assert all(f"copy{n}," in text for n in range(COPIES))


def test_the_rival_has_the_whole_way_s_compute(leaky: tuple[Path, Result]) -> None:
    run, result = leaky
    facts = read(run, "rival.json")
    assert facts["counted"] == "operations" and facts["teacher"] > facts["extraction"] > 0
    wanted = 2 + round((facts["teacher"] + facts["extraction"]) / facts["pass"])
    assert facts["wanted"] == wanted > 2 and facts["epochs"] == min(wanted, 40) and facts["capped"] is (wanted > 40)
    for seed in ("seed-1", "seed-2"):
        assert read(run, "rival", seed, "training.json")["epochs"] == facts["epochs"]
        assert read(run, "baseline", seed, "training.json")["epochs"] == 2
    compared = {c["about"]: c for c in read(run, "scores", "comparisons.json")}
    assert (compared["compute"]["who"], compared["compute"]["against"]) == ("student", "rival")
    assert f"the compute-matched baseline ({facts['epochs']} epochs" in result.out
    assert "compute-matched baseline" in result.out


def test_the_label_curve_has_a_point_for_each_share(leaky: tuple[Path, Result]) -> None:
    run, result = leaky
    curve = read(run, "scores", "label-curve.json")
    points = curve["points"]
    assert [p["share"] for p in points] == [0.25, 0.5, 1.0]
    assert points[0]["labels"] < points[1]["labels"] < points[2]["labels"]
    for point in points:
        assert len(point["student"]["per_seed"]) == len(point["baseline"]["per_seed"]) == 2
        assert point["student"]["low"] <= point["student"]["mean"] <= point["student"]["high"]
        assert point["verdict"]["verdict"] in ("helps", "no evidence", "hurts")
    whole = read(run, "scores", "student.json")["metrics"]["accuracy"]["mean"]
    assert points[-1]["student"]["mean"] == whole
    assert "Label efficiency: accuracy" in result.out
    assert "Label efficiency: accuracy" in (run / "report.html").read_text(encoding="utf-8")


def test_every_verdict_says_what_it_rests_on(leaky: tuple[Path, Result]) -> None:
    run, result = leaky
    for one in read(run, "scores", "comparisons.json"):
        assert one["method"] == ("rows" if one["seeds"] == 1 else "seeds and rows")
        assert one["rows"] == 30 and one["low"] <= one["difference"] <= one["high"]
        assert 0 <= one["p_mcnemar"] <= 1 and one["mcnemar"]["gained"] + one["mcnemar"]["lost"] <= 30
        assert (one["settles"] is None) is (one["verdict"] != "no evidence")
    first = next(line for line in result.out.splitlines() if line.startswith("with all labels, distillation "))
    assert "2 seeds, 30 rows" in first


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("distill.compute_matched_baseline=1", "greater than or equal to 2"),
        ("evaluate.label_curve=[0.5, 2]", "less than or equal to 1"),
    ],
)
def test_what_can_t_be_asked_for(leaky: tuple[Path, Result], asked: str, said: str) -> None:
    check_failure(suffuse("status", leaky[0].parent / "recipe.yaml", "--set", asked), 2, said)

"""``suffuse check`` says before any training what is wrong with a table; it writes nothing, and needs no torch."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_tools import (
    Finished,
    check_failure,
    check_success,
    draw,
    make_project,
    make_recipe,
    make_rows,
    suffuse,
    suffuse_process,
    write_csv,
    write_recipe,
)

HEADER = ("id", "picture", "words", "answer", "part", "who", "spare")


def faulty(folder: Path) -> Path:
    """A table in which each thing that a check looks for is wrong at least once; row n stands in line n + 2."""
    noise, rows = random.Random(1), []
    colours = ("red", "green", "blue")
    for number in range(120):
        colour = colours[number % 3] if number % 10 else "red"
        part = ("train", "train", "train", "val", "test")[number // 2 % 5]
        draw(folder / "images" / f"{number}.png", colour, noise.choice(("circle", "square")), 16, noise)
        words = f"a {noise.choice(('big', 'small', 'nice', 'odd'))} {colour} thing {number}"
        rows.append([f"r{number}", f"images/{number}.png", words, colour, part, f"w{number // 2}", "\x1b[2J"])
    (folder / "images" / "7.png").unlink()
    (folder / "images" / "9.png").write_bytes(b"no picture")
    whole = (folder / "images" / "13.png").read_bytes()
    (folder / "images" / "13.png").write_bytes(whole[: len(whole) // 2])
    rows[20][2] = "  "  # no text
    rows[21][1] = rows[21][2] = ""  # nothing at all
    rows[22][0] = rows[0][0]  # an id twice
    rows[23][0] = ""
    rows[24][4] = "elsewhere"
    rows[25][3] = ""  # no label
    rows[8][3] = "violet"  # in test alone (rows 8 and 9 of 10 are)
    rows[30][5] = rows[38][5]  # one group in train and in test
    shutil.copy(folder / "images" / "48.png", folder / "images" / "other name.png")  # row 48 is a test row
    rows[32][1:4] = ["images/other name.png", *rows[48][2:4]]
    rows[33][2] = "\x1b[31mred\x07 alarm"
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
        file.write("r120,too,few\r\n")
    return folder / "rows.csv"


def recipe_of(folder: Path) -> Path:
    recipe = make_recipe(data__id="id", data__group="who", data__split={"column": "part"})
    recipe["modalities"]["question"]["column"] = "words"
    return write_recipe(folder / "recipe.yaml", recipe)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """(folder, what is printed, what --json prints) for the faulty table."""
    folder = tmp_path_factory.mktemp("faulty")
    faulty(folder)
    recipe_of(folder)
    before = sorted(p.relative_to(folder) for p in folder.rglob("*"))
    text = check_success(suffuse("check", "recipe.yaml", cwd=folder)).out
    found = json.loads(check_success(suffuse("check", "recipe.yaml", "--json", cwd=folder)).out)
    assert sorted(p.relative_to(folder) for p in folder.rglob("*")) == before  # no run folder, no quarantine
    return folder, text, found


def says(found: dict[str, Any], code: str, where: str | None = None) -> str:
    """What the findings of a code say, joined."""
    some = [f["says"] for f in found["findings"] if f["code"] == code and where in (None, f["where"])]
    assert some, f"no finding '{code}': {found['findings']}"
    return "; ".join(some)


def test_unreadable_cells_with_reasons_and_counts(checked: tuple) -> None:
    _, text, found = checked
    picture = next(m for m in found["modalities"] if m["name"] == "picture")
    assert picture["whole"] and picture["cells"] == picture["read"]
    assert picture["absent"] == {"empty cell": 1}
    assert picture["unreadable"]["no such file"] == 1
    assert sum(picture["unreadable"].values()) == 3
    assert "1 of 120 rows (0.8 %) can't be read: no such file (e.g. line 9)" in says(found, "unreadable", "picture")
    assert next(m for m in found["modalities"] if m["name"] == "question")["absent"] == {"empty text": 2}
    assert "no such file" in text


def test_columns_with_types_coverage_and_harmless_examples(checked: tuple) -> None:
    _, text, found = checked
    columns = {c["name"]: c for c in found["columns"]}
    assert columns["picture"]["use"] == ["modalities.picture.column"] and columns["spare"]["use"] == []
    assert columns["picture"]["looks"].startswith("image: ") and columns["picture"]["type"] == "string"
    assert columns["answer"]["coverage"] == pytest.approx(119 / 120)
    assert columns["answer"]["distinct"] == 4
    assert "\x1b" not in text and "\x07" not in text
    assert r"\x1b[2J" in text  # the spare column, on the line on what is left out
    assert "\x1b" not in json.dumps(found, ensure_ascii=False)


def test_rows_that_are_left_out(checked: tuple) -> None:
    _, _, found = checked
    told = says(found, "left_out")
    for reason in ("duplicate id", "no id", "unknown split", "nothing is present", "broken row", "its group stands"):
        assert reason in told, told
    assert found["broken"] == 1


def test_what_stands_in_two_splits(checked: tuple) -> None:
    _, _, found = checked
    assert "1 test rows with train rows" in says(found, "groups_in_two_splits", "who") or "lines 32 and 40" in says(
        found, "groups_in_two_splits", "who"
    )
    assert "1 test rows with train rows" in says(found, "copies_in_two_splits")


def test_labels(checked: tuple) -> None:
    _, text, found = checked
    answer = next(t for t in found["targets"] if t["name"] == "answer")
    assert answer["unlabelled"] == 1 and answer["classes"] == 3
    assert answer["never_seen"] == {"test": 1}
    assert "1 test rows have a label that no training row has" in says(found, "labels_never_seen", "answer")
    assert sum(answer["counts"].values()) == answer["labelled"]["train"]
    assert "the label" not in says(found, "gives_the_label_away", "question")
    assert "'answer' away: its label's words stand in" in says(found, "gives_the_label_away", "question")
    assert text.splitlines()[-1].startswith("it can run, ")


def test_what_it_says_is_what_prepare_does(checked: tuple, tmp_path: Path) -> None:
    folder, _, found = checked
    check_success(suffuse("prepare", folder / "recipe.yaml", "--out", tmp_path / "run"))
    schema = json.loads((tmp_path / "run" / "data" / "schema.json").read_text())
    assert found["splits"]["rows"] == schema["rows"]
    assert {t["name"]: t["labelled"] for t in found["targets"]} == {"answer": schema["labelled"]}
    assert found["splits"]["left_out"] == sum(schema["notes"]["quarantined"].values())
    stored = sum(f.stat().st_size for f in (tmp_path / "run" / "data").glob("column-*.npy"))
    assert found["costs"]["disk"]["data"] == pytest.approx(stored, rel=0.3)
    again = json.loads(check_success(suffuse("check", tmp_path / "run", "--json")).out)  # a run folder is a recipe too
    assert [f["code"] for f in again["findings"]] == [f["code"] for f in found["findings"]]


def test_costs(checked: tuple) -> None:
    _, text, found = checked
    trainings = found["costs"]["time"]["trainings"]
    assert [t["trainings"] for t in trainings] == [1, 2 * (2 * 2 + 2)]  # two seeds, two label shares, two floors
    assert trainings[0]["steps"] == 2 * -(-found["splits"]["rows"]["train"] // 16)
    assert found["costs"]["time"]["prepare"] > 0 and found["costs"]["disk"]["free"] > 1e6
    assert "about what it costs" in text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"answer": lambda n: "yes"}, "nothing_to_learn"),
        ({"answer": lambda n: f"answer {n}"}, "nothing_to_learn"),
        ({"number": lambda n: "1"}, "no_splits"),
        ({"picture": lambda n: f"lost/{n}.png"}, "nothing_readable"),
        ({"answer": lambda n: ""}, "nothing_to_learn"),
        ({"picture": lambda n: f"lost/{n}.png", "question": lambda n: ""}, "no_rows"),
    ],
)
def test_what_would_stop_a_run(changes: dict, code: str, tmp_path: Path) -> None:
    rows = make_rows(tmp_path, pictures=24)
    for key, value in changes.items():
        for number, row in enumerate(rows):
            row[key] = value(number)
    write_csv(tmp_path / "rows.csv", rows)
    write_recipe(tmp_path / "recipe.yaml", make_recipe())
    result = suffuse("check", "recipe.yaml", "--json", cwd=tmp_path)
    assert result.code == 1, result.err
    found = json.loads(result.out)
    assert not found["runs"] and code in [f["code"] for f in found["findings"] if f["weight"] == "stops"]
    shown = suffuse("check", "recipe.yaml", cwd=tmp_path)
    assert shown.code == 1 and "it can't run: " in shown.out
    assert suffuse("prepare", "recipe.yaml", cwd=tmp_path).code == 1  # and so it is


def test_a_recipe_that_is_wrong(tmp_path: Path) -> None:
    recipe = make_project(tmp_path, pictures=12, data__target="anwser")
    check_failure(suffuse("check", recipe, cwd=tmp_path), 2, "no such column", "data.target", "did you mean 'answer'?")
    recipe = make_project(tmp_path, pictures=12, techer=1)
    check_failure(suffuse("check", recipe, "--json", cwd=tmp_path), 2, "unknown key", "did you mean 'teacher'?")
    check_failure(suffuse("check", tmp_path / "none.yaml"), 2, "no such recipe")
    recipe = make_project(tmp_path, pictures=12, data__encoding="utf-8")
    (tmp_path / "rows.csv").write_bytes(b"id\xff")
    check_failure(suffuse("check", recipe, cwd=tmp_path), 1, "not UTF-8")


def test_several_targets_of_several_kinds(tmp_path: Path) -> None:
    rows = make_rows(tmp_path, pictures=40)
    for number, row in enumerate(rows):
        row["number"] = "many" if number == 5 else str(number % 7)
    write_csv(tmp_path / "rows.csv", rows)
    tasks = {"answer": {"max_classes": 2}, "number": {"kind": "number"}}
    changes = {"data__target": ["answer", "number"], "data__tasks": tasks, "data__group": "picture"}
    write_recipe(tmp_path / "recipe.yaml", make_recipe(**changes))
    found = json.loads(check_success(suffuse("check", "recipe.yaml", "--json", cwd=tmp_path)).out)
    assert [t["kind"] for t in found["targets"]] == ["classes", "number"]
    assert found["targets"][1]["mean"] == pytest.approx(3, abs=0.5) and found["targets"][1]["broken"] == 1
    told = says(found, "rare_answers", "answer")
    assert "answers beyond the 2 most frequent" in told and "never a right answer" in told
    assert "not a number" in says(found, "left_out", "number")


@pytest.mark.slow
@pytest.mark.long
def test_a_large_table_is_sampled_and_needs_no_torch(tmp_path: Path) -> None:
    """60,000 rows: the expensive checks read a sample, and the report says so."""
    write_csv(tmp_path / "few.csv", make_rows(tmp_path, pictures=40))
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("id", "picture", "question", "answer", "number"))
        for n in range(60_000):
            out.writerow((n, f"images/{n % 40}.png", f"what {n}", ("red", "blue", "green")[n % 3], n % 5000))
    write_recipe(tmp_path / "recipe.yaml", make_recipe())
    result = check_success(suffuse_process("check", "recipe.yaml", cwd=tmp_path, flags=("-X", "importtime")))
    loaded = {line.rpartition("|")[2].strip() for line in result.err.splitlines() if line.startswith("import time:")}
    assert not loaded & {"torch", "sklearn", "scipy", "matplotlib"}  # pandas is loaded by pyarrow, where it is there
    assert "60,000 rows" in result.out and "50,000 of 60,000 rows" in result.out


def test_networks_are_built_and_timed_on_request(finished: Finished) -> None:
    found = json.loads(check_success(suffuse("check", finished.recipe, "--measure", "--json")).out)
    sizes = {who: json.loads((finished.run / place / "training.json").read_text())["parameters"]
             for who, place in (("teacher", "teacher"), ("student", "student/seed-1"))}  # fmt: skip
    assert found["costs"]["time"]["parameters"] == sizes
    stored = sum(f.stat().st_size for f in (finished.run / "knowledge").glob("*.npy"))
    assert found["costs"]["disk"]["knowledge"] == pytest.approx(stored, rel=0.25)
    trainings = found["costs"]["time"]["trainings"]
    assert all(0 < t["step"] < 60 and t["seconds"] > 0 for t in trainings)
    assert found["costs"]["time"]["training"] == pytest.approx(sum(t["seconds"] for t in trainings))
    told = check_success(suffuse("check", finished.recipe, "--measure")).out
    assert " to train; 1 training of teachers, " in told and "8 steps of each network" in told


def test_what_only_building_shows(finished: Finished) -> None:
    large = ("--set", "student.hidden=900")
    check_success(suffuse("check", finished.recipe, *large))
    result = suffuse("check", finished.recipe, *large, "--measure", "--json")
    assert result.code == 1
    assert "must be smaller" in says(json.loads(result.out), "student_not_smaller")
    wrong = ("--set", "teacher.encoders.picture={kind: gru}")
    check_failure(suffuse("check", finished.recipe, *wrong, "--measure"), 2, "this encoder can't read this modality")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.real
def test_a_real_table_whose_text_gives_the_label_away(shared_data: Path, tmp_path: Path) -> None:
    recipe: dict[str, Any] = make_recipe()
    source = str(shared_data / "fashion9k" / "manifest.csv")
    recipe["data"] = {"source": source, "target": "label", "id": "id", "group": "group", "split": {"column": "split"}}
    recipe["modalities"]["picture"]["column"], recipe["modalities"]["question"]["column"] = "image", "text"
    file = write_recipe(tmp_path / "recipe.yaml", recipe)
    found = json.loads(check_success(suffuse("check", file, "--json")).out)
    assert "may give 'label' away" in says(found, "gives_the_label_away", "question")
    masked = yaml.safe_load(file.read_text())
    masked["modalities"]["question"]["column"] = "text_masked"
    write_recipe(file, masked)
    found = json.loads(check_success(suffuse("check", file, "--json")).out)
    assert "gives_the_label_away" not in [f["code"] for f in found["findings"]]
    assert sum(found["splits"]["rows"].values()) + found["splits"]["left_out"] == found["rows"] == 8867


def test_derived_columns_are_made_and_slow_ones_tried(tmp_path: Path) -> None:
    """Quick ones whole; of a slow one some cells, no file is written, and the rest is not said to be absent."""
    rows = make_rows(tmp_path, pictures=24)
    write_csv(tmp_path / "rows.csv", rows)
    derive = {"masked": {"kind": "mask_words", "column": "question"}}
    changes = {"data__derive": derive, "modalities__question__column": "masked"}
    write_recipe(tmp_path / "recipe.yaml", make_recipe(**changes))
    found = json.loads(check_success(suffuse("check", "recipe.yaml", "--json", cwd=tmp_path)).out)
    assert [(d["name"], d["from"], d["made"]) for d in found["derived"]] == [("masked", "question", "all cells")]
    uses = {c["name"]: c["use"] for c in found["columns"]}
    assert uses["question"] == ["data.derive.masked.column"] and uses["masked"] == ["modalities.question.column"]
    write_recipe(tmp_path / "recipe.yaml", make_recipe(data__derive={"answer": derive["masked"]}))
    check_failure(suffuse("check", "recipe.yaml", cwd=tmp_path), 2, "data.derive.answer")
    assert not list(tmp_path.glob("runs"))

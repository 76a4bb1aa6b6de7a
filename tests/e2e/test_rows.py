"""Rows that are kept and rows that are left out, through the command line: equal contents, and too many bad rows."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_tools import check_failure, check_success, suffuse

ROWS = 891


def low_cardinality(folder: Path) -> Path:
    """A table with unique ids, three columns of few values and two classes; the recipe that ``init`` proposes."""
    noise = random.Random(7)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "class", "sex", "port", "survived"))
        for number in range(ROWS):
            cells = [noise.choice(values) for values in (("first", "second", "third"), ("male", "female"), "SCQ")]
            writer.writerow((f"p{number}", *cells, noise.choice(("no", "yes"))))
    check_success(suffuse("init", "rows.csv", "--target", "survived", "-o", "recipe.yaml", cwd=folder))
    return folder / "recipe.yaml"


def schema(run: Path) -> dict[str, Any]:
    return json.loads((run / "data" / "schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    low_cardinality(folder)
    return folder


def test_rows_with_different_ids_are_all_kept(project: Path) -> None:
    result = check_success(suffuse("prepare", "recipe.yaml", "--out", "kept", cwd=project))
    assert (
        f"{ROWS} rows have the contents of another row (18 different contents): rows with equal contents are one group"
        in result.err
    )
    assert "quarantined" not in result.err and "in two splits" not in result.err
    facts = schema(project / "kept")
    assert sum(facts["rows"].values()) == ROWS and "quarantined" not in facts["notes"]
    checked = json.loads(check_success(suffuse("check", "recipe.yaml", "--json", cwd=project)).out)
    assert checked["splits"]["rows"] == facts["rows"] and checked["splits"]["groups"] == 18
    assert "equal_contents" in [one["code"] for one in checked["findings"]]


def test_a_run_stops_where_too_many_rows_are_left_out(project: Path) -> None:
    asked = ("recipe.yaml", "--set", "data.duplicates=drop")
    for verb in ("prepare", "run"):
        stopped = check_failure(suffuse(verb, *asked, "--out", "drop", cwd=project), 1, "too many rows are quarantined",
                        "of 891 rows (96 %): duplicate row: ", "(lines ", "expected at most 20 %",
                        "--set data.max_quarantined=1")  # fmt: skip
        assert "(: " not in stopped.err
    place = Path(stopped.hints[0].removeprefix("hint: ").partition(" lists them")[0])
    listed = list(csv.DictReader(place.open(encoding="utf-8", newline="")))
    assert len(listed) == ROWS - 36 and {row["action"] for row in listed} == {"quarantined"}
    checked = suffuse("check", *asked, cwd=project)
    assert checked.code == 1 and "of 891 rows (96 %): duplicate row: " in checked.out and "it can't run" in checked.out
    assert "splits" in checked.out and "about what it costs" in checked.out  # and the rest of the report
    went_on = check_success(suffuse("prepare", *asked, "--set", "data.max_quarantined=1", "--out", "drop", cwd=project))
    assert "855 quarantined (duplicate row: 855)" in went_on.err
    assert sum(schema(project / "drop")["rows"].values()) == 36
    plan = json.loads(check_success(suffuse("status", *asked, "--out", "drop", "--json", cwd=project)).out)
    assert plan["prepare"]["up_to_date"]  # the limit decides no result


@pytest.mark.slow
@pytest.mark.long
def test_what_was_left_out_stands_where_people_look(project: Path) -> None:
    """Half of the rows have no id; the run is told to go on."""
    rows = list(csv.reader((project / "rows.csv").open(encoding="utf-8", newline="")))
    for row in rows[1:445]:
        row[0] = ""
    with (project / "half.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    recipe = yaml.safe_load((project / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["data"] |= {"source": "half.csv", "duplicates": "keep", "max_quarantined": 0.5}
    recipe["teacher"]["train"]["epochs"] = 1
    recipe["distill"] |= {"num_seeds": 1, "unimodal_baselines": False, "train": {"epochs": 1, "batch": 64}}
    recipe |= {"export": {"int8": "off", "teacher": False}, "evaluate": {"resamples": 100, "probes": []}}
    (project / "half.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    result = check_success(suffuse("run", "half.yaml", "--out", "half", cwd=project))
    told = "444 of 891 rows (50 %): id: no id: 444"
    assert f"; quarantined: {told}" in result.out
    facts = json.loads(check_success(suffuse("run", "half.yaml", "--out", "half", "--json", cwd=project)).out)
    assert facts["quarantined"] == {"rows": 444, "of": 891, "share": 444 / 891, "reasons": {"id: no id": 444}}
    assert sum(facts["rows"].values()) == 447
    run = project / "half"
    for card in (run / "model-card.md", run / "export" / "README.md"):
        text = card.read_text(encoding="utf-8")
        assert "Quarantined, and in no split: 444 of 891 rows (50 %)." in text and "| id: no id | 444 |" in text
    page = (run / "report.html").read_text(encoding="utf-8")
    for main, said in zip(
        page.split("<main ")[1:], ("444 of 891 rows (50 %)", "891 行中的 444 行（50 %）"), strict=True
    ):
        first_screen = main.partition("<nav")[0]
        assert said in first_screen and "id: no id" in first_screen
    doctor = json.loads(suffuse("doctor", "half", "--json", cwd=project).out)
    (item,) = [one for one in doctor if one["number"] == 21]
    assert item["state"] == "warning" and told in item["fact"]

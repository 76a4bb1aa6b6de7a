"""`--json`: stdout is one JSON value and nothing else, and says what the words say."""

from __future__ import annotations

import json
from pathlib import Path

from e2e_tools import Finished, check_success, suffuse

from suffuse.stages import STAGES


def test_a_run_tells_its_scores_verdicts_and_where_things_are(finished: Finished, copied: Path) -> None:
    said = json.loads(check_success(suffuse("run", copied, "--json")).out)
    assert said["did"] is False
    card = json.loads((finished.run / "scores" / "student.json").read_text(encoding="utf-8"))
    assert said["scores"]["student"]["metrics"] == card["metrics"]
    assert {c["verdict"] for c in said["comparisons"]} <= {"helps", "no evidence", "hurts"}
    assert len(said["verdicts"]) == 2
    assert said["report"].endswith("report.html") and said["export"].endswith("export")


def test_status_and_stages_tell_what_is_up_to_date_and_what_they_wrote(copied: Path) -> None:
    plan = json.loads(check_success(suffuse("status", copied, "--json")).out)
    assert list(plan) == list(STAGES)
    assert all(one == {"up_to_date": True, "reasons": []} for one in plan.values())
    for verb in STAGES:
        said = json.loads(check_success(suffuse(verb, copied, "--json")).out)
        assert said["stage"] == verb and said["did"] is False
        assert all((copied / file).is_file() for file in said["files"]) and said["files"], verb


def test_init_tells_what_it_takes_columns_for(finished: Finished, tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    source = finished.recipe.parent / "rows.csv"
    said = json.loads(check_success(suffuse("init", source, "--target", "answer", "-o", recipe, "--json")).out)
    assert said["recipe"] == str(recipe) and recipe.is_file()
    assert {c["name"]: c["role"] for c in said["columns"]}["answer"] == "target"

"""The goal of a recipe: what a run answers, and that another goal judges the stored scores and makes nothing again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import Finished, Result, check_failure, check_success, hashes, stamp, suffuse

from suffuse.checked_json import write_checked
from suffuse.stages import STAGES

BEFORE = ("prepare", "teach", "extract", "distill", "export")
LENIENT = ("--set", "goal={keep: 0.01}")


def readiness(run: Path) -> dict[str, Any]:
    return json.loads((run / "scores" / "readiness.json").read_text(encoding="utf-8"))


def states(facts: dict[str, Any]) -> dict[str, str]:
    return {reason["check"]: reason["state"] for reason in facts["reasons"]}


def test_json_and_evaluation_hold_the_same_answer(finished: Finished, copied: Path) -> None:
    said = json.loads(check_success(suffuse("run", copied, "--json")).out)
    sentence = said["ready"].pop("sentence")
    assert said["ready"] == readiness(finished.run)
    assert finished.result.out.splitlines()[0] == sentence
    assert list(said)[:4] == ["did", "run", "ready", "warnings"]
    assert set(states(said["ready"])) == {"keep", "chance", "floor", "export", "size", "latency_ms"}
    page = (finished.run / "report.html").read_text(encoding="utf-8")
    assert f"<strong>{sentence.partition(':')[0]}</strong>" in page and "还不能上线" in page
    assert "## Can it be shipped?" in (finished.run / "model-card.md").read_text(encoding="utf-8")


def test_another_goal_judges_again_and_evaluates_no_test_row(finished: Finished, copied: Path) -> None:
    before = {name: digest for name, digest in hashes(copied, ("evaluate",)).items() if "readiness" not in name}
    result = check_success(suffuse("run", copied, "--set", "goal.size=1kB", "--set", "goal.latency_ms=0.0001"))
    assert "evaluate  to do: goal.size: none -> 1000; goal.latency_ms: none -> 0.0001" in result.err
    assert "scores as they were, judged by the new goal" in result.err
    facts = readiness(copied)
    assert facts["goal"] == {"keep": 0.98, "size": 1000, "latency_ms": 0.0001}
    assert states(facts)["size"] == states(facts)["latency_ms"] == "missed" and not facts["ready"]
    first = result.out.splitlines()[0]
    assert (
        first.startswith("Not ready: ") and "over the limit of 1 kB" in first and "over the limit of 0.0001 ms" in first
    )
    assert "over the limit of 1 kB" in (copied / "report.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    after = {name: digest for name, digest in hashes(copied, ("evaluate",)).items() if "readiness" not in name}
    assert after == before  # test_evaluations.json among them
    for verb in BEFORE:
        assert stamp(copied, verb) == stamp(finished.run, verb)
    assert (next((copied / "previous").glob("*/scores")) / "readiness.json").is_file()
    assert "everything is up to date" in check_success(suffuse("run", copied)).err


def test_another_goal_beside_another_setting_evaluates(copied_plain: Path) -> None:
    sets = ("--set", "goal.keep=0.5", "--set", "evaluate.resamples=150")
    result = check_success(suffuse("evaluate", copied_plain, *sets))
    assert "scores as they were" not in result.err
    assert len(json.loads((copied_plain / "test_evaluations.json").read_text(encoding="utf-8"))) == 2
    assert readiness(copied_plain)["goal"]["keep"] == 0.5


def test_changed_scores_are_not_judged_again(copied_plain: Path) -> None:
    card = copied_plain / "scores" / "export.json"
    card.write_text(card.read_text(encoding="utf-8").replace("0.", "1.", 1), encoding="utf-8")
    check_failure(suffuse("run", copied_plain, *LENIENT), 1, "a file was changed after it was written")


def test_a_run_of_a_version_without_goals_stays_up_to_date(copied_plain: Path) -> None:
    facts = stamp(copied_plain, "evaluate")
    inputs = {key: value for key, value in facts["inputs"].items() if not key.startswith("goal.")}
    assert len(inputs) == len(facts["inputs"]) - 3
    write_checked(copied_plain / "stamps" / "evaluate.json", {**facts, "inputs": inputs})
    assert "everything is up to date" in check_success(suffuse("run", copied_plain)).err
    result = check_success(suffuse("run", copied_plain, "--set", "goal.size=1kB"))
    assert "scores as they were" in result.err and readiness(copied_plain)["goal"]["size"] == 1000


@pytest.mark.parametrize("value", ["1 stone", "0", "-1kB", "true", "[1]"])
def test_a_size_that_is_none_is_an_error_of_the_recipe(plain: Finished, value: str) -> None:
    check_failure(suffuse("status", plain.recipe, "--set", f"goal.size={value}"), 2, "goal.size", "1MB, 500kB")


def test_a_misspelt_goal_is_an_error_with_a_suggestion(plain: Finished) -> None:
    check_failure(suffuse("status", plain.recipe, "--set", "goal.latency=5"), 2, "goal.latency", "latency_ms")


def ends_with_next(result: Result) -> str:
    last = result.err.splitlines()[-1]
    assert last.startswith("next: "), result.err
    return last.removeprefix("next: ")


def test_every_verb_ends_with_the_command_that_follows_it(finished: Finished, copied: Path, tmp_path: Path) -> None:
    rows, recipe = finished.project / "rows.csv", tmp_path / "new.yaml"
    for verb, following in zip(STAGES, [*STAGES][1:], strict=False):
        assert ends_with_next(suffuse(verb, copied)).startswith(f"suffuse {following} ")
    for args in (("report", copied), ("run", copied), ("run", copied, "--tables"), ("status", copied)):
        assert ends_with_next(suffuse(*args)).startswith("suffuse tune ")
    assert ends_with_next(suffuse("init", rows, "--target", "answer", "-o", recipe)) == f"suffuse check {recipe}"
    same = ("--set", "seed=3", "--out", tmp_path / "other run")
    asked = f"suffuse run {finished.recipe} --set seed=3 --out '{tmp_path}/other run'"
    assert ends_with_next(suffuse("status", finished.recipe, *same)) == asked
    assert ends_with_next(suffuse("check", finished.recipe)).startswith("suffuse run ")
    assert ends_with_next(suffuse("doctor", copied)).startswith("suffuse run ")
    assert ends_with_next(suffuse("explain", copied, "--row", "r1")).endswith("-o explanation.html")
    assert ends_with_next(suffuse("knowledge", "show", copied)).startswith("suffuse knowledge verify ")
    assert ends_with_next(suffuse("predict", copied, rows, "-o", tmp_path / "p.csv")).startswith("suffuse serve ")
    assert "next:" not in suffuse("status", copied, "--json").err

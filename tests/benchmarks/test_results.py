"""Result files of benchmarks: each says what made it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from result_file import KEYS, RESULTS, provenance, write_result

EARLIER = {  # written before result files had a command; the next run adds it, and the name goes from here
    "answers", "causes", "distillation-any", "distillation-few", "distillation-folds", "distillation-full-25",
    "distillation-full-80", "distillation-houses", "distillation-orders", "distillation-priced", "distillation-quarter",
    "distillation-same", "distillation-tiny", "export", "predict", "prepare", "processes",
    "scale", "scenario-orders", "scenario-products", "scenario-questions", "serve", "store", "tune",
}  # fmt: skip


def records(content: Any) -> Iterator[dict[str, Any]]:
    """What has a command: the file itself, or a part of it that was measured by itself."""
    if isinstance(content, dict):
        if "command" in content:
            yield content
        for value in content.values():
            yield from records(value)


def check(record: dict[str, Any]) -> None:
    assert set(KEYS) <= set(record), f"{set(KEYS) - set(record)} missing"
    assert record["command"].startswith("python benchmarks/") and record["processor"]
    assert set(record["load"]) == {"at the start", "at the end"}
    assert all(load >= 0 for load in record["load"].values())
    assert record["machine"]["packages"] and len(record["date"]) == 10


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_every_result_file_says_what_made_it(file: Path):
    found = list(records(json.loads(file.read_text(encoding="utf-8"))))
    for record in found:
        check(record)
    assert bool(found) is (file.stem not in EARLIER), "EARLIER holds the files without a command, and no others"


def test_what_is_written_has_its_provenance_and_the_facts(tmp_path: Path):
    write_result("speed", {"ratio": 1.5}, tmp_path)
    (found,) = records(json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")))
    check(found)
    assert found["ratio"] == 1.5 and found["commit"] == provenance()["commit"]


def test_a_command_names_no_folder_of_a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(
        "sys.argv", ["x/verdicts.py", str(tmp_path / "data"), "tiny", "--out", str(tmp_path / "v"), "--write"]
    )
    assert provenance()["command"] == "python benchmarks/verdicts.py data tiny --out v --write"


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_no_command_in_a_result_file_has_an_absolute_path(file: Path):
    for record in records(json.loads(file.read_text(encoding="utf-8"))):
        assert not [word for word in record["command"].split() if word.startswith("/")]


def test_no_script_writes_a_result_file_by_itself():
    for script in sorted(RESULTS.parent.glob("*.py")):
        text = script.read_text(encoding="utf-8")
        if script.stem != "result_file":
            assert '"results"' not in text or "write_result" in text or "provenance" in text, script.name
            assert "date.today()" not in text, script.name

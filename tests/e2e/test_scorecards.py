"""Scorecards of a run by the command line: what the page of fields says is there, and agrees with itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from e2e_tools import Finished, check_failure, check_success, make_recipe, make_rows, suffuse, write_recipe
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

PAGE = Path(__file__).parents[2] / "docs" / "evaluate.md"
MAIN = ("teacher", "student", "baseline", "export")


def card(run: Path, who: str) -> dict[str, Any]:
    return json.loads((run / "scores" / f"{who}.json").read_text(encoding="utf-8"))


def test_every_field_of_a_scorecard_stands_on_the_page(finished: Finished) -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = {key for file in (finished.run / "scores").glob("*.json") for key in _keys(card(finished.run, file.stem))}
    assert not {key for key in found if not re.search(rf"[\"`.]{re.escape(key)}\b", page)}
    for who in MAIN:
        facts = card(finished.run, who)
        assert {"metrics", "per_class", "calibration", "missing", "contribution", "robustness", "temperature"} <= set(
            facts
        )
        assert ("agreement" in facts) == (who != "teacher") and "macs" in facts
    for who in ("teacher", "export"):
        assert {"latency", "latency_ms", "memory"} <= set(card(finished.run, who))


def _keys(facts: Any) -> set[str]:
    """Names of fields, but for those that are names of classes, modalities and the like."""
    if not isinstance(facts, dict):
        return set()
    named = ("per_class", "modalities", "subsets", "targets", "shapley", "retained", "by")
    deeper = [value for key, value in facts.items() if key not in named]
    return set(facts) & {k for k in facts if k.islower() and k.isidentifier()} - _names() | {
        key for value in deeper for key in _keys(value)
    }


def _names() -> set[str]:
    return {"picture", "question", "answer"}


def test_metrics_are_scikit_learn_s_of_the_answers_that_were_written(finished: Finished) -> None:
    table = pq.read_table(finished.run / "scores" / "predictions.parquet")
    target = np.asarray(table["target"])
    for who in ("export", "teacher"):
        said = np.asarray(table[who].combine_chunks().flatten()).reshape(len(target), -1)
        metrics = card(finished.run, who)["metrics"]
        assert metrics["accuracy"]["mean"] == pytest.approx(accuracy_score(target, said.argmax(1)))
        assert metrics["balanced_accuracy"]["mean"] == pytest.approx(balanced_accuracy_score(target, said.argmax(1)))
        expected = f1_score(target, said.argmax(1), average="macro", zero_division=0)  # type: ignore[arg-type]
        assert metrics["macro_f1"]["mean"] == pytest.approx(expected)
        there = [c for c in range(said.shape[1]) if 0 < (target == c).sum() < len(target)]
        areas = [roc_auc_score(target == c, said[:, c]) for c in there]
        assert metrics["auroc"]["mean"] == pytest.approx(np.mean(areas), abs=1e-6)


def test_probes_agree_with_the_table_of_results_and_with_each_other(finished: Finished) -> None:
    for who in MAIN:
        facts = card(finished.run, who)
        full = facts["metrics"]["accuracy"]["per_seed"]
        whole = facts["missing"]["subsets"]["picture+question"]["per_seed"]
        assert facts["missing"]["rows"] == facts["rows"]  # few rows: all of them are looked at
        assert full == whole == facts["missing"]["rates"][0]["per_seed"]
        assert full == facts["robustness"]["modalities"]["picture"][0]["per_seed"]
        prior = facts["missing"]["subsets"]["nothing"]["mean"]
        assert prior == pytest.approx(card(finished.run, "majority")["metrics"]["accuracy"]["mean"])
        shares = sum(one["mean"] for one in facts["contribution"]["shapley"].values())
        assert shares == pytest.approx(np.mean(full) - prior)
    for who in ("teacher", "student"):
        facts = card(finished.run, who)
        for name, one in facts["controls"]["modalities"].items():
            rest = {"picture": "question", "question": "picture"}[name]
            assert one["blank"]["mean"] == pytest.approx(facts["missing"]["subsets"][rest]["mean"])
            assert facts["contribution"]["permutation"][name]["mean"] == one["shuffled"]["cost"]["difference"]
    assert sum(card(finished.run, "student")["agreement"]["counts"].values()) == card(finished.run, "student")["rows"]


def test_the_export_is_asked_itself_and_says_what_its_student_says(finished: Finished) -> None:
    source = json.loads((finished.run / "export" / "parity.json").read_text())["source"]
    seed = card(finished.run, "student")["seeds"].index(source.rpartition("-")[2])
    ours, theirs = card(finished.run, "export"), card(finished.run, "student")
    for name, one in ours["missing"]["subsets"].items():
        assert one["per_seed"][0] == pytest.approx(theirs["missing"]["subsets"][name]["per_seed"][seed], abs=0.11)
    assert ours["macs"] == theirs["macs"] and ours["macs"]["per_row"] < card(finished.run, "teacher")["macs"]["per_row"]
    assert 2**20 < ours["memory"]["model_bytes"] < ours["memory"]["peak_bytes"] < 2**30
    batches = ours["latency"]["batches"]
    assert set(batches) == {"1", "8", "64"} and all(b["p50"] <= b["p95"] <= b["p99"] for b in batches.values())
    assert ours["latency_ms"]["p50"] == batches["1"]["p50"]
    cold = ours["latency"]["cold_start_ms"]
    assert cold["process"] > cold["load"] > 0 and cold["first"] > 0


def test_the_terminal_shows_subsets_and_contribution(copied: Path) -> None:
    lines = check_success(suffuse("run", copied, "--tables")).out.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("Accuracy with modalities missing"))
    assert lines[head + 1].split()[:4] == ["model", "picture+question", "picture", "question"]
    assert any(line.startswith("What each modality contributes: Shapley values of accuracy") for line in lines)


def test_only_the_probes_that_are_asked_for_are_run(finished: Finished, copied: Path) -> None:
    result = check_success(suffuse("evaluate", copied, "--set", "evaluate.probes=[agreement]"))
    assert "Traceback" not in result.err
    facts = card(copied, "student")
    assert "agreement" in facts and not {"missing", "contribution", "robustness", "macs", "temperature"} & set(facts)
    assert facts["metrics"]["accuracy"] == card(finished.run, "student")["metrics"]["accuracy"]
    wrong = check_failure(suffuse("evaluate", copied, "--set", "evaluate.probes=[agrement]"), 2, "evaluate.probes")
    assert "agreement" in " ".join([*wrong.errors, *wrong.hints])


def held(folder: Path, values: list[str]) -> Path:
    """A project in which pictures were taken by three people."""
    rows = [{**row, "who": ["ann", "bob", "cem"][int(row["number"]) % 3]} for row in make_rows(folder, pictures=30)]
    (folder / "rows.csv").write_text("", encoding="utf-8")
    header = ",".join(rows[0])
    lines = [",".join(row.values()) for row in rows]
    (folder / "rows.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    changes = {"data__split": {"hold_out": {"column": "who", "values": values}, "validation": 0.2}}
    return write_recipe(folder / "recipe.yaml", make_project_recipe(**changes))


def make_project_recipe(**changes: Any) -> dict[str, Any]:
    few = {"distill__label_fractions": [], "distill__num_seeds": 1, "distill__unimodal_baselines": False}
    return make_recipe(**few, evaluate__probes=["robustness"], evaluate__slice_by="who", **changes)


@pytest.mark.slow
@pytest.mark.long
def test_a_group_is_held_out_as_the_test_rows(tmp_path: Path) -> None:
    held(tmp_path, ["cem"])
    told = check_success(suffuse("check", "recipe.yaml", cwd=tmp_path)).out
    assert "held out" in told
    check_success(suffuse("run", "recipe.yaml", "--out", "run", cwd=tmp_path))
    split = np.load(tmp_path / "run" / "data" / "split.npy")
    who = pq.read_table(tmp_path / "run" / "data" / "rows.parquet")["by who"].to_pylist()
    assert {w for w, s in zip(who, split, strict=True) if s == 2} == {"cem"}
    assert {w for w, s in zip(who, split, strict=True) if s != 2} == {"ann", "bob"}
    facts = card(tmp_path / "run", "student")
    assert facts["robustness"]["held_out"]["values"] == ["cem"] and facts["rows"] == 20
    assert facts["robustness"]["held_out"]["test"]["mean"] == facts["metrics"]["accuracy"]["mean"]
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert recipe["data"]["split"]["hold_out"] == {"column": "who", "values": ["cem"]}


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"hold_out": {"column": "who", "values": ["kem"]}}, ("no row has this value", "did you mean 'cem'?")),
        ({"hold_out": {"column": "whom", "values": ["cem"]}}, ("no such column", "data.split.hold_out.column")),
        ({"hold_out": {"column": "who", "values": ["ann", "bob", "cem"]}}, ("every row is held out",)),
        ({"hold_out": {"column": "who", "values": ["cem"]}, "column": "who"}, ("hold_out and a column",)),
        ({"hold_out": {"column": "who", "values": ["cem"]}, "folds": 3}, ("hold_out and folds",)),
        ({"hold_out": {"column": "who", "values": []}}, ("data.split.hold_out.values",)),
    ],
)
def test_a_wrong_hold_out_is_told_in_one_line(tmp_path: Path, split: dict, words: tuple[str, ...]) -> None:
    held(tmp_path, ["cem"])
    write_recipe(tmp_path / "recipe.yaml", make_project_recipe(data__split=split))
    check_failure(suffuse("run", "recipe.yaml", cwd=tmp_path), 2, *words)

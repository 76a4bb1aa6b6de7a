"""The terminal's tables of subsets and contribution, from scorecards."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from suffuse.files import write_json
from suffuse.report import robustness_section, terminal
from suffuse.run import Run


def fact(mean: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02, "per_seed": [mean], **more}


def card(who: str, names: str, rows: int = 50) -> dict[str, Any]:
    """Each letter is a modality; a subset's accuracy is a tenth for each of its modalities."""
    subsets = {}
    for there in product((0, 1), repeat=len(names)):
        title = "+".join(n for n, here in zip(names, there[::-1], strict=True) if here) or "nothing"
        subsets[title] = fact(0.1 * sum(there))
    found = {"metric": "accuracy", "rows": rows, "of": 80, "subsets": subsets}
    found["rates"] = [fact(0.9 - rate / 10, rate=rate / 10, missing=0.0) for rate in range(10)]
    shares = {"shapley": {n: fact(0.1) for n in names}, "cooperation": fact(0.2), "metric": "accuracy"}
    alike = {"fidelity": {"cosine": fact(0.75)}} if who != "teacher" else {}
    contribution = {**shares, "rows": rows, "of": 80, **alike}
    return {"who": who, "main": "accuracy", "seeds": ["1"], "metrics": {"accuracy": fact(0.3)},
            "missing": found, "contribution": contribution}  # fmt: skip


@pytest.fixture
def make(tmp_path: Path, tiny_recipe):
    def made(*cards: dict) -> Run:
        run = Run.of(tiny_recipe(tmp_path / "rows.csv"), tmp_path / "run")
        for one in cards:
            write_json(run.path("scores", f"{one['who']}.json"), one)
        return run

    return made


def test_subsets_stand_side_by_side_and_the_rows_are_told(make):
    run = make(card("student", "ab"), card("teacher", "ab"), card("export-int8", "ab"))
    table, shares = terminal.modality_tables(run)
    assert table[0] == "Accuracy with modalities missing (50 of 80 test rows)"
    assert table[1].split("  ")[0] == "model" and table[1].split()[1:5] == ["a+b", "a", "b", "nothing"]
    assert [line.split("  ")[0] for line in table[2:]] == ["teacher", "student", "exported student, int8"]
    assert table[2].split()[1::2] == ["20.00", "10.00", "10.00", "0.00", "60.00", "40.00"]
    assert shares[0].startswith("What each modality contributes: Shapley values of accuracy")
    assert shares[2].split() == ["teacher", "+10.00", "+10.00", "+20.00"]
    assert shares[3].split() == ["student", "+10.00", "+10.00", "+20.00", "0.75"]


def test_of_many_modalities_the_whole_and_those_that_lack_one(make):
    block = robustness_section.subsets_table(make(card("student", "abcd", rows=80)))
    assert block is not None and block.title.endswith("(80 test rows)")
    assert block.headings[1:7] == ("a+b+c+d", "a+b+c", "a+b+d", "a+c+d", "b+c+d", "nothing")


def test_a_model_that_reads_less_leaves_the_others_empty(make):
    rows = robustness_section.subsets_table(make(card("teacher", "abc"), card("student", "ab")))
    assert rows is not None and rows.rows[1][1] == "" and rows.rows[1][2] != ""


def test_without_these_probes_there_is_nothing(make):
    bare = {k: v for k, v in card("student", "ab").items() if k not in ("missing", "contribution")}
    assert terminal.modality_tables(make(bare)) == []
    alone = card("student", "a")
    alone["contribution"] = {"fidelity": alone["contribution"]["fidelity"]}
    assert terminal.modality_tables(make(alone)) == []

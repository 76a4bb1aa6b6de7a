"""The results table of benchmarks/README.md is generated from the result files, and the READMEs quote it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import summary
from own_tables import TABLES

ROOT = Path(__file__).parents[2]


def test_the_committed_table_is_current() -> None:
    page = summary.PAGE.read_text(encoding="utf-8")
    assert summary.page_with_table(page) == page


def test_every_result_of_distillation_is_in_the_table() -> None:
    files = [json.loads(path.read_text(encoding="utf-8")) for path in summary.RESULTS.glob("distillation-*.json")]
    assert len(summary.distillation_rows()) == sum(len(result["pairs"]) for result in files)
    assert len(files) == len(summary.CASES)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readmes_quote_current_results(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    numbers = [
        re.findall(r"[+−]?\d\.\d{3}", line)
        for line in lines
        if re.search(r"\| (helps|faster|no evidence|hurts) \|$", line)
    ]
    settled = [row for row in summary.verdict_rows() if row[7] != summary.UNCHECKED]
    assert len(numbers) == len(settled)
    for found, row in zip(numbers, settled, strict=True):
        expected = [row[3], row[2], *_numbers(row[4])]
        assert found in (expected, [*_numbers(row[5]), *expected])  # the score of the longest baseline may stand before
        assert row[7] != "faster" or len(found) > len(expected), "how far did the baseline get?"


def _numbers(text: str) -> list[str]:
    return re.findall(r"[+−]?\d\.\d{3}", text)


def test_every_verdict_is_in_the_table() -> None:
    files = [json.loads(path.read_text(encoding="utf-8")) for path in summary.RESULTS.glob("verdict-*.json")]
    rows = summary.verdict_rows()
    assert len(rows) == sum(len(result["pairs"]) for result in files)
    assert {pair["teachers"] for result in files for pair in result["pairs"]} == {5}
    unsettled = [row for row in rows if row[7].endswith(", not settled")]
    assert all(row[7].startswith("faster") and row[5].endswith("(x8)") for row in unsettled), "there was more to train"
    stated = {"helps", "faster", "no evidence", "hurts", summary.UNCHECKED}
    assert {row[7] for row in rows if row not in unsettled} <= stated
    assert all(row[5] != "-" for row in rows if row[7] == "helps"), "a gain over no longer baseline"


@pytest.mark.parametrize("name", ["own-tables", "own-tables-plain"])
def test_every_own_table_that_was_measured_has_a_row(name: str) -> None:
    file = summary.RESULTS / f"{name}.json"
    measured = json.loads(file.read_text(encoding="utf-8"))["tables"] if file.exists() else {}
    rows = summary.own_rows(name)
    assert [row[0].partition("`:")[0][1:] for row in rows] == [table for table in summary.OWN if table in measured]
    assert set(summary.OWN) == set(TABLES)
    assert all(len(row) == len(summary.OWN_HEAD) for row in rows)

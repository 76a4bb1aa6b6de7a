"""The results table of benchmarks/README.md is generated from the result files, and the READMEs quote it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import summary

ROOT = Path(__file__).parents[2]
QUOTED = ("few", "orders", "tiny", "full-80")  # cases in the table of the READMEs, in this order


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
        re.findall(r"[+−]?\d\.\d{3}", line) for line in lines if re.search(r"\| (helps|no evidence|hurts) \|$", line)
    ]
    expected = {
        case: [row[3], row[2], *re.findall(r"[+−]?\d\.\d{3}", row[4])]
        for case in QUOTED
        for row in summary.distillation_rows()
        if row[0].startswith(f"`{case}`:")
    }
    assert numbers[1:] == [*expected.values()]  # the first row is the demo's

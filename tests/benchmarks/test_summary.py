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


def test_word_errors_by_loudness_stand_beside_their_paired_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def errors(everything: float, quiet: float) -> dict:
        rates = {"all": everything, "snr: 20 dB": quiet}
        return {part: {"word_error_rate": {"mean": rate}} for part, rate in rates.items()}

    gain = {"difference": 0.05, "low": 0.01, "high": 0.09}
    by = {"snr": {"20 dB": {"rows": 75, "difference": -0.02, "low": -0.04, "high": 0.0}}}
    pair = {"who": "student-0.1", "against": "baseline-0.1", "verdict": "helps", **gain, "by": by}
    models = {"teacher": errors(0.1, 0.05), "student-0.1": errors(0.2, 0.12), "baseline-0.1": errors(0.25, 0.1)}
    result = {"pairs": [pair], "errors": models, "date": "2026-12-02"}
    (tmp_path / "speech-privileged.json").write_text(json.dumps(result), encoding="utf-8")
    monkeypatch.setattr(summary, "RESULTS", tmp_path)
    everything, quiet = summary.speech_rows()
    assert everything[0].endswith("the student the noisy one, 10 % of the transcripts")
    assert everything[1:] == ("all", "0.100", "0.200", "0.250", "+0.050, 0.010 to 0.090", "helps", "2026-12-02")
    assert quiet[1:] == ("snr: 20 dB", "0.050", "0.120", "0.100", "−0.020, −0.040 to 0.000", "", "2026-12-02")
    assert len(everything) == len(summary.SPEECH_HEAD)


def test_every_case_of_speech_has_a_title() -> None:
    import speech

    assert set(summary.SPEECH) == {*speech.CASES, *(f"{case}-pretrained" for case in speech.PRETRAINED)}

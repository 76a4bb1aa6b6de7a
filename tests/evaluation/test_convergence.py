"""Baselines that were stopped too early: which comparisons are in doubt, and what is trained then."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.errors import UsageError
from suffuse.evaluation import convergence
from suffuse.evaluation.convergence import FILE, Convergence, Scores, doubts, is_rising, outcome, rise, with_lead
from suffuse.evaluation.intervals import SHARE, Size
from suffuse.files import read_json
from suffuse.model_names import longer_name, parse_trained, with_fraction
from suffuse.recipe import make_recipe
from suffuse.run import Run
from suffuse.stages import distill


def doubted(student: Scores, baseline: Scores, rows_variance: float = 0.0) -> list[str]:
    return doubts(student, baseline, lambda: rows_variance)["doubts"]


@pytest.mark.parametrize(
    ("training", "expected"), [((0.95, 0.95), ["training score"]), ((0.96, 0.95), []), ((1.0, 1.0), [])]
)
def test_half_of_the_claim_on_training_rows_is_a_doubt(training, expected):
    """The student is 0.1 ahead on validation rows, and has all its training rows right."""
    assert doubted(Scores([1.0, 1.0], [0.99, 0.99]), Scores(training, [0.89, 0.89])) == expected


def test_a_gap_of_generalisation_is_no_doubt():
    """easy-VQA with 5 % of the labels: the baseline knows its own rows."""
    student = Scores([1.0, 1.0, 1.0], [0.998, 0.997, 0.999])
    assert doubted(student, Scores([0.998, 0.978, 0.998], [0.879, 0.876, 0.881])) == []


def test_seeds_that_failed_are_a_doubt():
    student = Scores([1.0, 1.0, 1.0], [0.95, 0.952, 0.951])
    assert doubted(student, Scores([1.0, 1.0, 1.0], [0.95, 0.85, 0.949])) == ["spread"]
    assert doubted(student, Scores([1.0, 1.0, 1.0], [0.95, 0.947, 0.949])) == []


def test_what_the_validation_rows_explain_is_no_spread_of_seeds():
    student, baseline = Scores([1.0, 1.0], [1.0, 1.0]), Scores([1.0, 1.0], [0.90, 0.92])
    assert doubted(student, baseline, rows_variance=0.02**2) == []
    assert doubted(student, baseline, rows_variance=0.001**2) == ["spread"]


def test_without_a_claim_nothing_is_in_doubt():
    assert doubted(Scores([1.0, 1.0], [0.9, 0.9]), Scores([0.5, 0.9], [0.95, 0.9])) == []
    assert doubted(Scores([1.0], [0.9]), Scores([1.0], [0.8])) == []  # one seed has no spread


def seeds(score: float, rows: float, resamples: int = 2000) -> list[np.ndarray]:
    """Two seeds whose score varies by ``rows`` with the rows."""
    random = np.random.default_rng(int(1000 * score))
    return [np.concatenate([[score], score + rows * random.standard_normal(resamples)]) for _ in range(2)]


@pytest.mark.parametrize(
    ("longer", "shorter", "rising"),
    [(0.95, 0.90, True), (0.905, 0.90, False), (0.88, 0.90, False), (0.999, 0.90, False)],
)
def test_a_length_is_the_last_where_it_rises_by_no_more_than_the_rows(longer, shorter, rising):
    """The rows' standard error is half a point; a score of 0.999 can't rise by as much again."""
    facts = rise(seeds(longer, 0.005), seeds(shorter, 0.005), 0.95, SHARE, Size(1000, 1000))
    assert facts["rising"] is rising and facts["rise"] == pytest.approx(longer - shorter)


@pytest.mark.parametrize(
    ("significant", "gain", "claimed", "rising"),
    [
        (False, 0.02, 0.1, False),
        (False, 0.03, 0.1, True),  # three tenths of the lead that is left
        (True, 0.001, 0.1, True),
        (False, 0.03, -0.01, False),  # no lead is left
    ],
)
def test_a_gain_of_a_quarter_of_the_lead_is_a_rise(significant, gain, claimed, rising):
    assert is_rising({"rising": significant, "rise": gain, "claimed": claimed}) is rising


def test_a_lead_is_a_doubt_where_there_is_no_other():
    clear, doubted_by_score = {"claimed": 0.1, "doubts": []}, {"claimed": 0.1, "doubts": ["training score"]}
    assert with_lead(clear, lambda: True)["doubts"] == ["lead"]
    assert with_lead(clear, lambda: False)["doubts"] == []
    assert with_lead(doubted_by_score, lambda: True) == doubted_by_score
    assert with_lead({"claimed": -0.1, "doubts": []}, lambda: True)["doubts"] == []


def length(rising: bool, claimed: float = 0.1, in_doubt: bool = True) -> dict[str, Any]:
    return {"rising": rising, "claimed": claimed, "doubts": ["training score"] if in_doubt else []}


RISES, SITS = length(True), length(False)  # SITS: on a plateau, below its training rows
DONE, CAUGHT_UP = length(False, in_doubt=False), length(True, claimed=0.0, in_doubt=False)


GAP, LEAD = ["training score"], ["lead"]


@pytest.mark.parametrize(
    ("found", "lengths", "automatic", "expected"),
    [
        ([], [], True, ("trained", None)),
        (GAP, [], False, ("off", None)),
        (GAP, [], True, ("rising", 2)),
        (GAP, [RISES], True, ("rising", 4)),
        (GAP, [SITS], True, ("rising", 4)),
        (GAP, [CAUGHT_UP], True, ("longer", None)),
        (GAP, [RISES, DONE], True, ("longer", None)),
        (GAP, [SITS, SITS, SITS], True, ("longer", None)),
        (GAP, [RISES, RISES, RISES], True, ("rising", None)),
        (GAP, [RISES, RISES, CAUGHT_UP], True, ("longer", None)),
        (LEAD, [], True, ("rising", 2)),
        (LEAD, [], False, ("trained", None)),
        (LEAD, [DONE], True, ("longer", None)),
        (LEAD, [RISES], True, ("rising", 4)),
    ],
)
def test_what_follows(found, lengths, automatic, expected):
    assert outcome(found, lengths, automatic) == expected


@pytest.mark.parametrize("name", ["student", "baseline-0.05", "baseline-x4", "baseline-0.05-x2"])
def test_names(name):
    kind, fraction, factor = parse_trained(name) or ("", "", 0)
    again = with_fraction(kind, float(fraction or 1))
    assert (longer_name(again, factor) if factor > 1 else again) == name
    assert parse_trained(f"only-{name}") is None


@pytest.mark.parametrize("epochs", [1, 0, "twice"])
def test_a_baseline_has_at_least_the_student_s_epochs(tmp_path, tiny_recipe, epochs):
    raw = tiny_recipe(tmp_path / "rows.csv")
    raw["distill"] |= {"train": {"epochs": 2}, "baseline": {"epochs": epochs}}
    with pytest.raises(UsageError, match=r"distill\.baseline"):
        make_recipe(raw)
    raw["distill"]["baseline"] = {"epochs": 3}
    assert not make_recipe(raw).distill.longer_baselines


@pytest.fixture
def started(build_once: Callable[..., Path], tmp_path: Path, write_table, tiny_recipe) -> Run:
    """A copy of a run as far as its store: two seeds, with all and with half of the labels."""

    def run_of(source: Path, folder: Path) -> Run:
        raw = tiny_recipe(source)
        raw["distill"] |= {"num_seeds": 2, "label_fractions": [0.5], "unimodal_baselines": True}
        raw["evaluate"] = {"resamples": 100, "probes": [], "controls": False, "classical_baselines": False}
        return Run.of(raw, folder)

    def make(folder: Path) -> None:
        run = run_of(write_table(folder / "table"), folder / "run")
        for stage in ("prepare", "teach", "extract"):
            pipeline.run_stage(run, stage)

    made = build_once("convergence", {}, make)
    return run_of(made / "table" / "rows.csv", shutil.copytree(made / "run", tmp_path / "run"))


def doubt(monkeypatch: pytest.MonkeyPatch, lengths: int) -> None:
    """All comparisons with all labels are in doubt, and rise until this many longer trainings are there."""

    def in_doubt(student: Scores, baseline: Scores, rows: Any) -> dict[str, Any]:
        return {"claimed": 0.1, "training_gap": 0.1, "deviations": {}, "doubts": ["training score"]}

    calls: list[int] = []

    def rising(longer: Any, shorter: Any, *_: Any) -> dict[str, Any]:
        calls.append(1)
        return {"validation": [float(v[0]) for v in longer], "rise": 0.1, "low": 0.0, "high": 0.2, "rising": True}

    monkeypatch.setattr(convergence, "doubts", in_doubt)
    monkeypatch.setattr(convergence, "rise", rising)
    monkeypatch.setattr(convergence, "FACTORS", (2, 4, 8)[:lengths])
    monkeypatch.setattr(distill, "FACTORS", (2, 4, 8)[:lengths])


def test_longer_baselines_are_trained_one_length_after_the_other(started, monkeypatch):
    doubt(monkeypatch, 2)
    pipeline.run_stage(started, "distill")
    for model, epochs in (("baseline", 1), ("baseline-x2", 2), ("baseline-x4", 4), ("baseline-0.5-x2", 2)):
        for seed in (1, 2):
            facts = read_json(started.path(model, f"seed-{seed}", "training.json"))
            assert facts["epochs"] == epochs and facts["steps"]["budget"] % epochs == 0
    facts = read_json(started.path(FILE))["comparisons"]["student"]
    assert [length["epochs"] for length in facts["lengths"]] == [2, 4]
    assert (facts["settled"], facts["why"], facts["next"]) == (False, "rising", None)
    half = read_json(started.path("baseline-0.5-x2", "seed-1", "training.json"))
    assert (
        half["rows"]["labels"] == read_json(started.path("baseline-0.5", "seed-1", "training.json"))["rows"]["labels"]
    )


@pytest.mark.slow
@pytest.mark.long
def test_a_lead_of_a_baseline_that_fits_its_training_rows_is_checked_once(started, monkeypatch):
    """The student is ahead and nothing else is in doubt; twice the epochs change nothing."""
    monkeypatch.setattr(convergence, "is_ahead", lambda *_: True)
    facts = {"claimed": 0.1, "training_gap": 0.0, "deviations": {}}
    monkeypatch.setattr(convergence, "doubts", lambda *_: {**facts, "doubts": []})
    flat = {"validation": [], "rise": 0.0, "low": -0.1, "high": 0.1, "rising": False}
    monkeypatch.setattr(convergence, "rise", lambda *_: flat)
    pipeline.run_stage(started, "distill")
    comparison = read_json(started.path(FILE))["comparisons"]["student"]
    assert (comparison["doubts"], comparison["settled"], comparison["why"]) == (["lead"], True, "longer")
    assert started.path("baseline-x2").is_dir() and not started.path("baseline-x4").exists()


@pytest.mark.slow
@pytest.mark.long
def test_killed_between_two_lengths_it_ends_with_the_same_bits(started, monkeypatch):
    doubt(monkeypatch, 2)
    other = Run.open(shutil.copytree(started.folder, started.folder.parent / "other"))
    pipeline.run_stage(other, "distill")
    train = distill.train

    def killed(run: Run, jobs: list, tell: Any) -> None:
        if any(job.model.endswith("-x4") for job in jobs):
            raise KeyboardInterrupt
        train(run, jobs, tell)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(distill, "train", killed)
        pipeline.run_stage(started, "distill")
    assert (started.partial("distill") / "baseline-x2").is_dir()
    pipeline.run_stage(started, "distill")
    assert (started.stamp("distill") or {})["digest"] == (other.stamp("distill") or {})["digest"]


@pytest.mark.slow
@pytest.mark.long
def test_with_a_number_of_epochs_there_are_no_longer_ones(started, monkeypatch):
    doubt(monkeypatch, 2)
    pipeline.run_stage(started, "distill")
    off = Run.open(started.folder, ("distill.baseline.epochs=1",))
    before = read_json(off.path("baseline", "seed-1", "training.json"))
    pipeline.run_stage(off, "distill")
    assert not off.path("baseline-x2").exists() and not off.path("baseline-0.5-x2").exists()
    assert read_json(off.path(FILE))["comparisons"]["student"]["why"] == "off"
    assert read_json(off.path("baseline", "seed-1", "training.json")) == before
    more = Run.open(started.folder, ("distill.baseline.epochs=2",))
    pipeline.run_stage(more, "distill")
    assert read_json(more.path("baseline", "seed-1", "training.json"))["epochs"] == 2
    assert read_json(more.path("student", "seed-1", "training.json"))["epochs"] == 1


def test_no_test_row_decides_what_is_trained(started, monkeypatch):
    doubt(monkeypatch, 1)
    columns, read, take = Columns.open(started.path("data")), [], Columns.batch

    def batch(self: Columns, rows: np.ndarray, *how: Any, **named: Any) -> Any:
        read.append(rows)
        return take(self, rows, *how, **named)

    pipeline.run_stage(started, "distill")
    monkeypatch.setattr(Columns, "batch", batch)
    Convergence(started, started.folder).assess()
    rows = np.unique(np.concatenate(read))
    assert len(rows) and np.isin(rows, columns.labelled("validation")).all()


@pytest.mark.slow
@pytest.mark.long
def test_unimodal_baselines_may_be_shorter(started):
    raw = started.recipe.model_dump(mode="json")
    raw["distill"]["unimodal_baselines"] = 3
    run = Run(started.folder, make_recipe(raw))
    pipeline.run_stage(run, "distill")
    assert read_json(run.path("only-picture", "seed-1", "training.json"))["epochs"] == 3

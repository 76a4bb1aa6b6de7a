"""The student is selected among candidates, fitted to a budget, and taken over with its trainings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.errors import SuffuseError, UsageError
from suffuse.files import read_json
from suffuse.model import FusionModel
from suffuse.recipe import PROPOSED, Network, make_recipe, read_recipe, to_yaml
from suffuse.report.student_candidates import candidates_table, selection_sentence
from suffuse.run import Run
from suffuse.tuning import student_selection
from suffuse.tuning.network_width import SCALES, narrowed
from suffuse.tuning.student_budget import Candidate
from suffuse.tuning.student_selection import decide, promising
from suffuse.types import Field, Head, Spec

Make = Callable[[str], Run]


def with_student(run: Run, **student: Any) -> Run:
    """The run with other settings of the student, as an edited recipe has them."""
    raw = yaml.safe_load(to_yaml(run.recipe))
    raw["student"] |= student
    return Run(run.folder, make_recipe(raw))


def weights(run: Run) -> dict[str, bytes]:
    return {str(p.relative_to(run.folder)): p.read_bytes() for p in sorted(run.folder.glob("student/**/*.safetensors"))}


def candidates(run: Run) -> dict[str, Any]:
    names = list(run.recipe.student.encoders)
    return {
        "wide": {"hidden": 24},
        "narrow": {"hidden": 4},
        "first_alone": {"modalities": names[:1]},
        "second_alone": {"modalities": names[1:]},
    }


@pytest.fixture(scope="module")
def selected(stored: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose student was selected among five networks. Read it only."""
    folder = tmp_path_factory.mktemp("selected") / "run"
    run = Run.open(shutil.copytree(stored.folder, folder))
    run = with_student(run, candidates=candidates(run), finalists=2)
    pipeline.run_stage(run, "distill")
    return Run.open(folder)


def test_a_student_is_selected_and_becomes_the_recipes(selected: Run):
    facts: Any = read_json(selected.path("selection.json"))
    first, finals = facts["rounds"]
    assert {c["name"] for c in first["candidates"]} == {PROPOSED, *candidates(selected)}
    assert finals["candidates"][0]["name"] == PROPOSED and len(finals["candidates"]) == 2
    assert facts["selected"] in {c["name"] for c in finals["candidates"]}
    for one in (first, finals):
        assert max(c["to_best"] for c in one["candidates"]) == 0
    network = Network.model_validate(facts["network"])
    assert selected.recipe.student.bare() == network and not selected.recipe.student.candidates
    assert selected.source_recipe.student.candidates.keys() == candidates(selected).keys()
    record: Any = read_json(selected.path("student", "seed-1", "training.json"))
    assert record["parameters"] == facts["parameters"]
    assert facts["selected"] in selection_sentence(facts) or facts["selected"] == PROPOSED
    table = candidates_table(selected)
    assert table and len(table.rows) == 7 and [row[-1] for row in table.rows].count("selected") == 1
    assert not selected.path(".partial").exists() or not list(selected.path(".partial").iterdir())


def test_the_written_recipe_makes_the_same_student_without_a_selection(selected: Run, fresh: Make):
    plain = read_recipe(selected.path("selected.yaml"), own=False)
    assert not plain.student.is_selected
    again = Run(fresh("plain").folder, plain)
    pipeline.run_stage(again, "distill")
    assert weights(again) == weights(selected)
    assert not again.path("selection.json").exists()


def test_a_finished_selection_is_up_to_date_and_survives_other_counts_of_seeds(selected: Run, tmp_path: Path):
    run = Run.open(shutil.copytree(selected.folder, tmp_path / "run"))
    assert not pipeline.run_stage(run, "distill")
    before, chosen = weights(run), run.path("selection.json").read_text()
    raw = yaml.safe_load(to_yaml(run.source_recipe))
    raw["distill"]["num_seeds"] = 2
    assert pipeline.run_stage(Run(run.folder, make_recipe(raw)), "distill")
    assert run.path("selection.json").read_text() == chosen
    after = weights(run)
    assert len(after) == 2 * len(before) and before.items() <= after.items()
    del raw["student"]["candidates"]["wide"]
    assert pipeline.run_stage(Run(run.folder, make_recipe(raw)), "distill")
    names = {c["name"] for r in read_json(run.path("selection.json"))["rounds"] for c in r["candidates"]}  # type: ignore[index]
    assert "wide" not in names
    assert any(p.name == "selection.json" for p in run.path("previous").rglob("*"))


def test_killed_anywhere_it_ends_with_the_same_selection(selected: Run, fresh: Make, monkeypatch: pytest.MonkeyPatch):
    run = fresh("killed")
    run = with_student(run, candidates=candidates(run), finalists=2)
    trained = 0
    limit, original = 0, student_selection.save_trained

    def save(*args: Any) -> None:
        nonlocal trained
        trained += 1
        if trained == limit:
            raise KeyboardInterrupt
        original(*args)

    monkeypatch.setattr(student_selection, "save_trained", save)
    for number in (1, 2, 3, 10**6):
        trained, limit = 0, number
        if number > 3:
            pipeline.run_stage(run, "distill")
            break
        with pytest.raises(KeyboardInterrupt):
            pipeline.run_stage(run, "distill")
    assert run.path("selection.json").read_bytes() == selected.path("selection.json").read_bytes()
    assert weights(run) == weights(selected)


def test_killed_between_the_decision_and_the_students_it_goes_on(
    selected: Run, fresh: Make, monkeypatch: pytest.MonkeyPatch
):
    run = fresh("decided")
    run = with_student(run, candidates=candidates(run), finalists=2)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(student_selection, "_write_recipe", stop)
        pipeline.run_stage(run, "distill")
    pipeline.run_stage(run, "distill")
    assert weights(run) == weights(selected)


def test_a_budget_makes_networks_narrower_and_no_larger_one_is_trained(fresh: Make):
    run = fresh("budget")
    own = FusionModel(run.recipe.student.bare(), Columns.open(run.path("data")).spec)
    limit = int(own.size() * 0.6)
    run = with_student(run, budget={"parameters": limit})
    pipeline.run_stage(run, "distill")
    facts: Any = read_json(run.path("selection.json"))
    record: Any = read_json(run.path("student", "seed-1", "training.json"))
    assert facts["rule"] == "only" and facts["scale"] < 1 and not facts["rounds"]
    assert record["parameters"] == facts["parameters"] <= limit < own.size()


@pytest.mark.long
def test_the_exported_file_and_its_latency_may_be_limited(fresh: Make):
    run = with_student(fresh("size"), budget={"size": "1GB", "latency_ms": 1000})
    pipeline.run_stage(run, "distill")
    facts: Any = read_json(run.path("selection.json"))
    assert facts["scale"] == 1 and facts["size"] > 1000 and facts["latency_ms"] > 0


def test_a_budget_that_nothing_fits_is_refused_with_the_least_cost(fresh: Make):
    run = with_student(fresh("none"), budget={"parameters": 3})
    with pytest.raises(UsageError) as error:
        pipeline.run_stage(run, "distill")
    line = error.value.line()
    assert "student.budget" in line and "parameters of the narrowest proposed" in line and "3 parameters" in line


def test_a_candidate_must_fit_the_recipe(stored: Run):
    def refused(**student: Any) -> str:
        with pytest.raises(SuffuseError) as error:
            with_student(stored, **student)
        return error.value.line()

    first = next(iter(stored.recipe.student.encoders))
    assert "student.candidates.x" in refused(candidates={"x": {"width": 3}})
    assert "student.candidates.x" in refused(candidates={"x": {"encoders": {first: {"kind": "nothing"}}}})
    assert PROPOSED in refused(candidates={PROPOSED: {}})
    assert "expected a plain word" in refused(candidates={"a b": {}})
    assert "student.candidates.x" in refused(candidates={"x": {"encoders": {"sound": {"kind": "gru"}}}})
    assert "student.budget.parameters" in refused(budget={"parameters": 0})
    assert "student.budget.size" in refused(budget={"size": "much"})


def test_a_candidate_differs_from_the_student_in_what_it_names(stored: Run):
    names = list(stored.recipe.student.encoders)
    run = with_student(
        stored,
        candidates={
            "a": {"encoders": {names[0]: {"kind": stored.recipe.student.encoders[names[0]].kind}}, "hidden": 5}
        },
    )
    network = run.recipe.student.candidates["a"]
    assert network.encoders == run.recipe.student.encoders and network.hidden == 5
    assert network.fusion == run.recipe.student.fusion
    assert make_recipe(yaml.safe_load(to_yaml(run.recipe))) == run.recipe


def candidate(name: str, parameters: int, *modalities: str) -> Candidate:
    encoders = {m: {"kind": "mlp"} for m in modalities or ("a", "b")}
    return Candidate(name, Network.model_validate({"encoders": encoders}), parameters)


def scores(mean: float, noise: float, seed: int = 0) -> np.ndarray:
    """Scores of two seeds on 400 resamples, whose deviation is ``noise``."""
    return mean + noise * np.concatenate([np.zeros((2, 1)), np.random.default_rng(seed).normal(size=(2, 400))], 1)


def test_the_smallest_network_within_one_standard_error_is_selected():
    large, small, weak = candidate("large", 90), candidate("small", 30), candidate("weak", 10)
    order = [large, small, weak]
    assert decide(order, [scores(0.9, 0.02, 1), scores(0.895, 0.02, 2), scores(0.5, 0.02, 3)]) == (1, 0)
    assert decide(order, [scores(0.9, 0.001, 1), scores(0.895, 0.001, 2), scores(0.5, 0.001, 3)]) == (0, 0)


def test_fewer_modalities_win_only_where_they_beat_all_others():
    both, alone = candidate("both", 90), candidate("alone", 30, "a")
    assert decide([both, alone], [scores(0.9, 0.01, 1), scores(0.899, 0.01, 2)]) == (0, 0)
    assert decide([both, alone], [scores(0.9, 0.01, 1), scores(0.901, 0.01, 2)]) == (0, 0)
    assert decide([both, alone], [scores(0.9, 0.01, 1), scores(0.99, 0.01, 2)]) == (1, 1)


def test_what_is_promising_is_trained_in_full():
    order = [candidate("both", 90), candidate("wide", 99), candidate("alone", 30, "a"), candidate("other", 30, "b")]
    noisy = [scores(0.8, 0.01, 1), scores(0.795, 0.01, 2), scores(0.79, 0.01, 3), scores(0.7, 0.01, 4)]
    assert promising(order, noisy, 3) == [0, 1]  # what reads less must be better, not only close
    better = [scores(0.8, 0.01, 1), scores(0.7, 0.01, 2), scores(0.82, 0.01, 3), scores(0.81, 0.01, 4)]
    assert promising(order, better, 3) == [0, 2, 3] and promising(order, better, 2) == [0, 2]


@pytest.mark.parametrize("scale", SCALES)
def test_a_narrowed_network_keeps_its_form(scale: float):
    idf = [0.0] + [1.0 + (i % 7) for i in range(1023)]
    statistics = {"vocabulary": 1024, "length": 16, "idf": idf}
    spec = Spec(
        (Field("t", "text", statistics), Field("x", "tabular", {})),
        (Head("y", "classes", ("a", "b")),), (0.0, 0.0),
    )  # fmt: skip
    network = Network.model_validate(
        {"encoders": {"t": {"kind": "ngrams", "embedding": 16}, "x": {"kind": "mlp", "widths": [64, 32]}},
         "fusion": {"kind": "transformer", "width": 32, "heads": 4}, "hidden": 16}
    )  # fmt: skip
    made = narrowed(network, spec, scale).model_dump()
    assert made["encoders"]["t"]["buckets"] < 1024 and made["encoders"]["t"]["embedding"] <= 16
    assert list(made["encoders"]["x"]["widths"]) == [max(4, round(w * scale / 4) * 4) for w in (64, 32)]
    assert made["fusion"]["width"] % 4 == 0 and made["fusion"]["width"] < 32 and made["hidden"] < 16


def test_the_sentence_stands_in_the_summary(selected: Run):
    facts: Any = read_json(selected.path("selection.json"))
    assert json.dumps(facts)
    assert str(f"{facts['parameters']:,}") in selection_sentence(facts)

"""``suffuse.fit`` and ``suffuse run TABLE``: from rows to a model without a recipe, on request in some minutes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import yaml
from e2e_tools import check_failure, check_success, suffuse

from suffuse import FittedModel, Run, UsageError, fit, pipeline
from suffuse.files import read_json, write_json
from suffuse.prepare.installed_encoders import InstalledEncoders
from suffuse.prepare.recipe_proposal import propose
from suffuse.recipe import recipe_of_text
from suffuse.report.run_warnings import BUDGET, budget
from suffuse.stages import STAGES
from suffuse.table_run import choose_folder
from suffuse.time_budget import STUDENT, TEACHER, Costs, TimeBudget, candidates, without_extras

TINY = {  # what takes longest of a run
    "teacher.portfolio": None,
    "teacher.train.epochs": 3,
    "distill.train.epochs": 3,
    "export.int8": "off",
    "export.teacher": False,
    "evaluate.probes": [],
    "evaluate.resamples": 100,
    "evaluate.classical_baselines": False,
}
COSTS = Costs(1.0, {TEACHER: 0.04, STUDENT: 0.02}, {}, 115, 115, 1.1)


def frame(rows: int = 150) -> pandas.DataFrame:
    """A number and a word that decide the label together."""
    chance = random.Random(1)
    numbers = [chance.randint(0, 99) for _ in range(rows)]
    words = [chance.choice(("high", "low")) for _ in range(rows)]
    notes = [f"{word} reading in room {chance.randrange(40)}" for word in words]
    labels = ["yes" if (n > 50) == (w == "high") else "no" for n, w in zip(numbers, words, strict=True)]
    return pandas.DataFrame({"key": [f"k{n}" for n in range(rows)], "number": numbers, "note": notes, "label": labels})


@pytest.fixture(scope="module")
def fitted(build_once: Callable[..., Path]) -> FittedModel:
    """A model of that frame, with a budget that leaves nothing out but what is asked for."""

    def make(folder: Path) -> None:
        fit(frame(), "label", minutes=20, folder=folder / "run", preset="fast", settings=TINY)

    return FittedModel(Run.open(build_once("fitted", {}, make) / "run"))


@pytest.mark.slow
def test_a_frame_becomes_a_model_with_a_run_behind_it(fitted: FittedModel) -> None:
    rows = frame(12)
    assert isinstance(fitted.run, Run) and set(pipeline.plan(fitted.run)) == set(STAGES)
    assert not any(pipeline.plan(fitted.run).values())
    answers = fitted.predict(rows.drop(columns="label"))
    assert isinstance(answers, list) and {a.label for a in answers} <= {"yes", "no"}
    one = fitted.predict({"number": 3, "note": "low reading in room 3"})
    assert not isinstance(one, list) and one.label in ("yes", "no")
    assert fitted.predict_proba(rows).shape == (12, 2)
    assert fitted.evaluate(rows)["label"]["rows"] == 12
    assert fitted.report().read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_a_table_s_path_is_read_where_it_stands(fitted: FittedModel, tmp_path: Path) -> None:
    frame(9).to_csv(tmp_path / "new.csv", index=False)
    from_file, from_frame = fitted.predict(tmp_path / "new.csv"), fitted.predict(frame(9))
    assert isinstance(from_file, list) and isinstance(from_frame, list)
    assert [a.label for a in from_file] == [a.label for a in from_frame]


@pytest.mark.slow
def test_the_user_can_go_on_from_the_recipe_beside_the_run(fitted: FittedModel, tmp_path: Path) -> None:
    text = fitted.recipe.read_text(encoding="utf-8")
    assert "# Trainings are chosen for 20 minutes: " in text
    recipe = yaml.safe_load(text)
    assert (fitted.recipe.parent / recipe["data"]["source"]).resolve() == fitted.run.path("source.parquet")
    assert Run.open(fitted.recipe, folder=fitted.run.folder).recipe.data.target == "label"


@pytest.mark.slow
def test_the_report_says_what_the_budget_left_out(fitted: FittedModel, tmp_path: Path) -> None:
    assert read_json(fitted.run.path(BUDGET)) == {"minutes": 20, "shortened": []} and not budget(fitted.run)
    run = Run.open(fitted.recipe, folder=tmp_path)
    write_json(tmp_path / BUDGET, {"minutes": 2.5, "shortened": ["epochs 3 (teacher) and 4 (students)"]})
    assert budget(run)[0].startswith("a time budget of 2.5 minutes shortened the trainings: ")


@pytest.mark.slow
def test_a_run_shows_itself(fitted: FittedModel) -> None:
    assert repr(fitted.run) == f"Run({str(fitted.run.folder)!r}, target='label', done: {', '.join(STAGES)})"
    page = fitted._repr_html_()
    assert "report.html" in page and "exported student" in page and "<th>target</th><td>label</td>" in page


def test_a_run_that_isn_t_made_yet_shows_itself(tiny_recipe: Callable[..., dict], tmp_path: Path) -> None:
    run = Run.of(tiny_recipe(tmp_path / "<rows>.csv"), tmp_path / "<b>run")
    assert repr(run).endswith("done: nothing)") and "&lt;b&gt;run" in run._repr_html_() and "<b>" not in page_of(run)


def page_of(run: Run) -> str:
    return run._repr_html_()


def test_a_folder_is_chosen_and_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [choose_folder("my rows").relative_to(tmp_path).as_posix() for _ in range(3)] == [
        "runs/my-rows", "runs/my-rows-2", "runs/my-rows-3",
    ]  # fmt: skip
    (tmp_path / "runs" / "new.yaml").write_text("")
    assert choose_folder("new").name == "new-2"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="there is a run already"):
        choose_folder("x", "full")


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (frame(30), {"target": "lable"}, "no such column"),
        (frame(30), {"target": "label", "minutes": 0}, "no time budget"),
        (frame(30), {"target": "label", "roles": {"note": "prose"}}, "no such role"),
        (frame(30), {"target": "label", "settings": {"student.fusoin": 1}}, "unknown key"),
        (3, {"target": "label"}, "these are no rows"),
    ],
)
def test_what_can_t_be_run_leaves_nothing_behind(
    rows: Any, options: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        fit(rows, **options)
    assert not [p for p in tmp_path.rglob("*") if p.name != "runs"]


def test_run_takes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the trainings: which run is asked for."""
    frame(60).to_csv(tmp_path / "rows.csv", index=False)
    orders: list[Run] = []
    monkeypatch.setattr(pipeline, "run_all", lambda run, callbacks=(): orders.append(run))
    monkeypatch.setattr("suffuse.cli.run_commands.show", lambda run, tables: None)
    monkeypatch.setattr("suffuse.cli.run_commands.after_run", lambda run: "suffuse status")
    result = check_success(suffuse("run", "rows.csv", "--target", "label", "-o", "made/here", cwd=tmp_path))
    assert orders[0].folder == tmp_path / "made" / "here" and orders[0].recipe.data.target == "label"
    assert "note                 text" in result.err and "here.yaml" in result.err
    assert yaml.safe_load((tmp_path / "made" / "here.yaml").read_text())["data"]["source"] == "../rows.csv"
    check_success(suffuse("run", "rows.csv", "--target", "label", "--set", "student.fusion.width=5", cwd=tmp_path))
    assert orders[1].folder == tmp_path / "runs" / "rows" and orders[1].recipe.student.fusion.get("width") == 5
    check_failure(
        suffuse("run", "rows.csv", "--target", "label", "-o", "made/here", cwd=tmp_path), 2, "there is a run already"
    )
    check_failure(suffuse("run", "rows.csv", "--minutes", "3", cwd=tmp_path), 2, "goes with a table")
    check_failure(suffuse("run", "made/here.yaml", "--target", "label", cwd=tmp_path), 2, "names its target itself")


def test_a_budget_is_kept_by_shorter_and_fewer_trainings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame().to_csv(tmp_path / "rows.csv", index=False)
    proposal = propose(str(tmp_path / "rows.csv"), "label", place=tmp_path)

    def seconds(text: str) -> float:
        recipe = recipe_of_text(text)
        return COSTS.seconds(recipe, TEACHER) + COSTS.seconds(recipe, STUDENT)

    whole = seconds(proposal.text)
    needed = []
    for minutes in (60, 4, 2, 1.0):
        clock = TimeBudget(minutes)
        fitting = clock.fit(proposal, COSTS, recipe_of_text)
        needed.append(seconds(fitting.text))
        assert needed[-1] * clock.slack <= 60 * minutes
        assert f"chosen for {minutes:g} minutes" in fitting.text
    assert needed[0] == whole and needed == sorted(needed, reverse=True) and needed[-1] < whole / 5
    assert "WARNING" not in capsys.readouterr().err
    shortest = TimeBudget(0.1).fit(proposal, COSTS, recipe_of_text)
    assert "the time budget of 6.0 s is too short" in capsys.readouterr().err
    recipe = recipe_of_text(shortest.text)
    assert recipe.distill.num_seeds == 1 and not recipe.distill.longer_baselines
    assert recipe.distill.train.epochs * -(-115 // recipe.distill.train.batch) >= 100


def test_what_is_not_training_gets_a_part_of_the_budget(tmp_path: Path) -> None:
    """Extras are left out in order, until it does; a long budget leaves none out."""
    frame().to_csv(tmp_path / "rows.csv", index=False)
    proposal = propose(str(tmp_path / "rows.csv"), "label", place=tmp_path)
    proposal = proposal.redrafted(
        dataclasses.replace(
            proposal.draft, encoders=InstalledEncoders(sentences={"note_sentences": {"kind": "text", "column": "note"}})
        )
    )
    costs = dataclasses.replace(
        COSTS,
        frozen={"note_sentences": 60.0},
        entries={"note": 60_000, "facts": 100_000, "note_sentences": 60_000},
        rows={"train": 60_000, "validation": 20_000, "test": 20_000},
        labelled=60_000,
        outputs=20,
        parameters=20_000_000,
    )
    drafts = {m: TimeBudget(m).fit(proposal, costs, recipe_of_text).draft for m in (300, 9, 8, 5, 2)}
    kept = {m: (d.compared_exports, d.folds, bool(d.encoders.sentences)) for m, d in drafts.items()}
    assert kept[300] == (True, 5, True)
    assert kept[2] == (False, 0, False)
    steps = list(without_extras(proposal.draft))
    assert [(d.folds, d.member_seconds) for d in steps[-2:]] == [(3, 0.0), (0, None)]
    cheap = recipe_of_text(proposal.redrafted(steps[-2]).text)
    assert cheap.trained and cheap.trained.portfolio and cheap.trained.portfolio.seconds == 0
    values = [sum(map(int, kept[m])) for m in sorted(kept)]
    assert values == sorted(values) and len(set(values)) > 2
    text = proposal.redrafted(drafts[2]).text
    recipe = recipe_of_text(text)
    assert recipe.trained and recipe.trained.portfolio is None and not recipe.export.teacher
    assert recipe.export.int8 == "off" and "note_sentences" not in recipe.modalities
    assert "no sentence encoder" in text and "no scikit-learn models in the teacher" in text


def test_candidates_grow_shorter(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "rows.csv", index=False)
    proposal = propose(str(tmp_path / "rows.csv"), "label", place=tmp_path, preset="best")
    for teacher in (True, False):
        drafts = list(candidates(proposal.draft, teacher))
        prices = [COSTS.seconds(recipe_of_text(proposal.redrafted(d).text), STUDENT) for d in drafts]
        assert prices == sorted(prices, reverse=True)
        same = drafts[-1].teacher_training == drafts[0].teacher_training
        assert same != teacher


def test_after_a_slow_teacher_students_get_what_is_left(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "rows.csv", index=False)
    proposal = propose(str(tmp_path / "rows.csv"), "label", place=tmp_path)
    fast, slow = (TimeBudget(4).fit_students(proposal, COSTS, recipe_of_text, teach) for teach in (1.0, 400.0))
    assert fast.draft.epochs > slow.draft.epochs
    assert slow.draft.teacher_training == fast.draft.teacher_training == proposal.draft.teacher_training


def test_a_run_over_its_budget_says_which_stages_took_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = TimeBudget(1)
    run = Run.of({"data": {"source": "x.csv", "target": "y"}, "modalities": {"t": {"kind": "text", "column": "t"}},
                  "teacher": {"encoders": {"t": {"kind": "bag"}}}, "student": {"encoders": {"t": {"kind": "bag"}}}},
                 tmp_path)  # fmt: skip
    assert clock.lines(run, list(STAGES))[0].startswith("budget    took 0.0 s of 1 min 0 s")
    monkeypatch.setattr(Run, "stamp", lambda self, verb: {"seconds": {"teach": 50.0, "distill": 80.0}.get(verb, 1.0)})
    late = TimeBudget(1, start=clock.start - 150)
    assert late.lines(run, list(STAGES))[0].startswith("WARNING: over the time budget: took 2 min 30 s of 1 min 0 s")
    assert "(distill 1 min 20 s, teach 50 s, " in late.lines(run, list(STAGES))[0]

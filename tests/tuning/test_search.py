"""A whole search on a small run: what it reads, what it counts, what it leaves, and that a kill changes nothing."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_tools import restamp
from search_tools import LITTLE, here

from suffuse import pipeline
from suffuse.checked_json import read_checked
from suffuse.data.columns import Columns
from suffuse.errors import UsageError
from suffuse.files import read_json, write_bytes
from suffuse.model import FusionModel
from suffuse.recipe import read_recipe
from suffuse.run import Run
from suffuse.stages import STAGES
from suffuse.tuning import search_results, search_session
from suffuse.tuning.pareto import dominates
from suffuse.tuning.study import Study

COSTS: dict[str, Path] = {}  # measured once: measuring again gives other milliseconds
GOALS = ("quality", "latency", "size")


def trials(run: Run, name: str = "student") -> list[tuple]:
    """Everything of the trials that a kill or the machine may not change."""
    found = Study(run.path("tuning"), name, GOALS, run.recipe.seed).trials()
    kept = []
    for one in found:
        facts = {k: v for k, v in one.user_attrs.get("facts", {}).items() if k != "seconds"}
        kept.append((one.params, one.user_attrs.get("overrides"), facts, one.user_attrs.get("curve"), one.values))
    return kept


def same_costs(run: Run) -> None:
    """Costs as another search on the same run measured them."""
    run.path("tuning").mkdir(exist_ok=True)
    shutil.copytree(COSTS["there"], run.path("tuning", "costs"))


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    return {}


@pytest.fixture
def whole(tuned: Callable, reference: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict]:
    """One search from start to end, without the teacher."""
    if not reference:
        run, result = tuned("whole", change=lambda run: shutil.rmtree(run.path("teacher")))
        kept = tmp_path_factory.mktemp("reference") / "run"
        shutil.copytree(run.folder, kept)
        COSTS["there"] = kept / "tuning" / "costs"
        reference |= {"run": Run.open(kept), "result": result}
    return reference["run"], reference["result"]


@pytest.mark.slow
@pytest.mark.long
def test_it_needs_no_teacher_and_looks_at_no_test_row(whole: tuple[Run, dict], tuned: Callable) -> None:
    run, result = whole
    assert not run.path("teacher").exists() and not run.path("test_evaluations.json").exists()

    def other_test_rows(run: Run) -> None:
        columns = Columns.open(run.path("data"))
        rows, target = columns.rows("test"), columns.target.copy()
        target[rows] = (target[rows] + 1) % len(columns.spec.classes)
        entry = columns.entry.copy()
        entry[rows] = entry[rows[::-1]]
        np.save(run.path("data", "target.npy"), target)
        np.save(run.path("data", "entry.npy"), entry)
        restamp(run.folder, "prepare")
        same_costs(run)

    other, again = tuned("scrambled", change=other_test_rows)
    assert trials(other) == trials(run)
    assert again["chosen"]["student"]["candidates"] == result["chosen"]["student"]["candidates"]
    assert again["overrides"] == result["overrides"]


@pytest.mark.slow
@pytest.mark.long  # quicker: the search above, whose run has no teacher
def test_no_teacher_s_network_is_ever_run(whole: tuple[Run, dict], fresh: Callable, quick: None, monkeypatch) -> None:
    run = fresh("watched")
    seen: list[int] = []
    original = FusionModel.forward

    def forward(model: FusionModel, *args: Any, **more: Any) -> Any:
        seen.append(model.size())
        return original(model, *args, **more)

    monkeypatch.setattr(FusionModel, "forward", forward)
    pipeline.run_tune(run, dataclasses.replace(LITTLE, trials=1, baseline=False))
    teacher = json.loads(run.path("teacher", "training.json").read_text())["parameters"]
    assert seen and max(seen) < teacher


def test_what_is_said_of_the_teacher_comes_from_the_store(whole: tuple[Run, dict], stored: Run) -> None:
    facts = read_json(whole[0].path("tuning", "plan.json"))["evidence"]["teacher"]
    measured = read_json(stored.path("teacher", "training.json"))["validation"]["accuracy"]
    assert facts["validation"] is None  # its folder is gone
    assert facts["validation_sure"]["score"] == pytest.approx(measured, abs=5e-3)  # stored in half precision
    assert 0 < facts["train_sure"]["confidence"] <= 1
    assert sum(facts["gates"].values()) == pytest.approx(1, abs=1e-3)


def test_both_sides_get_as_many_trials(whole: tuple[Run, dict]) -> None:
    run, result = whole
    assert read_checked(run.path("tuning.json")) == {"student": 4, "baseline": 4} == result["trials"]
    assert len(trials(run)) == 4 and result["outcomes"]["trials"] == 4 and result["outcomes"]["open"] == 0


def test_the_recipe_as_it_is_is_among_those_trained_again(whole: tuple[Run, dict]) -> None:
    _, result = whole
    for who in ("student", "baseline"):
        facts = result["chosen"][who]
        assert facts["candidates"][0]["name"] == "recipe" and facts["candidates"][0]["overrides"] == []
        assert facts["chosen"] in [one["name"] for one in facts["candidates"]]
        assert all(len(one["validation"]) == 2 for one in facts["candidates"])
        assert facts["words"]


def test_the_chosen_recipe_is_one_and_differs_by_what_is_said(whole: tuple[Run, dict]) -> None:
    run, result = whole
    made = read_recipe(run.path("tuning", Path(result["recipe"]).name))  # the search's own folder is gone by now
    assert made.name == "run-tuned" or made.name.endswith("-tuned")  # pyright: ignore
    wanted = read_recipe(run.path("tuning", "shipped.yaml"), result["overrides"])
    assert made.model_copy(update={"name": None}) == wanted.model_copy(update={"name": None})
    assert made.data == run.recipe.data and made.teacher == run.recipe.teacher
    for verb in ("prepare", "extract"):  # its store is this one
        assert not pipeline.reasons(Run(run.folder, made), STAGES[verb])
    assert bool(pipeline.reasons(Run(run.folder, made), STAGES["teach"])) == (not run.path("teacher").exists())


def test_the_front_is_of_finished_trials_and_none_dominates_another(whole: tuple[Run, dict]) -> None:
    run, result = whole
    points = read_json(run.path("tuning", "front.json"))["points"]
    assert points and points == result["front"]
    assert not any(dominates(a, b) for a in points for b in points)
    own = result["own"]
    assert all(p["size"] <= own["size"] and p["latency"] > 0 for p in points)


@pytest.mark.slow
@pytest.mark.long
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(
    whole: tuple[Run, dict], fresh: Callable, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fresh("killed")
    same_costs(run)
    random, kills = np.random.default_rng(4), 0

    def deadly(function: str, jobs: list[dict], workers: int, tell: Callable) -> None:
        life = int(random.integers(2, 6))

        def counted(share: float, words: str) -> None:
            nonlocal life
            life -= 1
            if life == 0:
                raise KeyboardInterrupt
            tell(share, words)

        here(function, jobs, workers, counted)

    original, proposed = Study.propose, 0

    def propose(study: Study, *args: Any, **more: Any) -> None:
        nonlocal proposed
        proposed += 1
        if proposed == 2:
            raise KeyboardInterrupt
        original(study, *args, **more)

    monkeypatch.setattr(Study, "propose", propose)
    monkeypatch.setattr(search_session, "run_jobs", deadly)
    while True:
        try:
            result = pipeline.run_tune(run, LITTLE)
            break
        except KeyboardInterrupt:
            kills += 1
            assert kills < 100
    assert kills >= 4
    reference, wanted = whole
    assert trials(run) == trials(reference)
    assert result["overrides"] == wanted["overrides"] and result["trials"] == wanted["trials"]
    assert result["chosen"]["student"]["candidates"] == wanted["chosen"]["student"]["candidates"]


@pytest.mark.slow
@pytest.mark.long
def test_more_trials_go_on_and_nothing_is_overwritten(whole: tuple[Run, dict], tmp_path: Path, quick: None) -> None:
    run = Run.open(shutil.copytree(whole[0].folder, tmp_path / "more"))
    before, first = trials(run), run.path("tuning", "recipe.yaml").read_bytes()
    how = dataclasses.replace(LITTLE, trials=5, baseline=False)
    result = pipeline.run_tune(run, how)
    assert trials(run)[:4] == before and len(trials(run)) == 5
    assert result["recipe"].endswith("recipe-2.yaml")
    assert run.path("tuning", "recipe.yaml").read_bytes() == first
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        pipeline.run_tune(run, dataclasses.replace(how, out=tmp_path / "mine.yaml"))
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.long
def test_the_same_command_again_finds_its_own_file_and_a_longer_search_replaces_it(
    fresh: Callable[[str], Run], tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = fresh("again"), tmp_path / "chosen.yaml"
    how = dataclasses.replace(LITTLE, trials=1, baseline=False, out=out)

    def killed(file: Path, content: bytes) -> None:
        if file == out:
            raise KeyboardInterrupt
        write_bytes(file, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(search_results, "write_bytes", killed)  # after the search remembered what it is about to write
        pipeline.run_tune(run, how)
    assert not out.exists()
    result = pipeline.run_tune(run, how)
    first = out.read_bytes()
    assert pipeline.run_tune(run, how) == result and out.read_bytes() == first
    assert not run.path("previous").exists()

    longer = dataclasses.replace(how, trials=2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(search_results, "write_bytes", killed)
        pipeline.run_tune(run, longer)
    assert out.read_bytes() == first
    pipeline.run_tune(run, longer)
    second = out.read_bytes()
    assert second != first and {file.read_bytes() for file in run.path("previous").glob("*/chosen.yaml")} == {first}

    out.write_bytes(second + b"# mine\n")
    with pytest.raises(UsageError, match="there already"):
        pipeline.run_tune(run, longer)
    assert out.read_bytes() == second + b"# mine\n"


@pytest.mark.slow
@pytest.mark.long
def test_another_recipe_begins_anew_and_puts_the_old_search_aside(
    whole: tuple[Run, dict], tmp_path: Path, quick: None, capsys: pytest.CaptureFixture
) -> None:
    folder = shutil.copytree(whole[0].folder, tmp_path / "other")
    run = Run.open(folder, ("distill.train.epochs=1",))
    pipeline.run_tune(run, dataclasses.replace(LITTLE, trials=1, baseline=False))
    assert len(trials(run)) == 1 and list(run.path("previous").glob("*/tuning/study.db"))
    assert "moves to previous/" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change, word", [({"objectives": ("speed",)}, "objective"), ({"prefer": "luck"}, "preference")]
)
def test_what_cannot_be_is_said_before_anything_is_done(stored: Run, change: dict, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        pipeline.run_tune(stored, dataclasses.replace(LITTLE, **change))
    assert not stored.path("tuning").exists()


@pytest.mark.slow
@pytest.mark.long
def test_where_subsets_count_they_do_from_the_first_trial_to_the_last_choice(
    fresh: Callable, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(fresh("subsets").folder, ("distill.train.checkpoint_metric=subsets",))
    result = pipeline.run_tune(run, dataclasses.replace(LITTLE, trials=3))
    assert result["metric"] == "accuracy, mean over subsets"
    for who in ("student", "baseline"):
        for _, _, facts, curve, _ in trials(run, who if who == "student" else _of_baseline(run)):
            if facts:
                assert facts["quality"] == facts["validation"]["subsets"] != facts["validation"]["accuracy"]
                assert max(score for _, score in curve) <= facts["quality"]
        places = list(run.path("tuning", "finals").glob(f"{who}-*"))
        kept = [read_json(f)["validation"]["subsets"] for f in places[0].glob("*/seed-*/facts.json")]
        judged = [v for one in result["chosen"][who]["candidates"] for v in one["validation"]]
        assert sorted(judged) == pytest.approx(sorted(kept), abs=1e-6) and len(kept) > 2


def _of_baseline(run: Run) -> str:
    return f"baseline-{next(run.path('tuning').glob('chosen-*.yaml')).stem}"


def test_a_point_that_costs_more_is_not_trained(whole: tuple[Run, dict], fresh: Callable, quick: None) -> None:
    """The same search where nothing may cost even half: only the recipe itself is trained."""
    run = fresh("small")
    same_costs(run)
    result = pipeline.run_tune(run, dataclasses.replace(LITTLE, max_cost=0.05, baseline=False))
    assert result["outcomes"]["costly"] == 3 and result["outcomes"]["finished"] == 1
    assert result["chosen"]["student"]["chosen"] == "recipe" and result["overrides"] == []

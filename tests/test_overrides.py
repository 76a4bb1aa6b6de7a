"""A run remembers what --set changed, and says so before it is undone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from suffuse import cli, pipeline
from suffuse.checked_json import write_checked
from suffuse.errors import SuffuseError
from suffuse.overrides import differing, notice, repeat
from suffuse.recipe import to_yaml
from suffuse.run import Run, recorded_overrides

SET = "teacher.train.epochs=2"


@pytest.fixture
def recipe(tmp_path, write_table, tiny_recipe) -> Path:
    """A recipe file whose run was prepared and taught with an override."""
    path = tmp_path / "recipe.yaml"
    made = Run.of(tiny_recipe(write_table(tmp_path / "table")), tmp_path / "run").recipe
    path.write_text(to_yaml(made), encoding="utf-8")
    run = Run.open(path, (SET,), tmp_path / "run")
    assert pipeline.run_stage(run, "prepare") and pipeline.run_stage(run, "teach")
    return path


def called(*args: object) -> tuple[str, str]:
    """stdout and stderr of a verb that ends well."""
    done = CliRunner().invoke(cli.app, list(map(str, args)))
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def plain(recipe: Path) -> Run:
    return Run.open(recipe, (), recipe.parent / "run")


def test_a_run_remembers_its_overrides(recipe: Path) -> None:
    run = recipe.parent / "run"
    assert recorded_overrides(run) == {"teacher.train.epochs": "2"}
    assert Run.open(run).overrides == {"teacher.train.epochs": "2"}
    assert Run.open(run, ("teacher.train.epochs=3", "seed=4")).overrides == {"teacher.train.epochs": "3", "seed": "4"}
    assert recorded_overrides(recipe.parent) == {}


def test_status_tells_the_overrides_what_differs_and_how_to_keep_the_run(recipe: Path) -> None:
    out = recipe.parent / "run"
    said = called("status", recipe, "--out", out)[0].splitlines()
    assert said[0] == f"run       this run was made with --set {SET}"
    assert said[1] == "          teacher.train.epochs: the recipe has 1, the run 2"
    assert said[2].startswith("          by this recipe teach, extract, ") and "moves to previous/" in said[2]
    assert said[3] == f"          to keep the run: suffuse run {out}, or repeat --set {SET}"
    assert f"{'teach':<9} teacher.train.epochs: 2 -> 1" in said
    found = json.loads(called("status", recipe, "--out", out, "--json")[0])
    differ = {"teacher.train.epochs": {"run": 2, "recipe": 1}}
    assert found["overrides"] == {"set": {"teacher.train.epochs": "2"}, "differ": differ}
    assert found["teach"] == {"up_to_date": False, "reasons": ["teacher.train.epochs: 2 -> 1"]}


@pytest.mark.parametrize("folder", [True, False])
def test_status_of_a_run_as_it_was_made_tells_the_overrides_alone(recipe: Path, folder: bool) -> None:
    run = recipe.parent / "run"
    args = (run,) if folder else (recipe, "--out", run, "--set", SET)
    said = called("status", *args)[0].splitlines()
    assert said[0] == f"run       made with --set {SET}"
    assert said[1:3] == [f"{'prepare':<9} up to date", f"{'teach':<9} up to date"]
    assert json.loads(called("status", *args, "--json")[0])["overrides"]["differ"] == {}


def test_what_is_rebuilt_without_an_override_is_said_before(recipe: Path, capsys: pytest.CaptureFixture) -> None:
    assert pipeline.run_stage(plain(recipe), "teach")
    said = capsys.readouterr().err
    assert said.index(f"made with --set {SET}") < said.index("to keep the run") < said.index("teach     done in")
    assert "by this recipe teach will be rebuilt" in said
    assert recorded_overrides(recipe.parent / "run") == {} and list((recipe.parent / "run/previous").glob("*/teacher"))
    assert not notice(plain(recipe), pipeline.plan(plain(recipe)))


def test_run_says_it_before_it_begins(recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def never(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "_do", never)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_all(plain(recipe))
    said = capsys.readouterr().err
    assert f"this run was made with --set {SET}" in said and "teach, extract, distill" in said


def test_a_repeated_override_is_no_difference_and_another_value_is_the_user_s_own(recipe: Path) -> None:
    out = recipe.parent / "run"
    assert not differing(Run.open(recipe, (SET,), out))
    assert differing(Run.open(recipe, ("teacher.train.epochs=3",), out)) == {"teacher.train.epochs": (2, 3)}


def test_a_value_with_keys_of_its_own_is_compared_key_by_key(recipe: Path, write_table, tiny_recipe) -> None:
    out = recipe.parent / "run"
    facts = json.loads((out / "run.json").read_text())
    write_checked(out / "run.json", {**facts, "overrides": {"teacher.train": "{epochs: 2}"}})
    assert differing(plain(recipe)) == {"teacher.train.epochs": (2, 1)}


@pytest.mark.parametrize("broken", ["{}", '{"overrides": 3}', '{"overrides": {"a": [1]}}'])
def test_a_run_without_a_record_or_with_a_broken_recipe_has_no_notice(recipe: Path, broken: str) -> None:
    out = recipe.parent / "run"
    (out / "run.json").write_text(broken)
    assert notice(plain(recipe), {"teach": ["why"]}) == []
    (out / "recipe.yaml").write_text("[")
    assert differing(plain(recipe)) == {}


@pytest.mark.parametrize("broken", ["", "[]"])
def test_a_record_that_is_none_is_named(recipe: Path, broken: str) -> None:
    file = recipe.parent / "run" / "run.json"
    file.write_text(broken)
    with pytest.raises(SuffuseError, match=r"run\.json"):
        notice(plain(recipe), {"teach": ["why"]})


def test_how_to_repeat_a_run_quotes_what_a_shell_would_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = yaml.safe_load("{data: {source: rows.csv, target: a}, modalities: {}}")
    run = Run(tmp_path / "my run", made, {"evaluate.label_curve": "[0.1, 0.3]"})
    monkeypatch.chdir(tmp_path)
    said = repeat(run, Path("recipe.yaml"))
    flags = "--set 'evaluate.label_curve=[0.1, 0.3]'"
    assert (
        said == f"run       made with {flags}; to repeat it: suffuse run 'my run', or suffuse run recipe.yaml {flags}"
    )
    assert repeat(run, tmp_path).endswith("to repeat it: suffuse run 'my run'")

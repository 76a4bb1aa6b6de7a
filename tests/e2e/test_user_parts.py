"""Parts of the user's own, from a file beside the recipe or an installed package; artefacts never run their code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_tools import check_failure, check_success, suffuse, suffuse_process

from suffuse import Predictor, Run, UsageError, allow_parts, losses, pipeline, user_parts
from suffuse.model import open_model
from suffuse.registry import is_loaded, settings

PARTS = Path(__file__).parent / "own_parts.py"


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts as a new process does."""
    monkeypatch.setenv(user_parts.VARIABLE, "")
    monkeypatch.setattr(user_parts, "_loaded", {})
    monkeypatch.setattr(user_parts, "_files", {})


def own(name: str) -> str:
    return f"own_parts.py:{name}"


def with_own_parts(recipe: dict[str, Any]) -> dict[str, Any]:
    """A tiny recipe with an encoder, a fusion, a loss and a probe of the user's own."""
    recipe["student"] = {
        "encoders": {
            "picture": {"kind": own("MeanColour"), "width": 5},
            "question": {"kind": "gru", "embedding": 4, "width": 4},
        },
        "fusion": {"kind": own("MeanFusion"), "width": 6},
    }
    recipe["distill"]["losses"] = {
        "labels": {"kind": "task"},
        "squares": {"kind": own("SquaredLogits"), "weight": 0.5, "scale": 0.1},
    }
    recipe["evaluate"] = {"probes": [own("CountRows")], "resamples": 100, "classical_baselines": False}
    recipe["export"] = {"int8": "off", "teacher": False, "torch": True}
    return recipe


@dataclass(frozen=True)
class Project:
    """A folder with a table, a recipe and the parts' file, and its run."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def imported(self) -> bool:
        """Whether the parts' file was imported since this was asked last."""
        mark = self.folder / "imported"
        was_there = mark.exists()
        mark.unlink(missing_ok=True)
        return was_there


def write_project(folder: Path, recipe: dict[str, Any]) -> Project:
    shutil.copy(PARTS, folder / PARTS.name)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return Project(folder)


@pytest.fixture(scope="module")
def done(
    build_once: Callable[..., Path], write_table: Callable[..., Path], tiny_recipe: Callable[..., dict]
) -> Project:
    """A finished run with parts of the user's own."""

    def make(folder: Path) -> None:
        source = write_table(folder / "table")
        project = write_project(folder, with_own_parts(tiny_recipe(source)))
        check_success(suffuse("run", project.recipe, "--out", project.run))

    return Project(build_once("own parts", PARTS.read_text(), make))


@pytest.mark.slow
def test_a_recipe_s_own_parts_are_trained_measured_and_exported(done: Project) -> None:
    history = (done.run / "student" / "seed-1" / "metrics.jsonl").read_text().splitlines()
    assert set(json.loads(history[-1])["terms"]) == {"labels", "squares"}
    assert json.loads((done.run / "scores" / "student.json").read_text())["counted"] > 0
    recipe = yaml.safe_load((done.run / "recipe.yaml").read_text())
    assert recipe["distill"]["losses"]["squares"]["kind"] == f"{done.folder / PARTS.name}:SquaredLogits"


@pytest.mark.slow
def test_an_export_predicts_and_a_run_is_read_without_the_code(done: Project) -> None:
    done.imported()
    predictor = Predictor.load(done.run / "export")
    assert predictor.predict({"question": "what colour has thing 3"}).label
    run = Run.open(done.run)
    assert not any(pipeline.plan(run).values())
    assert not is_loaded(run.recipe.distill.losses["squares"]) and not is_loaded(run.recipe.student.fusion)
    assert run.recipe.distill.losses["squares"].weight == 0.5
    for verb in ("status", "doctor", "run", "report", "check"):
        result = suffuse(verb, done.run)
        assert result.code in (0, 1) and "Traceback" not in result.err
    assert not done.imported()


@pytest.mark.slow
def test_a_saved_network_and_a_stage_need_permission(done: Project, tmp_path: Path) -> None:
    done.imported()
    for folder in (done.run / "student" / "seed-1", done.run / "export"):
        with pytest.raises(UsageError, match="isn't run unasked"):
            open_model(folder)
    copy = shutil.copytree(done.run, tmp_path / "copy")
    check_failure(suffuse("run", copy, "--from", "evaluate"), 2, "isn't run unasked", "--run-code")
    assert not done.imported()
    check_success(suffuse("run", copy, "--from", "evaluate", "--run-code"))
    assert done.imported()
    allow_parts(*(f"{done.folder / own(name)}" for name in ("MeanColour", "MeanFusion")))
    assert open_model(done.run / "student" / "seed-1").size() > 0


@pytest.mark.slow
def test_a_changed_file_makes_its_stages_stale(done: Project, tmp_path: Path) -> None:
    stale = {verb: why for verb, why in pipeline.plan(Run.open(done.recipe, folder=done.run)).items() if why}
    assert not stale
    file = done.folder / PARTS.name
    try:
        file.write_text(PARTS.read_text() + "\n# changed\n")
        for opened in (Run.open(done.recipe, folder=done.run), Run.open(done.run)):
            plan = pipeline.plan(opened)
            assert not plan["prepare"] and not plan["teach"]
            assert any("student.fusion.kind names has changed" in why for why in plan["distill"])
    finally:
        file.write_text(PARTS.read_text())


@pytest.mark.slow
def test_a_recipe_inside_a_run_folder_is_no_recipe_of_the_user_s(done: Project) -> None:
    done.imported()
    assert not is_loaded(Run.open(done.run / "recipe.yaml").recipe.student.fusion)
    assert not done.imported()


@pytest.mark.slow
@pytest.mark.long
def test_a_modality_and_a_teacher_of_one_s_own(
    write_table: Callable[..., Path], tiny_recipe: Callable[..., dict], tmp_path: Path
) -> None:
    recipe = tiny_recipe(write_table(tmp_path / "table"))
    recipe["modalities"]["question"] = {"kind": own("TextSize"), "column": "text"}
    recipe["teacher"] = {"kind": own("FirstClass"), "certainty": 3.0}
    recipe["student"]["encoders"]["question"] = {"kind": own("Linear")}
    recipe["evaluate"] = {"probes": [], "resamples": 100, "classical_baselines": False}
    recipe["export"] = {"int8": "off", "teacher": False}
    project = write_project(tmp_path, recipe)
    check_success(suffuse("run", project.recipe, "--out", project.run))
    rows = tmp_path / "table" / "rows.csv"
    assert project.imported()
    user_parts._loaded.clear(), user_parts._files.clear()
    check_failure(suffuse("predict", project.run, rows), 2, "isn't run unasked")
    assert not project.imported()
    answers = check_success(suffuse("predict", project.run, rows, "--run-code")).out.splitlines()
    assert len(answers) == 73 and project.imported()
    changed = check_success(suffuse("status", project.recipe, "--out", project.run, "--set", "teacher.certainty=2"))
    assert "teacher.certainty: 3.0 -> 2" in changed.out


def test_only_a_recipe_that_the_user_gives_imports_code(tiny_recipe: Callable[..., dict], tmp_path: Path) -> None:
    project = write_project(tmp_path, with_own_parts(tiny_recipe(tmp_path / "rows.csv")))
    assert not is_loaded(Run.open(tmp_path).recipe.student.fusion)  # as a run folder, whatever else it holds
    assert not project.imported()
    run = Run.open(project.recipe)
    assert is_loaded(run.recipe.student.fusion) and project.imported()
    loss = run.recipe.distill.losses["squares"]
    assert loss.get("scale") == 0.1 and loss.references() == {"kind": str(tmp_path / PARTS.name)}
    assert Run.of(with_own_parts(tiny_recipe(tmp_path / "rows.csv")), tmp_path / "r", tmp_path).recipe == run.recipe


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("gone.py:SquaredLogits", {}, ("no such file",)),
        ("own_parts.py:SquaredLogit", {}, ("no such class", "SquaredLogits")),
        ("own_parts.py:Path", {}, ("no settings",)),
        ("broken.py:Any", {}, ("your code failed", "ZeroDivisionError", "broken.py:1")),
        ("own_parts.py:CountRows", {}, ("no settings",)),
        ("own_parts.py:MeanColour", {}, ("incomplete", "loss")),
        ("own_parts.py:SquaredLogits", {"scal": 1}, ("unknown key", "scale")),
        ("own_parts.py:SquaredLogits", {"weight": 0}, ("weight",)),
    ],
)
def test_what_is_wrong_with_a_part_is_told(
    kind: str, change: dict[str, Any], words: tuple[str, ...], tiny_recipe: Callable[..., dict], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    recipe = tiny_recipe(tmp_path / "rows.csv")
    recipe["distill"]["losses"] = {"squares": {"kind": kind, **change}}
    project = write_project(tmp_path, recipe)
    result = suffuse("status", project.recipe)
    assert result.code == 2 and len(result.errors) == 1, result.err
    said = " ".join([*result.errors, *result.hints])
    assert all(word in said for word in words), said


def test_an_edited_file_is_imported_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = "from suffuse.registry import PartSettings\nclass L:\n    class Settings(PartSettings):\n"
    text += "        weight: float = {}\n"
    for weight in (1.0, 2.0):
        file.write_text(text.format(weight))
        allow_parts(f"{file}:L")
        assert settings(losses.TABLE, {"kind": f"{file}:L"}).weight == weight


def test_an_installed_package_brings_parts(monkeypatch: pytest.MonkeyPatch, tiny_recipe: Any, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(PARTS.parent))
    point = EntryPoint("squares", "own_parts:SquaredLogits", "suffuse.losses")
    monkeypatch.setattr(user_parts, "installed", lambda group: {"squares": point} if group == "losses" else {})
    sys.modules.pop("own_parts", None)
    recipe = tiny_recipe(tmp_path / "rows.csv")
    recipe["distill"]["losses"] = {"soft": {"kind": "squares", "scale": 2}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert not is_loaded(Run.open(tmp_path).recipe.distill.losses["soft"]) and "own_parts" not in sys.modules
    loss = Run.open(tmp_path / "recipe.yaml").recipe.distill.losses["soft"]
    monkeypatch.setattr(user_parts, "package_of", lambda kind: "numpy")
    assert loss.references() == {"kind": "package:numpy"}
    assert loss.kind == "squares" and loss.get("scale") == 2 and "own_parts" in sys.modules
    assert losses.load_loss("squares").DOCS.summary == "The mean squared difference of logits."
    recipe["distill"]["losses"] = {"soft": {"kind": "square"}}
    with pytest.raises(UsageError) as caught:
        Run.of(recipe, tmp_path / "r")
    assert "squares" in caught.value.line()
    sys.modules.pop("own_parts", None)


@pytest.mark.slow
@pytest.mark.long
def test_in_a_process_of_its_own_an_export_loads_no_code(done: Project, tmp_path: Path) -> None:
    done.imported()
    check_success(suffuse_process("predict", done.run, done.folder / "table" / "rows.csv", "-o", tmp_path / "p.csv"))
    assert not done.imported()

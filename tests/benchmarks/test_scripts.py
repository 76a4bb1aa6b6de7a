"""Every benchmark script runs on made-up data."""

from __future__ import annotations

import ast
import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from chat_server import Said, serving

import shipped
from suffuse import pipeline
from suffuse.run import Run
from toy import toy_run
from toy_data import write_data_sets

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(file.stem for file in FOLDER.glob("*.py"))
ON_A_TOY = {  # script -> its arguments; RUN is a finished run, PICTURES a folder, RATED a file
    "overhead": ["--toy", "--seconds", "0"],
    "store": ["--toy", "--pairs", "1"],
    "processes": ["--steps", "1", "--turns", "1"],
    "prepare": ["PICTURES", "--blocks", "1", "--block", "8"],
    "evidence": ["--pairs", "1"],
    "answers": ["RUN", "--rows", "20", "--views", "1"],
    "export": ["RUN"],
    "targets": ["RUN"],
    "predict": ["RUN", "--rows", "20", "40"],
    "scale": ["300", "600"],
    "own_tables": [
        ".",
        "digits",
        "--set",
        "teacher.train.epochs=1",
        "--set",
        "teacher.portfolio.folds=2",
        "--set",
        "distill.train.epochs=1",
        "--set",
        "distill.num_seeds=1",
        "--set",
        "evaluate.classical_baselines=false",
    ],
    "finetuning": ["RATED", "frozen", "frozen first", "--train", "16", "--validation", "8", "--epochs", "1"],
    "teacher_gains": [".", "RATED", "reviews", "--train", "24", "--validation", "8"],
    "serve": ["RUN", "--only", "soak", "--requests", "60"],
}
JUDGES = {"targets", "predict", "scale", "serve"}  # end with 1 where a target isn't reached, as a toy may
TUNE = ["--trials", "2", "--processes", "1", "--seeds", "2"]
OF_SCENARIOS = {  # script, which takes the scenarios' data sets -> cases that run its whole path, its other arguments
    "causes": (["crossed", "blended"], ["--epochs", "2", "--seeds", "1"]),
    "distillation": (["few"], []),
    "scenarios": (["questions"], []),
    "speech": (["privileged"], ["--seeds", "2"]),
    "tune": (["questions"], [*TUNE, "--no-baseline"]),
    "verdicts": (["questions"], []),
}
ONE_BY_DEFAULT = [n if n == "scenarios" else pytest.param(n, marks=pytest.mark.long) for n in sorted(OF_SCENARIOS)]
TELLS = {"causes": "\n{}, 2 epochs, seed ", "tune": "\n{}, searched for "}  # how a case's result begins
RESULT = "\n{}\n"  # elsewhere
OF_ANOTHER_TOOL = {"peers", "gguf_server", "whisper_folder"}  # which no environment of ours has
OF_A_TEACHER = {"asked_teacher", "zero_shot_teacher"}  # that needs no label
LIBRARIES = {
    "anywhere", "autogluon_peer", "copies", "digits_table", "pooled", "result_file", "rows", "seeds", "shipped", "soak",
    "summary", "toy", "toy_data", "trials",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = toy_run(tmp_path_factory.mktemp("toy"))
    pipeline.run_all(run)
    return run


def called(*command: str, cwd: Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH", ""))))
    settings = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=settings, capture_output=True, text=True, timeout=seconds, check=False
    )


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``ended(script, *arguments, cwd=folder)``: exit code and stderr of a script in this process, which has loaded
    what takes it seconds. For what ends before anything is computed."""

    def run(name: str, *arguments: str, cwd: Path) -> tuple[int, str]:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", [str(FOLDER / f"{name}.py"), *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(sys.argv[0], run_name="__main__")
        return int(end.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_sets(tmp_path_factory.mktemp("data-sets"))


def results() -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in (FOLDER / "results").glob("*")}


def test_every_script_is_one_of_the_kinds():
    assert sorted({*ON_A_TOY, *OF_SCENARIOS, *OF_ANOTHER_TOOL, *OF_A_TEACHER, *LIBRARIES}) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_can_be_imported(name: str):
    assert Path(str(importlib.import_module(name).__file__)).parent == FOLDER


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(ON_A_TOY))
def test_a_script_runs_on_a_made_up_data_set(name: str, finished: Run, tmp_path: Path):
    rated = tmp_path / "rated.txt"
    rated.write_text("".join(f"{n}\t{3 * (-1) ** n}\ta {('good', 'bad')[n % 2]} film {n}\n" for n in range(40)))
    pictures = finished.folder.parent / "data" / "pictures"
    places = {"RUN": str(finished.folder), "PICTURES": str(pictures), "RATED": str(rated)}
    before = results()
    done = called(str(FOLDER / f"{name}.py"), *(places.get(a, a) for a in ON_A_TOY[name]), cwd=tmp_path)
    judged = name in JUDGES and done.returncode == 1 and ("MISSED" in done.stdout or "AssertionError" in done.stderr)
    assert done.returncode == 0 or judged, done.stdout + done.stderr
    assert done.stdout.strip()
    assert before == results()


@pytest.mark.slow
def test_a_tool_that_is_not_there_is_named(tmp_path: Path, ended):
    code, error = ended("peers", ".", "digits", "--python", sys.executable, cwd=tmp_path)
    assert code == 2 and f"{sys.executable} has no AutoGluon" in error
    code, error = ended("peers", ".", "nothing", "--python", sys.executable, cwd=tmp_path)
    assert code == 2 and "no such table: nothing" in error


@pytest.mark.long
def test_a_teacher_is_asked_on_a_local_server(data_sets: Path, tmp_path: Path):
    def rule(text: str, before: int) -> Said:
        return Said(text.rpartition("Product: ")[2].split()[0])  # the toy's titles begin with the class

    before = results()
    with serving(rule) as server:
        command = [str(FOLDER / "asked_teacher.py"), str(data_sets), "--url", server.url, "--rows", "30"]
        done = called(*command, "--out", str(tmp_path / "runs"), cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert server.bodies[0]["grammar"].startswith('root ::= " ')
    facts = json.loads(done.stdout)
    assert facts["teacher"]["train"] == {"rows": 30, "answered": 30, "accuracy": 1.0}
    assert set(facts["test"]) == {
        "teacher", "student, no human label", "labels-only baseline, human labels",
        "student, human labels and the teacher",
    }  # fmt: skip
    assert before == results()


@pytest.mark.long
def test_titles_are_compared_with_the_names_of_classes(data_sets: Path, tmp_path: Path):
    before = results()
    command = [str(FOLDER / "zero_shot_teacher.py"), str(data_sets), "--rows", "30", "--out", str(tmp_path / "runs")]
    done = called(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert facts["validation"]["title: class names"]["accuracy"] == 1.0  # the toy's titles have the class's name
    assert len(facts["validation"]) == 6 and len(facts["test"]) == 4
    assert before == results()


def run_cases(name: str, arguments: list[str], cases: list[str], data: Path, cwd: Path) -> None:
    """A script runs on the scenarios' data sets, and prints the result of each of these cases."""
    before = results()
    command = [str(FOLDER / f"{name}.py"), str(data), *arguments, "--toy", "--out", str(cwd / "runs")]
    done = called(*command, cwd=cwd, seconds=1200)
    wrote = done.stdout + done.stderr
    assert done.returncode == 0 or (done.returncode == 1 and name in {"scenarios", "tune"}), wrote  # a toy may miss
    assert "Traceback" not in done.stderr, wrote
    for case in cases:
        assert TELLS.get(name, RESULT).format(case) in f"\n{done.stdout}", wrote
    assert before == results()


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(OF_SCENARIOS))
def test_a_script_of_the_scenarios_runs_on_made_up_data(name: str, data_sets: Path, tmp_path: Path):
    cases, more = OF_SCENARIOS[name]
    run_cases(name, [*cases, *more], cases, data_sets, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_BY_DEFAULT)
def test_an_unknown_case_is_refused_with_those_that_there_are(name: str, data_sets: Path, tmp_path: Path, ended):
    code, error = ended(name, str(data_sets), "no such case", cwd=tmp_path)
    assert code == 2 and "got no such case, expected " in error
    assert OF_SCENARIOS[name][0][0] in error.rpartition("expected ")[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_BY_DEFAULT)
def test_a_toy_is_never_kept(name: str, data_sets: Path, tmp_path: Path, ended):
    code, error = ended(name, str(data_sets), "--toy", "--write", cwd=tmp_path)
    assert code == 2 and "--toy measures nothing that --write could keep" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", sorted(shipped.TOYS))
def test_a_recipe_is_a_toy_only_where_it_is_asked_for(recipe: str, tmp_path: Path, monkeypatch):
    asked = ["distill.train.epochs=80"]
    whole = Run.open(shipped.RECIPES / f"{recipe}.yaml", asked, tmp_path)
    assert shipped.opened(recipe, tmp_path, asked).recipe == whole.recipe
    assert list(shipped.folds_run(5)) == [0, 1, 2, 3, 4]
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(shipped, "_at_the_end", {})
    shipped.as_toys(tmp_path)
    toy = shipped.opened(recipe, tmp_path, asked).recipe
    assert toy.distill.train.epochs == 1 and list(shipped.folds_run(5)) == [0, 1]


@pytest.mark.long
def test_overhead_tells_all_pairs_of_all_three_comparisons(tmp_path: Path):
    done = called(str(FOLDER / "overhead.py"), "--toy", "--seconds", "0", cwd=tmp_path)
    end = done.stdout.rindex("}") + 1
    found = json.loads(done.stdout[:end])
    names = ["step, student / labels alone", "epoch, student / labels alone", "fit, student / bare loop"]
    assert [name for name in found if "/" in name] == names
    assert all(len(found[name]["pairs"]) >= 3 and found[name]["median"] > 0 for name in names)


def test_no_script_stands_in_for_the_training_that_it_measures():
    """overhead.py takes its objective and plan from where distill takes them."""
    tree = ast.parse((FOLDER / "overhead.py").read_text(encoding="utf-8"))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert {"prepared", "fit"} <= imported and not {"Objective", "Sampler"} & imported

"""What a user without extras sees: every command works or names the extra that it needs, in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import Finished, Result, environment, undo

from suffuse.console import EXTRAS
from suffuse.stages import STAGES

# Runs each command of a list in this one process, without the packages of the extras and some modules of Python's.
RUNNER = """
import contextlib, importlib.abc, io, json, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = set(json.loads(sys.argv[1]))
commands = json.loads(sys.argv[2])
for name in [name for name in sys.modules if name.partition(".")[0] in BLOCKED]:
    del sys.modules[name]
sys.meta_path.insert(0, Blocked())
from suffuse.cli import main

for command in commands:
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["suffuse", *command]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
OTHERS = ("optuna", "captum", "transformers", "timm", "pandas", "sqlalchemy", "tensorboard")


def without(packages: list[str], commands: list[list[Any]], cwd: Path) -> list[Result]:
    """How each command ends where none of these packages is installed."""
    lines = [json.dumps(packages), json.dumps([[str(word) for word in command] for command in commands])]
    ran = subprocess.run(
        [sys.executable, "-c", RUNNER, *lines], cwd=cwd, env=environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return [Result(*json.loads(line)) for line in ran.stdout.splitlines()]


def check_one_line(result: Result, *words: str) -> None:
    """An error in one line, with a way out."""
    assert "defect" not in result.err and "Traceback" not in result.err, result.err
    assert len(result.errors) == len(result.hints) == 1, result.err
    for word in words:
        assert word in result.err


def test_every_command_works_or_names_its_extra(finished: Finished, copied: Path, tmp_path: Path) -> None:
    packages = sorted({*EXTRAS, *OTHERS})
    run, rows = copied, finished.project / "rows.csv"
    works = [
        ["--help"], ["--version"], ["check", finished.recipe, "--out", tmp_path / "new"], ["status", run],
        ["prepare", run], ["knowledge", "show", run], ["predict", run, rows, "-o", tmp_path / "answers.csv"],
        ["init", rows, "--target", "answer", "-o", tmp_path / "made.yaml"],
    ]  # fmt: skip
    lacks = {
        "train": [
            ["run", run], ["doctor", run], ["compare", run, run], ["explain", run, "--row", "r1"],
            ["knowledge", "verify", run], ["knowledge", "export", run, "-o", tmp_path / "a.parquet"],
            ["run", finished.recipe, "--out", tmp_path / "b"],
        ],
        "tune": [["tune", run]],
        "serve": [["serve", run]],
    }  # fmt: skip
    for verb in [*STAGES][1:]:
        lacks["train"].append([verb, undo(Path(shutil.copytree(finished.run, tmp_path / f"until {verb}")), verb)])
    commands = [*works, *(command for some in lacks.values() for command in some)]
    found = dict(zip(map(str, commands), without(packages, commands, tmp_path), strict=True))
    for command in works:
        result = found[str(command)]
        assert result.code == 0 and not result.errors, f"{command}: {result.err}"
    for extra, some in lacks.items():
        for command in some:
            result = found[str(command)]
            assert result.code != 0, command
            check_one_line(result, "isn't installed", f"pip install 'suffuse[{extra}]'")


def test_without_file_locks_every_command_works_or_says_so(finished: Finished, copied: Path, tmp_path: Path) -> None:
    """As on Windows, which lacks these modules of Python's."""
    rows = finished.project / "rows.csv"
    commands = [
        ["--help"], ["status", copied], ["check", finished.recipe, "--out", tmp_path / "new"],
        ["predict", copied, rows, "-o", tmp_path / "answers.csv"],
        ["prepare", finished.recipe, "--out", tmp_path / "b"],
    ]  # fmt: skip
    results = without(["fcntl", "resource", "pwd", "grp", "termios"], commands, tmp_path)
    for result in results[:3]:
        assert result.code == 0, result.err
    for result in results[3:]:
        assert result.code == 1
        check_one_line(result, "can't lock files on this system", "Linux, macOS or WSL")
    assert not (tmp_path / "answers.csv").exists()


def test_the_public_names_are_there_without_file_locks(tmp_path: Path) -> None:
    code = "import sys; sys.modules['fcntl'] = None; import suffuse; suffuse.Predictor; suffuse.Run; suffuse.plan"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("encoding", ["ascii", *(pytest.param(e, marks=pytest.mark.long) for e in ("cp1252", "utf-8"))])
def test_a_table_in_chinese_in_any_encoding_of_the_terminal(tmp_path: Path, encoding: str) -> None:
    rows = "".join(f"类别{n % 2},很好的天气 {n} 🌞,{n}\n" for n in range(40))
    (tmp_path / "天气.csv").write_text("答案,文字,年龄\n" + rows, encoding="utf-8")
    command = [sys.executable, "-m", "suffuse", "init", "天气.csv", "--target", "答案", "-o", "天气.yaml", "--json"]
    options = {"cwd": tmp_path, "capture_output": True, "check": False}
    ran = subprocess.run(command, env=environment(PYTHONIOENCODING=encoding), **options)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.decode("utf-8"))
    assert said["recipe"] == "天气.yaml" and {c["name"] for c in said["columns"]} == {"答案", "文字", "年龄"}
    ran = subprocess.run([*command[:3], "check", "天气.yaml"], env=environment(PYTHONIOENCODING=encoding), **options)
    assert ran.returncode == 0, ran.stderr
    # Typer writes UTF-8 where stdout is said to take ASCII alone
    assert (rb"\u6587\u5b57" if encoding == "cp1252" else "文字".encode()) in ran.stdout


@pytest.mark.slow
@pytest.mark.long
def test_a_locale_of_ascii_changes_no_argument_and_no_file_name(tmp_path: Path) -> None:
    rows = "".join(f"类别{n % 2},很好的天气 {n},{n}\n" for n in range(40))
    (tmp_path / "天气.csv").write_text("答案,文字,年龄\n" + rows, encoding="utf-8")
    ascii_only = {k: v for k, v in environment().items() if not k.startswith(("LC_", "LANG", "PYTHONIOENCODING"))}
    ascii_only |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "suffuse", "init", "天气.csv", "--target", "答案", "-o", "天气.yaml"]
    options = {"cwd": tmp_path, "env": ascii_only, "capture_output": True, "check": False}
    ran = subprocess.run(command, **options)
    assert ran.returncode == 0, ran.stderr
    assert "target: 答案" in (tmp_path / "天气.yaml").read_text(encoding="utf-8")
    assert "答案" in ran.stderr.decode("utf-8")
    ran = subprocess.run([*command[:3], "check", "天气.yaml"], **options)
    assert ran.returncode == 0, ran.stderr
    ran = subprocess.run([*command[:-2], "-o", "天气.yaml"], **options)
    assert ran.returncode == 2 and "天气.yaml" in ran.stderr.decode("utf-8")

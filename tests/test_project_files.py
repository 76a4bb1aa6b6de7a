"""CONTRIBUTING.md, Makefile, workflow, pre-commit and pyproject.toml agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.M)) - {"help"}


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    """All steps of the workflow's jobs."""
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_the_workflow_keeps_to_its_host_s_schema() -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_schema_refuses_an_unknown_key(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    broken = tmp_path / "ci.yml"
    broken.write_text(WORKFLOW.read_text(encoding="utf-8").replace("runs-on:", "run-on:", 1), encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(broken)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_the_workflow_runs_nothing_but_make_targets(steps: list[dict[str, Any]]) -> None:
    commands = [step["run"] for step in steps if "run" in step]
    assert {command.removeprefix("make ") for command in commands} == {
        "check", "test", "test-long", "test-lowest", "docs", "test-wheel",
    }  # fmt: skip
    assert {command.removeprefix("make ") for command in commands} <= TARGETS


def test_the_workflow_tests_every_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    tested = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert named == tested
    assert project["requires-python"] == f">={named[0]}"


def test_contributing_names_every_make_target() -> None:
    assert set(re.findall(r"^\| `make ([a-z-]+)` \|", CONTRIBUTING, re.M)) == TARGETS


def test_contributing_names_only_paths_that_exist() -> None:
    paths = re.findall(r"`([\w./-]+/[\w./-]*)`", CONTRIBUTING) + re.findall(r"pytest (tests/\S+)", CONTRIBUTING)
    made = (".venv", "site/", ".venv-lowest")
    missing = [path for path in paths if not path.startswith(made) and not (ROOT / path).exists()]
    assert not missing
    assert len(paths) > 20


def test_pre_commit_runs_the_commands_of_make_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    entries = {hook["entry"].replace(".venv/bin", "$(BIN)") for hook in hooks}
    check = re.search(r"^check:.*\n((?:\t.+\n)+)", MAKEFILE, re.M)
    assert check and {line.strip() for line in check[1].splitlines()} <= entries


@pytest.fixture(scope="module")
def install_torch(load_tool: Any) -> Any:
    """tools/install_torch.py as a module."""
    return load_tool("install_torch")


@pytest.mark.parametrize(
    ("listed", "newest"),
    [
        ("Available versions: 2.15.0, 2.14.1, 2.13.0+cpu, 2.13.0, 2.9.1+cpu", "2.13.0+cpu"),
        ("Available versions: 2.9.1+cpu, 2.10.0+cpu, 2.10.0+cu130", "2.10.0+cpu"),
        ("Available versions: 2.15.0, 2.14.1+cu130", None),
        ("", None),
    ],
)
def test_the_newest_build_without_gpu_kernels_is_taken(install_torch: Any, listed: str, newest: str | None) -> None:
    assert install_torch.newest_build(listed) == newest


def test_the_build_is_one_that_the_package_allows(install_torch: Any) -> None:
    assert re.fullmatch(r"torch>=\d+\.\d+", install_torch.requirement(ROOT / "pyproject.toml"))

"""The list of mutants is in order: each can be applied, and its tests are there. `make mutants` runs them."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    """``run.py``, which is a script."""
    spec = importlib.util.spec_from_file_location("mutants_run", Path(__file__).with_name("run.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


run = load()
MUTANTS = run.mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_can_be_applied_and_its_tests_are_there(mutant) -> None:
    mutant.applied((ROOT / "src" / "suffuse" / mutant.file).read_text(encoding="utf-8"))
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_text_that_is_not_there_once_is_an_error() -> None:
    for before, after in (("absent", "x"), ("a", "b"), ("one = 1", "one = 1"), ("one = 1", "one =")):
        with pytest.raises((ValueError, SyntaxError)):
            run.Mutant("m", "f.py", before, after, ("t",)).applied("one = 1\na = one + a\n")


SOURCE = "def double(x):\n    return 2 * x\n"
TESTS = """
import package.part
def test_double(): assert package.part.double(3) == 6
def test_zero(): assert package.part.double(0) == 0
"""


@pytest.mark.parametrize(
    ("after", "tests", "state"),
    [
        ("3 * x", ("test_double",), "killed"),
        ("3 * x", ("test_zero",), "SURVIVED"),
        ("3 * x", ("test_double", "test_zero"), "SURVIVED"),
        ("3 * x", ("test_absent",), "ERROR"),
    ],
)
def test_a_mutant_is_killed_where_each_of_its_tests_fails(tmp_path, monkeypatch, after, tests, state) -> None:
    (tmp_path / "src" / "package").mkdir(parents=True)
    (tmp_path / "src" / "package" / "part.py").write_text(SOURCE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_part.py").write_text(TESTS)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # whatever lies in the folders above
    monkeypatch.setattr(run, "PACKAGE", "package")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take seconds to import
    mutant = run.Mutant("m", "part.py", "2 * x", after, tuple(f"tests/test_part.py::{test}" for test in tests))
    assert run.judge(mutant, tmp_path / "src")[0] == state
    assert (tmp_path / "src" / "package" / "part.py").read_text() == SOURCE

"""Mutation tests of chosen behaviours: changes one text of the source at a time, and sees whether the named tests fail.

    python tests/mutants/run.py [WORDS ...] [--jobs N] [--list]

``mutants.toml`` beside this file holds the list. Each mutant is applied to a copy of ``src`` in a temporary folder,
which the tests import through PYTHONPATH; the checkout is never changed. A mutant is *killed* where each of its tests
fails, and *survives* where one of them passes. WORDS choose mutants whose names hold one of them. The exit code is 1
where a mutant survives or can't be judged.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.toml")
PACKAGE = "suffuse"
SECONDS = 900  # that the tests of one mutant may take
KILLED, SURVIVED, ERROR = "killed", "SURVIVED", "ERROR"


@dataclass(frozen=True)
class Mutant:
    """A change of one file, and the tests that must fail with it."""

    name: str
    file: str  # below src/suffuse
    before: str  # stands in the file exactly once
    after: str
    tests: tuple[str, ...]  # file::function

    def applied(self, source: str) -> str:
        """The source with the change. Raises ValueError where ``before`` doesn't stand in it exactly once, or where the
        result isn't Python: that would fail any test."""
        count = source.count(self.before)
        if count != 1:
            raise ValueError(f"{self.file}: the text to replace stands there {count} times: {self.before!r}")
        changed = source.replace(self.before, self.after)
        if changed == source:
            raise ValueError(f"{self.file}: the change changes nothing")
        if self.file.endswith(".py"):
            compile(changed, self.file, "exec")
        return changed


def mutants(file: Path = LIST) -> list[Mutant]:
    """The list, in order."""
    with file.open("rb") as opened:
        return [Mutant(**{**facts, "tests": tuple(facts["tests"])}) for facts in tomllib.load(opened)["mutant"]]


def outcomes(source: Path, tests: Sequence[str], report: Path) -> tuple[int, dict[str, bool]]:
    """Run tests against a copy of the source: pytest's exit code, and of each test whether a case of it failed."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    command += ["--exitfirst"] if len(tests) == 1 else []  # of one test's cases the first that fails says enough
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS, check=False)
    failed = dict.fromkeys(tests, False)
    for case in ET.parse(report).iter("testcase") if report.exists() else ():
        place = case.get("classname", "").replace(".", "/") + ".py"
        name = f"{place}::{case.get('name', '').partition('[')[0]}"
        if name in failed:
            failed[name] |= case.find("failure") is not None or case.find("error") is not None
    return result.returncode, failed


def judge(mutant: Mutant, source: Path) -> tuple[str, str]:
    """Whether a mutant is killed, and what to say of it. ``source``: a copy of ``src`` that nobody else uses."""
    file = source / PACKAGE / mutant.file
    original, report = file.read_text(encoding="utf-8"), source / "report.xml"
    try:
        file.write_text(mutant.applied(original), encoding="utf-8")
        code, failed = outcomes(source, mutant.tests, report)
    except (ValueError, SyntaxError, subprocess.TimeoutExpired) as error:
        return ERROR, str(error)
    finally:
        file.write_text(original, encoding="utf-8")
        report.unlink(missing_ok=True)
    if code not in (0, 1):  # nothing was run: a test of that name isn't there, or pytest was stopped
        return ERROR, f"pytest ended with exit code {code}"
    passed = [test for test, fails in failed.items() if not fails]
    return (SURVIVED, ", ".join(passed)) if passed else (KILLED, "")


def imported(source: Path) -> bool:
    """Whether tests import the package from this copy."""
    code = f"import {PACKAGE}; print({PACKAGE}.__file__)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True)
    return result.stdout.strip() == str(source / PACKAGE / "__init__.py")


def run(some: Sequence[Mutant], jobs: int) -> int:
    """Judge mutants, so many at a time; the number that isn't killed."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copy = Path(folder).resolve() / str(number)
            shutil.copytree(ROOT / "src" / PACKAGE, copy / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
            copies.put(copy)
        if not imported(copy):
            raise SystemExit(f"{PACKAGE} isn't imported from the copy of its source")
        tests = sorted({test for mutant in some for test in mutant.tests})
        code, failed = outcomes(copy, tests, copy / "report.xml")
        if code:
            broken = ", ".join(test for test, fails in failed.items() if fails) or f"pytest's exit code is {code}"
            raise SystemExit(f"tests fail without any change: {broken}")

        def one(mutant: Mutant) -> tuple[str, str]:
            place = copies.get()
            try:
                return judge(mutant, place)
            finally:
                copies.put(place)

        left = 0
        with ThreadPoolExecutor(jobs) as pool:
            for mutant, (state, why) in zip(some, pool.map(one, some), strict=True):
                left += state != KILLED
                print(f"{state:<9} {mutant.name}" + (f": {why}" if why else ""), flush=True)
        print(f"{len(some) - left} of {len(some)} mutants killed")
    return left


def chosen(every: Iterable[Mutant], words: Sequence[str]) -> list[Mutant]:
    """Those whose name holds one of the words; all where there are none."""
    return [mutant for mutant in every if not words or any(word in mutant.name for word in words)]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("words", nargs="*", help="parts of mutants' names; all mutants where there are none")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    asked = parser.parse_args()
    some = chosen(mutants(), asked.words)
    if asked.list or not some:
        print("\n".join(mutant.name for mutant in some) or "no mutant has such a name")
        return int(not some)
    return int(run(some, asked.jobs) > 0)


if __name__ == "__main__":
    sys.exit(main())

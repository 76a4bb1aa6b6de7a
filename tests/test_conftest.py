"""What the tests' own settings promise: under CI no test is skipped but for the reasons that are listed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = """
import pytest

{module}

def test_of_a_library():
    pytest.importorskip("a_library_that_nobody_has")

def test_of_tensorflow():
    pytest.skip("needs `make test-tensorflow`")

def test_of_real_data(shared_data):
    raise AssertionError("there is none")
"""


def outcomes(folder: Path, module: str, **environ: str) -> dict[str, int]:
    """Outcome -> number of tests, of a process of pytest with this project's conftest.py."""
    (folder / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text(encoding="utf-8"))
    (folder / "pytest.ini").write_text("[pytest]\n")  # whatever lies in the folders above
    (folder / "test_skipping.py").write_text(SKIPPING.format(module=module))
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "SUFFUSE_DATA")}
    kept["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take seconds to import
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    result = subprocess.run(command, cwd=folder, env={**kept, **environ}, capture_output=True, text=True)
    words = result.stdout.strip().splitlines()[-1].replace("errors", "error").split(" in ")[0].split(", ")
    return {word.split()[1]: int(word.split()[0]) for word in words}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {"skipped": 3}),
        ({"CI": "true"}, {"failed": 1, "skipped": 2}),
        ({"SUFFUSE_DATA": "nowhere"}, {"error": 1, "skipped": 2}),
        ({"CI": "true", "SUFFUSE_DATA": "nowhere"}, {"failed": 1, "error": 1, "skipped": 1}),
    ],
)
def test_skips(environ: dict[str, str], expected: dict[str, int], tmp_path: Path) -> None:
    assert outcomes(tmp_path, "", **environ) == expected


def test_a_file_that_is_skipped_as_a_whole(tmp_path: Path) -> None:
    module = 'pytest.importorskip("another_one")'
    assert outcomes(tmp_path, module) == {"skipped": 1}
    assert outcomes(tmp_path, module, CI="true") == {"error": 1}

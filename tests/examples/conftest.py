"""The JavaScript example with its packages, and a way to ask its modules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "javascript"
QUIET = {"ONNXRUNTIME_NODE_INSTALL_CUDA": "skip", "NO_UPDATE_NOTIFIER": "1"}


def lacking(reason: str) -> None:
    """Skips; where CI is set it fails, so that no check goes missing in silence."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node() -> str:
    """The program, of version 20 or newer."""
    found = shutil.which("node")
    if found is None:
        lacking("no node")
    assert found
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < 20:
        lacking(f"node {version.strip()}, expected 20 or newer")
    return found


@pytest.fixture(scope="session")
def example(node, pytestconfig) -> Path:
    """A copy of the folder with its packages, installed once and kept between runs of the tests."""
    place = Path(pytestconfig.cache.mkdir("javascript"))
    for file in place.glob("*.mjs"):
        file.unlink()
    fresh = (place / "package.json").exists() and (place / "package.json").read_bytes() == (
        EXAMPLE / "package.json"
    ).read_bytes()
    for file in [*EXAMPLE.glob("*.mjs"), EXAMPLE / "package.json"]:
        shutil.copy(file, place)
    if not (fresh and (place / "node_modules" / ".done").exists()):
        npm = shutil.which("npm")
        if npm is None:
            lacking("no npm")
        assert npm
        command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        done = subprocess.run(
            command, cwd=place, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            (place / "package.json").unlink()
            lacking(f"npm can't install the example's packages: {done.stderr[-300:]}")
        (place / "node_modules" / ".done").touch()
    return place


@pytest.fixture(scope="session")
def ask(node, example, tmp_path_factory) -> Callable[[str, Any], Any]:
    """ask("module.mjs", "expression in `m` and `given`", given) -> its value, by JSON."""
    place = tmp_path_factory.mktemp("asked")

    def run(module: str, expression: str, given: Any) -> Any:
        (place / "given.json").write_text(json.dumps(given), encoding="utf-8")
        script = f"""import {{ readFileSync }} from "node:fs";
          const m = await import({json.dumps((example / module).as_uri())});
          const given = JSON.parse(readFileSync({json.dumps(str(place / "given.json"))}, "utf-8"));
          process.stdout.write(JSON.stringify(await ({expression})));"""
        command = [node, "--input-type=module", "-e", script]
        done = subprocess.run(command, capture_output=True, text=True, cwd=example, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def predict(node, example) -> Callable[..., subprocess.CompletedProcess]:
    """The example's command line."""

    def run(*arguments: object) -> subprocess.CompletedProcess:
        command = [node, "index.mjs", *map(str, arguments)]
        return subprocess.run(command, cwd=example, capture_output=True, text=True, check=False)

    return run

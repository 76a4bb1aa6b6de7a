"""Predicting and serving where torch, SciPy and scikit-learn aren't installed: Python sees the base dependencies, those
of the ``serve`` extra, and nothing else."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from e2e_tools import Finished
from packaging.requirements import Requirement

from suffuse import Predictor

ROOT = Path(__file__).parents[2]
ABSENT = ("torch", "scipy", "sklearn", "pandas", "onnx", "safetensors", "matplotlib", "jinja2", "transformers")
ROOMS = ("predictor", "serving", "cli", "prepare", "recipe", "sources", "modalities", "derive")
IMPORTS = """
import importlib, importlib.util, json, pkgutil
installed = [name for name in json.loads(sys.argv[1]) if importlib.util.find_spec(name)]
for room in json.loads(sys.argv[2]):
    package = importlib.import_module(f"suffuse.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
predictor = suffuse.Predictor.load(sys.argv[3])
answers = [p.answers["answer"] for p in predictor.predict(json.loads(sys.argv[4]), root=sys.argv[5])]
print(json.dumps([installed, [[a.value, a.confidence, a.probabilities] for a in answers]]))
"""
COMMAND = "from suffuse.cli import main\nmain()"


def required(names: list[str]) -> set[str]:
    """The installed distributions that these requirements need, directly or by way of others."""
    distributions: set[str] = set()
    pending = [Requirement(name) for name in names]
    while pending:
        requirement = pending.pop()
        extras = requirement.extras or {""}
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        if distribution.name in distributions and extras == {""}:
            continue
        distributions.add(distribution.name)
        needed = [Requirement(line) for line in distribution.requires or ()]
        pending += [n for n in needed if n.marker is None or any(n.marker.evaluate({"extra": e}) for e in extras)]
    return distributions


@pytest.fixture(scope="module")
def search_path(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """``sys.path`` of the environment: a folder of links to what is required, and the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = tmp_path_factory.mktemp("site-packages")
    for name in required([*project["dependencies"], *project["optional-dependencies"]["serve"]]):
        distribution = metadata.distribution(name)
        for entry in {file.parts[0] for file in distribution.files or ()} - {"..", "bin", "__pycache__"}:
            if not (folder / entry).exists():
                (folder / entry).symlink_to(str(distribution.locate_file(entry)))
    return [str(folder), str(ROOT / "src")]


def run(search_path: list[str], code: str, *arguments: object, cwd: Path) -> str:
    """What Python prints without its own site-packages: ``-S`` adds none, ``-I`` reads no variables."""
    code = f"import sys\nsys.path += {search_path!r}\nimport suffuse\n{code}"
    command = [sys.executable, "-I", "-S", "-c", code, *map(str, arguments)]
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_module_is_imported_and_predictions_are_the_same(
    finished: Finished, search_path: list[str], tmp_path: Path
) -> None:
    export, root = finished.run / "export", finished.project
    with (root / "rows.csv").open(encoding="utf-8") as file:
        records = [{"picture": row["picture"], "question": row["question"]} for row in csv.DictReader(file)][:12]
    records += [{"question": "what colour is the thing"}, {"picture": records[0]["picture"]}]
    lists = (json.dumps(ABSENT), json.dumps(ROOMS))
    printed = run(search_path, IMPORTS, *lists, export, json.dumps(records), root, cwd=tmp_path)
    installed, answers = json.loads(printed)
    assert installed == []
    wanted = [p.answers["answer"] for p in Predictor.load(export).predict(records, root=root)]
    assert answers == [[a.value, a.confidence, a.probabilities] for a in wanted]


def test_the_command_line_predicts_the_same(finished: Finished, search_path: list[str], tmp_path: Path) -> None:
    assert "predict" in run(search_path, COMMAND, "--help", cwd=tmp_path)
    rows, out = finished.project / "rows.csv", tmp_path / "predictions.csv"
    run(search_path, COMMAND, "predict", finished.run / "export", rows, "-o", out, cwd=tmp_path)
    with out.open(encoding="utf-8") as file:
        predictions = list(csv.DictReader(file))
    with rows.open(encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    inputs = [{key: row[key] for key in ("picture", "question")} for row in records[:8]]
    wanted = Predictor.load(finished.run / "export").predict(inputs, root=finished.project)
    assert len(predictions) == len(records)
    assert [row["answer"] for row in predictions[:8]] == [p.answers["answer"].value for p in wanted]

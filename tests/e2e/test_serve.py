"""A trained student behind HTTP: the page's own examples, and the answers that ``suffuse predict`` gives."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import httpx
import pytest
from e2e_tools import Finished, check_success, suffuse
from process_tools import Process, running

from suffuse.serving.limits import CellLimits, Limits

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
NAME = "easy-vqa"


@pytest.fixture(scope="module")
def server(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(tmp_path_factory.mktemp("serve") / "log", f"{NAME}={finished.run}") as made:
        yield made


def test_the_page_s_examples_run(server: Process, finished: Finished, tmp_path: Path) -> None:
    shutil.copyfile(finished.project / "images" / "3.png", tmp_path / "cat.png")
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    text = "\n".join(block for block in blocks if "curl" in block).replace("\\\n", " ").replace("|\n", "| ")
    commands = [line.strip() for line in text.splitlines() if line.strip()]
    assert len(commands) == 7
    for command in commands:
        command = command.replace("http://127.0.0.1:8000", server.url).replace("curl ", "curl -sS --fail-with-body ")
        ran = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, command + ran.stdout + ran.stderr
        said = json.loads(ran.stdout)
        for one in said.get("predictions", ()):
            assert one["answers"]["answer"]["value"] in ("red", "green", "blue", "circle", "square")
            assert one["used"] or one["absent"].keys() == {"picture", "question"}


def test_answers_are_those_of_predict(server: Process, finished: Finished, tmp_path: Path) -> None:
    check_success(suffuse("predict", finished.run, finished.project / "rows.csv", "-o", tmp_path / "x.jsonl"))
    wanted = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    with (finished.project / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def record(row: dict[str, str]) -> dict:
        file = base64.b64encode((finished.project / row["picture"]).read_bytes()).decode()
        return {"picture": {"base64": file}, "question": row["question"]}

    found = httpx.post(f"{server.url}/v1/models/{NAME}/predict", json={"records": [record(row) for row in rows]})
    assert found.status_code == 200, found.text
    predictions = found.json()["predictions"]
    assert len(predictions) == len(wanted) == len(rows)
    for one, row in zip(predictions, wanted, strict=True):
        answer = one["answers"]["answer"]
        assert answer["value"] == row["answer"]
        assert answer["confidence"] == pytest.approx(row["confidence"], abs=1e-6)


def test_the_page_names_every_limit_and_every_metric(server: Process) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for one in (*fields(Limits), *fields(CellLimits)):
        (line,) = re.findall(rf"^\| `{one.name}` \| .*", page, re.M)
        number = one.default
        assert f" {number:,}" in line or f" {number:g} " in line, line
    httpx.get(f"{server.url}/nowhere")
    text = httpx.get(f"{server.url}/metrics").text
    for name in set(re.findall(r"^# TYPE (suffuse_\w+?)(?:_created)? ", text, re.M)):
        assert f"`{name}" in page, name


def test_the_page_s_refusals_are_the_code_s() -> None:
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", PAGE.read_text(encoding="utf-8")))
    code = "".join(
        p.read_text(encoding="utf-8") for p in (Path(__file__).parents[2] / "src/suffuse/serving").glob("*.py")
    )
    known = set(re.findall(r'(?:Refusal\(\s*\d+|unprocessable\()[\s,]*"([a-z_]+)"', code))
    claimed = {w for w in words if re.search(rf"(?:4\d\d|504) [^|]*`{w}`", PAGE.read_text(encoding="utf-8"))}
    assert len(claimed) > 15 and claimed <= known, claimed - known

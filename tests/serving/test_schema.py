"""The description of the routes is true: schemathesis makes requests from it, good and bad, and reads every answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from process_tools import running
from serving_tools import MODEL
from starlette.testclient import TestClient

from suffuse.serving import html_pages, routes_v1, routes_v2

HOOKS = Path(__file__).parent / "schemathesis_hooks.py"
EXAMPLES = os.environ.get("SUFFUSE_EXAMPLES", "25")  # of each route; more by hand
SEED = os.environ.get("SUFFUSE_SEED", "1")
# Whether a tensor's shape, its data and the other tensors fit together, and whether a picture can be decoded, is beyond
# what JSON Schema can say, so a request that keeps to the schema may still be refused, with 422 alone.
CONFIG = """
[[operations]]
include-path-regex = "/(infer|predict)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "422"]
"""


@pytest.mark.slow
@pytest.mark.long
def test_schemathesis_finds_nothing(export: Path, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    tool = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(tmp_path / "schemathesis.toml")]
    with running(tmp_path / "log", f"{MODEL}={export}") as server:
        command = [*tool, "run", f"{server.url}/openapi.json", "--max-examples", EXAMPLES, "--seed", SEED, "--no-color"]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "No issues found" in done.stdout
        assert "defect" not in server.log.read_text()
        assert server.stop() == 0


def test_every_route_is_described(server: TestClient) -> None:
    described = set(server.get("/openapi.json").json()["paths"])
    model = server.app.state.serving.models[MODEL]  # type: ignore[attr-defined]
    routers = [routes_v1.router, routes_v2.router, html_pages.router]
    routers += [routes_v1.model_router(model), routes_v2.model_router(model)]
    paths = {route.path for router in routers for route in router.routes}  # type: ignore[attr-defined]
    assert paths == described | {"/", "/docs", "/static/{name}"}


def test_the_examples_of_the_description_are_answered(server: TestClient) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    posts = {path: facts["post"] for path, facts in paths.items() if "post" in facts}
    assert len(posts) == 2
    for path, facts in posts.items():
        example = facts["requestBody"]["content"]["application/json"]["example"]
        found = server.post(path, json=example)
        assert found.status_code == 200, found.text

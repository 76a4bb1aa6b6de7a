"""``suffuse push``: an export goes to a server that speaks the Hub's protocol, here one on this machine."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from local_server import answering
from onnx import TensorProto, helper
from typer.testing import CliRunner

from suffuse import SuffuseError, export_integrity
from suffuse.cli import app
from suffuse.exporters.hub_upload import push

pytest.importorskip("huggingface_hub", reason="needs the extra: pip install 'suffuse[hub]'")


class Hub(ThreadingHTTPServer):
    """Keeps repositories and what is committed to them in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        self.refuses = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    disable_nagle_algorithm = True  # otherwise a body waits 40 ms for the other side's word on its head

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.server.refuses:
            return self.answer({"error": "no such user"}, 403)
        if self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            return self.answer({"url": f"{self.server.address}/user/model", "name": "user/model"})
        if self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            return self.answer({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        if self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer({"commitUrl": f"{self.server.address}/user/model/commit/1", "commitOid": "1"})
        return self.answer({})

    def do_GET(self) -> None:
        self.answer({"error": "no such page"}, 404)

    def answer(self, facts: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(facts).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with answering(server):
        yield server


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A run's folder with a sealed export, beside which other files stand."""
    folder = tmp_path / "run" / "export"
    folder.mkdir(parents=True)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "small", ends[:1], ends[1:])
    (folder / "model.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    (folder / "README.md").write_text("# A card\n")
    export_integrity.seal(folder, {"version": export_integrity.VERSION, "name": "run"})
    (tmp_path / "run" / "secrets.txt").write_text("not to be pushed")
    return folder


def test_the_files_of_the_export_are_pushed_and_no_others(hub: Hub, export: Path) -> None:
    address = push(export.parent, "user/model", endpoint=hub.address)
    assert address == f"{hub.address}/user/model/commit/1"
    assert hub.files == {file.name: file.read_bytes() for file in export.iterdir()}
    assert set(hub.files) == {"model.onnx", "README.md", "signature.json"}
    assert hub.created[0]["name"] == "model" and hub.created[0]["organization"] == "user"
    assert hub.created[0].get("private") is True or hub.created[0].get("visibility") == "private"
    assert "Bearer hf_test" in hub.tokens


def test_the_command_pushes(hub: Hub, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    result = CliRunner().invoke(app, ["push", str(export), "user/model", "--public"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == f"{hub.address}/user/model/commit/1"
    assert hub.created[0].get("private") is False or hub.created[0].get("visibility") == "public"


@pytest.mark.parametrize("rows", [0, 3])
def test_rows_that_go_with_the_export_are_named(
    hub: Hub, export: Path, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (export / "signature.json").unlink()
    export_integrity.seal(export, {"version": export_integrity.VERSION, "name": "run", "examples": rows})
    push(export, "user/model", endpoint=hub.address)
    assert ("3 rows of the table are uploaded too" in capsys.readouterr().err) == (rows > 0)


def test_what_isn_t_whole_is_not_pushed(hub: Hub, export: Path, tmp_path: Path) -> None:
    (export / "model.onnx").write_bytes(b"weighty")
    with pytest.raises(SuffuseError, match=r"model\.onnx"):
        push(export, "user/model", endpoint=hub.address)
    with pytest.raises(SuffuseError):
        push(tmp_path / "nothing", "user/model", endpoint=hub.address)
    assert not hub.created and not hub.files


def test_a_refusal_is_one_line(hub: Hub, export: Path) -> None:
    hub.refuses = True
    with pytest.raises(SuffuseError, match="can't push the export") as caught:
        push(export, "user/model", endpoint=hub.address)
    assert "\n" not in caught.value.line() and "403" in caught.value.line()

"""Small datasets in folders, laid out as on the Hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
from local_server import answering
from PIL import Image

COMMIT = "0123456789abcdef0123456789abcdef01234567"

CONFIGURATIONS = """---
configs:
- config_name: en
  data_files:
  - {split: train, path: "en/train-*"}
  - {split: test, path: "en/test-*"}
- config_name: de
  data_files:
  - {split: train, path: "de/train-*"}
  - {split: test, path: "de/test-*"}
---
"""
FEATURES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "photo": datasets.Image(),
        "y": datasets.ClassLabel(names=["neg", "pos"]),
    }
)


def dataset(rows: int, start: int = 0, word: str = "text") -> datasets.Dataset:
    """Texts, pictures and a class label."""
    numbers = range(start, start + rows)
    return datasets.Dataset.from_dict(
        {
            "text": [f"{word} number {n} that says {'good' if n % 2 else 'bad'} things" for n in numbers],
            "photo": [Image.new("RGB", (8, 8), (n, 200 * (n % 2), 0)) for n in numbers],
            "y": [n % 2 for n in numbers],
        },
        features=FEATURES,
    )


def repository(folder: Path, train: int = 40, test: int = 20) -> Path:
    """A folder with two configurations of two splits; the training rows of ``en`` in two files."""
    for name in ("en", "de"):
        (folder / name).mkdir(parents=True)
        half = train // 2
        dataset(half, 0, name).to_parquet(str(folder / name / "train-00000-of-00002.parquet"))
        dataset(train - half, half, name).to_parquet(str(folder / name / "train-00001-of-00002.parquet"))
        dataset(test, train, name).to_parquet(str(folder / name / "test-00000-of-00001.parquet"))
    (folder / "README.md").write_text(CONFIGURATIONS, encoding="utf-8")
    return folder


@contextmanager
def serving_hub(folder: Path, name: str) -> Iterator[tuple[str, list[str]]]:
    """A server that speaks the Hub's protocol for one dataset, at one commit: its address, and what it is asked."""
    asked: list[str] = []

    def item(file: Path) -> dict[str, Any]:
        path = str(file.relative_to(folder))
        if file.is_dir():
            return {"type": "directory", "oid": "1" * 40, "size": 0, "path": path}
        return {"type": "file", "oid": digest(file), "size": file.stat().st_size, "path": path}

    def digest(file: Path) -> str:
        return hashlib.sha1(file.read_bytes()).hexdigest()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # otherwise a body waits 40 ms for the other side's word on its head

        def do_GET(self) -> None:
            asked.append(self.path)
            path = self.path.partition("?")[0]
            if path.startswith(f"/api/datasets/{name}/tree/"):
                below = folder / path.partition("/tree/")[2].partition("/")[2]
                files = below.rglob("*") if "recursive=true" in self.path.lower() else below.iterdir()
                self.send(json.dumps([item(file) for file in sorted(files)]).encode())
            elif path.startswith(f"/api/datasets/{name}"):
                self.send(json.dumps({"id": name, "sha": COMMIT, "private": False, "siblings": []}).encode())
            elif (file := folder / path.partition("/resolve/")[2].partition("/")[2]).is_file():
                self.send(file.read_bytes(), ETag=f'"{digest(file)}"', **{"X-Repo-Commit": COMMIT})
            else:
                self.send(b"", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET

        def send(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server) as address:
        yield address, asked

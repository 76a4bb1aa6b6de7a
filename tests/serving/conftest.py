"""One export and one server for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_tools import MODEL, client, write_export
from starlette.testclient import TestClient

from suffuse.predictor import Predictor


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("things"))


@pytest.fixture(scope="session")
def predictor(export: Path) -> Predictor:
    return Predictor.load(export)


@pytest.fixture(scope="session")
def server(predictor: Predictor) -> Iterator[TestClient]:
    with client({MODEL: predictor}) as made:
        yield made

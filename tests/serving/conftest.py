"""One export and one server for all tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving_tools import MODEL, client, write_export
from starlette.testclient import TestClient

from suffuse.predictor import Predictor


@pytest.fixture(scope="session")
def export(build_once: Callable[..., Path]) -> Path:
    """Read it, don't change it."""
    return build_once("things", {}, write_export) / "export"


@pytest.fixture(scope="session")
def predictor(export: Path) -> Predictor:
    return Predictor.load(export)


@pytest.fixture(scope="session")
def server(predictor: Predictor) -> Iterator[TestClient]:
    with client({MODEL: predictor}) as made:
        yield made

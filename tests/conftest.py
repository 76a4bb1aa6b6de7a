"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets: beside the checkout, or where SUFFUSE_DATA says.

    Without it a test is skipped; where CI is set it fails, so that no check goes missing in silence.
    """
    folder = Path(os.environ.get("SUFFUSE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if folder.is_dir():
        return folder
    if os.environ.get("CI"):
        pytest.fail(f"no real data at {folder}: set SUFFUSE_DATA")
    pytest.skip(f"no real data at {folder}: set SUFFUSE_DATA")

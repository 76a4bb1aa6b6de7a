"""Tests that need a graphics processor: ``make test-gpu``. They are skipped where there is none."""

from __future__ import annotations

import os

import pytest
import torch

from suffuse.engine import runtime

ASKED = os.environ.get(
    "SUFFUSE_TEST_DEVICE", "cuda"
)  # as compute.device says; `cpu` runs the tests themselves anywhere


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device that the tests run on; skipped where it isn't there."""
    place = torch.device(ASKED)
    if ASKED != "cpu" and (place.index or 0) >= runtime.count_devices(place.type):
        pytest.skip(f"no GPU: torch finds no device {ASKED}")
    runtime._allow_tf32(False)
    return place if ASKED == "cpu" else torch.device(place.type, place.index or 0)


@pytest.fixture(autouse=True)
def kernels_as_before():
    """Other tests get the kernels that they had."""
    yield
    torch.set_deterministic_debug_mode("default")

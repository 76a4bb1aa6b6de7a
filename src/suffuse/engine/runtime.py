"""Settings of the process: threads, deterministic kernels, seed, precision."""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch


def settle(threads: int) -> None:
    """Fix what decides the bits of a result besides the seed: thread count and deterministic kernels."""
    torch.set_num_threads(threads)
    # what use_deterministic_algorithms(True) does, but that it imports torch's compiler too, which takes seconds
    torch.set_deterministic_debug_mode("error")
    # nothing here reads memory before it is written, and filling it costs a tenth of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore


def seed(number: int) -> None:
    """Seed the initial weights and dropout."""
    torch.manual_seed(number)


@contextlib.contextmanager
def restored() -> Generator[None]:
    """Inside, a training may change threads and seed; afterwards both are restored."""
    threads, chance = torch.get_num_threads(), torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(chance)


def autocast(precision: str) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision where the recipe asks for bf16."""
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()

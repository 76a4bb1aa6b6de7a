"""The machine: threads, determinism, precision."""

from __future__ import annotations

import contextlib

import torch


def settle(threads: int) -> None:
    """Fix what decides the bits of a result besides the seed: thread count and deterministic kernels."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # nothing here reads memory before it is written, and filling it costs a tenth of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore


def seed(number: int) -> None:
    """Seed the initial weights and dropout."""
    torch.manual_seed(number)


def autocast(precision: str) -> contextlib.AbstractContextManager:
    """Mixed precision where the recipe says bf16; nothing otherwise."""
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()

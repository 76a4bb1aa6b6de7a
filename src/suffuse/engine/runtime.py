"""Settings of the process: device, threads, deterministic kernels, seed, precision.

:func:`device_of` is the one place that decides where networks are run. Whatever else needs the device takes it from the
weights of a network that is there.
"""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from ..errors import SuffuseError, UsageError
from ..recipe.stage_settings import Compute

CPU = torch.device("cpu")
KINDS = ("cuda", "mps", "xpu")  # in the order in which ``auto`` looks for them
FOR_COLUMNS = 4  # columns and store take this part of a device's free memory at most, over all trainings side by side


def settle(threads: int, compute: Compute | None = None) -> torch.device:
    """Fix what decides the bits of a result besides the seed: device, thread count and deterministic kernels. Returns
    the device; without ``compute`` the processor.

    Raises UsageError as :func:`device_of` does.
    """
    device = CPU if compute is None else device_of(compute)
    asked = None if compute is None else compute.deterministic
    deterministic = device.type == "cpu" if asked is None else asked
    torch.set_num_threads(threads)
    if device.type == "cuda":
        _allow_tf32(False)
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when its first handle is made
    # what use_deterministic_algorithms does, but that it imports torch's compiler too, which takes seconds
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # nothing here reads memory before it is written, and filling it costs a tenth of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore
    return device


def device_of(compute: Compute) -> torch.device:
    """Where a recipe's networks are run, with its index. ``auto``: CUDA, else MPS, else XPU, where torch finds one,
    else the processor; also the processor where several processes share a training, which they do over gloo, and where
    trainings on Ray get no GPU.

    Raises UsageError where a device is asked for that isn't there.
    """
    if compute.device == "auto":
        on_processors = compute.processes > 1 or (compute.cluster is not None and not compute.cluster.gpus)
        kinds = () if on_processors else KINDS
        return next((torch.device(kind, 0) for kind in kinds if count_devices(kind)), CPU)
    device = torch.device(compute.device)
    if device.type == "cpu":
        return CPU
    if compute.processes > 1:
        raise UsageError(
            "processes share a training on the processor alone", where="compute.processes", got=compute.processes,
            expected=f"1 beside compute.device {compute.device}", hint="trainings side by side share one device: "
            "compute.threads says how many there are",
        )  # fmt: skip
    index = device.index or 0
    if index >= count_devices(device.type):
        raise UsageError(
            "this device isn't there", where="compute.device", got=compute.device, expected=" or ".join(devices()),
            hint="compute.device: auto takes what is there; a device that is built in and isn't found needs its "
            "driver, and a PyTorch that was built for it",
        )  # fmt: skip
    return torch.device(device.type, index)


def devices() -> list[str]:
    """The devices that torch finds, as the recipe names them."""
    found = [f"cuda:{n}" for n in range(count_devices("cuda"))]
    return ["cpu", *found, *(kind for kind in KINDS[1:] if count_devices(kind))]


def count_devices(kind: str) -> int:
    """How many devices of a kind torch finds."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module = torch.cuda if kind == "cuda" else torch.xpu
    return module.device_count() if module.is_available() else 0


def describe(device: torch.device) -> str:
    """``cpu``, or the kind of device with the name that its driver gives."""
    if device.type in ("cuda", "xpu"):
        return f"{device.type} ({torch.get_device_module(device).get_device_name(device)})"
    return device.type


def precisions(device: torch.device) -> tuple[str, ...]:
    """Precisions of a training that a device has in hardware. NVIDIA has TF32 and bfloat16 since Ampere (compute
    capability 8.0)."""
    if device.type == "cuda":
        recent = torch.cuda.get_device_capability(device)[0] >= 8
        tf32 = recent and torch.version.hip is None
        return ("fp32", *(("tf32",) if tf32 else ()), *(("bf16",) if recent else ()), "fp16")
    return ("fp32", "bf16", "fp16") if device.type == "xpu" else ("fp32", "bf16")


def require_precision(device: torch.device, precision: str, where: str) -> None:
    """Raise UsageError where a device lacks a training's precision. ``where``: the recipe's key."""
    known = precisions(device)
    if precision not in known:
        raise UsageError(
            "this device lacks the precision", where=where, got=f"{precision} on {device.type}",
            expected=" or ".join(known), hint="fp32 runs everywhere",
        )  # fmt: skip


def autocast(precision: str, device: torch.device = CPU) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision where the recipe asks for bf16 or fp16, for a forward pass."""
    if precision in ("bf16", "fp16"):
        return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)
    return contextlib.nullcontext()


def kernels(precision: str) -> contextlib.AbstractContextManager[Any]:
    """TF32 matrix products and convolutions inside, where the recipe asks for them; for a forward and backward pass."""
    return _tf32() if precision == "tf32" else contextlib.nullcontext()


def gradient_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler | None:
    """Scales the loss so that gradients in float16 don't become 0, and skips the steps in which they are infinite
    (Micikevicius et al. 2018). None: the precision needs none."""
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None


def seed(number: int) -> None:
    """Seed the initial weights and dropout, on every device."""
    torch.manual_seed(number)


def random_state(device: torch.device) -> Tensor | None:
    """The state of a device's own random numbers, uint8; None of the processor, whose state is the process's."""
    if device.type == "cpu":
        return None
    module = torch.get_device_module(device)
    return module.get_rng_state() if device.type == "mps" else module.get_rng_state(device)


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Restore a device's random numbers from :func:`random_state`."""
    module = torch.get_device_module(device)
    if device.type == "mps":
        module.set_rng_state(state)
    else:
        module.set_rng_state(state, device)


@contextlib.contextmanager
def same_random_state(device: torch.device) -> Generator[None]:
    """Whatever is drawn inside, processor and device go on with the random numbers that they had."""
    own = random_state(device)
    with torch.random.fork_rng(devices=[]):
        yield
    if own is not None:
        set_random_state(device, own)


@contextlib.contextmanager
def restored() -> Generator[None]:
    """Inside, a training may change threads and seed; afterwards both are restored."""
    threads, chance = torch.get_num_threads(), torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(chance)


def memory_for_columns(device: torch.device, threads: int) -> int:
    """Bytes of columns and store that each of ``threads`` trainings side by side may copy to a device; 0 of the
    processor, which has them."""
    if device.type == "cpu":
        return 0
    if device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    else:
        free = torch.get_device_module(device).mem_get_info(device)[0]
    return max(int(free), 0) // FOR_COLUMNS // max(threads, 1)


def release_memory(device: torch.device) -> None:
    """Give back what torch's allocator keeps of a device's memory and nothing uses."""
    if device.type != "cpu":
        torch.get_device_module(device).empty_cache()


def synchronise(device: torch.device) -> None:
    """Wait for all that a device was asked to compute: for clocks."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()


def explained(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """What a device can't do inside, as an error that a user can act on.

    Raises SuffuseError where its memory is too small, or it has no deterministic kernel where the recipe asks for them.
    """
    return contextlib.nullcontext() if device.type == "cpu" else _explained(device)


@contextlib.contextmanager
def _explained(device: torch.device) -> Generator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SuffuseError(
            "the memory of the device is too small", where=device, got=str(error).splitlines()[0],
            hint="a smaller batch, smaller networks, fewer trainings side by side (compute.threads), or "
            "compute.device: cpu",
        ) from None  # fmt: skip
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise SuffuseError(
            "the device has no deterministic kernel for this", where="compute.deterministic",
            got=str(error).splitlines()[0], hint="compute.deterministic: false",
        ) from None  # fmt: skip


@contextlib.contextmanager
def _tf32() -> Generator[None]:
    _allow_tf32(True)
    try:
        yield
    finally:
        _allow_tf32(False)


def _allow_tf32(allowed: bool) -> None:
    """Whether float32 may be rounded to TF32, which torch allows cuDNN by itself. The older of torch's two interfaces:
    who reads it fails where the newer one was used."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed

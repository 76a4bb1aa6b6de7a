"""Which device, precision and kernels a process gets. Devices that this machine lacks are made up."""

from __future__ import annotations

import contextlib
import os
import warnings

import pytest
import torch

from suffuse.engine import runtime
from suffuse.engine.runtime import autocast, device_of, explained, gradient_scaler, kernels, precisions, settle
from suffuse.errors import SuffuseError, UsageError
from suffuse.recipe.stage_settings import Compute

CUDA = torch.device("cuda", 0)


@pytest.fixture
def machine(monkeypatch):
    """``machine(cuda=2)``: a machine with two CUDA devices and no other."""

    def made(**counts: int) -> None:
        monkeypatch.setattr(runtime, "count_devices", lambda kind: counts.get(kind, 0))

    return made


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({}, "cpu"),
        ({"cuda": 2, "mps": 1, "xpu": 1}, "cuda:0"),
        ({"mps": 1, "xpu": 1}, "mps:0"),
        ({"xpu": 3}, "xpu:0"),
    ],
)
def test_auto_takes_what_is_there(machine, there, taken):
    machine(**there)
    assert str(device_of(Compute())) == taken
    assert str(device_of(Compute(device="cpu"))) == "cpu"


@pytest.mark.parametrize(("asked", "taken"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("xpu", "xpu:0")])
def test_a_device_that_is_there_has_an_index(machine, asked, taken):
    machine(cuda=2, xpu=1)
    assert str(device_of(Compute(device=asked))) == taken


@pytest.mark.parametrize("asked", ["cuda:2", "mps"])
def test_a_device_that_is_not_there_is_told(machine, asked):
    machine(cuda=2, xpu=1)
    with pytest.raises(UsageError) as error:
        device_of(Compute(device=asked))
    assert error.value.exit_code == 2 and error.value.where == "compute.device" and error.value.got == asked
    assert error.value.expected == "cpu or cuda:0 or cuda:1 or xpu" and "auto" in error.value.hint


def test_processes_share_a_training_on_the_processor_alone(machine):
    machine(cuda=1)
    assert device_of(Compute(processes=2)).type == "cpu"
    with pytest.raises(UsageError, match=r"compute\.processes"):
        device_of(Compute(processes=2, device="cuda"))


def test_torch_is_asked_what_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    assert runtime.devices() == ["cpu", "cuda:0", "cuda:1", "cuda:2", "mps"]


@pytest.mark.parametrize(
    ("capability", "known"),
    [
        ((7, 5), ("fp32", "fp16")),
        ((8, 0), ("fp32", "tf32", "bf16", "fp16")),
        ((9, 0), ("fp32", "tf32", "bf16", "fp16")),
    ],
)
def test_precisions_of_a_graphics_processor(monkeypatch, capability, known):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert precisions(CUDA) == known


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_a_precision_that_the_device_lacks_is_told(precision):
    runtime.require_precision(runtime.CPU, "bf16", "teacher.train.precision")
    with pytest.raises(UsageError) as error:
        runtime.require_precision(runtime.CPU, precision, "teacher.train.precision")
    assert error.value.where == "teacher.train.precision" and error.value.got == f"{precision} on cpu"
    assert error.value.expected == "fp32 or bf16"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", None), ("tf32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
@pytest.mark.parametrize("device", [runtime.CPU, CUDA], ids=str)
def test_autocast_is_that_of_the_device(precision, dtype, device):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no CUDA here
        found = autocast(precision, device)
    if dtype is None:
        assert isinstance(found, contextlib.nullcontext)
    else:
        assert isinstance(found, torch.autocast) and found.device == device.type and found.fast_dtype == dtype


def test_only_fp16_is_scaled():
    assert [gradient_scaler(p, runtime.CPU) is not None for p in ("fp32", "tf32", "bf16", "fp16")] == [0, 0, 0, 1]


def test_tf32_lasts_as_long_as_a_step():
    def allowed() -> set[bool]:
        return {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}

    runtime._allow_tf32(False)
    assert allowed() == {False}
    with kernels("tf32"):
        assert allowed() == {True}
    with kernels("fp32"):
        assert allowed() == {False}


@pytest.mark.parametrize(("asked", "on_cpu", "on_cuda"), [(None, 2, 0), (True, 2, 2), (False, 0, 0)])
def test_kernels_are_deterministic_on_the_processor_elsewhere_by_choice(monkeypatch, asked, on_cpu, on_cuda):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    assert settle(1, Compute(device="cpu", deterministic=asked)) == runtime.CPU
    assert torch.get_deterministic_debug_mode() == on_cpu and "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    monkeypatch.setattr(runtime, "device_of", lambda compute: CUDA)
    assert settle(1, Compute(deterministic=asked)) == CUDA
    assert torch.get_deterministic_debug_mode() == on_cuda
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == bool(asked)


def test_what_a_device_can_t_do_is_told():
    with pytest.raises(SuffuseError, match="memory of the device") as error, explained(CUDA):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
    assert error.value.got == "CUDA out of memory. Tried to allocate 2.00 GiB." and "smaller batch" in error.value.hint
    with pytest.raises(SuffuseError, match="deterministic"), explained(CUDA):
        raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set")
    for device in (CUDA, runtime.CPU):  # a defect stays one
        with pytest.raises(RuntimeError, match="shape"), explained(device):
            raise RuntimeError("shape '[3]' is invalid")


def test_trainings_side_by_side_share_a_quarter_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8_000, 80_000))
    assert runtime.memory_for_columns(CUDA, 4) == 500 and runtime.memory_for_columns(runtime.CPU, 4) == 0


def test_a_device_s_random_state_is_its_own(monkeypatch):
    states = {0: torch.arange(16, dtype=torch.uint8)}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[device.index].clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update({device.index: state}))
    assert runtime.random_state(runtime.CPU) is None
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with runtime.same_random_state(CUDA):
        states[0] = torch.zeros(16, dtype=torch.uint8)
        torch.rand(3)
    assert torch.equal(states[0], torch.arange(16, dtype=torch.uint8)) and torch.equal(torch.get_rng_state(), before)

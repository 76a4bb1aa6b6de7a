"""Where ONNX Runtime runs an export: ``--device`` -> its execution provider.

Each build of ONNX Runtime has the providers of one platform. Where a provider can't be opened (no driver, no such
card), ONNX Runtime by itself runs the network on the processor and only logs it; here that is an error.
"""

from __future__ import annotations

import platform
import re
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import SuffuseError, UsageError, did_you_mean, listed

CPU_PROVIDER = "CPUExecutionProvider"
AUTO = "auto"
DEVICE = re.compile(r"([a-z]+)(?::(\d{1,3}))?")


@dataclass(frozen=True)
class Accelerator:
    """A kind of device."""

    provider: str  # as ONNX Runtime names it
    package: str  # that has it
    numbered: bool = True  # one of several devices can be chosen
    concurrent: bool = True  # threads may run one session side by side
    memory_pattern: bool = True
    options: Mapping[str, str] = field(default_factory=dict[str, str])  # of the provider


# float32 stays float32: TF32 is on in CUDA's provider by default. Batches differ in size, and an exhaustive search of
# convolutions would begin again with each
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
ACCELERATORS = {
    "cuda": Accelerator("CUDAExecutionProvider", "onnxruntime-gpu", options=CUDA_OPTIONS),
    "migraphx": Accelerator("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
    "directml": Accelerator("DmlExecutionProvider", "onnxruntime-directml", concurrent=False, memory_pattern=False),
    "coreml": Accelerator("CoreMLExecutionProvider", "onnxruntime", numbered=False),
}


class SerialSession:
    """A session that runs for one thread at a time: DirectML's may not run for two."""

    def __init__(self, session: Any):
        self.session, self.lock = session, threading.Lock()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Any]) -> Any:
        """As ``onnxruntime.InferenceSession.run``."""
        with self.lock:
            return self.session.run(outputs, feeds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


@dataclass(frozen=True)
class ExecutionDevice:
    """The device of a session."""

    name: str = "cpu"  # with its number, where there may be several: cuda:0
    accelerator: Accelerator | None = None  # none: the processor

    def session(self, network: bytes, threads: int) -> Any:
        """An ``onnxruntime.InferenceSession`` of a network on this device. The processor computes operations that the
        device lacks.

        Raises SuffuseError where the device can't be opened; what ONNX Runtime raises where it can't load the network
        on the processor.
        """
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if self.accelerator is None:
            return ort.InferenceSession(network, options, providers=[CPU_PROVIDER])
        options.enable_mem_pattern = self.accelerator.memory_pattern
        providers: list[Any] = [
            (self.accelerator.provider, self._provider_options(self.accelerator)),
            (CPU_PROVIDER, {}),
        ]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that a provider is left out: the error below names it
                session = ort.InferenceSession(network, options, providers=providers, enable_fallback=0)
        except Exception as error:  # what ONNX Runtime raises shares no base class
            raise self._unusable(next(iter(str(error).splitlines()), type(error).__name__)) from None
        if self.accelerator.provider not in session.get_providers():
            raise self._unusable(f"a session with {listed(session.get_providers())} alone")
        return session if self.accelerator.concurrent else SerialSession(session)

    def _provider_options(self, accelerator: Accelerator) -> dict[str, str]:
        number = {"device_id": self.name.partition(":")[2]} if accelerator.numbered else {}
        return {**accelerator.options, **number}

    def _unusable(self, got: str) -> SuffuseError:
        return SuffuseError(
            "ONNX Runtime can't run the network on this device", where=self.name, got=got,
            hint="the device needs its driver and the libraries that this build of ONNX Runtime was made for (of CUDA "
            "its version, and cuDNN); --device cpu (device=\"cpu\") runs everywhere",
        )  # fmt: skip


def execution_device(device: str) -> ExecutionDevice:
    """``cpu``; the name of an accelerator, some with a number (``cuda:1``); ``auto``: the first accelerator that the
    installed ONNX Runtime lists, else the processor.

    Raises UsageError where there is no such kind of device, or the installed ONNX Runtime lacks its provider.
    """
    match = DEVICE.fullmatch(device)
    kind, number = (match[1], match[2]) if match else (device, None)
    if kind in ("cpu", AUTO) and number is None:
        return ExecutionDevice() if kind == "cpu" else _first(_available())
    accelerator = ACCELERATORS.get(kind)
    if accelerator is None or (number is not None and not accelerator.numbered):
        known = ["auto", "cpu", *(f"{name}[:N]" if a.numbered else name for name, a in ACCELERATORS.items())]
        raise UsageError(
            "no such device", where="device", got=device, expected=" or ".join(known),
            hint=did_you_mean(kind, [AUTO, "cpu", *ACCELERATORS]),
        )  # fmt: skip
    available = _available()
    if accelerator.provider not in available:
        raise UsageError(
            "the installed ONNX Runtime can't use this device", where="device", got=device,
            expected=f"{' or '.join(_offered(available))} (it has {listed(available)})", hint=_how_to_get(accelerator),
        )  # fmt: skip
    return _numbered(kind, number)


def _available() -> list[str]:
    import onnxruntime as ort

    return list(ort.get_available_providers())


def _first(available: Sequence[str]) -> ExecutionDevice:
    kinds = {accelerator.provider: kind for kind, accelerator in ACCELERATORS.items()}
    return next((_numbered(kinds[provider], None) for provider in available if provider in kinds), ExecutionDevice())


def _numbered(kind: str, number: str | None) -> ExecutionDevice:
    accelerator = ACCELERATORS[kind]
    return ExecutionDevice(f"{kind}:{int(number or 0)}" if accelerator.numbered else kind, accelerator)


def _offered(available: Iterable[str]) -> list[str]:
    """The devices of these providers."""
    return ["cpu", *(kind for kind, accelerator in ACCELERATORS.items() if accelerator.provider in available)]


def _how_to_get(accelerator: Accelerator) -> str:
    if accelerator.package == "onnxruntime":
        return f"onnxruntime for macOS has {accelerator.provider}; this is {platform.system() or 'another system'}"
    return (
        f"pip install {accelerator.package}, after pip uninstall onnxruntime: both would write the same files; "
        "it needs the driver of the device too"
    )

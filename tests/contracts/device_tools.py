"""Tensors and layers on devices that this machine needn't have: ``meta``, and CUDA without numbers (FakeTensorMode).

Both refuse to compute with tensors of two devices, so that a tensor made without ``device=`` fails. Neither has
numbers: what asks a tensor for them can't be run here, and is named where it is skipped.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

META, CUDA = "meta", "fake cuda"
DEVICES = (META, CUDA)


@contextmanager
def device(name: str) -> Iterator[Callable[[Any], Any]]:
    """A function that moves tensors, in whatever they stand, and modules to a device; what is inside runs there."""
    if name == META:
        yield lambda value: moved(value, lambda x: x.to("meta"))
        return
    mode = FakeTensorMode()
    # cuDNN's recurrent kernels ask for a driver; torch's own cells don't, but for that of GRU
    unpinned = patch.object(torch.Tensor, "pin_memory", lambda tensor: tensor)  # without a driver none is
    with mode, unpinned, torch.backends.cudnn.flags(enabled=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # autocast tells that there is no CUDA here
        yield lambda value: moved(value, lambda x: mode.from_tensor(x).to("cuda"))


def moved(value: Any, move: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same with every tensor moved; of a module, which is changed, what it has registered."""
    if isinstance(value, nn.Module):
        for module in value.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(placed(parameter, move), parameter.requires_grad)
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else move(buffer)
        return value
    if isinstance(value, torch.Tensor):
        return placed(value, move).requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: moved(item, move) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(moved(item, move) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: moved(getattr(value, f.name), move) for f in dataclasses.fields(value) if f.init}
        return type(value)(**parts)
    return value


def placed(tensor: torch.Tensor, move: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """A leaf elsewhere."""
    with torch.no_grad():
        return move(tensor).detach()


def places(value: Any) -> set[str]:
    """The kinds of device of all tensors in a value."""
    kinds: set[str] = set()
    moved(value, lambda x: (kinds.add(x.device.type), x)[1])
    return kinds

"""Whether weights from a file are those of a network, before it takes any memory: sizes come from a file too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _Undrawn(TorchFunctionMode):
    """Inside, weights aren't drawn. Where they take no memory, drawing would do nothing but import torch's compiler,
    which takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def check_weights(build: Callable[[], nn.Module], weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError where the weights aren't those of the network that ``build`` makes. One from another library
    that can't be made without memory is left to ``load_state_dict``."""
    try:
        with torch.device("meta"), _Undrawn():
            drawn = build().state_dict()
    except (RuntimeError, TypeError):  # NotImplementedError, of an operator without a meta kernel, is a RuntimeError
        return
    for name, tensor in drawn.items():
        if name not in weights or weights[name].shape != tensor.shape:
            got = list(weights[name].shape) if name in weights else "nothing"
            raise ValueError(f"the weights hold {got} for {name}, the network wants {list(tensor.shape)}")

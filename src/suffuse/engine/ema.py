"""An exponential moving average of a model's weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017).

    a <- d a + (1 - d) w      d = min(decay, (1 + n) / (10 + n)) after n steps

over all floating-point tensors, running statistics included; integers are copied. The average starts at the weights,
and the first steps weigh more, so that nothing of the random initialisation is left. Training continues with w; a is
what is validated and kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping

import torch
from torch import Tensor, nn


class Average:
    """The moving average of a model's state, without the entries in ``fixed``, which never change."""

    def __init__(self, model: nn.Module, decay: float, fixed: frozenset[str] = frozenset()):
        self.model, self.decay, self.steps = model, decay, 0
        self.names = tuple(k for k in model.state_dict() if k not in fixed)
        self.tensors = {k: v.detach().clone() for k, v in self._tracked_state().items()}

    def _tracked_state(self) -> dict[str, Tensor]:
        state = self.model.state_dict()
        return {k: state[k] for k in self.names}

    @torch.no_grad()
    def update(self) -> None:
        """Call after each step of the optimiser."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, value in self._tracked_state().items():
            if value.is_floating_point():
                self.tensors[name].lerp_(value, 1 - decay)
            else:
                self.tensors[name].copy_(value)

    @contextlib.contextmanager
    def applied(self) -> Generator[None]:
        """The model has the averaged weights inside, and its own again afterwards."""
        current_weights = {k: v.detach().clone() for k, v in self._tracked_state().items()}
        self._write(self.tensors)
        try:
            yield
        finally:
            self._write(current_weights)

    @torch.no_grad()
    def _write(self, tensors: Mapping[str, Tensor]) -> None:
        for name, value in self._tracked_state().items():
            value.copy_(tensors[name])

    def load(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Continue from a checkpoint."""
        self.tensors = {k: v.to(self.tensors[k].device) for k, v in tensors.items()}
        self.steps = steps

"""The whole state of a training in one safetensors file, written atomically; small facts are in its header."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import SuffuseError
from ..files import write_bytes
from ..progress import say
from .ema import Average
from .objective import Objective
from .process_group import current
from .row_usage import RowUsage
from .runtime import random_state, set_random_state

DEVICE_RANDOM = "random.device"  # of a checkpoint: the state of the device's own random numbers
SCALER = "scaler."  # of a checkpoint: how a loss in fp16 is scaled


@dataclass
class State:
    """What changes during training, apart from weights and optimiser."""

    step: int = 0  # batches
    optimizer_steps: int = 0
    best: float = -math.inf
    best_loss: float = math.inf  # of the epoch that was best
    best_epoch: int = 0
    improved_epoch: int = 0  # the last one with a better score than all before it: an equal score is no better one
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=lambda: [])  # one entry per validation


class Checkpoint:
    """Reads and writes objective, optimiser, best weights, running sums and the random state.

    The weights of frozen encoders never change and are not written.
    """

    def __init__(
        self,
        folder: Path,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        ema: float = 0.0,
        usage: RowUsage | None = None,
    ):
        self.file = folder / "checkpoints" / "last.safetensors"
        self.objective, self.optimizer, self.usage = objective, optimizer, usage
        self.device, self.scaler = objective.weights.device, getattr(optimizer, "scaler", None)
        self.sums: torch.Tensor = torch.zeros(len(objective.names), device=self.device)
        self.fixed = objective.model.frozen()
        self.average = Average(objective.model, ema, self.fixed) if ema else None
        self.note_best()

    @contextlib.contextmanager
    def judged(self) -> Generator[None]:
        """Inside, the model has the weights that are validated and kept: averaged ones, where the recipe averages."""
        with self.average.applied() if self.average else contextlib.nullcontext():
            yield

    def note_best(self) -> None:
        """Keep the model's weights as the best so far."""
        state = self.objective.model.state_dict()
        self.best = {k: v.detach().clone() for k, v in state.items() if k not in self.fixed}

    def restore_best(self) -> None:
        """Load the best weights into the model."""
        model = self.objective.model
        model.load_state_dict({**{k: v for k, v in model.state_dict().items() if k in self.fixed}, **self.best})

    def save(self, state: State) -> None:
        """Write the checkpoint; of several processes that share the training the first one writes."""
        random = current().random_states()
        if not current().first:
            return
        fixed, held = {f"model.{k}" for k in self.fixed}, self.objective.state_dict()
        tensors = {f"objective.{k}": v for k, v in held.items() if k not in fixed}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for number, facts in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": torch.as_tensor(v) for k, v in facts.items()}
        tensors |= {"sums": self.sums, "random": random}
        device_random = random_state(self.device)
        if device_random is not None:
            tensors[DEVICE_RANDOM] = device_random
        if self.scaler:
            tensors |= {f"{SCALER}{k}": torch.tensor(v) for k, v in self.scaler.state_dict().items()}
        if self.usage:
            tensors |= self.usage.tensors()
        if self.average:
            tensors |= {f"average.{k}": v for k, v in self.average.tensors.items()}
            tensors |= {"averaged": torch.tensor(self.average.steps)}
        contiguous = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        facts = {"state": json.dumps(asdict(state)), "device": self.device.type}
        write_bytes(self.file, save(contiguous, metadata=facts))

    def load(self) -> State | None:
        """Restore everything and return the state; None where there is no checkpoint.

        Raises SuffuseError where it is damaged.
        """
        if not self.file.exists():
            return None
        try:
            with cast(Any, safe_open)(self.file, framework="pt") as file:  # its stub lacks types
                tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                facts = file.metadata()
                state = State(**json.loads(facts["state"]))
        except SafetensorError as error:
            hint = "delete it to train from the start"
            raise SuffuseError("can't read the checkpoint", where=self.file, got=error, hint=hint) from None
        fixed = {f"model.{k}" for k in self.fixed}
        kept = {k: v for k, v in self.objective.state_dict().items() if k in fixed or k == "weights"}
        self.objective.load_state_dict({**kept, **_under(tensors, "objective.")})
        self.best = _under(tensors, "best.")
        if self.average:
            self.average.load(_under(tensors, "average."), int(tensors["averaged"]))
        memory: dict[int, dict[str, Any]] = {}
        for name, value in _under(tensors, "optimizer.").items():
            number, key = name.split(".", 1)
            memory.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": memory})
        self.sums = tensors["sums"].to(self.device)
        if self.usage:
            self.usage.load(tensors)
        current().set_random_state(tensors["random"])
        self._load_device(tensors, facts.get("device", "cpu"))
        return state

    def _load_device(self, tensors: dict[str, torch.Tensor], before: str) -> None:
        """The device's random state, and the scale of a loss in fp16. ``before``: the kind of device that the training
        was on; weights and optimiser go on from another one's, its random numbers don't."""
        scale = {name: value.item() for name, value in _under(tensors, SCALER).items()}
        if self.scaler and scale:
            self.scaler.load_state_dict(scale)
        if before == self.device.type and DEVICE_RANDOM in tensors:
            set_random_state(self.device, tensors[DEVICE_RANDOM])
        if before != self.device.type and current().first:
            say(
                f"notice: a training was begun on {before} and continues on {self.device.type}, with the same weights "
                "and optimiser, and other random numbers: the bits of the result differ"
            )


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

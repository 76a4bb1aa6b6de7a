"""Any ``torch.nn.Module`` as the teacher, made by a function of the user that is named in the recipe.

``file.py:function`` is called with ``options`` (and ``weights=Path``, where the recipe names a file) and returns
``(module, adapter)``, or ``(module, adapter, labels)``. ``adapter(module, records)`` gets B records {column: cell}
(None where a cell is empty; the bytes of the file for columns in ``files``) and returns logits (B, T), or a dictionary
{"logits": (B, T), tap: (B, D)}. The module is put in eval mode, its parameters are frozen, and it is hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from ..errors import UsageError
from ..registry import NameList, TeacherSettings
from ..types import Head
from . import user_functions

if TYPE_CHECKING:
    from torch import nn

    from ..prepare.raw_cells import RawRows


class Settings(TeacherSettings):
    """Which function, and what the module reads."""

    kind: Literal["torch"] = "torch"
    FILES: ClassVar = ("adapter", "weights")
    RUNS_CODE: ClassVar = True
    adapter: str  # file.py:function
    weights: str | None = None  # a file that the function is given as ``weights``; it is hashed with the rest
    options: dict[str, Any] = Field(default_factory=dict)  # other arguments of the function
    columns: NameList = Field(min_length=1)  # that a record has
    files: NameList = ()  # columns whose cells name files: the adapter gets their bytes
    labels: NameList = ()  # names of the outputs, in their order, where the function doesn't return them
    form: Literal["logits", "probabilities"] = "logits"
    batch: int = Field(default=32, ge=1)

    @field_validator("adapter")
    @classmethod
    def _function(cls, value: str) -> str:
        user_functions.split(value)
        return value

    def placed(self, base: Path) -> Settings:
        """Both paths from ``base``."""
        weights = str((base / self.weights).resolve()) if self.weights else None
        return self.model_copy(update={"adapter": user_functions.placed(self.adapter, base), "weights": weights})

    def references(self) -> dict[str, str]:
        """The file of code, and the weights."""
        references = {"adapter": user_functions.split(self.adapter)[0]}
        return {**references, "weights": self.weights} if self.weights else references


@dataclass(frozen=True)
class TorchSource:
    """A module and the function that calls it with records."""

    settings: Settings
    module: nn.Module
    adapter: Callable[[Any, list[dict]], Any]
    outputs: tuple[str, ...]
    raw: RawRows
    where: str

    @property
    def form(self) -> str:
        """The recipe's ``form``."""
        return self.settings.form

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of its columns."""
        return self.raw.named(self.settings.columns)

    def fingerprint(self) -> str:
        """Hash of parameters, buffers, the file of code and its arguments."""
        from ..engine.training_record import weights_hash

        facts = self.settings.model_dump(mode="json", include={"options", "columns", "files", "labels", "form"})
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update((weights_hash(self.module) + user_functions.file_hash(self.settings.adapter)).encode())
        return digest.hexdigest()

    def facts(self) -> dict:
        """Its number of parameters."""
        return {"parameters": sum(p.numel() for p in self.module.parameters())}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """All taps, a batch at a time; NaN for a row without any of the columns."""
        import torch

        self.module.eval()
        taps: dict[str, np.ndarray] = {}
        for positions, records in user_functions.record_batches(self, rows, hidden):
            with torch.inference_mode(), user_functions.guarded(self.where, self.settings.adapter):
                outputs = self.adapter(self.module, records)
            for name, tap in (outputs if isinstance(outputs, dict) else {"logits": outputs}).items():
                values = self._checked(name, tap, len(records))
                tap_values = taps.setdefault(name, np.full((len(rows), values.shape[1]), np.nan, np.float32))
                tap_values[positions] = values
        if "logits" not in taps:
            taps["logits"] = np.full((len(rows), len(self.outputs)), np.nan, np.float32)
        return taps

    def _checked(self, name: str, tap: Any, count: int) -> np.ndarray:
        """(B, T) float32. Raises UsageError where the adapter returned another shape."""
        import torch

        values = tap.detach().float().cpu().numpy() if isinstance(tap, torch.Tensor) else np.asarray(tap, np.float32)
        width = len(self.outputs) if name == "logits" else values.shape[-1] if values.ndim else 0
        if values.shape != (count, width):
            where, expected = f"{self.where}, {self.settings.adapter}", f"({count}, {width})"
            raise UsageError(f"the adapter gave '{name}' of another shape", where=where, got=values.shape,
                             expected=expected)  # fmt: skip
        return values


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> TorchSource:
    """Call the function, and freeze the module that it returns. Raises UsageError where that isn't a module and an
    adapter."""
    import torch

    weights = {"weights": Path(settings.weights)} if settings.weights else {}
    result = user_functions.call(settings.adapter, f"{where}.adapter", raw.run.folder, **weights, **settings.options)
    parts: tuple[Any, ...] = result if isinstance(result, tuple) else (result,)
    if len(parts) not in (2, 3) or not isinstance(parts[0], torch.nn.Module) or not callable(parts[1]):
        got = ", ".join(type(part).__name__ for part in parts)
        raise UsageError("your function returned something else", where=f"{where}.adapter", got=f"({got})",
                         expected="(module, adapter) or (module, adapter, labels)")  # fmt: skip
    labels = settings.labels or tuple(str(name) for name in (parts[2] if len(parts) == 3 else ()))
    if not labels:
        hint = "name them in the order of the module's outputs"
        raise UsageError("the outputs have no names", where=f"{where}.labels", hint=hint)
    return TorchSource(settings, parts[0].requires_grad_(False).eval(), parts[1], labels, raw, where)

"""A scikit-learn estimator with ``predict_proba`` as the teacher, without pickle: a function of the user, named in the
recipe, fits it or builds it from plain files.

``file.py:function`` is called with ``options`` and returns ``(estimator, adapter)``; ``adapter(records)`` turns B
records {column: cell} into the estimator's input. The classes are ``estimator.classes_``. It is built again whenever
the teacher is opened, so a fit needs a fixed ``random_state``. To fit it elsewhere, write its outputs with
:func:`suffuse.write_answers` and use the kind ``table``.
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
from ..registry import NameList, TeacherSettings, optional
from ..types import Head
from . import user_functions
from .matching import PROBABILITIES

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows


class Settings(TeacherSettings):
    """Which function, and what the estimator reads."""

    kind: Literal["sklearn"] = "sklearn"
    FILES: ClassVar = ("adapter",)
    RUNS_CODE: ClassVar = True
    adapter: str  # file.py:function
    options: dict[str, Any] = Field(default_factory=dict)  # arguments of the function
    columns: NameList = Field(min_length=1)  # that a record has
    files: NameList = ()  # columns whose cells name files: the adapter gets their bytes
    batch: int = Field(default=1024, ge=1)

    @field_validator("adapter")
    @classmethod
    def _function(cls, value: str) -> str:
        user_functions.split(value)
        return value

    def placed(self, base: Path) -> Settings:
        """The path from ``base``."""
        return self.model_copy(update={"adapter": user_functions.placed(self.adapter, base)})

    def references(self) -> dict[str, str]:
        """The file of code."""
        return {"adapter": user_functions.split(self.adapter)[0]}


@dataclass(frozen=True)
class SklearnSource:
    """A fitted estimator and the function that converts records."""

    settings: Settings
    estimator: Any
    adapter: Callable[[list[dict]], Any]
    outputs: tuple[str, ...]
    raw: RawRows
    where: str
    form: str = PROBABILITIES

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of its columns."""
        return self.raw.named(self.settings.columns)

    def fingerprint(self) -> str:
        """Hash of the estimator's state, the file of code and its arguments."""
        facts = self.settings.model_dump(mode="json", include={"options", "columns", "files"})
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        code = user_functions.file_hash(self.settings.adapter)
        digest.update(f"{optional('joblib', 'train').hash(self.estimator)}{code}".encode())
        return digest.hexdigest()

    def facts(self) -> dict:
        """The class of the estimator."""
        return {"parameters": None, "estimator": type(self.estimator).__name__}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """Probabilities, a batch at a time; NaN for a row without any of the columns."""
        logits = np.full((len(rows), len(self.outputs)), np.nan, np.float32)
        for positions, records in user_functions.record_batches(self, rows, hidden):
            with user_functions.guarded(self.where, self.settings.adapter):
                logits[positions] = self.estimator.predict_proba(self.adapter(records))
        return {"logits": logits}


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> SklearnSource:
    """Call the function. Raises UsageError where it doesn't return a fitted estimator and an adapter."""
    result = user_functions.call(settings.adapter, f"{where}.adapter", raw.run.folder, **settings.options)
    parts: tuple[Any, ...] = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if not hasattr(parts[0], "predict_proba") or not hasattr(parts[0], "classes_") or not callable(parts[1]):
        got = ", ".join(type(part).__name__ for part in parts)
        raise UsageError("your function returned something else", where=f"{where}.adapter", got=f"({got})",
                         expected="(a fitted estimator with predict_proba, adapter)")  # fmt: skip
    return SklearnSource(settings, parts[0], parts[1], tuple(str(c) for c in parts[0].classes_), raw, where)

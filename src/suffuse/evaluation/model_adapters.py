"""The run's models as probes ask them: a network of torch, or an exported file in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..activations import in_units
from ..data.columns import Columns
from ..engine import feature_cache, inference
from ..model import FusionModel, open_model
from ..predictor import Predictor
from ..types import Batch, Encoded

TOGETHER = 256  # rows of an exported file at a time
FUSED = 1024  # rows whose features are held while every subset of them is fused
HELD = 2**24  # numbers of one network's features that are held from one damage to the next


@dataclass(frozen=True)
class Network:
    """One seed of a network that the run trained."""

    folder: Path
    columns: Columns
    place: Path  # of frozen encoders' vectors

    def open(self) -> tuple[FusionModel, Columns]:
        """The network in eval mode, and the columns as it reads them."""
        model = open_model(self.folder)
        return model, feature_cache.ready(self.columns, model, self.place).of(model.spec.names)

    @cached_property
    def opened(self) -> tuple[FusionModel, Columns]:
        """The same, kept."""
        return self.open()

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that it reads."""
        return self.opened[0].spec.names

    @property
    def hindrance(self) -> str:
        """None: it can be asked about subsets."""
        return ""

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, C)."""
        model, columns = self.opened
        return self._ours(inference.logits(model, columns, rows))

    def under(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(K, N, C): rows are encoded once, and fused for each of the K."""
        return self._ours(inference.subset_logits(*self.opened, rows, kept, FUSED))

    def _ours(self, logits: np.ndarray) -> np.ndarray:
        """Its numbers in the units of the run's data; a network that saw few labels has units of its own."""
        return in_units(logits, self.opened[0].spec.heads, self.columns.spec.heads)

    @torch.inference_mode()
    def on(self, columns: Columns, name: str, rows: np.ndarray) -> np.ndarray:
        """(N, C) with this modality's entries as ``columns`` has them; frozen vectors of the others stay. The others
        are encoded when they are first asked for beside it, and kept: the same bits as if encoded again."""
        model, own = self.opened
        given = columns.of(model.spec.names)
        entries = {n: given.entries[n] if n == name else column for n, column in own.entries.items()}
        changed = replace(given, entries=entries, ready=own.ready - {name})
        found = np.empty((len(rows), columns.spec.outputs), dtype=np.float32)
        for piece in inference.chunks(changed, rows):
            batch = changed.batch(rows[piece])
            encoded = model.encode(batch, (), self._others(name, rows[piece], batch))
            found[piece] = model.fuse(encoded, batch.present).logits.float().numpy()
        return self._ours(found)

    def _others(self, name: str, rows: np.ndarray, batch: Batch) -> dict[str, Encoded]:
        """What these rows have of the modalities beside ``name``, encoded; only of one such modality they are held."""
        key, model = (name, rows.tobytes()), self.opened[0]
        if key not in self.held:
            for other in [k for k in self.held if k[0] != name]:
                del self.held[other]
            there = [n for n in model.spec.names if n != name and len(batch.inputs[n])]
            made = {n: model.entries(n, batch, False) for n in there}
            if sum(map(numbers, made.values())) > HELD:
                return made
            self.held[key] = made
        return self.held[key]

    @cached_property
    def held(self) -> dict[tuple[str, bytes], dict[str, Encoded]]:
        """(damaged modality, rows) -> the other modalities, encoded."""
        return {}


def numbers(encoded: Encoded) -> int:
    """How many an encoding holds."""
    return encoded.vector.numel() + (0 if encoded.tokens is None else encoded.tokens.numel())


@dataclass(frozen=True)
class Exported:
    """One form of an exported file."""

    folder: Path
    columns: Columns
    threads: int
    form: str | None = None

    @cached_property
    def predictor(self) -> Predictor:
        """Loaded when it is first asked."""
        return load(self.folder, self.threads, self.form)

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that it reads."""
        return tuple(i.field.name for i in self.predictor.inputs)

    @property
    def hindrance(self) -> str:
        """None: it can be asked about subsets."""
        return ""

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, C)."""
        return self._asked(self.columns, rows, self.columns.of(self.names).present[rows])

    def under(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(K, N, C), a pass for each of the K."""
        present = self.columns.of(self.names).present[rows]
        return np.stack([self._asked(self.columns, rows, present & keeps) for keeps in kept])

    def on(self, columns: Columns, name: str, rows: np.ndarray) -> np.ndarray:
        """(N, C) on other columns."""
        return self._asked(columns, rows, columns.of(self.names).present[rows])

    def _asked(self, columns: Columns, rows: np.ndarray, present: np.ndarray) -> np.ndarray:
        columns = columns.of(self.names)
        parts, size = [], columns.fitting(TOGETHER)
        for start in range(0, len(rows), size):
            piece = rows[start : start + size]
            entries = {n: columns.entries[n][columns.entry[piece, m]] for m, n in enumerate(columns.spec.names)}
            parts.append(self.predictor.logits(entries, present[start : start + size]))
        return np.concatenate(parts)


def load(folder: Path, threads: int, form: str | None = None) -> Predictor:
    """An export of the run, in one of its forms where it has several. Rows are prepared: files that it names for
    derived columns are allowed, and not opened."""
    return Predictor.load(folder, threads, form, model_files="/")

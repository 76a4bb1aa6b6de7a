"""A suffuse network, or its export, that reads the raw cells of another run's rows through its own preprocessing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError, did_you_mean
from ..types import NUMBER, Head
from .matching import LOGITS, outputs

if TYPE_CHECKING:
    from ..model import FusionModel
    from ..predictor import Predictor
    from ..prepare.raw_cells import RawRows


@dataclass(frozen=True)
class NetworkSource:
    """A network with the preprocessing that it was trained with."""

    predictor: Predictor
    model: FusionModel | None  # None: the exported file answers
    raw: RawRows
    sources: dict[str, str]  # column that its cells come from -> this table's
    batch: int
    preprocessing_hash: str  # hash of preprocessing, and of an exported file
    form: str = LOGITS
    outputs: tuple[str, ...] = field(init=False)
    modalities: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", outputs(self.predictor.heads))
        object.__setattr__(self, "modalities", tuple(i.field.name for i in self.predictor.inputs))

    def fingerprint(self) -> str:
        """Hash of the weights and of how cells are read."""
        from ..engine.training_record import weights_hash

        return self.preprocessing_hash + (weights_hash(self.model) if self.model is not None else "")

    def facts(self) -> dict:
        """Its size, and its settings where it is a network in torch."""
        if self.model is None:
            return {"parameters": None}
        network = self.model.network.model_dump(mode="json")
        return {"parameters": self.model.size(), "network": network}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """All taps of the network; NaN logits where no modality is present."""
        parts = [
            self._answer_batch(rows[at : at + self.batch], hidden) for at in range(0, max(len(rows), 1), self.batch)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _answer_batch(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        records = self.raw.records(list(self.sources.values()), rows)
        named = [
            {network_column: record[table_column] for network_column, table_column in self.sources.items()}
            for record in records
        ]
        entries, present = self.predictor.encoded(named, self.raw.root)
        present &= np.array([name not in hidden for name in self.modalities])
        taps = self._taps(entries, present)
        logits = taps["logits"] = taps["logits"].astype(np.float64)
        logits[~present.any(1)] = np.nan
        at = 0
        for head in self.predictor.heads:
            if head.kind == NUMBER:
                logits[:, at] = logits[:, at] * head.std + head.mean
            at += head.outputs
        return taps

    def _taps(self, entries: dict[str, np.ndarray], present: np.ndarray) -> dict[str, np.ndarray]:
        if self.model is None:
            return {"logits": self.predictor.logits(entries, present)}
        import torch

        from ..data.device_transfer import move_batch, to_array
        from ..types import Batch
        from .trained import taps

        tensors = {n: torch.from_numpy(e) for n, e in entries.items()}
        tensors = {n: t.long() if t.dtype == torch.int32 else t for n, t in tensors.items()}
        tensors = {n: t.float() if t.dtype == torch.float16 else t for n, t in tensors.items()}
        nothing = torch.zeros(len(present), dtype=torch.int64)
        batch = Batch(tensors, {}, torch.from_numpy(present), nothing, nothing, bool(present.all()))
        batch = move_batch(batch, self.model.log_prior.device)
        with torch.inference_mode():
            return {name: to_array(tap) for name, tap in taps(self.model.eval()(batch)).items()}


def find_columns(predictor: Predictor, raw: RawRows, renamed: Mapping[str, str], where: str) -> dict[str, str]:
    """The columns that a network's cells come from -> this table's; ``renamed`` maps names that differ. A column that
    the network's own run derived is derived again in the same way, where this run lacks it.

    Raises UsageError where the table lacks one.
    """
    columns = [*raw.columns, *raw.run.recipe.data.derive]
    table_columns, all_columns = _network_names(raw.columns, renamed), _network_names(columns, renamed)
    sources: dict[str, str] = {}
    for column in (column for i in predictor.inputs for column in i.settings.columns):
        source = predictor.source(column, table_columns) or predictor.source(column, all_columns)
        if source is None:
            raise UsageError(
                "the teacher reads a column that this table lacks", where=f"{where}.columns", got=f"'{column}'",
                hint=f"{did_you_mean(column, columns)}; `columns: {{theirs: ours}}` renames",
            )  # fmt: skip
        sources[source] = renamed.get(source, source)
    return sources


def _network_names(columns: Iterable[str], renamed: Mapping[str, str]) -> list[str]:
    """Columns of this table, by the network's names."""
    network_names = {table_column: name for name, table_column in renamed.items()}
    return [network_names.get(column, column) for column in columns]


def check_kinds(teacher_heads: tuple[Head, ...], run_heads: tuple[Head, ...], where: str) -> None:
    """Raise UsageError where the network learned another kind of target."""
    if [h.kind for h in teacher_heads] != [h.kind for h in run_heads] and len(teacher_heads) == len(run_heads) == 1:
        got = f"{teacher_heads[0].kind} ('{teacher_heads[0].name}')"
        raise UsageError("the teacher learned another kind of target", where=where, got=got, expected=run_heads[0].kind)
    kinds = {h.name: h.kind for h in run_heads}
    for head in teacher_heads:
        if len(run_heads) > 1 and kinds.get(head.name, head.kind) != head.kind:
            got, expected = f"{head.kind} for '{head.name}'", kinds[head.name]
            raise UsageError("the teacher learned another kind of target", where=where, got=got, expected=expected)

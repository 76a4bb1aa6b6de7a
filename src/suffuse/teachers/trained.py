"""A network of this project's own as the teacher: the one that the run itself trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .. import losses
from ..attention_maps import named
from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.inference import chunks
from ..engine.training_record import weights_hash
from ..model import FusionModel, open_model
from ..run import Run
from ..types import Batch, Output
from . import Question


@dataclass(frozen=True)
class Trained:
    """A trained network and the columns that it reads, frozen encoders' vectors among them."""

    model: FusionModel
    columns: Columns
    maps: tuple[str, ...] = ()  # modalities whose maps a student's loss asks for
    raw: Columns | None = None  # the same with entries in place of vectors: an augmented view is encoded again

    @classmethod
    def open(cls, run: Run, columns: Columns, *folder: str) -> Trained:
        """The teacher that the run trained; or another network of it, by its folder."""
        model = open_model(run.path(*(folder or ("teacher",))))
        maps = model.mapped(losses.needs(run.recipe.distill.losses.values()))
        own = columns.of(model.spec.names)
        return cls(model, feature_cache.ready(own, model, feature_cache.place(run)), maps, own)

    def facts(self) -> dict:
        """Its size."""
        return {"parameters": self.model.size()}

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of its encoders."""
        return self.model.spec.names

    def fingerprint(self) -> str:
        """Hash of parameters and buffers."""
        return weights_hash(self.model)

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Rows that share a content stand together; fewer at a time where entries are large."""
        return list(chunks(self.columns, rows, size))

    @torch.inference_mode()
    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """Everything that the network returns."""
        self.model.eval()
        batch = self._columns(question).batch(question.rows, None, question.view)
        seen = batch if question.modalities is None else self._seeing(batch, question.modalities)
        output = self.model(seen, self.maps)
        return {name: tap.float().numpy() for name, tap in taps(output).items()}

    def _columns(self, question: Question) -> Columns:
        changed = self.columns.ready & set(question.view[0].augmented) if question.view else frozenset()
        if not changed or self.raw is None:
            return self.columns
        entries = {**self.columns.entries, **{name: self.raw.entries[name] for name in changed}}
        return replace(self.columns, entries=entries, ready=self.columns.ready - changed)

    def _seeing(self, batch: Batch, names: tuple[str, ...]) -> Batch:
        kept = torch.tensor([name in names for name in self.modalities])
        return replace(batch, present=batch.present & kept, complete=batch.complete and bool(kept.all()))


def taps(output: Output) -> dict[str, torch.Tensor]:
    """Everything of an output that is stored."""
    found = {"logits": output.logits, "fused": output.fused, **output.features, "gates": output.gates}
    found |= named(output.maps)
    return {name: tap for name, tap in found.items() if tap is not None}

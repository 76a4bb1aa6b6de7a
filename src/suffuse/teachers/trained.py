"""The network that the run trained as the teacher, or all of its seeds (a deep ensemble)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .. import losses
from ..attention_maps import named
from ..data.columns import Columns
from ..data.device_transfer import move_batch, to_array, to_device
from ..engine import feature_cache
from ..engine.inference import chunks, in_halves
from ..engine.runtime import device_of, explained
from ..engine.seed_selection import best_seed
from ..engine.training_record import weights_hash
from ..model import FusionModel, open_model
from ..run import Run
from ..types import Batch, Head, Output
from . import Question
from .ensemble import combine


@dataclass(frozen=True)
class Trained:
    """A trained network and the columns that it reads, with the vectors of frozen encoders."""

    model: FusionModel
    columns: Columns
    maps: tuple[str, ...] = ()  # modalities whose maps a student's loss asks for
    raw: Columns | None = None  # the same with entries in place of vectors: an augmented view is encoded again

    @classmethod
    def open(cls, run: Run, columns: Columns, folder: Path) -> Trained:
        """A network that the run trained, in ``folder``."""
        model = open_model(folder).to(device_of(run.recipe.compute))
        maps = model.mapped(losses.needs(run.recipe.distill.losses.values()))
        own_columns = columns.of(model.spec.names)
        return cls(model, feature_cache.ready(own_columns, model, feature_cache.place(run)), maps, own_columns)

    def facts(self) -> dict:
        """Its number of parameters."""
        return {"parameters": self.model.size()}

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of its encoders."""
        return self.model.spec.names

    def fingerprint(self) -> str:
        """Hash of parameters and buffers."""
        return weights_hash(self.model)

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Pieces that keep rows of one content together, with fewer rows where entries are large."""
        return list(chunks(self.columns, rows, size))

    @torch.inference_mode()
    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """All taps of the network; of some of the rows at a time where the device's memory is too small for all."""
        self.model.eval()
        columns, rows = self._columns(question), question.rows
        with explained(self.model.log_prior.device):
            parts = [t for _, t in in_halves(np.arange(len(rows)), lambda p: self._taps(columns, rows[p], question))]
        return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _taps(self, columns: Columns, rows: np.ndarray, question: Question) -> dict[str, np.ndarray]:
        batch = move_batch(columns.batch(rows, None, question.view), self.model.log_prior.device)
        visible = batch if question.modalities is None else self._hide_others(batch, question.modalities)
        return {name: to_array(tap) for name, tap in taps(self.model(visible, self.maps)).items()}

    def _columns(self, question: Question) -> Columns:
        changed = self.columns.ready & set(question.view[0].augmented) if question.view else frozenset()
        if not changed or self.raw is None:
            return self.columns
        entries = {**self.columns.entries, **{name: self.raw.entries[name] for name in changed}}
        return replace(self.columns, entries=entries, ready=self.columns.ready - changed)

    def _hide_others(self, batch: Batch, names: tuple[str, ...]) -> Batch:
        shown = [name in names for name in self.modalities]
        kept = to_device(torch.tensor(shown), batch.present.device)
        return replace(batch, present=batch.present & kept, complete=batch.complete and all(shown))


def taps(output: Output) -> dict[str, torch.Tensor]:
    """All tensors of an output that are stored."""
    tensors = {"logits": output.logits, "fused": output.fused, **output.features, "gates": output.gates}
    tensors |= named(output.maps)
    return {name: tap for name, tap in tensors.items() if tap is not None}


@dataclass(frozen=True)
class DeepEnsemble:
    """All seeds as one teacher: the mean of their probabilities (Lakshminarayanan, Pritzel and Blundell 2017, deep
    ensembles; of numbers the mean).

    Logits are those of all seeds. Features, gates and maps of different networks have nothing in common, so they are
    those of the seed that was best on validation.
    """

    members: tuple[Trained, ...]
    best: int  # its place among them
    heads: tuple[Head, ...]

    @classmethod
    def open(cls, run: Run, columns: Columns, place: Path) -> DeepEnsemble:
        """Open the networks of all seeds, in the folder ``place``."""
        folder = place / "teachers"
        seeds = sorted(network.name for network in folder.glob("seed-*"))
        members = tuple(Trained.open(run, columns, folder / seed) for seed in seeds)
        return cls(members, seeds.index(best_seed(folder)), columns.spec.heads)

    @property
    def modalities(self) -> tuple[str, ...]:
        """All seeds read the same modalities."""
        return self.members[self.best].modalities

    def fingerprint(self) -> str:
        """Hash of all networks, and of which was best."""
        parts = [str(self.best), *(member.fingerprint() for member in self.members)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def facts(self) -> dict:
        """Facts of one network, and the number of seeds."""
        return {**self.members[self.best].facts(), "seeds": len(self.members)}

    def pieces(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """The pieces of one network: all read the same."""
        return self.members[self.best].pieces(rows, size)

    def answer(self, question: Question) -> dict[str, np.ndarray]:
        """The combined logits (log-probabilities of classes), and the other taps of the best seed."""
        answers = [member.answer(question) for member in self.members]
        logits = combine(self.heads, [member["logits"] for member in answers], "mean")
        return {**answers[self.best], "logits": logits}

"""The models of a run: which exist, in which seeds and exported forms, and how each is run on the test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..activations import in_units
from ..classical.baselines import classical_baselines
from ..data.columns import Columns
from ..data.device_transfer import to_array
from ..engine import feature_cache, inference
from ..engine.runtime import CPU, device_of
from ..engine.seed_selection import best_seed
from ..engine.student_training import has_labels
from ..files import read_json
from ..model import FusionModel, open_model
from ..predictor import SIGNATURE, Predictor
from ..progress import Tell
from ..run import Run
from ..types import TOKENS, Batch, Encoded, Spec
from .context import Member, Model

EXPORT_BATCH = 256  # rows of an exported file at a time
FUSION_BATCH = 1024  # rows whose features are held while every subset of them is fused
MAX_CACHED_FEATURES = 2**24  # numbers of one network's features that are kept from one corruption to the next


def folders(run: Run) -> dict[str, list[Path]]:
    """Model -> the folders of its seeds: the teacher, if the run trained it, and everything that distill trained."""
    seeds: dict[str, list[Path]] = {}
    for stage in ("teach", "distill"):
        for file in sorted((run.stamp(stage) or {"outputs": {}})["outputs"]):
            name, *rest = Path(file).parts
            if len(rest) == 2 and rest[1] == "model.safetensors" and name != "folds":
                seeds.setdefault("teacher" if name == "teachers" else name, []).append(run.path(name, rest[0]))
    return {**({"teacher": [run.path("teacher")]} if run.recipe.trained else {}), **seeds}


def export_forms(folder: Path) -> dict[str, str | None]:
    """Model -> form, of an export: ``export`` is the default form, others are named after theirs."""
    signature = read_json(folder / SIGNATURE) or {}
    forms, default = list(signature.get("forms") or ()), signature.get("form")
    further: dict[str, str | None] = {f"export-{form}": form for form in forms if form != default} if default else {}
    return {"export": default, **further}


def load_models(
    run: Run, columns: Columns, rows: np.ndarray, external_teacher: Member | None, tell: Tell
) -> dict[str, Model]:
    """Name -> model with its logits on ``rows``, ``majority`` and the exports included. ``external_teacher``: one that
    the run didn't train; where it abstains, the training prior stands for its logits."""
    models = {"majority": Model("majority", {"": np.tile(prior_logits(columns.spec), (len(rows), 1))})}
    loaders: dict[str, Callable[[], Model]] = {}
    if external_teacher is not None:
        loaders["teacher"] = lambda: _model("teacher", {"": external_teacher}, rows)
    for name, seeds in folders(run).items():
        loaders[name] = lambda name=name, seeds=seeds: _trained(run, name, seeds, columns, rows)
    for name, form in export_forms(run.path("export")).items():
        loaders[name] = lambda name=name, form=form: _exported(run, name, form, columns, rows)
    for number, (name, loader) in enumerate(loaders.items()):
        tell(number / len(loaders), name)
        models[name] = loader()
    return models


def classical_models(run: Run, columns: Columns, rows: np.ndarray, tell: Tell) -> tuple[dict[str, Model], dict]:
    """Name -> classical baseline with its outputs on ``rows``, and name -> its facts: rows that it was fitted on, its
    score on validation rows. None where the recipe switches them off, or no training row has a label."""
    is_sequence = any(head.kind == TOKENS for head in columns.spec.heads)  # scikit-learn has no model of one
    if is_sequence or not run.recipe.evaluate.classical_baselines or not has_labels(run):
        return {}, {}
    fitted = classical_baselines(run, columns, rows, run.recipe.fractions, tell)
    models = {name: Model(name, {"": baseline.outputs}) for name, baseline in fitted.items()}
    return models, {name: {"classical": baseline.facts} for name, baseline in fitted.items()}


def prior_logits(spec: Spec) -> np.ndarray:
    """(C,) logits of the training prior."""
    return np.array(spec.log_prior, dtype=np.float32)


def _trained(run: Run, name: str, seeds: list[Path], columns: Columns, rows: np.ndarray) -> Model:
    where = feature_cache.place(run), device_of(run.recipe.compute)
    members: dict[str, Member] = {f.name: Network(f, columns, *where) for f in seeds}
    reference = best_seed(run.path("teachers")) if name == "teacher" and len(seeds) > 1 else seeds[0].name
    export = run.path("export-teacher") if name == "teacher" else None
    return _model(name, members, rows, reference, export if export and export.exists() else None)


def _exported(run: Run, name: str, form: str | None, columns: Columns, rows: np.ndarray) -> Model:
    folder = run.path("export")
    members: dict[str, Member] = {"": Exported(folder, columns, run.recipe.compute.threads, form)}
    return replace(_model(name, members, rows, folder=folder), form=form)


def _model(
    name: str, members: dict[str, Member], rows: np.ndarray, reference: str = "", folder: Path | None = None
) -> Model:
    return Model(name, {seed: member.logits(rows) for seed, member in members.items()}, members, reference, folder)


@dataclass(frozen=True)
class Network:
    """One seed of a network that the run trained; a :class:`suffuse.evaluation.context.Member`."""

    folder: Path
    columns: Columns
    features: Path  # folder of the frozen encoders' vectors
    device: torch.device = CPU
    limitation = ""

    @cached_property
    def opened(self) -> tuple[FusionModel, Columns]:
        """The network in eval mode, and the columns as it reads them."""
        model = open_model(self.folder).to(self.device)
        return model, feature_cache.ready(self.columns, model, self.features).of(model.spec.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that the network reads."""
        return self.opened[0].spec.names

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, C)."""
        return self._in_units(inference.logits(*self.opened, rows))

    def masked_logits(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(K, N, C): rows are encoded once, and fused under each of the K masks."""
        return self._in_units(inference.subset_logits(*self.opened, rows, kept, FUSION_BATCH))

    def _in_units(self, logits: np.ndarray) -> np.ndarray:
        """Numbers in the units of the run's data; a network trained on few labels has units of its own."""
        return in_units(logits, self.opened[0].spec.heads, self.columns.spec.heads)

    @torch.inference_mode()
    def logits_on(self, columns: Columns, name: str, rows: np.ndarray) -> np.ndarray:
        """(N, C) with the entries of modality ``name`` from ``columns``, bit-identical to encoding everything again.
        Frozen vectors of the other modalities stay; the others are encoded on the first call and cached."""
        model, own = self.opened
        selected = columns.of(model.spec.names)
        entries = {n: selected.entries[n] if n == name else column for n, column in own.entries.items()}
        changed = replace(selected, entries=entries, ready=own.ready - {name})
        logits = np.empty((len(rows), columns.spec.outputs), dtype=np.float32)
        for piece in inference.chunks(changed, rows):
            batch = inference.batch_for(model, changed, rows[piece])
            encoded = model.encode(batch, (), self._remaining_modalities(name, rows[piece], batch))
            logits[piece] = to_array(model.fuse(encoded, batch.present).logits)
        return self._in_units(logits)

    def _remaining_modalities(self, name: str, rows: np.ndarray, batch: Batch) -> dict[str, Encoded]:
        """The encoded modalities of these rows except ``name``. The cache holds those of one ``name`` at a time."""
        key, model = (name, rows.tobytes()), self.opened[0]
        if key not in self.cached:
            for stale in [k for k in self.cached if k[0] != name]:
                del self.cached[stale]
            names = [n for n in model.spec.names if n != name and len(batch.inputs[n])]
            encoded = {n: model.entries(n, batch, False) for n in names}
            if sum(map(_count_numbers, encoded.values())) > MAX_CACHED_FEATURES:
                return encoded
            self.cached[key] = encoded
        return self.cached[key]

    @cached_property
    def cached(self) -> dict[tuple[str, bytes], dict[str, Encoded]]:
        """(corrupted modality, rows) -> the other modalities, encoded."""
        return {}


def _count_numbers(encoded: Encoded) -> int:
    return encoded.vector.numel() + (0 if encoded.tokens is None else encoded.tokens.numel())


@dataclass(frozen=True)
class Exported:
    """One form of an exported file; a :class:`suffuse.evaluation.context.Member`."""

    folder: Path
    columns: Columns
    threads: int
    form: str | None = None
    limitation = ""

    @cached_property
    def predictor(self) -> Predictor:
        """Loaded on first use."""
        return load_export(self.folder, self.threads, self.form)

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that the model reads."""
        return tuple(i.field.name for i in self.predictor.inputs)

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, C)."""
        return self.logits_on(self.columns, "", rows)

    def masked_logits(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(K, N, C), with one pass for each of the K masks."""
        present = self.columns.of(self.names).present[rows]
        return np.stack([self._logits(self.columns, rows, present & mask) for mask in kept])

    def logits_on(self, columns: Columns, name: str, rows: np.ndarray) -> np.ndarray:
        """(N, C) on other columns."""
        return self._logits(columns, rows, columns.of(self.names).present[rows])

    def _logits(self, columns: Columns, rows: np.ndarray, present: np.ndarray) -> np.ndarray:
        columns = columns.of(self.names)
        logits, size = [], columns.fitting(EXPORT_BATCH)
        for start in range(0, len(rows), size):
            piece = rows[start : start + size]
            entries = {n: columns.entries[n][columns.entry[piece, m]] for m, n in enumerate(columns.spec.names)}
            logits.append(self.predictor.logits(entries, present[start : start + size]))
        return np.concatenate(logits)


def load_export(folder: Path, threads: int, form: str | None = None) -> Predictor:
    """An export of the run, in one of its forms where it has several. Rows are prepared already, so files that its
    derived columns name are allowed and not opened."""
    return Predictor.load(folder, threads, form, model_files="/")

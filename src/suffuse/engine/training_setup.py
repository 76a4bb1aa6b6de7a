"""The set-up that trainings of teachers and students share: the model, and the plan for :func:`.loop.fit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.columns import Columns
from ..data.device_transfer import move_batch, to_device
from ..data.resident_columns import copied
from ..data.sampler import Sampler
from ..data.training_views import Viewer
from ..knowledge.store import Reader
from ..model import FusionModel
from ..progress import Tell
from ..recipe import Network, Training
from ..run import Run
from ..subsample import training_sample
from . import feature_cache
from .loop import Plan
from .objective import Objective
from .process_group import current
from .row_usage import RowUsage
from .runtime import device_of, memory_for_columns
from .training_record import noter
from .validation import finisher, score_rows, scorer


@dataclass(frozen=True)
class TrainingData:
    """What one training reads of the run."""

    columns: Columns  # of the modalities that the network reads
    usage: RowUsage
    sampler: Sampler  # over the training rows
    validation: np.ndarray  # positions of the rows that choose the epoch
    steps_per_epoch: int
    labelled: np.ndarray  # positions of the training rows whose labels it may use
    viewer: Viewer | None = None  # modality dropout and augmentation
    target: Tensor | None = None  # replaces the stored targets where labels are hidden
    reader: Reader | None = None  # reads the teacher's arrays


def build_model(run: Run, network: Network, columns: Columns, train_rows: np.ndarray) -> tuple[FusionModel, Columns]:
    """An initialised network, and the columns with the vectors of its frozen encoders in place of their entries. The
    vectors are standardised by ``train_rows``."""
    model = FusionModel(network, columns.spec).initialise().to(device_of(run.recipe.compute))
    columns = feature_cache.ready(columns, model, feature_cache.place(run))
    model.standardise(columns, train_rows)
    return model, columns


def on_device(data: TrainingData, device: torch.device, budget: int) -> TrainingData:
    """The data with columns and store copied to a device, as far as ``budget`` bytes hold them: half for each."""
    if device.type == "cpu":
        return data
    columns = replace(data.columns, entries=copied(data.columns.entries, device, budget // 2))
    reader = data.reader
    if reader is not None:
        reader = replace(reader, knowledge=reader.knowledge.on(device, budget // 2))
    return replace(data, columns=columns, reader=reader)


def make_plan(run: Run, training: Training, data: TrainingData, objective: Objective, folder: Path, tell: Tell) -> Plan:
    """The plan of a training whose checkpoint is kept in ``folder``. ``tell`` is called with the progress. Columns and
    store that fit are copied to the objective's device."""
    device = objective.weights.device
    data = on_device(data, device, memory_for_columns(device, run.recipe.compute.threads))
    recorded, judged = data.usage.training(data.columns), data.usage.validation(data.columns)

    def gather(rows: np.ndarray, turn: int) -> tuple[Any, ...]:
        view = (data.viewer, turn) if data.viewer else None
        batch = recorded.batch(rows, data.target, view, objective.needs_full_input, current().split)
        taps = data.reader.gather(batch, turn) if data.reader else {}
        return move_batch(batch, device), {name: to_device(tap, device) for name, tap in taps.items()}

    return Plan(
        training,
        data.sampler,
        every=data.steps_per_epoch,
        gather=gather,
        validate=scorer(judged, data.validation, training),
        finish=finisher(judged, data.validation),
        folder=folder,
        tell=tell,
        note=noter(run, folder, training.epochs),
        usage=data.usage,
        labels=lambda rows: data.columns.counts(rows, data.target),
        score_training=lambda model: score_rows(model, data.columns, training_sample(data.labelled)),
    )

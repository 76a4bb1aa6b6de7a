"""Estimated training time: the recipe's networks are built and run for a few steps on sampled entries.

The rows of a batch are synthetic, with as many distinct entries as a batch of the table would have; the steps are those
of :mod:`suffuse.engine.loop`. Several trainings side by side share the cores, so the times are estimates.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import losses
from ..attention_maps import named
from ..data.columns import Columns
from ..data.device_transfer import move_batch, to_array, to_device
from ..data.sampler import MAX_TOGETHER, Sampler
from ..data.training_views import Viewer
from ..engine import frozen_first
from ..engine.finetuning import Finetuning
from ..engine.inference import batch_for
from ..engine.loop import Plan, train_step
from ..engine.objective import Objective
from ..engine.optimizer import make_optimizer
from ..engine.runtime import require_precision, settle, synchronise
from ..model import FusionModel
from ..prepare.check.cost_estimate import FROZEN_TEACHER, STEPS_TRIED
from ..prepare.check.findings import Sample
from ..recipe import Network, Recipe, Training
from ..recipe.networks import Teacher
from ..registry import PartSettings, settings
from ..types import CLASSES, TOKENS, Head, Output, Spec

WARM_UP = 2  # steps that are not timed
SECONDS = 10.0  # limit for one network
FROZEN_ENTRIES = 16  # entries on which a frozen encoder is timed


def estimate_training(recipe: Recipe, sample: Sample) -> dict[str, Any]:
    """``teacher`` and ``student`` -> parameters, seconds of a step and of a frozen encoder's entry; of the teacher also
    the numbers that the store keeps of a row; and of a teacher with ``frozen_first`` the same of its first training,
    :data:`FROZEN_TEACHER`. Raises UsageError where a network can't be built as the recipe says."""
    device = settle(1, recipe.compute)
    for owner, training in {"teacher": recipe.trained, "distill": recipe.distill}.items():
        if training:
            require_precision(device, training.train.precision, f"{owner}.train.precision")
    spec = Spec(sample.fields, sample.heads, (0.0,) * sum(h.outputs for h in sample.heads))
    student = FusionModel(recipe.student.bare(), _network_spec(spec, recipe.student)).to(device)
    teacher_facts: dict[str, Any] = {"parameters": None, "frozen": {}}
    frozen_facts: dict[str, Any] = {}
    # of a teacher that isn't trained here
    taps = {"logits": torch.zeros(recipe.distill.train.batch, spec.outputs, device=device)}
    if recipe.trained:
        teacher, training = (
            FusionModel(recipe.trained.bare(), _network_spec(spec, recipe.trained)).to(device),
            recipe.trained.train,
        )
        frozen, batch = encode_frozen(teacher, synthetic_columns(sample, spec, training.batch))
        objective = Objective(teacher, task_loss(), {}, both=training.also_full_input).to(device)
        teacher_facts = {"parameters": teacher.size(), "frozen": frozen}
        teacher_facts["step"] = time_step(objective, batch, training, {})
        frozen_facts = _frozen_teacher(recipe.trained, spec, sample, device)
        maps = teacher.mapped(losses.needs(recipe.distill.losses.values()))
        taps = stored_taps(teacher, batch, recipe.distill.train.batch, maps)
    teacher_facts["kept"] = sum(t.shape[1] for t in taps.values() if t.ndim > 1)
    training = recipe.distill.train
    frozen, batch = encode_frozen(student, synthetic_columns(sample, spec, training.batch))
    widths = {name: tap.shape[1] for name, tap in taps.items() if tap.ndim == 2}
    objective = Objective(student, _usable_losses(recipe, taps), widths, both=training.also_full_input).to(device)
    needed = {name: taps[name] for name in objective.needs() if name in taps}
    student_facts = {"parameters": student.size(), "frozen": frozen}
    student_facts["step"] = time_step(objective, batch, training, needed)
    return {"teacher": teacher_facts, "student": student_facts, **frozen_facts}


def _frozen_teacher(teacher: Teacher, spec: Spec, sample: Sample, device: torch.device) -> dict[str, Any]:
    """:data:`FROZEN_TEACHER` -> the facts of the teacher with frozen encoders, where ``frozen_first`` trains that
    first; else nothing."""
    if not teacher.frozen_first:
        return {}
    network = frozen_first.candidates(teacher.bare())[frozen_first.FROZEN]
    model = FusionModel(network, _network_spec(spec, network)).to(device)
    frozen, batch = encode_frozen(model, synthetic_columns(sample, spec, teacher.train.batch))
    objective = Objective(model, task_loss(), {}, both=teacher.train.also_full_input).to(device)
    return {FROZEN_TEACHER: {"frozen": frozen, "step": time_step(objective, batch, teacher.train, {})}}


def task_loss() -> dict[str, PartSettings]:
    """The losses of a training on labels only."""
    return {"labels": settings(losses.TABLE, {"kind": "task"})}


def _usable_losses(recipe: Recipe, taps: dict[str, torch.Tensor]) -> dict[str, PartSettings]:
    """The recipe's losses; with a teacher that isn't trained here those that need only taps that are known to exist."""
    if recipe.trained:
        return dict(recipe.distill.losses)
    usable = {n: loss for n, loss in recipe.distill.losses.items() if set(losses.needs([loss])) <= set(taps)}
    return usable or task_loss()


def synthetic_columns(sample: Sample, spec: Spec, rows: int) -> Columns:
    """Columns of ``rows`` rows with as many distinct entries as a batch of the table would have."""
    entries, entry = {}, []
    for name in spec.names:
        together = min(MAX_TOGETHER, 1 / max(sample.cells[name], 1e-9))
        count = max(1, round(rows / max(together, 1)))
        entries[name] = np.resize(sample.entries[name], (count, *sample.entries[name].shape[1:]))
        entry.append(np.arange(rows) * count // rows)
    target = np.concatenate([_synthetic_target(head, rows) for head in spec.heads], axis=1)
    target = target[:, 0].astype(np.int64) if spec.plain else target
    number, split = np.arange(rows), np.zeros(rows, dtype=np.int8)
    present = np.ones((rows, len(entries)), dtype=bool)
    return Columns(spec, entries, np.stack(entry, 1), present, target, split, number, number.astype(np.uint64))


def encode_frozen(model: FusionModel, columns: Columns) -> tuple[dict[str, float], Columns]:
    """Seconds per entry of each frozen encoder, and the columns with vectors in place of its entries."""
    times, vectors, columns = {}, {}, columns.of(model.spec.names)
    for name in model.spec.names:
        encoder = model.encoder(name)
        if encoder.frozen:
            rows = np.arange(min(FROZEN_ENTRIES, len(columns.entry)))
            inputs = to_device(columns.of([name]).batch(rows).inputs[name], encoder.centre.device)
            with torch.inference_mode():
                encoder.eval()(inputs)  # the first call also prepares kernels and memory
                start = time.perf_counter()
                encoded = to_array(encoder.vectors(inputs))
            times[name] = (time.perf_counter() - start) / len(inputs)
            vectors[name] = np.resize(encoded, (len(columns.entries[name]), *encoded.shape[1:]))
    return times, columns.with_ready(vectors)


@torch.inference_mode()
def stored_taps(
    teacher: FusionModel, columns: Columns, rows: int, maps: tuple[str, ...] = ()
) -> dict[str, torch.Tensor]:
    """What the store would hold of ``rows`` rows."""
    output: Output = teacher.eval()(batch_for(teacher, columns, np.arange(rows) % len(columns.entry)), maps)
    taps = {"logits": output.logits, "fused": output.fused, **output.features, "gates": output.gates}
    taps |= named(output.maps)
    return {name: tap.clone() for name, tap in taps.items() if tap is not None}


def time_step(objective: Objective, columns: Columns, training: Training, teacher: dict[str, torch.Tensor]) -> float:
    """Median seconds of one training step; of encoders that are fine-tuned with all that learns in the last epoch."""
    rows, times = np.arange(len(columns.entry)), []
    sampler = Sampler(rows, rows, training.batch, 0)
    plan = Plan(training, sampler, 1, lambda *_: (), lambda _: {}, Path(), lambda *_: None)
    viewer, device = Viewer.of(training, {}, 0), objective.weights.device
    finetuning = Finetuning(objective.model)
    optimizer, begin = make_optimizer(objective, training), time.perf_counter()
    finetuning.start_epoch(training.epochs - 1)
    objective.train()
    while len(times) < WARM_UP + STEPS_TRIED and (len(times) <= WARM_UP or time.perf_counter() - begin < SECONDS):
        start = time.perf_counter()
        batch = columns.batch(rows, view=(viewer, len(times)) if viewer else None, with_full=objective.needs_full_input)
        train_step(objective, optimizer, plan, (move_batch(batch, device), teacher), len(times))
        synchronise(device)
        times.append(time.perf_counter() - start)
    finetuning.finish()
    return float(np.median(times[WARM_UP:]))


def _network_spec(spec: Spec, network: Network) -> Spec:
    """The spec of the modalities that a network reads."""
    return Spec(tuple(f for f in spec.fields if f.name in network.encoders), spec.heads, spec.log_prior)


def _synthetic_target(head: Head, rows: int) -> np.ndarray:
    """(rows, W) labels."""
    if head.kind == CLASSES:
        return (np.arange(rows) % len(head.classes))[:, None].astype(np.float32)
    if head.kind == TOKENS:  # as long as half of the frames allow
        count = min(head.length, head.frames // 2)
        codes = np.arange(head.length) % len(head.classes) + 1
        return np.tile(np.concatenate([[count], codes]), (rows, 1)).astype(np.float32)
    return np.zeros((rows, head.columns), dtype=np.float32)

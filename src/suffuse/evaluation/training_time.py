"""How long trainings will take: the recipe's networks, built and tried for some steps on sampled entries.

The rows of the batch are made up (as many different entries as a batch of the table would have), the steps are those
of :mod:`suffuse.engine.loop`. Several trainings side by side share the cores, so their times are estimates.
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
from ..data.sampler import MOST_TOGETHER, Sampler
from ..data.training_views import Viewer
from ..engine.loop import Plan, make_optimizer, train_step
from ..engine.objective import Objective
from ..engine.runtime import settle
from ..model import FusionModel
from ..prepare.check.cost_estimate import STEPS_TRIED
from ..prepare.check.findings import Sample
from ..recipe import Network, Recipe, Training
from ..registry import PartSettings, settings
from ..types import CLASSES, Output, Spec

WARM = 2
SECONDS = 10.0  # that one network is tried for
FROZEN = 16  # entries that a frozen encoder is timed on


def effort(recipe: Recipe, sample: Sample) -> dict[str, Any]:
    """Parameters of both networks, numbers that the store keeps of a row, and seconds of a step: ``teacher`` and
    ``student`` -> facts. Raises UsageError where a network can't be built as the recipe says."""
    settle(1)
    spec = Spec(sample.fields, sample.heads, (0.0,) * sum(h.outputs for h in sample.heads))
    task = {"labels": settings(losses.TABLE, {"kind": "task"})}
    student = FusionModel(recipe.student.bare(), _part(spec, recipe.student))
    facts: dict[str, Any] = {"teacher": {"parameters": None, "frozen": {}}}
    taps = {"logits": torch.zeros(recipe.distill.train.batch, spec.outputs)}  # of a teacher from outside
    if recipe.trained:
        teacher = FusionModel(recipe.trained.bare(), _part(spec, recipe.trained))
        frozen, batch = ready(teacher, made_up(sample, spec, recipe.trained.train.batch))
        facts["teacher"] = {"parameters": teacher.size(), "frozen": frozen}
        facts["teacher"]["step"] = step(
            Objective(teacher, task, {}, both=recipe.trained.train.whole), batch, recipe.trained.train, {}
        )
        maps = teacher.mapped(losses.needs(recipe.distill.losses.values()))
        taps = known(teacher, batch, recipe.distill.train.batch, maps)
    facts["teacher"]["kept"] = sum(t.shape[1] for t in taps.values() if t.ndim > 1)
    frozen, batch = ready(student, made_up(sample, spec, recipe.distill.train.batch))
    widths, both = {n: t.shape[1] for n, t in taps.items() if t.ndim == 2}, recipe.distill.train.whole
    objective = Objective(student, _known(recipe, taps), widths, both=both)
    facts["student"] = {"parameters": student.size(), "frozen": frozen}
    needed = {name: taps[name] for name in objective.needs() if name in taps}
    facts["student"]["step"] = step(objective, batch, recipe.distill.train, needed)
    return facts


def _known(recipe: Recipe, taps: dict[str, torch.Tensor]) -> dict[str, PartSettings]:
    """The recipe's losses; with a teacher from outside those that ask for nothing but what is known to be there."""
    if recipe.trained:
        return dict(recipe.distill.losses)
    found = {n: s for n, s in recipe.distill.losses.items() if set(losses.needs([s])) <= set(taps)}
    return found or {"labels": settings(losses.TABLE, {"kind": "task"})}


def made_up(sample: Sample, spec: Spec, rows: int) -> Columns:
    """Columns of ``rows`` rows with as many different entries as a batch of the table would have."""
    entries, entry = {}, []
    for name in spec.names:
        together = min(MOST_TOGETHER, 1 / max(sample.cells[name], 1e-9))
        count = max(1, round(rows / max(together, 1)))
        entries[name] = np.resize(sample.entries[name], (count, *sample.entries[name].shape[1:]))
        entry.append(np.arange(rows) * count // rows)
    target = np.concatenate([_target(head, rows) for head in spec.heads], axis=1)
    target = target[:, 0].astype(np.int64) if spec.plain else target
    many, nothing = np.arange(rows), np.zeros(rows, dtype=np.int8)
    present = np.ones((rows, len(entries)), dtype=bool)
    return Columns(spec, entries, np.stack(entry, 1), present, target, nothing, many, many.astype(np.uint64))


def ready(model: FusionModel, columns: Columns) -> tuple[dict[str, float], Columns]:
    """Seconds for an entry of each frozen encoder, and the columns with vectors in place of its entries."""
    times, vectors, columns = {}, {}, columns.of(model.spec.names)
    for name in model.spec.names:
        encoder = model.encoder(name)
        if encoder.frozen and not (getattr(model.part, "TOKENS", False) and encoder.tokens):
            some = columns.of([name]).batch(np.arange(min(FROZEN, len(columns.entry)))).inputs[name]
            start = time.perf_counter()
            with torch.inference_mode():
                found = encoder.eval()(some).vector.float().numpy()
            times[name] = (time.perf_counter() - start) / len(some)
            vectors[name] = np.resize(found, (len(columns.entries[name]), found.shape[1]))
    return times, columns.with_ready(vectors)


@torch.inference_mode()
def known(teacher: FusionModel, columns: Columns, rows: int, maps: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """What the store would hold of so many rows."""
    output: Output = teacher.eval()(columns.batch(np.arange(rows) % len(columns.entry)), maps)
    taps = {"logits": output.logits, "fused": output.fused, **output.features, "gates": output.gates}
    taps |= named(output.maps)
    return {name: tap.clone() for name, tap in taps.items() if tap is not None}


def step(objective: Objective, columns: Columns, training: Training, teacher: dict[str, torch.Tensor]) -> float:
    """Seconds of one step, the median of some."""
    rows, times = np.arange(len(columns.entry)), []
    sampler = Sampler(rows, rows, training.batch, 0)
    plan = Plan(training, sampler, 1, lambda *_: (), lambda _: {}, Path(), lambda *_: None)
    viewer = Viewer.of(training, {}, 0)
    optimizer, began = make_optimizer(objective.train(), training), time.perf_counter()
    while len(times) < WARM + STEPS_TRIED and (len(times) <= WARM or time.perf_counter() - began < SECONDS):
        start = time.perf_counter()
        batch = columns.batch(rows, view=(viewer, len(times)) if viewer else None, whole=objective.whole)
        train_step(objective, optimizer, plan, (batch, teacher), len(times))
        times.append(time.perf_counter() - start)
    return float(np.median(times[WARM:]))


def _part(spec: Spec, network: Network) -> Spec:
    """The spec of the modalities that a network reads."""
    return Spec(tuple(f for f in spec.fields if f.name in network.encoders), spec.heads, spec.log_prior)


def _target(head: Any, rows: int) -> np.ndarray:
    """(rows, W) of made-up labels."""
    if head.kind == CLASSES:
        return (np.arange(rows) % len(head.classes))[:, None].astype(np.float32)
    return np.zeros((rows, head.columns), dtype=np.float32)

"""A training on a device: what is moved there, what is asked of it, and what its checkpoints hold.

No test here needs one. Devices without numbers (``meta``, CUDA under FakeTensorMode) refuse to mix with main memory,
and a step that waits for a number of theirs fails.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from device_tools import CUDA, DEVICES, device, places
from safetensors import safe_open
from safetensors.torch import save_file

from suffuse import losses
from suffuse.data.device_transfer import move_batch
from suffuse.data.resident_columns import Resident, copied
from suffuse.data.training_views import COMPLEMENTARY, Viewer
from suffuse.engine import feature_cache, inference, loop
from suffuse.engine.ema import Average
from suffuse.engine.objective import Objective, Share
from suffuse.engine.optimizer import _bias_correction, make_optimizer
from suffuse.errors import SuffuseError
from suffuse.recipe import Schedule, Training
from suffuse.registry import settings
from suffuse.types import Field

META = torch.device("meta")
CHOSEN = {
    "soft": {"kind": "kd", "weight": 0.9},
    "labels": {"kind": "task", "weight": 0.1},
    "near": {"kind": "hint", "tap": "picture", "weight": 0.5},
    "far": {"kind": "rkd_distance", "tap": "fused"},
}
VIEWS = {
    "plain": (None, False),
    "dropped": (Viewer(3, 1.0), False),
    "whole": (Viewer(3, 1.0), True),
    "halves": (Viewer(3, COMPLEMENTARY), False),
}


def objective_of(trainer, network=None, **more) -> Objective:
    made = {name: settings(losses.TABLE, each) for name, each in CHOSEN.items()}
    model = (
        trainer.objective().model if network is None else type(trainer.objective().model)(network, trainer.columns.spec)
    )
    return Objective(model, made, {"picture": 6, "logits": 3, "fused": 8}, **more).train()


def gathered(trainer, view: str = "plain", rows: int = 12) -> tuple:
    """A batch, and the teacher's arrays for it."""
    viewer, full = VIEWS[view]
    picked = trainer.columns.rows("train")[:rows]
    batch = trainer.columns.batch(picked, view=(viewer, 0) if viewer else None, with_full=full)
    random = torch.Generator().manual_seed(2)
    return batch, {n: torch.randn(rows, w, generator=random) for n, w in (("logits", 3), ("picture", 6), ("fused", 8))}


def all_present(monkeypatch) -> None:
    """Without numbers nobody knows which rows are."""
    monkeypatch.setattr(
        torch.Tensor, "nonzero", lambda x: torch.zeros(x.numel(), x.dim(), dtype=torch.int64, device=x.device)
    )


@pytest.mark.parametrize("view", VIEWS)
def test_all_of_a_batch_is_moved(trainer, view):
    batch = gathered(trainer, view)[0]
    there = move_batch(batch, META)
    assert places(batch) == {"cpu"} and places(there) == {"meta"} and move_batch(batch, torch.device("cpu")) is batch


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("more", ["plain", "mixup", "schedules", "share", "unimodal"])
def test_an_objective_stays_on_its_device(trainer, make_network, monkeypatch, name, view, more):
    """And the processor waits for none of its numbers."""
    all_present(monkeypatch)
    network = make_network(text="lstm", unimodal_weight=0.5 if more == "unimodal" else 0.0)
    if more == "mixup" and view in ("whole", "halves"):
        return  # a recipe can't have both
    # drawn in main memory, whose tensors have no numbers here either
    monkeypatch.setattr(torch.distributions, "Beta", lambda a, b: SimpleNamespace(sample=lambda: 0.3))
    chosen = {"mixup": 0.4} if more == "mixup" else {}
    objective = objective_of(
        trainer, network, **chosen, schedules={"soft": Schedule(weight=0.1)} if more == "schedules" else {},
        both=view == "whole",
    )  # fmt: skip
    with device(name) as to:
        to(objective)
        batch, taps = to(gathered(trainer, view))
        objective.at(0.5)
        share = Share(0.5, (20,)) if more == "share" else None
        loss, terms = objective(batch, taps, share)
        assert places((loss, terms)) == places(batch)


def test_a_step_of_the_optimiser_asks_for_no_number(trainer, make_columns, monkeypatch):
    """Clipping, AdamW with its sparse groups, and the average of the weights, on CUDA without numbers."""
    spec = trainer.columns.spec
    words = Field("question", "text", {**spec.fields[1].statistics, "idf": [0.0, 0.0, *[1.5] * 10]})
    trainer.columns = replace(trainer.columns, spec=replace(spec, fields=(spec.fields[0], words)))
    encoders = {"picture": {"kind": "conv", "widths": [4, 6]}, "question": {"kind": "ngrams", "embedding": 5}}
    network = trainer.network.model_validate({"encoders": encoders, "fusion": {"kind": "gated", "width": 8}})
    objective = objective_of(trainer, network)
    with device(CUDA) as to:
        to(objective)
        optimizer, average = make_optimizer(objective, Training()), Average(objective.model, 0.99)
        assert any(group["sparse"] for group in optimizer.param_groups)
        for step in range(2):
            for parameter in objective.parameters():
                parameter.grad = torch.zeros_like(parameter)
            loop.update(objective, optimizer, trainer.plan(), step)
            average.update()
        assert places(dict(optimizer.state_dict()["state"])) == {"cuda"}


@pytest.mark.parametrize("beta", [0.9, 0.999])
@pytest.mark.parametrize("count", [1, 7, 5000])
def test_bias_correction_is_the_same_number_on_a_device(beta, count):
    class Elsewhere(torch.Tensor):
        device = torch.device("cuda", 0)

    step = torch.tensor(float(count))
    there = _bias_correction(step.as_subclass(Elsewhere), beta)
    assert isinstance(there, torch.Tensor) and float(there) == pytest.approx(_bias_correction(step, beta), rel=1e-6)


def test_a_resident_column_gives_the_same_batches(trainer, make_columns):
    columns = make_columns(rows=36, absent=0.2)
    steps = np.zeros((18, 7, 4), np.float16)
    for row, length in enumerate(np.random.default_rng(0).integers(1, 7, 18)):
        steps[row, :length] = np.arange(length * 4).reshape(length, 4)
        steps[row, :length, -1] = 1
    track = Field("track", "sequence", {"features": 3, "length": 7, "mean": [0.0] * 3, "std": [1.0] * 3})
    columns = replace(
        columns, spec=replace(columns.spec, fields=(*columns.spec.fields, track)),
        entries={**columns.entries, "track": steps}, entry=columns.entry[:, [0, 1, 1]],
        present=columns.present[:, [0, 1, 1]],
    )  # fmt: skip
    there = replace(columns, entries=copied(columns.entries, torch.device("cpu"), 10**9))
    assert all(isinstance(column, Resident) for column in there.entries.values())
    for rows in (columns.rows("train")[:9], columns.rows("validation")):
        one, other = columns.batch(rows), there.batch(rows)
        for name in columns.entries:
            assert one.inputs[name].dtype == other.inputs[name].dtype
            assert torch.equal(one.inputs[name], other.inputs[name]), name
    assert np.array_equal(there.shared(), columns.shared()) and there.numbers() == columns.numbers()


def test_the_smallest_columns_go_first_and_views_are_made_in_main_memory(trainer):
    columns = trainer.columns
    words = columns.entries["question"].nbytes
    part = copied(columns.entries, META, words + 10)
    assert isinstance(part["question"], Resident) and part["picture"] is columns.entries["picture"]
    assert copied(columns.entries, META, words - 1) == columns.entries
    there = replace(columns, entries=copied(columns.entries, META, 10**9))
    rows = columns.rows("train")[:6]
    assert {x.device.type for x in there.batch(rows).inputs.values()} == {"meta"}

    class Doubled(Viewer):
        def entries(self, number, name, ids, entries):
            return entries[..., ::-1].copy() if name in self.augmented else entries

    batch = there.batch(rows, view=(Doubled(0, 0.0, {"picture": None}), 0))  # type: ignore[dict-item]
    assert batch.inputs["picture"].device.type == "cpu" and batch.inputs["question"].device.type == "meta"
    plain = columns.batch(rows).inputs["picture"]
    assert torch.equal(batch.inputs["picture"], plain.flip(-1))


def checkpoint_facts(file) -> dict[str, str]:
    with safe_open(file, framework="pt") as opened:
        return opened.metadata()


def test_a_training_begun_elsewhere_goes_on_after_one_line(trainer, monkeypatch, capsys):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    whole = trainer.fit(training=Training(epochs=2, batch=8), folder=trainer.folder / "whole")
    half = trainer.plan(training=Training(epochs=2, batch=8))

    class Killed(BaseException):
        pass

    def gather(rows, turn, begun=[]):  # noqa: B006
        begun.append(rows)
        if len(begun) == 5:
            raise Killed
        return half.gather(rows, turn)

    with pytest.raises(Killed):
        trainer.fit(training=half.training, gather=gather)
    file = trainer.folder / "checkpoints" / "last.safetensors"
    facts = checkpoint_facts(file)
    assert facts["device"] == "cpu" and "random.device" not in safe_open(file, framework="pt").keys()  # noqa: SIM118
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    tensors["random.device"] = torch.zeros(16, dtype=torch.uint8)
    save_file(tensors, file, metadata={**facts, "device": "cuda"})
    capsys.readouterr()
    resumed = trainer.fit(training=half.training)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "begun on cuda and continues on cpu" in said
    assert resumed.state == whole.state  # the processor's random state is the same, and here nothing else is drawn


def fp16(**more) -> Training:
    return Training(epochs=2, batch=8, precision="fp16", **more)


def test_fp16_trains_with_a_scaled_loss_and_resumes(trainer, same, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    expected = trainer.fit(training=fp16(), folder=trainer.folder / "whole")
    plan, begun = trainer.plan(), []

    class Killed(BaseException):
        pass

    def gather(rows, turn):
        if len(begun) == 5:
            raise Killed
        begun.append(1)
        return plan.gather(rows, turn)

    with pytest.raises(Killed):
        trainer.fit(training=fp16(), gather=gather)
    with safe_open(trainer.folder / "checkpoints" / "last.safetensors", framework="pt") as opened:
        scale, growing = (opened.get_tensor(f"scaler.{name}").item() for name in ("scale", "_growth_tracker"))
        assert scale < 2.0**16 and 0 < growing < 5  # the first scale made gradients infinite
    same(expected, trainer.fit(training=fp16()))
    plain = trainer.fit(training=Training(epochs=2, batch=8), folder=trainer.folder / "plain")
    for name, value in expected.weights().items():
        assert value.dtype == plain.weights()[name].dtype
    losses_of = [[line["loss"] for line in found.state.history] for found in (expected, plain)]
    np.testing.assert_allclose(*losses_of, rtol=0.05)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_step_with_infinite_gradients_is_left_out(trainer, sparse):
    objective = trainer.objective()
    optimizer = make_optimizer(objective, fp16())
    if sparse:
        for group in optimizer.param_groups:
            group["sparse"] = True
        optimizer.scale_by(optimizer.scaler)
    before = {n: p.detach().clone() for n, p in objective.named_parameters()}
    loss, _ = objective(*trainer.plan().gather(trainer.columns.rows("train")[:8], 0))
    optimizer.scaler.scale(loss * torch.inf).backward()
    loop.update(objective, optimizer, trainer.plan(training=fp16()), 3)
    assert optimizer.scaler.get_scale() == 2.0**15
    assert all(torch.equal(p, before[n]) for n, p in objective.named_parameters())
    loss, _ = objective(*trainer.plan().gather(trainer.columns.rows("train")[:8], 0))
    optimizer.scaler.scale(loss).backward()
    loop.update(objective, optimizer, trainer.plan(training=fp16()), 3)
    assert any(not torch.equal(p, before[n]) for n, p in objective.named_parameters())


def small_memory(monkeypatch, rows: int) -> list[int]:
    """The objective fails on more rows; the sizes that it was called with."""
    forward, sizes = Objective.forward, []

    def limited(self, batch, *rest):
        sizes.append(len(batch.rows))
        if len(batch.rows) > rows:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, batch, *rest)

    monkeypatch.setattr(Objective, "forward", limited)
    return sizes


def still(trainer) -> None:
    """No dropout, no statistics of a batch, and no loss that counts other rows than all: parts add up."""
    encoders = {name: encoder.model_dump() for name, encoder in trainer.network.encoders.items()}
    encoders["picture"]["norm"] = "group"
    trainer.network = type(trainer.network).model_validate({"encoders": encoders, "fusion": trainer.network.fusion})
    make = trainer.objective

    def objective(number: int = 0) -> Objective:
        made = make(number)
        made.weights[2] = 0.0
        return made

    trainer.objective = objective


@pytest.mark.parametrize("accumulate", [1, 2])
def test_out_of_memory_computes_a_batch_in_parts(trainer, monkeypatch, capsys, accumulate):
    still(trainer)
    training = Training(epochs=2, batch=8, learning_rate=0.02, accumulate=accumulate)
    labels = {"labels": lambda rows: trainer.columns.counts(rows)}
    expected = trainer.fit(training=training, folder=trainer.folder / "whole", **labels)
    sizes = small_memory(monkeypatch, 3)
    capsys.readouterr()
    found = trainer.fit(training=training, **labels)
    assert max(sizes[2:]) == 2 and sizes[:2] == [8, 4]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "too small for 8 rows at a time: 4 from here on" in said[0]
    assert found.state.step == expected.state.step and found.state.optimizer_steps == expected.state.optimizer_steps
    for name, value in expected.weights().items():
        torch.testing.assert_close(found.weights()[name], value, rtol=2e-3, atol=2e-4, msg=name)
    for one, other in zip(found.state.history, expected.state.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_out_of_memory_in_the_middle_of_a_step_begins_it_again(trainer, monkeypatch):
    still(trainer)
    training = Training(epochs=1, batch=8, learning_rate=0.02, accumulate=3)
    expected = trainer.fit(training=training, folder=trainer.folder / "whole")
    forward, calls = Objective.forward, []

    def third_fails(self, batch, *rest):
        calls.append(len(batch.rows))
        if len(calls) == 3:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, batch, *rest)

    monkeypatch.setattr(Objective, "forward", third_fails)
    found = trainer.fit(training=training)
    assert calls[:5] == [8, 8, 8, 4, 4]
    for name, value in expected.weights().items():
        torch.testing.assert_close(found.weights()[name], value, rtol=2e-3, atol=2e-4, msg=name)
    assert found.state.history[0]["loss"] == pytest.approx(expected.state.history[0]["loss"], rel=1e-3)


def test_memory_for_no_two_rows_is_told(trainer, monkeypatch):
    small_memory(monkeypatch, 1)
    with pytest.raises(SuffuseError, match="memory of the device is too small") as error:
        trainer.fit(training=Training(epochs=1, batch=8))
    assert error.value.got == "2 rows" and "compute.device: cpu" in error.value.hint


def test_inference_halves_what_is_too_large(trainer, monkeypatch):
    model, rows = trainer.objective().model.eval(), trainer.columns.rows("train")
    kept = np.array([[[True, False]], [[True, True]]])
    expected = (
        inference.logits(model, trainer.columns, rows),
        inference.subset_logits(model, trainer.columns, rows, kept),
    )
    encode = type(model).encode

    def limited(self, batch, *rest, **more):
        if len(batch.rows) > 7:
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, batch, *rest, **more)

    monkeypatch.setattr(type(model), "encode", limited)
    found = inference.logits(model, trainer.columns, rows), inference.subset_logits(model, trainer.columns, rows, kept)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [10, 3])
def test_frozen_encoders_take_as_many_entries_as_a_device_holds(monkeypatch, rows):
    monkeypatch.setattr(feature_cache, "to_device", lambda x, device: x)
    entries, sizes = torch.randn(10, 4), []

    def vectors(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if len(x) > rows:
            raise torch.OutOfMemoryError("out of memory")
        return 2 * x.double()

    encoder = SimpleNamespace(centre=SimpleNamespace(device=torch.device("cuda", 0)), vectors=vectors)
    found = feature_cache._vectors(encoder, entries)  # type: ignore[arg-type]
    assert found.dtype == np.float32 and np.array_equal(found, 2 * entries.numpy())
    assert sizes[0] == 10 and (len(sizes) == 1) == (rows == 10)

"""Whole trainings and a whole run on the device: parity with the processor, kill and resume, precisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from e2e_tools import make_recipe as raw_recipe
from e2e_tools import make_rows, write_csv

from suffuse import pipeline
from suffuse.engine import loop, runtime
from suffuse.engine.loop import fit
from suffuse.engine.student_training import Job, prepared
from suffuse.files import read_json
from suffuse.recipe import make_recipe
from suffuse.run import Run

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
EPOCHS = 2
PARITY = 0.02  # relative, of losses after two epochs: rounding grows with every step


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, device) -> Run:
    """A run on the device as far as its store."""
    project = tmp_path_factory.mktemp("gpu")
    write_csv(project / "rows.csv", make_rows(project, pictures=60))
    train = {"epochs": EPOCHS, "batch": 16}
    raw = raw_recipe(
        teacher__train=train, distill={"train": train, "num_seeds": 1},
        compute={"threads": 1, "device": device.type, "deterministic": True},
    )  # fmt: skip
    made = Run.of(raw, project / "run", project)
    for verb in ("prepare", "teach", "extract"):
        pipeline.run_stage(made, verb)
    return made


def job(number: int = 1) -> Job:
    return Job("student", number, True, 1.0, None)


def changed(run: Run, train: dict | None = None, **compute) -> Run:
    raw = run.recipe.model_dump(mode="json")
    raw["compute"] |= compute
    raw["distill"]["train"] |= train or {}
    return Run(run.folder, make_recipe(raw))


def trained(run: Run, folder: Path):
    objective, plan = prepared(run, job(), folder, lambda share, words: None)
    return objective, fit(objective, plan)


def test_a_run_goes_from_the_table_to_the_report(run, device, tmp_path):
    for verb in ("distill", "export", "evaluate", "report"):
        pipeline.run_stage(run, verb)
    for name in ("teacher", "student/seed-1", "baseline/seed-1"):
        facts = read_json(run.path(*name.split("/")) / "training.json")
        assert facts is not None and facts["device"].startswith(device.type), name
    assert read_json(run.path("export", "parity.json")) is not None
    assert read_json(run.path("scores", "student.json")) is not None


def test_the_first_loss_is_that_of_the_processor_and_the_last_is_near(run, tmp_path):
    histories = []
    for place in (run.recipe.compute.device, "cpu"):
        _, state = trained(changed(run, {"modality_dropout": 0.0}, device=place), tmp_path / place)
        histories.append([line["loss"] for line in state.history])
    np.testing.assert_allclose(*histories, rtol=PARITY)


def test_it_begins_with_the_weights_of_the_processor(run, device, tmp_path):
    here, _ = prepared(changed(run, device="cpu"), job(), tmp_path / "here", lambda *_: None)
    there, plan = prepared(run, job(), tmp_path / "there", lambda *_: None)
    assert {t.device.type for t in there.state_dict().values()} == {device.type}
    for name, value in there.state_dict().items():
        torch.testing.assert_close(value.cpu(), here.state_dict()[name], rtol=0, atol=0, msg=name)
    batch, taps = plan.gather(plan.sampler.order(0)[:8], 0)
    assert {t.device.type for t in (*batch.inputs.values(), batch.present, *taps.values())} == {device.type}


def test_killed_and_called_again_it_ends_with_the_same_bits(run, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    whole, state = trained(run, tmp_path / "whole")

    class Killed(BaseException):
        pass

    objective, plan = prepared(run, job(), tmp_path / "killed", lambda *_: None)
    begun = []

    def gather(rows, turn):
        if len(begun) == 3:
            raise Killed
        begun.append(rows)
        return plan.gather(rows, turn)

    with pytest.raises(Killed):
        fit(objective, replace(plan, gather=gather))
    resumed, again = trained(run, tmp_path / "killed")
    assert again == state
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_begun_here_it_goes_on_on_the_processor(run, device, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    objective, plan = prepared(run, job(), tmp_path, lambda *_: None)
    half = replace(plan, training=plan.training.model_copy(update={"epochs": 1}))
    fit(objective, half)
    capsys.readouterr()
    _, state = trained(changed(run, device="cpu"), tmp_path)
    assert len(state.history) == EPOCHS
    assert ("continues on cpu" in capsys.readouterr().err) == (device.type != "cpu")


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_of_the_device_learns(run, device, tmp_path, precision):
    if precision not in runtime.precisions(device):
        pytest.skip(f"no GPU with {precision}")
    _, state = trained(changed(run, {"precision": precision, "epochs": 4}), tmp_path)
    assert state.history[-1]["loss"] < state.history[0]["loss"]


def test_out_of_memory_is_survived(run, device, tmp_path, capsys):
    """Of a real allocation: a loss that takes all the memory for more than eight rows."""
    if device.type != "cuda":
        pytest.skip("no GPU of NVIDIA or AMD")
    objective, plan = prepared(run, job(), tmp_path, lambda *_: None)
    free = torch.cuda.mem_get_info(device)[0]

    def gather(rows, turn):
        if len(rows) > 8:
            torch.empty(2 * free, dtype=torch.uint8, device=device)
        return plan.gather(rows, turn)

    state = fit(objective, replace(plan, gather=gather))
    assert len(state.history) == EPOCHS and "too small for 16 rows at a time" in capsys.readouterr().err

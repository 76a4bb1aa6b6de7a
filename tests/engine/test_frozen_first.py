"""Frozen first, then fine-tuned: one run of the stage teach, with what it keeps and shows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.engine import feature_cache, frozen_first
from suffuse.engine.inference import logits
from suffuse.errors import UsageError
from suffuse.evaluation.training_time import estimate_training
from suffuse.files import read_json, write_json
from suffuse.model import FusionModel, open_model
from suffuse.prepare.check import table_check
from suffuse.prepare.check.cost_estimate import FROZEN_TEACHER, apply_measurements
from suffuse.recipe import Network, make_recipe
from suffuse.report.finetuning_choice import teacher_choice
from suffuse.run import Run
from suffuse.stages import teach

BERT = {
    "model_type": "bert", "vocab_size": 400, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16, "initializer_range": 0.4,
}  # fmt: skip


class Killed(Exception):
    """What ends a training in these tests."""


@pytest.fixture
def new_run(write_table, tiny_recipe, hugging_folder, tmp_path):
    """A maker of prepared runs whose teacher reads texts with a pretrained network."""
    folder = hugging_folder(BERT)
    write_table(tmp_path / "table")

    def make(name: str, rate: float = 0.02) -> Run:
        raw: dict[str, Any] = tiny_recipe(tmp_path / "table" / "rows.csv")
        raw["teacher"]["encoders"]["question"] = {
            "kind": "huggingface", "name": str(folder), "finetune": {"learning_rate": rate, "layer_decay": 1.0}
        }  # fmt: skip
        raw["teacher"] |= {"frozen_first": True, "train": {"epochs": 3, "batch": 16}}
        run = Run.of(raw, tmp_path / name)
        pipeline.run_stage(run, "prepare")
        return run

    return make


def facts(run: Run) -> dict[str, Any]:
    return read_json(run.path("teacher", "training.json"))


@pytest.mark.parametrize(("frozen_first", "tuned_steps"), [(True, 3), (2, 2)])
def test_the_estimate_counts_both_trainings(new_run, frozen_first, tuned_steps):
    run = new_run("estimate")
    raw = run.recipe.model_dump(mode="json")
    raw["teacher"] |= {"frozen_first": frozen_first, "num_seeds": 2, "unimodal_baselines": True}
    run = Run(run.folder, make_recipe(raw))
    checked = table_check.check(run)
    trainings = {t["who"]: t for t in checked.costs["time"]["trainings"]}
    frozen, tuned = trainings[FROZEN_TEACHER], trainings["teacher"]
    alone = len(run.recipe.trained.encoders)
    assert frozen["trainings"] == len(teach.jobs(run)) == 2 * (1 + alone)
    assert tuned["trainings"] == 2 * (1 + 1)  # both networks, and the one modality that is fine-tuned
    assert frozen["steps"] * tuned_steps == 3 * tuned["steps"] > 0
    cells = {m.name: m.cells for m in checked.modalities}
    assert checked.costs["disk"]["features"] >= 4 * cells["question"]  # its vectors are kept for the first training
    apply_measurements(checked, run.recipe, estimate_training(run.recipe, checked.sample))
    assert frozen["seconds"] > 0 and frozen["step"] < tuned["step"]
    assert checked.costs["time"]["training"] > frozen["seconds"] + tuned["seconds"]
    assert set(checked.costs["time"]["parameters"]) == {"teacher", "student"}


def test_a_number_of_epochs_is_that_of_the_fine_tuning(new_run, monkeypatch):
    lengths: dict[str, int] = {}
    original = teach.fit

    def fit(objective, plan):
        lengths[plan.folder.name] = plan.training.epochs
        return original(objective, plan)

    monkeypatch.setattr(teach, "fit", fit)
    run = new_run("number")
    teacher = run.recipe.trained.model_copy(update={"frozen_first": 2})
    teach.train(
        Run(run.folder, run.recipe.model_copy(update={"teacher": teacher})),
        teach.Job("seed-0", 0, None, None),
        1,
        lambda *_: None,
    )
    assert lengths == {frozen_first.FROZEN: 3, frozen_first.FINETUNED: 2}


def test_both_are_tried_and_the_better_is_kept(new_run, capfd):
    run = new_run("run")
    pipeline.run_stage(run, "teach")
    record = facts(run)
    tried = record[frozen_first.KEY]
    ranks = {n: (tried[n]["accuracy"], -tried[n]["log_loss"]) for n in ("frozen", "finetuned")}
    assert tried["kept"] == ("finetuned" if ranks["finetuned"] > ranks["frozen"] else "frozen")
    assert record["validation"] == tried[tried["kept"]]
    assert tried["frozen"] != tried["finetuned"]
    sentence = teacher_choice(run)
    assert all(f"{100 * tried[name]['accuracy']:.2f} %" in sentence for name in ("frozen", "finetuned"))
    assert f"notice: {sentence}" in capfd.readouterr().err
    model = open_model(run.path("teacher"))
    assert model.encoder("question").frozen == (tried["kept"] == "frozen")


def test_both_networks_have_the_same_tensors_and_the_second_begins_as_the_first_ended(new_run, tmp_path):
    run = new_run("run")
    columns = Columns.open(run.path("data"))
    networks = frozen_first.candidates(run.recipe.trained.bare())  # type: ignore[union-attr]
    frozen = FusionModel(networks["frozen"], columns.spec).initialise()
    ready = feature_cache.ready(columns, frozen, tmp_path / "features")
    frozen.standardise(ready, columns.rows("train"))
    finetuned = FusionModel(networks["finetuned"], columns.spec)
    finetuned.load_state_dict(frozen.state_dict())
    rows = np.arange(len(columns.entry))
    np.testing.assert_allclose(logits(finetuned.eval(), columns, rows), logits(frozen.eval(), ready, rows), atol=1e-5)
    encoder = finetuned.train().encoder("question")
    assert encoder.training and not encoder.tokens and not frozen.train().encoder("question").training
    assert all(p.requires_grad for p in encoder.parameters())
    assert Network.model_validate(networks["finetuned"].model_dump(mode="json")) == networks["finetuned"]


@pytest.mark.parametrize("during", ["frozen", "finetuned"])
def test_killed_in_either_training_it_ends_with_the_same_bits(new_run, monkeypatch, during):
    whole, cut = new_run("whole"), new_run("cut")
    pipeline.run_stage(whole, "teach")
    fit, begun = teach.fit_network, []

    def dies(run: Run, job: Any, network: Network, scratch: Path, *given: Any) -> Any:
        begun.append(scratch.name)
        if scratch.name == during:
            raise Killed
        return fit(run, job, network, scratch, *given)

    monkeypatch.setattr(teach, "fit_network", dies)
    with pytest.raises(Killed):
        pipeline.run_stage(cut, "teach")
    begun.clear()
    monkeypatch.setattr(teach, "fit_network", lambda *given: (begun.append(given[3].name), fit(*given))[1])
    pipeline.run_stage(cut, "teach")
    assert begun == (["frozen", "finetuned"] if during == "frozen" else ["finetuned"])
    assert facts(cut)[frozen_first.KEY] == facts(whole)[frozen_first.KEY]
    expected, found = (open_model(run.path("teacher")).state_dict() for run in (whole, cut))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize(
    ("frozen", "finetuned", "kept"),
    [((0.8, 0.5), (0.9, 0.6), "finetuned"), ((0.9, 0.5), (0.8, 0.1), "frozen"), ((0.9, 0.5), (0.9, 0.4), "finetuned"),
     ((0.9, 0.5), (0.9, 0.5), "frozen")],
)  # fmt: skip
def test_the_score_decides_then_the_loss_then_the_cost(tmp_path, frozen, finetuned, kept):
    folders = {"frozen": tmp_path / "frozen", "finetuned": tmp_path / "finetuned"}
    for folder, (accuracy, loss) in zip(folders.values(), (frozen, finetuned), strict=True):
        write_json(folder / "training.json", {"validation": {"accuracy": accuracy, "log_loss": loss}})
        (folder / "config.json").write_text(folder.name)
    assert frozen_first.better(folders) == kept
    frozen_first.keep_better(folders, tmp_path / "teacher")
    assert (tmp_path / "teacher" / "config.json").read_text() == kept
    assert read_json(tmp_path / "teacher" / "training.json")[frozen_first.KEY]["kept"] == kept
    shutil.rmtree(tmp_path / "teacher")


def test_nothing_to_fine_tune(tiny_recipe):
    raw = tiny_recipe(Path("rows.csv"))
    raw["teacher"]["frozen_first"] = True
    with pytest.raises(UsageError, match="frozen_first without an encoder that is fine-tuned"):
        make_recipe(raw, "mine.yaml")


def test_frozen_first_may_be_shorter_than_the_wait_for_unfreezing(new_run):
    raw = new_run("short").recipe.model_dump(mode="json")
    raw["teacher"]["train"]["epochs"] = 1
    assert make_recipe(raw).trained.train.epochs == 1  # type: ignore[union-attr]
    raw["teacher"]["frozen_first"] = False
    with pytest.raises(UsageError, match="unfreeze_after"):
        make_recipe(raw)

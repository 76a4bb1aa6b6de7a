"""Which parameters decay: the weights of maps, in every encoder and fusion, and nothing that is a learned vector."""

from __future__ import annotations

import pytest
import torch
from encoder_tools import CASES, FIELDS
from torch import nn

from suffuse import fusions, losses
from suffuse.engine.objective import Objective
from suffuse.engine.optimizer import make_optimizer
from suffuse.model import FusionModel
from suffuse.recipe import Network, Training
from suffuse.registry import settings
from suffuse.types import Head, Spec

MAPS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.GRU, nn.LSTM)
QUERIES = {"queries": ("ask",), "attention_pooling": ("score",), "conv1d": ("score",)}  # maps whose rows are queries


def decayed(model: FusionModel, **chosen: dict) -> set[str]:
    """Names of the parameters that decay."""
    losses_of = {name: settings(losses.TABLE, facts) for name, facts in chosen.items()}
    objective = Objective(model, losses_of or {"labels": settings(losses.TABLE, {"kind": "task"})}, {"fused": 5})
    optimizer = make_optimizer(objective, Training(weight_decay=0.3))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    names = {id(p): name for name, p in objective.named_parameters()}
    assert set(decay) == {id(p) for p in objective.parameters() if p.requires_grad}
    assert set(decay.values()) <= {0.0, 0.3}
    return {names[number] for number, rate in decay.items() if rate}


def maps(module: nn.Module, kind: str) -> set[str]:
    """Names of what a module's maps multiply by, which are no queries."""
    found = set()
    for place, part in module.named_modules():
        if isinstance(part, MAPS) and not set(QUERIES.get(kind, ())) & set(place.split(".")):
            found |= {f"{place}.{name}" for name, p in part.named_parameters() if p.ndim > 1 and p.requires_grad}
    return found


@pytest.mark.parametrize("kind", [kind for kind in fusions.TABLE if not fusions.load_fusion(kind).FRAMES])
def test_in_a_fusion_the_weights_of_maps_decay(kind, make_columns, make_network):
    model = FusionModel(make_network(kind), make_columns().spec)
    found = {n.removeprefix("model.fusion.") for n in decayed(model) if n.startswith("model.fusion.")}
    assert found == maps(model.fusion, kind)
    learned = {n for n, p in model.fusion.named_parameters() if p.ndim > 1} - found
    assert learned == {
        "bottleneck": {"meet.0"},
        "queries": {"ask.0.weight", "ask.1.weight"},
        "attention_pooling": {"score.weight"},
    }.get(kind, set())


@pytest.mark.parametrize(("asked", "field"), [c for c in CASES if "speech" not in str(c.id)])
def test_in_an_encoder_embeddings_and_tokens_don_t_decay(asked, field):
    torch.manual_seed(0)
    name = FIELDS[field].name
    spec = Spec((FIELDS[field],), (Head("answer", "classes", ("a", "b", "c")),), (-1.1, -1.1, -1.1))
    network = Network.model_validate({"encoders": {name: asked}, "fusion": {"kind": "concat", "width": 6}})
    model = FusionModel(network, spec)
    layers, prefix = model.encoder(name).layers, f"model.encoders.{name}_encoder.layers."
    found = {n.removeprefix(prefix) for n in decayed(model) if n.startswith(prefix)}
    expected = maps(layers, asked["kind"])
    outside = {n for n in found - expected if "parametrizations.weight" not in n}  # a convolution in two factors
    assert not outside and expected <= found | {n for n in expected if "parametrizations" in n}
    for place, part in layers.named_modules():
        if isinstance(part, nn.Embedding):
            assert f"{place}.weight" not in found, place
    for fixed in ("cls_token", "pos_embed", "position_embeddings"):
        assert not any(n.endswith(fixed) for n in found)


def test_projectors_and_heads_decay_but_for_their_biases(make_columns, make_network):
    model = FusionModel(make_network(hidden=6), make_columns().spec)
    found = decayed(model, near={"kind": "hint", "tap": "fused"})
    assert {"projectors.0.project.weight", "model.head.0.weight", "model.head.2.weight"} <= found
    assert not any(name.endswith("bias") for name in found)

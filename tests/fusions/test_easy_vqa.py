"""Fusions that read tokens, on real pictures and questions of easy-VQA and the recipe's own encoders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from suffuse.modalities import image, text
from suffuse.model import FusionModel
from suffuse.recipe import Network, read_recipe
from suffuse.sources import easy_vqa
from suffuse.types import Batch, Encoded, Field, Head, Spec

RECIPE = Path(__file__).parents[2] / "recipes" / "easy-vqa.yaml"
ROWS = 24


@pytest.fixture(scope="module")
def real() -> tuple[Spec, Batch]:
    """Some training questions and their pictures, prepared as the recipe says."""
    found, recipe = easy_vqa.read(), read_recipe(RECIPE)
    rows = found.table.slice(0, 2000).take(list(range(0, 2000, 2000 // ROWS))[:ROWS]).to_pylist()
    cells = {name: [row[recipe.modalities[name].column] for row in rows] for name in ("picture", "question")}
    arrays, fields = {}, []
    for name, part in (("picture", image), ("question", text)):
        chosen = recipe.modalities[name]
        items = [part.load(chosen, cell, found.root)[1] for cell in cells[name]]
        statistics = part.fit(chosen, items)
        arrays[name] = torch.from_numpy(part.encode(chosen, statistics, items))
        fields.append(Field(name, chosen.kind, statistics))
    arrays["question"] = arrays["question"].long()
    answers = sorted({row["answer"] for row in rows})
    prior = tuple(torch.full((len(answers),), 1 / len(answers)).log().tolist())
    target = torch.tensor([answers.index(row["answer"]) for row in rows])
    spec = Spec(tuple(fields), (Head("answer", "classes", tuple(answers)),), prior)
    return spec, Batch(arrays, {}, torch.ones(ROWS, 2, dtype=torch.bool), target, torch.arange(ROWS), True)


def network(fusion: dict) -> Network:
    """The recipe's student with another fusion."""
    raw = read_recipe(RECIPE).student.bare().model_dump(mode="json")
    return Network.model_validate({**raw, "fusion": fusion})


@pytest.fixture(scope="module", params=["cross_attention", "transformer", "bottleneck"])
def model(request, real) -> FusionModel:
    """Trained for some steps, so that its attention is not as it was drawn."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = FusionModel(network({"kind": request.param, "width": 32, "heads": 4}), real[0]).train()
    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    for _ in range(15):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(made(real[1]).logits, real[1].target).backward()
        optimizer.step()
    return made.eval()


@torch.no_grad()
def answers(model: FusionModel, encoded: list[Encoded], batch: Batch) -> torch.Tensor:
    return model.fuse(encoded, batch.present).logits


def masked(encoded: list[Encoded], which: slice) -> list[Encoded]:
    """Without some of the picture's tokens; its vector stays."""
    mask = encoded[0].token_mask.clone()  # type: ignore[union-attr]
    mask[:, which] = False
    return [dataclasses.replace(encoded[0], token_mask=mask), encoded[1]]


def test_a_picture_is_sixteen_tokens_or_more_and_each_is_looked_at(model, real):
    batch = real[1]
    with torch.no_grad():
        encoded = model.encode(batch)
    tokens = encoded[0].tokens
    assert tokens is not None and tokens.shape[0] == ROWS and tokens.shape[1] >= 16
    assert encoded[0].token_mask.all()  # type: ignore[union-attr]
    before = answers(model, encoded, batch)
    for token in range(tokens.shape[1]):  # taking out any one of them changes every answer
        after = answers(model, masked(encoded, slice(token, token + 1)), batch)
        assert (after != before).any(1).all(), token
    given = [dataclasses.replace(encoded[0], tokens=tokens.clone().requires_grad_()), encoded[1]]
    model.fuse(given, batch.present).logits.square().sum().backward()
    assert (given[0].tokens.grad.abs().sum(2) > 0).all()  # type: ignore[union-attr]


def test_masking_the_picture_s_tokens_changes_the_output(model, real):
    batch = real[1]
    with torch.no_grad():
        encoded = model.encode(batch)
    before, after = answers(model, encoded, batch), answers(model, masked(encoded, slice(None)), batch)
    assert torch.isfinite(after).all()
    changed = (before.softmax(1) - after.softmax(1)).abs().amax(1)
    assert (changed > 1e-4).all() and changed.max() > 0.01
    other = masked(encoded, slice(None))  # and then nothing that they hold is seen
    other[0] = dataclasses.replace(other[0], tokens=torch.full_like(other[0].tokens, torch.nan))  # type: ignore[arg-type]
    assert torch.equal(answers(model, other, batch), after)

"""Every fusion against its formula, written out another way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suffuse import fusions
from suffuse.registry import load
from suffuse.types import Encoded, Fused, Sizes

WIDTHS, ROWS, H, OUTPUTS = (4, 6, 5), 6, 8, 3


class Case:
    """A fusion of random weights over rows in which everything is present, or what ``present`` says."""

    def __init__(self, kind: str, count: int = 3, tokens: tuple[int, ...] = (0, 0, 0), **form):
        part = load(fusions.TABLE, kind)
        wanted = {"width": H} if "width" in part.Settings.model_fields else {}
        self.part, self.chosen = part, part.Settings(**wanted, **form)
        torch.manual_seed(0)
        self.layers = part.layers(self.chosen, Sizes(WIDTHS[:count], tokens[:count], OUTPUTS)).eval()
        for parameter in self.layers.parameters():
            nn.init.normal_(parameter, std=0.5)
        self.x = [torch.randn(ROWS, w) for w in WIDTHS[:count]]
        self.present = torch.ones(ROWS, count, dtype=torch.bool)

    def fuse(self, encoded: list[Encoded] | None = None) -> Fused:
        given = encoded or [Encoded(x) for x in self.x]
        with torch.no_grad():
            return self.part.fuse(self.chosen, self.layers, given, self.present)

    def mapped(self, name: str = "project") -> Tensor:
        """(B, M, H): every vector through its map."""
        with torch.no_grad():
            return torch.stack([m(x) for m, x in zip(self.layers[name], self.x, strict=True)], dim=1)  # type: ignore


def close(found: Tensor | None, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_equal_given_weights_are_the_mean_of_what_is_present():
    case = Case("weighted", weights=(2.0, 2.0, 2.0))
    close(case.fuse().vector, case.mapped().mean(1))
    case.present[:, 1] = False
    close(case.fuse().vector, case.mapped()[:, [0, 2]].mean(1))
    close(case.fuse().gates, torch.tensor([[0.5, 0.0, 0.5]]).expand(ROWS, 3))


def test_given_weights_are_kept_to():
    case = Case("weighted", weights=(1.0, 3.0, 4.0))
    close(case.fuse().gates, torch.tensor([[0.125, 0.375, 0.5]]).expand(ROWS, 3))
    case.present[:, 2] = False
    close(case.fuse().gates, torch.tensor([[0.25, 0.75, 0.0]]).expand(ROWS, 3))


def test_learned_weights_are_a_softmax():
    case = Case("weighted")
    weights = torch.stack(list(case.layers["scores"])).detach().softmax(0)  # type: ignore[arg-type]
    close(case.fuse().vector, torch.einsum("m,bmh->bh", weights, case.mapped()))


def test_a_softmax_gate_sees_what_is_present():
    case = Case("softmax_gate")
    scores = F.linear(torch.cat([*case.x, torch.ones(ROWS, 3)], 1), *case.layers["gate"].parameters()).detach()
    close(case.fuse().vector, torch.einsum("bm,bmh->bh", scores.softmax(1), case.mapped()))
    close(case.fuse().gates, scores.softmax(1))


@pytest.mark.parametrize("gated", [False, True])
def test_attention_pooling_scores_each_modality_alone(gated):
    case = Case("attention_pooling", score=5, gated=gated)
    with torch.no_grad():
        p = case.mapped()
        hidden = case.layers["hidden"](p).tanh() * (case.layers["gate"](p).sigmoid() if gated else 1)
        scores = hidden @ case.layers["score"].weight[0]  # type: ignore[index]
    close(case.fuse().gates, scores.softmax(1))
    close(case.fuse().vector, (scores.softmax(1).unsqueeze(2) * p).sum(1))


@pytest.mark.parametrize("modulated", ["first", "second"])
def test_film_scales_and_shifts(modulated):
    case = Case("film", 2, modulated=modulated)
    target, condition = case.x if modulated == "first" else case.x[::-1]
    with torch.no_grad():
        scale, shift = case.layers["film"](condition).chunk(2, 1)
    close(case.fuse().vector, (1 + scale) * target + shift)
    place = 0 if modulated == "first" else 1
    case.present[:, 1 - place] = False
    assert torch.equal(case.fuse().vector, target)
    case.present[:, 1 - place], case.present[:, place] = True, False
    close(case.fuse().vector, (1 + scale) * case.layers["absent"][0] + shift)  # type: ignore[index]


def test_low_rank_is_a_tensor_of_that_rank():
    """Contract the whole tensor, which is never built in the fusion."""
    case = Case("low_rank", rank=2)
    factors = [
        torch.cat([f.weight, f.bias[:, None]], 1).detach().unflatten(0, (2, H))  # (R, H, D + 1)
        for f in case.layers["factors"]  # type: ignore[union-attr]
    ]
    ranks, bias = case.layers["ranks"][0].detach(), case.layers["bias"][0].detach()  # type: ignore[index]
    whole = torch.einsum("r,rha,rhb,rhc->habc", ranks, *factors)
    a, b, c = (F.pad(x, (0, 1), value=1.0) for x in case.x)
    close(case.fuse().vector, torch.einsum("habc,na,nb,nc->nh", whole, a, b, c) + bias)


def test_low_rank_starts_around_zero_with_all_of_its_inputs():
    part = load(fusions.TABLE, "low_rank")
    chosen = part.Settings(width=64, rank=4)
    torch.manual_seed(0)
    layers = part.layers(chosen, Sizes((64, 64, 64), (0, 0, 0), OUTPUTS))
    x = [torch.randn(500, 64) for _ in range(3)]
    vector = part.fuse(chosen, layers, [Encoded(e) for e in x], torch.ones(500, 3, dtype=torch.bool)).vector
    assert vector.mean().abs() < 0.1 and 0.3 < vector.std() < 3


def test_tensor_is_the_outer_product():
    case = Case("tensor", factor=2)
    p = case.mapped("factors")
    a, b, c = (F.pad(p[:, m], (1, 0), value=1.0) for m in range(3))
    with torch.no_grad():
        close(case.fuse().vector, case.layers["join"](torch.einsum("na,nb,nc->nabc", a, b, c).flatten(1)))
        case.present[:, 1] = False
        b = torch.tensor([[1.0, 0.0, 0.0]]).expand(ROWS, 3)
        close(case.fuse().vector, case.layers["join"](torch.einsum("na,nb,nc->nabc", a, b, c).flatten(1)))


def test_cross_attention_is_torch_s():
    """Vectors look at the tokens of the others; where nothing is left to look at, they are only normalised."""
    case = Case("cross_attention", 2, (3, 7, 0), heads=2)
    tokens = [torch.randn(ROWS, 5, 3), torch.randn(ROWS, 2, 7)]
    masks = [torch.rand(ROWS, 5) < 0.6, torch.rand(ROWS, 2) < 0.6]
    masks[0][:, 0], masks[1][:, 1] = True, True
    encoded = [Encoded(x, t, m) for x, t, m in zip(case.x, tokens, masks, strict=True)]
    found, p, expected = case.fuse(encoded).vector, case.mapped(), []
    for m in range(2):
        look, keys = case.layers["looks"][m], case.layers["tokens"][1 - m](tokens[1 - m])  # type: ignore[index,operator]
        bias = torch.cat([look["query"].bias, torch.zeros(H), look["value"].bias])
        weight = torch.cat([look[n].weight for n in ("query", "key", "value")])
        keys = keys.transpose(0, 1)
        seen, _ = F.multi_head_attention_forward(
            p[:, m].unsqueeze(0), keys, keys, H, 2, weight, bias, None, None, False, 0.0,
            look["out"].weight, look["out"].bias, key_padding_mask=~masks[1 - m],
        )  # fmt: skip
        expected.append(look["norm"](p[:, m] + seen[0]))
    close(found, torch.cat(expected, 1).detach())
    case.present[:, 1] = False
    alone = case.layers["looks"][0]["norm"](p[:, 0])  # type: ignore[index]
    close(case.fuse(encoded).vector[:, :H], alone.detach())


def test_gates_of_a_transformer_are_what_cls_looks_at():
    """The more a modality's tokens draw the attention, the larger its share; without any say, it's by their number."""
    case = Case("transformer", 2, (3, 7, 0), layers=1, heads=2)
    one = [Encoded(x, torch.randn(ROWS, length, w)) for x, length, w in zip(case.x, (5, 2), (3, 7), strict=True)]
    with torch.no_grad():
        case.layers["blocks"][0]["query"].weight.zero_()  # type: ignore[index,operator]
        case.layers["blocks"][0]["query"].bias.zero_()  # type: ignore[index,operator]
    close(case.fuse(one).gates, torch.tensor([[5 / 7, 2 / 7]]).expand(ROWS, 2))


def test_late_is_a_mean_of_logits():
    case = Case("late")
    said = case.mapped("heads")
    close(case.fuse().logits, said.mean(1))
    case.present[:, 0] = False
    close(case.fuse().logits, said[:, 1:].mean(1))
    close(case.fuse().vector, said[:, 1:].mean(1))


@pytest.mark.parametrize("weights", ["learned", "confidence"])
def test_late_weighs_logits(weights):
    case = Case("late", weights=weights)
    scores = torch.stack([s.detach() for s in case.layers["scores"]]) if weights == "learned" else None  # type: ignore
    shares = (case.mapped("scores").squeeze(2) if scores is None else scores.expand(ROWS, 3)).softmax(1)
    close(case.fuse().gates, shares)
    close(case.fuse().logits, torch.einsum("bm,bmc->bc", shares, case.mapped("heads")))


def test_late_learns_whom_to_trust():
    """One modality is noise in half of the rows, and says so in one of its features."""
    torch.manual_seed(0)
    label = torch.randint(0, OUTPUTS, (600,))
    clear = torch.rand(600) < 0.5
    sharp = F.one_hot(label, OUTPUTS).float() + 0.3 * torch.randn(600, OUTPUTS)
    x = torch.cat([torch.where(clear[:, None], sharp, 2 * torch.randn(600, OUTPUTS)), clear[:, None].float()], 1)
    other = F.one_hot(label, OUTPUTS).float() + 0.7 * torch.randn(600, OUTPUTS)
    part = load(fusions.TABLE, "late")
    chosen = part.Settings(weights="confidence")
    layers = part.layers(chosen, Sizes((4, 3), (0, 0), OUTPUTS))
    optimizer, present = torch.optim.Adam(layers.parameters(), 0.05), torch.ones(600, 2, dtype=torch.bool)
    for _ in range(150):
        fused = part.fuse(chosen, layers, [Encoded(x), Encoded(other)], present)
        optimizer.zero_grad()
        F.cross_entropy(fused.logits, label).backward()
        optimizer.step()
    share = fused.gates[:, 0]  # type: ignore[index]
    assert share[clear].mean() > share[~clear].mean() + 0.3


@pytest.mark.parametrize("attention", ["joint", "each"])
def test_queries_look_for_each_target_by_itself(attention):
    """Two targets of 2 and 3 outputs, tokens in two modalities, a vector in the third, one row lacks the second."""
    part = load(fusions.TABLE, "queries")
    chosen = part.Settings(attention=attention)
    torch.manual_seed(0)
    layers = part.layers(chosen, Sizes(WIDTHS, (3, 7, 0), 5, (2, 3)))
    tokens = [torch.randn(2, 4, 3), torch.randn(2, 2, 7), torch.randn(2, 1, 5)]
    real = torch.tensor([[True, True, False, True], [True, False, False, True]])
    given = [
        Encoded(torch.randn(2, 4), tokens[0], real),
        Encoded(torch.randn(2, 6), tokens[1], torch.ones(2, 2, dtype=torch.bool)),
        Encoded(tokens[2][:, 0]),
    ]
    present = torch.tensor([[True, True, True], [True, False, True]])
    found = part.fuse(chosen, layers, given, present)
    for row in range(2):
        here = [m for m in range(3) if present[row, m]]
        x = {m: tokens[m][row][real[row]] if m == 0 else tokens[m][row] for m in here}
        logits, mass = [], torch.zeros(3)
        for q in range(2):
            ask = {m: getattr(layers["ask"][m], "weight", torch.zeros(2, 5))[q] for m in here}  # type: ignore[index]
            scores = {m: x[m] @ ask[m] for m in here}
            if attention == "joint":
                together = torch.cat([scores[m] for m in here]).softmax(0).split([len(x[m]) for m in here])
                looks = dict(zip(here, together, strict=True))
            else:
                looks = {m: scores[m].softmax(0) / len(here) for m in here}
            logits.append(sum((looks[m].unsqueeze(1) * layers["say"][m][q](x[m])).sum(0) for m in here))  # type: ignore
            mass += torch.tensor([float(looks[m].detach().sum()) if m in here else 0.0 for m in range(3)]) / 2
        close(found.logits[row], torch.cat(logits))  # type: ignore[index]
        close(found.gates[row], mass)  # type: ignore[index]

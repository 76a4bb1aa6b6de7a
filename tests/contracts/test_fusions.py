"""What every fusion keeps to: the mask contract, and that it is a plain, honest module."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from suffuse import fusions
from suffuse.model import FusionModel, open_model, save
from suffuse.parts import PartSettings, load, settings
from suffuse.types import Encoded, Fused, Sizes

WIDTHS, ROWS, OUTPUTS = (4, 6, 5), 8, 3
CASES = [(kind, count) for kind in fusions.TABLE for count in (2, 3) if count <= load(fusions.TABLE, kind).TAKES[1]]
GATED = [(kind, count) for kind, count in CASES if kind == "gated"]
GARBAGE = {
    "random": lambda x: torch.randn_like(x),
    "huge": lambda x: torch.full_like(x, 3e38),
    "nan": lambda x: torch.full_like(x, torch.nan),
    "inf": lambda x: torch.full_like(x, torch.inf),
    "-inf": lambda x: torch.full_like(x, -torch.inf),
}


@dataclass
class Built:
    """A fusion with random weights, for vectors of ``WIDTHS``."""

    chosen: PartSettings
    layers: nn.ModuleDict
    part: object
    width: int

    def fuse(self, encoded: list[Encoded], present: Tensor) -> Fused:
        return self.part.fuse(self.chosen, self.layers, encoded, present)  # type: ignore[attr-defined]


def build(kind: str, count: int) -> Built:
    part, chosen = load(fusions.TABLE, kind), settings(fusions.TABLE, {"kind": kind, "width": 7})
    torch.manual_seed(1)
    sizes = Sizes(WIDTHS[:count], WIDTHS[:count], OUTPUTS)
    layers = part.layers(chosen, sizes)
    with torch.no_grad():
        for parameter in layers.parameters():  # absent vectors start at 0, where they could hide a mistake
            parameter.normal_(0, 0.5)
    return Built(chosen, layers, part, part.width(chosen, sizes))


def rows(count: int, seed: int = 2) -> tuple[list[Encoded], Tensor]:
    """Vectors and tokens of some rows; every subset of the modalities is there, the empty one too."""
    torch.manual_seed(seed)
    subsets = torch.cartesian_prod(*[torch.tensor([True, False])] * count)
    present = subsets.repeat(-(-ROWS // len(subsets)), 1)[:ROWS]
    encoded = [
        Encoded(torch.randn(ROWS, w), torch.randn(ROWS, 3, w), torch.rand(ROWS, 3) < 0.8) for w in WIDTHS[:count]
    ]
    return encoded, present


def spoiled(encoded: list[Encoded], present: Tensor, how: str) -> list[Encoded]:
    """Something else in every absent slot."""

    def spoil(x: Tensor, here: Tensor) -> Tensor:
        return torch.where(here.reshape(-1, *[1] * (x.ndim - 1)), x, GARBAGE[how](x))

    return [
        Encoded(
            spoil(e.vector, present[:, m]),
            spoil(e.tokens, present[:, m]),  # type: ignore[arg-type]
            e.token_mask ^ ~present[:, m : m + 1],  # type: ignore[operator]
        )
        for m, e in enumerate(encoded)
    ]


@pytest.mark.parametrize("how", GARBAGE)
@pytest.mark.parametrize(("kind", "count"), CASES)
def test_what_stands_in_an_absent_slot_changes_no_bit(kind, count, how):
    fusion, (encoded, present) = build(kind, count), rows(count)
    clean, spoilt = fusion.fuse(encoded, present), fusion.fuse(spoiled(encoded, present, how), present)
    assert torch.isfinite(clean.vector).all()
    assert torch.equal(clean.vector, spoilt.vector)
    if clean.gates is not None:
        assert spoilt.gates is not None and torch.equal(clean.gates, spoilt.gates)


@pytest.mark.parametrize(("kind", "count"), CASES)
def test_what_stands_in_a_present_slot_does_change_the_output(kind, count):
    fusion, (encoded, present) = build(kind, count), rows(count)
    before = fusion.fuse(encoded, present).vector
    for m in range(count):
        other = list(encoded)
        other[m] = dataclasses.replace(encoded[m], vector=encoded[m].vector + 1)
        changed = (fusion.fuse(other, present).vector != before).any(1)
        assert torch.equal(changed, present[:, m])


@pytest.mark.parametrize("how", ["random", "nan", "inf"])
@pytest.mark.parametrize(("kind", "count"), CASES)
def test_gradients_are_the_same_whatever_stands_in_an_absent_slot(kind, count, how):
    fusion, (encoded, present) = build(kind, count), rows(count)
    found = []
    for given in (encoded, spoiled(encoded, present, how)):
        fusion.layers.zero_grad()
        fusion.fuse(given, present).vector.square().sum().backward()
        found.append([p.grad.clone() for p in fusion.layers.parameters() if p.grad is not None])
    assert len(found[0]) == len(list(fusion.layers.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(("kind", "count"), CASES)
def test_every_parameter_gets_a_gradient(kind, count):
    fusion, (encoded, present) = build(kind, count), rows(count)
    target = torch.randn(ROWS, fusion.width)
    (fusion.fuse(encoded, present).vector - target).square().sum().backward()
    for name, parameter in fusion.layers.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(("kind", "count"), CASES)
def test_parameters_are_as_many_as_the_docstring_says(kind, count):
    fusion = build(kind, count)
    formula = re.search(r"^Parameters: ([DHM()+ ]+) with D", fusion.part.__doc__ or "", re.MULTILINE)
    assert formula, f"{kind}: no line 'Parameters: FORMULA with D ...'"
    expression = re.sub(r"(?<=[A-Z)]) (?=[A-Z(])", "*", formula[1].strip())
    names = {"D": sum(WIDTHS[:count]), "M": count, "H": fusion.width}  # type: ignore[attr-defined]
    expected = eval(expression, {"__builtins__": {}}, names)  # noqa: S307 - letters and + ( ) only
    assert sum(p.numel() for p in fusion.layers.parameters()) == expected


@pytest.mark.parametrize(("kind", "count"), CASES)
def test_the_vector_is_as_wide_as_it_says(kind, count):
    fusion, (encoded, present) = build(kind, count), rows(count)
    assert fusion.fuse(encoded, present).vector.shape == (ROWS, fusion.width)  # type: ignore[attr-defined]


def at(encoded: list[Encoded], which: Tensor) -> list[Encoded]:
    return [Encoded(e.vector[which], e.tokens[which], e.token_mask[which]) for e in encoded]  # type: ignore[index]


@pytest.mark.parametrize(("kind", "count"), CASES)
def test_rows_don_t_know_their_neighbours(kind, count):
    fusion, (encoded, present) = build(kind, count), rows(count)
    whole = fusion.fuse(encoded, present).vector
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(fusion.fuse(at(encoded, order), present[order]).vector, whole[order])
    for row in range(ROWS):
        one = torch.tensor([row])
        torch.testing.assert_close(fusion.fuse(at(encoded, one), present[one]).vector, whole[one])


@pytest.mark.parametrize(("kind", "count"), GATED)
def test_gates_share_one_out_over_what_is_present(kind, count):
    fusion, (encoded, present) = build(kind, count), rows(count)
    gates = fusion.fuse(encoded, present).gates
    assert gates.shape == present.shape
    assert (gates[~present] == 0).all()
    assert (gates[present] > 0).all()
    torch.testing.assert_close(gates.sum(1), present.any(1).float())


@pytest.mark.parametrize(("kind", "count"), GATED)
def test_gates_that_are_nearly_shut_stay_exact(kind, count):
    """Scores so low that exp of them is 0 in float32 are still shared out, and differ by what they differ."""
    fusion, (encoded, present) = build(kind, count), rows(count)
    with torch.no_grad():
        fusion.layers["gate"].weight.zero_()  # type: ignore[operator]
        fusion.layers["gate"].bias.fill_(-500)  # type: ignore[operator]
    found = fusion.fuse(encoded, present)
    even = present / present.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(found.gates, even)
    assert torch.isfinite(found.vector).all()


@pytest.mark.parametrize("kind", fusions.TABLE)
def test_bf16_is_finite_and_near(kind):
    fusion, (encoded, present) = build(kind, 2), rows(2)
    exact = fusion.fuse(encoded, present).vector
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = fusion.fuse(encoded, present).vector.float()
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("kind", fusions.TABLE)
def test_with_nothing_present_a_model_answers_the_prior(kind, make_columns, make_network):
    columns = make_columns()
    batch = columns.batch(columns.rows("train"))
    model = FusionModel(make_network(kind), columns.spec)
    empty = dataclasses.replace(batch, present=batch.present & (batch.rows % 3 != 0).unsqueeze(1))
    nothing = ~empty.present.any(1)
    assert nothing.any() and not nothing.all()
    for training in (True, False):
        logits = model.train(training)(empty).logits
        assert torch.isfinite(logits).all()
        assert (logits[nothing] == torch.tensor(columns.spec.log_prior)).all()
        assert not (logits[~nothing] == torch.tensor(columns.spec.log_prior)).all(1).any()
    model.train()(empty).logits.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", fusions.TABLE)
def test_a_model_s_weights_survive_being_saved(kind, make_columns, make_network, tmp_path):
    columns = make_columns()
    batch = columns.batch(columns.rows("train"))
    model = FusionModel(make_network(kind, hidden=5), columns.spec)
    model.train()(batch)  # moves the running statistics
    model.eval()
    with torch.no_grad():
        first, second = model(batch).logits, model(batch).logits
        assert torch.equal(first, second)
        save(model, tmp_path)
        assert torch.equal(open_model(tmp_path)(batch).logits, first)


@pytest.mark.slow
@pytest.mark.parametrize("kind", fusions.TABLE)
def test_compiled_equals_eager(kind):
    fusion, (encoded, present) = build(kind, 3), rows(3)
    compiled = torch.compile(fusion.fuse)
    for how in ("random", "nan"):
        given = spoiled(encoded, present, how)
        torch.testing.assert_close(compiled(given, present).vector, fusion.fuse(given, present).vector)

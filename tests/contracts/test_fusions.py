"""What every fusion keeps to: the mask contract, and that it is a plain, honest module."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from fusion_tools import (
    FORMS,
    KINDS,
    ROWS,
    SHARES,
    TOKENS,
    build,
    cases,
    fusion_settings,
    map_encoded,
    picked,
    rows,
    select_rows,
)

from suffuse import fusions
from suffuse.model import FusionModel, open_model, save
from suffuse.registry import load
from suffuse.testing.fusion_checks import CHECKS, GARBAGE, equal_outputs, gradients, spoiled
from suffuse.types import Encoded

READING = [kind for kind in KINDS if fusions.load_fusion(kind).TOKENS]
SYMMETRIC = ["weighted", "softmax_gate", "attention_pooling", "gated", "low_rank", "transformer", "bottleneck"]
SYMMETRIC += ["queries", "late"]
SEPARATE = [kind for kind in SYMMETRIC if kind not in ("softmax_gate", "gated")]  # without a map that sees them all


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("kind", "count", "form"), cases())
def test_a_fusion_keeps_to_its_contract(kind, count, form, check):
    check(build(kind, count, form), count)


@pytest.mark.parametrize(("kind", "count", "form"), cases(SYMMETRIC, (3,)))
def test_modalities_have_no_order_where_the_formula_has_none(kind, count, form):
    """Permuting them together with their weights changes nothing but the order of the gates."""
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    order = [*range(1, count), 0]
    layers = picked(fusion.layers, order, count)
    chosen = fusion.chosen
    if isinstance(form.get("weights"), tuple):
        chosen = chosen.model_copy(update={"weights": tuple(chosen.weights[m] for m in order)})  # type: ignore[attr-defined]
    if kind not in SEPARATE:  # the gate sees all modalities side by side
        gate, at = layers["gate"], [0, *torch.tensor(fusion.sizes.vectors).cumsum(0)]  # type: ignore[index]
        columns = [i for m in order for i in range(at[m], at[m + 1])] + [int(at[-1]) + m for m in order]
        each = len(gate.bias) // count
        outputs = [m * each + i for m in order for i in range(each)]
        with torch.no_grad():
            gate.weight.copy_(gate.weight[outputs][:, columns].clone())
            gate.bias.copy_(gate.bias[outputs].clone())
        expected = build(kind, count, form).fuse(encoded, present)
    else:
        expected = fusion.fuse(encoded, present)
    found = fusion.part.fuse(chosen, layers, [encoded[m] for m in order], present[:, order])
    torch.testing.assert_close(found.vector, expected.vector)
    if expected.gates is not None:
        torch.testing.assert_close(found.gates, expected.gates[:, order])


@pytest.mark.parametrize(("kind", "count", "form"), cases(SEPARATE, (3,)))
def test_what_is_absent_might_as_well_not_be_there(kind, count, form):
    """A row is fused as by the same weights without the modalities that it lacks."""
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    whole = fusion.fuse(encoded, present)
    for row in range(ROWS):
        here = present[row].nonzero().flatten().tolist()
        if not here:
            continue
        chosen = fusion.chosen
        if isinstance(form.get("weights"), tuple):
            chosen = chosen.model_copy(update={"weights": tuple(chosen.weights[m] for m in here)})  # type: ignore[attr-defined]
        some, one = [encoded[m] for m in here], torch.tensor([row])
        found = fusion.part.fuse(
            chosen, picked(fusion.layers, here, count), select_rows(some, one), torch.ones(1, len(here)) > 0
        )
        torch.testing.assert_close(found.vector, whole.vector[one])


@pytest.mark.parametrize(("kind", "count", "form"), cases(SHARES))
def test_gates_carry_a_gradient_where_they_are_learned(kind, count, form):
    """So that a student's can be taught; those that settings or the mask alone decide carry none."""
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    gates = fusion.fuse(encoded, present).gates
    assert gates is not None
    parameters = list(fusion.layers.parameters())
    moved = 0.0
    if gates.requires_grad:
        found = torch.autograd.grad((gates[:, 0] * torch.arange(len(gates))).sum(), parameters, allow_unused=True)
        moved = max(g.abs().max().item() for g in found if g is not None)
    assert (moved > 1e-5) == fusions.gates(fusion.chosen)


@pytest.mark.parametrize("count", [2, 3])
def test_gates_that_are_nearly_shut_stay_exact(count):
    """Scores so low that exp of them is 0 in float32 are still shared out, and differ by what they differ."""
    fusion, (encoded, present) = build("gated", count, {}), rows(count)
    with torch.no_grad():
        fusion.layers["gate"].weight.zero_()  # type: ignore[operator]
        fusion.layers["gate"].bias.fill_(-50_000)  # type: ignore[operator]
    found = fusion.fuse(encoded, present)
    even = present / present.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(found.gates, even)
    assert torch.isfinite(found.vector).all()


@pytest.mark.parametrize(("kind", "count", "form"), cases(READING))
def test_tokens_are_read_and_masked_ones_are_not(kind, count, form):
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    before = fusion.fuse(encoded, present)
    for m in range(2):
        e = encoded[m]
        for token in range(e.tokens.shape[1]):  # type: ignore[union-attr]
            for filler in (7.0, torch.nan):
                tokens = e.tokens.clone()  # type: ignore[union-attr]
                masked = ~e.token_mask[:, token]  # type: ignore[index]
                tokens[masked, token] = filler
                other = [*encoded[:m], dataclasses.replace(e, tokens=tokens), *encoded[m + 1 :]]
                assert equal_outputs(fusion.fuse(other, present), before)
            tokens = e.tokens.clone()  # type: ignore[union-attr]
            tokens[:, token] += 1
            other = [*encoded[:m], dataclasses.replace(e, tokens=tokens), *encoded[m + 1 :]]
            changed = (fusion.fuse(other, present).vector != before.vector).any(1)
            assert torch.equal(changed, present[:, m] & ~masked)


@pytest.mark.parametrize(("kind", "count", "form"), cases(READING))
def test_a_present_modality_without_one_real_token_is_no_nan(kind, count, form):
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    silent = [
        e if e.tokens is None else dataclasses.replace(e, token_mask=torch.zeros_like(e.token_mask)) for e in encoded
    ]
    found = fusion.fuse(silent, present)
    assert torch.isfinite(found.vector).all()
    assert all(torch.isfinite(g).all() for g in gradients(fusion, silent, present).values())
    if found.gates is not None:
        torch.testing.assert_close(found.gates.sum(1), present.any(1).float())
    one = [silent[0], *encoded[1:]]  # and only one of them
    assert torch.isfinite(fusion.fuse(one, present).vector).all()
    for how in GARBAGE:  # what stands in masked tokens says nothing either
        other = [map_encoded(e, lambda x: x if x.dtype == torch.bool else GARBAGE[how](x)) for e in silent]  # noqa: B023
        kept = [dataclasses.replace(o, vector=e.vector) for o, e in zip(other, silent, strict=True)]
        assert equal_outputs(fusion.fuse(kept, present), found)


@pytest.mark.parametrize(("kind", "count", "form"), cases(READING))
def test_a_vector_is_one_token_where_an_encoder_has_none(kind, count, form):
    fusion, (encoded, present) = build(kind, count, form, (0, 0, 0)), rows(count)
    vectors = [Encoded(e.vector) for e in encoded]
    found = fusion.fuse(vectors, present)
    assert torch.isfinite(found.vector).all()
    assert equal_outputs(found, fusion.fuse(spoiled(vectors, present, "nan"), present))
    spelled = [Encoded(e.vector, e.vector.unsqueeze(1), torch.ones(ROWS, 1) > 0) for e in vectors]
    if kind != "cross_attention":  # which maps tokens by weights of their own
        torch.testing.assert_close(fusion.fuse(spelled, present).vector, found.vector)


@pytest.mark.parametrize(("kind", "count", "form"), cases(READING, (3,)))
def test_dropout_is_for_training_alone(kind, count, form):
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    plain = fusion.fuse(encoded, present).vector
    fusion.chosen = fusion_settings(kind, count, {**form, "dropout": 0.5})
    assert torch.equal(fusion.fuse(encoded, present).vector, plain)
    fusion.layers.train()
    torch.manual_seed(0)
    noisy = fusion.fuse(encoded, present)
    assert not torch.allclose(noisy.vector, plain)
    torch.manual_seed(0)
    assert equal_outputs(fusion.fuse(spoiled(encoded, present, "nan"), present), noisy)


@pytest.mark.parametrize(("kind", "count", "form"), cases(counts=(2,)))
def test_bf16_is_finite_and_near(kind, count, form):
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    exact = fusion.fuse(encoded, present).vector
    with torch.autocast("cpu", dtype=torch.bfloat16):
        clean, spoilt = (fusion.fuse(e, present) for e in (encoded, spoiled(encoded, present, "nan")))
    assert equal_outputs(clean, spoilt)
    error = (clean.vector.float() - exact).abs().max()
    assert error < 0.05 * exact.abs().max()


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_lacks_a_modality_everywhere_is_a_batch(kind, make_columns, make_network):
    """Then there is not one entry of it, and a slot without content stands in."""
    columns = make_columns(absent=0.0)
    rows = columns.rows("train")
    model = FusionModel(make_network(kind), columns.spec).eval()
    for m in range(2):
        present = columns.present.copy()
        present[:, m] = False
        bare = dataclasses.replace(columns, present=present)
        batch = bare.batch(rows)
        assert len(batch.inputs[columns.spec.names[m]]) == 0
        masked = dataclasses.replace(columns.batch(rows), present=batch.present)
        torch.testing.assert_close(model(batch).logits, model(masked).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_s_weights_survive_being_saved(kind, make_columns, make_network, tmp_path):
    columns = make_columns()
    batch = columns.batch(columns.rows("train"))
    hidden = 0 if getattr(load(fusions.TABLE, kind), "HEADLESS", False) else 5  # it has heads of its own
    model = FusionModel(make_network(kind, hidden=hidden), columns.spec)
    model.train()(batch)  # moves the running statistics
    model.eval()
    with torch.no_grad():
        first, second = model(batch).logits, model(batch).logits
        assert torch.equal(first, second)
        save(model, tmp_path)
        assert torch.equal(open_model(tmp_path)(batch).logits, first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        ("gated", "aot_eager"),
        *(pytest.param(k, "aot_eager", marks=pytest.mark.long) for k in fusions.TABLE if k != "gated"),
        pytest.param("gated", "inductor", marks=pytest.mark.long),
    ],
)
def test_compiled_equals_eager(kind, backend):
    """Every fusion is captured without a break in its graph; C++ is compiled of one, which takes half a minute."""
    torch._dynamo.reset()
    count, form = min(fusions.load_fusion(kind).TAKES[1], 3), FORMS[kind][-1]
    form = {**form, **({"layers": 1} if "layers" in form else {})}  # every block takes a while to compile
    fusion, (encoded, present) = build(kind, count, form), rows(count)
    compiled = torch.compile(fusion.fuse, backend=backend, fullgraph=True)
    for how in ("random", "nan"):
        given = spoiled(encoded, present, how)
        torch.testing.assert_close(compiled(given, present).vector, fusion.fuse(given, present).vector)


def test_the_forms_are_of_fusions_that_are_there():
    assert set(FORMS) | set(SHARES) | set(SYMMETRIC) <= set(fusions.TABLE)
    assert {"cross_attention", "transformer", "bottleneck", "queries"} == {*READING} and TOKENS[2] == 0

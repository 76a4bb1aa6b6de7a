"""The network as a whole: shared entries, absent rows, batch statistics."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from suffuse.data.columns import Columns
from suffuse.encoders import conv
from suffuse.errors import SuffuseError, UsageError
from suffuse.model import FusionModel, open_model, save
from suffuse.recipe import Network
from suffuse.types import Batch, Output


@pytest.fixture(params=["batch", "group", "none"])
def model(request, make_columns, make_network) -> FusionModel:
    torch.manual_seed(0)
    return FusionModel(make_network(norm=request.param, hidden=6), make_columns().spec)


def spelled_out(batch: Batch) -> Batch:
    """One entry per row, as an exported model is given them: no index; absent rows hold whatever entry 0 is."""
    inputs = {name: x[batch.index[name]] for name, x in batch.inputs.items()}
    return dataclasses.replace(batch, inputs=inputs, index={})


def gradients(model: FusionModel, batch: Batch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(batch).logits.square().sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_shared_entries_give_what_one_entry_per_row_gives(model, make_columns):
    columns = make_columns(absent=0.0)
    batch = columns.batch(columns.rows("train"))
    assert len(batch.inputs["picture"]) < len(batch.rows)  # something is shared
    model.eval()
    torch.testing.assert_close(model(batch).logits, model(spelled_out(batch)).logits, atol=1e-5, rtol=1e-5)
    shared, alone = gradients(model, batch), gradients(model, spelled_out(batch))
    assert set(shared) == set(dict(model.named_parameters())) == set(alone)
    for name in shared:
        torch.testing.assert_close(shared[name], alone[name], atol=1e-4, rtol=1e-4)


def test_rows_with_something_absent_too(model, make_columns):
    columns = make_columns(absent=0.4)
    batch = columns.batch(columns.rows("train"))
    model.eval()
    torch.testing.assert_close(model(batch).logits, model(spelled_out(batch)).logits, atol=1e-5, rtol=1e-5)


def test_a_row_s_answer_doesn_t_depend_on_its_company(model, make_columns):
    columns = make_columns(absent=0.3)
    rows = columns.rows("train")
    model.eval()
    whole = model(columns.batch(rows)).logits
    for place, row in enumerate(rows):
        one = model(columns.batch(np.array([row]))).logits
        torch.testing.assert_close(one, whole[place : place + 1], atol=1e-5, rtol=1e-5)


def test_other_content_in_absent_rows_changes_no_bit(model, make_columns):
    columns = make_columns(absent=0.4)
    batch = spelled_out(columns.batch(columns.rows("train")))
    model.eval()
    plain = model(batch).logits
    for filler in (0, 255):
        inputs = dict(batch.inputs)
        hidden = ~batch.present
        inputs["picture"] = inputs["picture"].clone()
        inputs["picture"][hidden[:, 0]] = filler
        inputs["question"] = inputs["question"].clone()
        inputs["question"][hidden[:, 1]] = min(filler, 11)
        assert torch.equal(model(dataclasses.replace(batch, inputs=inputs)).logits, plain)


def statistics(model: FusionModel) -> dict[str, torch.Tensor]:
    return {n: b.clone() for n, b in model.named_buffers() if "running" in n}


def test_absent_pictures_enter_no_batch_statistics(make_columns, make_network):
    columns = make_columns(absent=0.4)
    rows = columns.rows("train")
    here = columns.present[rows, 0]
    assert 0 < here.sum() < len(rows)
    found, logits = [], []
    for some in (rows, rows[here]):
        torch.manual_seed(0)
        model = FusionModel(make_network(), columns.spec)
        logits.append(model.train()(columns.batch(some)).logits)
        found.append(statistics(model))
    assert found[0].keys() == found[1].keys() and len(found[0]) == 4
    for name in found[0]:
        assert torch.equal(found[0][name], found[1][name])
    torch.testing.assert_close(logits[0][torch.from_numpy(here)], logits[1])


@pytest.mark.parametrize("gone", [0, 1])
def test_a_batch_without_a_modality_trains(gone, make_columns, make_network):
    columns = make_columns()
    present = columns.present.copy()
    present[:, gone], present[:, 1 - gone] = False, True
    bare = dataclasses.replace(columns, present=present, entry=np.where(present, columns.entry, 0))
    model = FusionModel(make_network(), columns.spec).train()
    before = statistics(model)
    batch = bare.batch(bare.rows("train"))
    found = gradients(model, batch)
    absent = "picture" if gone == 0 else "question"
    assert len(batch.inputs[absent]) == 0
    assert not any(name.startswith(f"encoders.{absent}") for name in found)
    assert all(torch.isfinite(g).all() for g in found.values())
    if gone == 0:
        assert all(torch.equal(before[n], b) for n, b in statistics(model).items())


def test_a_narrowed_mask_is_kept_to(make_columns, make_network):
    """The export's proof hides modalities of rows that have all of them."""
    columns = make_columns(absent=0.0)
    batch = columns.batch(columns.rows("train"))
    model = FusionModel(make_network(), columns.spec).eval()
    hidden = dataclasses.replace(batch, present=torch.zeros_like(batch.present))
    assert (model(hidden).logits == torch.tensor(columns.spec.log_prior)).all()
    one = dataclasses.replace(batch, present=batch.present & torch.tensor([True, False]))
    spoilt = dataclasses.replace(one, inputs={**one.inputs, "question": one.inputs["question"].flip(0)})
    assert torch.equal(model(one).logits, model(spoilt).logits)


def test_an_output_says_which_rows_have_what(make_columns, make_network):
    columns = make_columns(absent=0.4)
    rows = columns.rows("train")
    output: Output = FusionModel(make_network(), columns.spec)(columns.batch(rows))
    for m, name in enumerate(columns.spec.names):
        assert (output.present[name].numpy() == columns.present[rows, m]).all()
    taps = FusionModel(make_network(), columns.spec).taps()
    assert taps == {"fused": 8, "picture": 12, "question": 5, "gates": 2, "picture.map": 16, "question.map": 16}
    assert output.fused is not None and output.fused.shape == (len(rows), 8)
    assert {n: f.shape[1] for n, f in output.features.items()} == {"picture": 12, "question": 5}


def test_pictures_are_normalised_by_the_training_statistics(make_columns, make_network):
    """What an encoder is given has mean 0 and deviation 1 where the data are as in training."""
    columns = make_columns()
    pictures = torch.from_numpy(np.array(columns.entries["picture"]))
    field = dataclasses.replace(
        columns.spec.fields[0],
        statistics={
            "size": 16,
            "mean": (pictures / 255).mean((0, 1, 2)).tolist(),
            "std": (pictures / 255).std((0, 1, 2)).tolist(),
        },
    )
    spec = dataclasses.replace(columns.spec, fields=(field, columns.spec.fields[1]))
    encoder = FusionModel(make_network(), spec).encoders["picture_encoder"]
    seen = []
    encoder.layers["conv0"].register_forward_pre_hook(lambda _, given: seen.append(given[0]))  # type: ignore[index,union-attr]
    kept = pictures.clone()
    encoder(pictures)
    torch.testing.assert_close(seen[0].mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[0].std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)
    assert torch.equal(pictures, kept)  # and the columns on disk are left alone


def test_an_encoder_that_can_t_read_a_modality_is_refused(make_columns, make_network):
    network = make_network().model_dump(mode="json")
    network["encoders"]["question"] = {"kind": "conv"}
    with pytest.raises(UsageError, match=r"encoders.question.*'conv' for text.*kind for image"):
        FusionModel(Network.model_validate(network), make_columns().spec)


def test_more_blocks_than_the_picture_has_pixels_for_are_refused(make_columns, make_network):
    network = make_network().model_dump(mode="json")
    network["encoders"]["picture"] = {"kind": "conv", "widths": [4] * 5}
    with pytest.raises(UsageError, match=r"encoders.picture.*5 blocks are too many for 16 pixels"):
        FusionModel(Network.model_validate(network), make_columns().spec)


def test_a_fusion_that_would_be_too_large_is_refused(make_columns):
    columns = make_columns()
    fields = tuple(dataclasses.replace(columns.spec.fields[1], name=f"text{n}") for n in range(9))
    encoders = {f.name: {"kind": "gru", "embedding": 1, "width": 1} for f in fields}
    network = Network.model_validate({"encoders": encoders, "fusion": {"kind": "tensor", "factor": 7}})
    with pytest.raises(UsageError, match=r"fusion.*17,179,869,184 weights for 9 modalities.*lower fusion.factor"):
        FusionModel(network, dataclasses.replace(columns.spec, fields=fields))


@pytest.fixture
def frozen(monkeypatch, make_columns, make_network):
    """A maker of models whose picture encoder is frozen."""

    class Settings(conv.Settings):
        frozen: bool = False

    monkeypatch.setattr(conv, "Settings", Settings)

    def make(fusion: str) -> FusionModel:
        network = make_network(fusion).model_dump(mode="json")
        network["encoders"]["picture"]["frozen"] = True
        torch.manual_seed(0)
        return FusionModel(Network.model_validate(network), make_columns().spec).eval()

    return make


@pytest.mark.parametrize("fusion", ["cross_attention", "transformer", "bottleneck", "gated"])
def test_a_frozen_encoder_has_a_vector_and_no_tokens(fusion, frozen, make_columns):
    """So its kept vectors, its pictures and an export give the same."""
    model, columns = frozen(fusion), make_columns(absent=0.3)
    batch = columns.batch(columns.rows("train"))
    encoder = model.encoder("picture")
    assert encoder.tokens == 0 and model.encoder("question").tokens == 5
    vectors = encoder(batch.inputs["picture"])
    assert vectors.tokens is None and not vectors.vector.requires_grad
    ready = dataclasses.replace(batch, inputs={**batch.inputs, "picture": vectors.vector}, ready=frozenset(["picture"]))
    assert torch.equal(model(ready).logits, model(batch).logits)
    torch.testing.assert_close(model(spelled_out(batch)).logits, model(batch).logits, atol=1e-5, rtol=1e-5)
    bare = dataclasses.replace(columns, present=columns.present & np.array([False, True]))
    assert torch.isfinite(model(bare.batch(columns.rows("train"))).logits).all()  # not one picture
    found = gradients(model, ready)
    assert set(found) == {n for n, _ in model.named_parameters() if not n.startswith("encoders.picture")}


def test_damaged_weights_are_told_in_one_line(make_columns, make_network, tmp_path):
    model = FusionModel(make_network(), make_columns().spec)
    save(model, tmp_path)
    whole = {name: (tmp_path / name).read_bytes() for name in ("model.safetensors", "config.json")}
    for name, content in whole.items():
        for other in (None, b"", content[:40], content[:-3] if name.endswith("json") else content[:-300]):
            (tmp_path / name).write_bytes(content)
            if other is None:
                (tmp_path / name).unlink()
            else:
                (tmp_path / name).write_bytes(other)
            with pytest.raises(SuffuseError, match="can't load the model") as caught:
                open_model(tmp_path)
            assert "\n" not in caught.value.line()
        (tmp_path / name).write_bytes(content)
    other = FusionModel(make_network(hidden=3), make_columns().spec)
    save(other, tmp_path / "other")
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(SuffuseError, match="can't load the model"):
        open_model(tmp_path)


def test_only_keeps_one_modality(make_columns, make_network):
    columns: Columns = make_columns().of(["question"])
    network = make_network()
    network = network.model_copy(update={"encoders": {"question": network.encoders["question"]}})
    model = FusionModel(network, columns.spec).eval()
    rows = columns.rows("train")
    logits = model(columns.batch(rows)).logits
    nothing = ~columns.present[rows, 0]
    assert nothing.any()
    prior = torch.tensor(columns.spec.log_prior)
    assert ((logits == prior).all(1).numpy() == nothing).all()


def test_frozen_vectors_are_standardised_on_training_rows(make_columns):
    """The same answer from kept vectors and from the encoder itself, with mean 0 and deviation 1 over training rows."""
    columns = make_columns(absent=0.0)
    network = Network.model_validate(
        {
            "encoders": {
                "picture": {"kind": "efficientnet_lite", "frozen": True, "stages": 1},
                "question": {"kind": "gru", "embedding": 4, "width": 5},
            },
            "fusion": {"kind": "concat", "width": 8},
        }
    )
    model = FusionModel(network, columns.spec).eval()
    assert not any(m.training for m in FusionModel(network, columns.spec).encoder("picture").modules())
    encoder, pictures = model.encoder("picture"), torch.from_numpy(columns.entries["picture"])
    kept = columns.with_ready({"picture": encoder.vectors(pictures).detach().numpy()})
    train = columns.rows("train")
    model.standardise(kept, train)
    used = torch.from_numpy(np.unique(columns.entry[train, 0]))
    standard = encoder(pictures[used]).vector
    assert standard.abs().max() <= 6 and standard.mean(0).abs().max() < 0.5
    moved = encoder.vectors(pictures[used]).std(0) > 1e-4
    torch.testing.assert_close(standard.std(0, correction=0)[moved], torch.ones(int(moved.sum())), atol=0.2, rtol=0)
    torch.testing.assert_close(
        model(kept.batch(train)).logits, model(columns.batch(train)).logits, atol=1e-4, rtol=1e-4
    )

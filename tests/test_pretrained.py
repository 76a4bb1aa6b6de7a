"""save_pretrained and from_pretrained: the network in a folder, and nothing but data read from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import suffuse
from suffuse import FusionModel
from suffuse.errors import SuffuseError
from suffuse.export_integrity import read_signature, seal
from suffuse.exporters import export_folder as exporter
from suffuse.recipe import make_recipe


@pytest.fixture
def model(make_columns, make_network) -> FusionModel:
    torch.manual_seed(3)
    return FusionModel(make_network("gated", "gru"), make_columns().spec).eval()


@pytest.fixture
def saved(model, tmp_path) -> Path:
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(SuffuseError) as caught:
        FusionModel.from_pretrained(folder)
    line = caught.value.line()
    assert "\n" not in line and len(line) < 400 and all(word in line for word in words), line


def test_the_same_network_comes_back(model, saved, make_columns):
    again, columns = suffuse.FusionModel.from_pretrained(str(saved)), make_columns()
    assert not again.training and again.spec == model.spec and again.network == model.network
    batch = columns.batch(columns.rows("train"))
    with torch.inference_mode():
        assert torch.equal(again(batch).logits, model(batch).logits)
    assert sorted(p.name for p in saved.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_damage_is_one_line(saved, name, damage):
    content = (saved / name).read_bytes()
    (saved / name).unlink()
    if damage != "gone":
        (saved / name).write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    refused(saved, "can't load the model", str(saved))


@pytest.mark.parametrize(
    "config", ["[]", "3", "null", "{}", '{"network": [], "spec": {}}', "[" * 100_000 + "]" * 100_000]
)
def test_a_config_of_another_shape_is_one_line(saved, config):
    (saved / "config.json").write_text(config)
    refused(saved, "can't load the model")


@pytest.mark.parametrize("where", ["width", "embedding"])
def test_a_size_that_the_weights_don_t_have_takes_no_memory(saved, where):
    facts = json.loads((saved / "config.json").read_text())
    facts["network"]["encoders"]["question"][where] = 10**6  # a matrix of 12 TB
    (saved / "config.json").write_text(json.dumps(facts))
    refused(saved, "can't load the model")


def test_weights_of_another_network_are_refused(saved):
    tensors = load_file(saved / "model.safetensors")
    save_file({**tensors, "log_prior": torch.zeros(4)}, saved / "model.safetensors")
    refused(saved, "the weights hold [4] for log_prior", "wants [3]")
    save_file({k: v for k, v in tensors.items() if k != "log_prior"}, saved / "model.safetensors")
    refused(saved, "nothing for log_prior")
    save_file({**tensors, "more": torch.zeros(4)}, saved / "model.safetensors")
    refused(saved, "can't load the model")


@pytest.fixture(scope="module")
def export(tmp_path_factory, make_columns, make_network, tiny_recipe) -> Path:
    torch.manual_seed(3)
    model = FusionModel(make_network("gated", "gru"), make_columns().spec).eval()
    recipe = tiny_recipe(Path("rows.csv"))
    recipe["modalities"]["picture"]["size"] = 16
    place = tmp_path_factory.mktemp("export")
    exporter.write(model, make_recipe(recipe), place)
    return place


@pytest.mark.slow
@pytest.mark.long
def test_an_export_has_it_on_request_alone(export, model, tmp_path):
    refused(export, "this export holds no torch network")
    place = Path(shutil.copytree(export, tmp_path / "with"))
    model.save_pretrained(place)
    refused(place, "config.json was not exported")  # not sealed yet
    seal(place, read_signature(place))
    assert FusionModel.from_pretrained(place).size() == model.size()
    (place / "model.safetensors").write_bytes((place / "model.safetensors").read_bytes()[:-1] + b"\x01")
    refused(place, "model.safetensors is not the file that was exported")

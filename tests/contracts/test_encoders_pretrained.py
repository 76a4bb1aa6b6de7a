"""Every encoder's network is saved and opened again, and is drawn without memory before its weights are believed."""

from __future__ import annotations

import pytest
import torch
from encoder_tools import CASES, FIELDS

from suffuse.model import FusionModel
from suffuse.recipe import Network
from suffuse.types import Head, Spec


@pytest.mark.parametrize(("asked", "field"), CASES)
def test_it_comes_back(asked, field, tmp_path):
    torch.manual_seed(3)
    spec = Spec((FIELDS[field],), (Head("answer", "classes", ("a", "b", "c")),), (-1.1, -1.1, -1.1))
    network = {"encoders": {FIELDS[field].name: asked}, "fusion": {"kind": "concat", "width": 6}}
    model = FusionModel(Network.model_validate(network), spec)
    model.save_pretrained(tmp_path)
    again = FusionModel.from_pretrained(tmp_path)
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))

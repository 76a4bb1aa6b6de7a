"""Multiplications in closed form, and what a process of its own says of memory and start."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from suffuse.evaluation.size import count_macs
from suffuse.model import FusionModel
from suffuse.recipe import Network


def network(text: str) -> Network:
    return Network.model_validate(
        {
            "encoders": {
                "picture": {"kind": "conv", "widths": [4], "stride": 2},
                "question": {"kind": text, "embedding": 3, "width": 5},
            },
            "fusion": {"kind": "concat", "width": 6},
        }
    )


@pytest.mark.parametrize(("text", "gates"), [("gru", 3), ("lstm", 4)])
def test_multiplications_are_those_of_each_layer(make_columns, text, gates):
    columns = make_columns(rows=20, absent=0.0)
    columns.entries["question"][columns.entry[0, 1]] = [2, 3, 4, 5, 0, 0]  # four words: padding isn't counted
    torch.manual_seed(0)
    model = FusionModel(network(text), columns.spec).eval()
    places = sum(p.numel() for n, p in model.named_parameters() if "picture" in n and p.ndim == 4) * 8 * 8
    cell = 4 * gates * (3 * 5 + 5 * 5)
    linear = sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and "encoder" not in n)
    assert count_macs(model, columns).total == places + cell + linear
    assert count_macs(model, columns).fusion == linear


def test_the_row_with_most_modalities_is_counted(make_columns):
    columns = make_columns(rows=20, absent=0.0)
    model = FusionModel(network("gru"), columns.spec).eval()
    alone = {
        row: count_macs(model, replace(columns, entry=columns.entry[row:], present=columns.present[row:])).total
        for row in range(20)
    }
    longest = max(alone, key=lambda row: alone[row])
    assert len(set(alone.values())) > 1  # questions differ in length
    present = columns.present & (np.arange(20) == longest)[:, None]
    assert count_macs(model, replace(columns, present=present)).total == alone[longest]


def said(code: str) -> list:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_peak_is_what_a_process_once_held():
    code = "import json, numpy; from suffuse.evaluation.memory import peak_memory; a = peak_memory(); "
    before, after = said(code + "b = numpy.ones(2**25); del b; print(json.dumps([a, peak_memory()]))")
    assert 2**24 < before < 2**30 and after - before == pytest.approx(2**28, rel=0.1)


def test_the_measuring_process_loads_no_torch():
    code = "import json, sys, suffuse.evaluation.memory, suffuse.predictor; "
    heavy = "[m for m in ('torch', 'pandas', 'sklearn', 'scipy') if m in sys.modules]"
    assert said(code + f"print(json.dumps({heavy}))") == []

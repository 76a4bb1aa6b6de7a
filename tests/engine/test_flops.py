"""Operations of a training against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from suffuse.engine.flops import count_flops, of_inference, of_pass
from suffuse.model import FusionModel
from suffuse.recipe import Training


def test_a_linear_layer_is_counted_forward_and_back():
    layer, x = torch.nn.Linear(6, 5), torch.randn(4, 6)
    with count_flops() as count:
        layer(x).sum().backward()
    assert count.get_total_flops() == 2 * (2 * 4 * 6 * 5)  # the input needs no gradient


@pytest.mark.parametrize("kind", [torch.nn.GRU, torch.nn.LSTM])
def test_recurrent_layers_are_counted(kind):
    layer, x = kind(6, 5, batch_first=True), torch.randn(4, 7, 6)
    gates = 3 if kind is torch.nn.GRU else 4
    with torch.no_grad(), count_flops() as count:
        layer(x)
    assert count.get_total_flops() == 2 * 4 * 7 * gates * 5 * (6 + 5)


def test_a_pass_costs_what_its_rows_cost(make_columns, make_network):
    columns = make_columns(64, absent=0.0)
    columns = replace(columns, entry=np.stack([np.arange(64) // 2] * 2, axis=1))  # two rows a picture, as in a batch
    rows, training = columns.rows("train"), Training(batch=8)

    def one(some: np.ndarray) -> float:
        torch.manual_seed(0)
        return of_pass(FusionModel(make_network(), columns.spec), columns, training, some)

    whole, half = one(rows), one(rows[: len(rows) // 2])
    assert whole == one(rows) > 0
    assert half == pytest.approx(whole / 2, rel=0.15)
    answers = of_inference(FusionModel(make_network(), columns.spec), columns, rows)
    assert 0 < answers < whole / 2  # forward alone

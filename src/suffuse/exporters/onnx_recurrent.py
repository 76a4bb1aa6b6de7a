"""GRU and LSTM as the ONNX operators of that name.

By default the exporter unrolls a recurrent net into a loop of small operators, several times slower, and torch 2.14
fixes its length at the second export of a process. So the cells are swapped, in a copy of the model, for modules that
hold the weights in ONNX's order and call one operator, which is translated directly.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ORDER = {"gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}  # torch r z n -> ONNX z r h; torch i f g o -> ONNX i o f c


@torch.library.custom_op("suffuse::recurrent", mutates_args=())
def recurrent(x: Tensor, w: Tensor, r: Tensor, b: Tensor, kind: str) -> Tensor:
    """(B, L, I) and weights in ONNX's order -> all states (B, L, H)."""
    size = r.shape[2]
    back = {"gru": (1, 0, 2), "lstm": (0, 2, 3, 1)}[kind]
    torch_weights = [_reorder(part, back) for part in (w[0], r[0], *b[0].chunk(2))]
    cell = (nn.GRU if kind == "gru" else nn.LSTM)(x.shape[2], size, batch_first=True)
    for parameter, value in zip(cell.parameters(), torch_weights, strict=True):
        parameter.data = value
    return cell(x)[0]


@recurrent.register_fake
def _(x: Tensor, w: Tensor, r: Tensor, b: Tensor, kind: str) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], r.shape[2])


def translations() -> dict[Callable, Callable]:
    """For the exporter: what the operator becomes."""
    from onnxscript import opset18

    op: Any = opset18  # its stubs know single outputs only

    def translate(x, w, r, b, kind: str):
        """The ONNX operator, which wants (L, B, I) and gives (L, 1, B, H)."""
        size = r.shape[2]
        steps = op.Transpose(x, perm=[1, 0, 2])
        if kind == "gru":
            states, _ = op.GRU(steps, w, r, b, hidden_size=size, linear_before_reset=1)
        else:
            states, _, _ = op.LSTM(steps, w, r, b, hidden_size=size)
        return op.Transpose(op.Squeeze(states, op.Constant(value_ints=[1])), perm=[1, 0, 2])

    return {torch.ops.suffuse.recurrent.default: translate}


class Recurrent(nn.Module):
    """A GRU or LSTM of one layer and one direction, in ONNX's order."""

    def __init__(self, cell: nn.GRU | nn.LSTM):
        super().__init__()
        self.kind = "gru" if isinstance(cell, nn.GRU) else "lstm"
        w, r, b, c = (_reorder(p.detach(), ORDER[self.kind]) for p in cell.parameters())
        self.register_buffer("w", w.unsqueeze(0))
        self.register_buffer("r", r.unsqueeze(0))
        self.register_buffer("b", torch.cat([b, c]).unsqueeze(0))

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """(B, L, I) -> states (B, L, H)."""
        return recurrent(x, self.w, self.r, self.b, self.kind), None


def swapped(model: nn.Module) -> nn.Module:
    """A copy of the model with its recurrent cells swapped."""
    copied = copy.deepcopy(model)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (nn.GRU, nn.LSTM)):
                module._modules[name] = Recurrent(child)
    return copied


def _reorder(rows: Tensor, order: tuple[int, ...]) -> Tensor:
    return torch.cat([rows.chunk(len(order))[n] for n in order])

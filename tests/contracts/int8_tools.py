"""What the tests of whole exports share: the model in int8 with all that can be, however small its weights are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest

from suffuse.exporters.int8 import operator_groups as grouping
from suffuse.exporters.int8.operator_groups import Group, groups, quantised_softmax, with_node_names
from suffuse.exporters.int8.quantize import quantize
from suffuse.exporters.onnx_session import Session


def in_int8(
    content: bytes, how: str, feeds: Sequence[dict], monkeypatch: pytest.MonkeyPatch
) -> tuple[Session, list[Group]]:
    """All groups in int8; what reaches a softmax is checked again."""
    monkeypatch.setattr(grouping, "MIN_WEIGHT_NUMBERS", 1)
    found = groups(with_node_names(onnx.load_from_string(content)))
    made = quantize(content, found, how, feeds)
    model = onnx.load_from_string(made)
    assert quantised_softmax(model.graph) == []
    kinds = {n.op_type for n in model.graph.node}
    assert not found or kinds & {"DequantizeLinear", "MatMulInteger", "ConvInteger"}
    return Session(made), found


def near(got: np.ndarray, exact: np.ndarray, share: float = 0.25) -> None:
    """int8 logits are near those of fp32, against how far those reach."""
    assert got.shape == exact.shape and got.dtype == np.float32 and np.isfinite(got).all()
    assert np.abs(got - exact).max() <= share * max(1.0, float(np.ptp(exact)))

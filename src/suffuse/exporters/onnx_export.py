"""ONNX: named inputs per modality and ``present``, any batch and length, stripped of metadata.

Inputs are what the modalities' ``encode`` gives: pictures uint8 (B, H, W, 3) or (B, P, H, W, 4), token ids int64
(B, L), frames float32 (B, L, F + 1), columns float32 (B, K), and ``present`` bool (B, M). The output is ``logits``
(B, C) float32.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SuffuseError
from ..files import write_bytes
from ..modalities import load_modality
from ..model import FusionModel
from ..types import Batch, Field
from .onnx_recurrent import swapped, translations

OPSET = 18


class Flat(nn.Module):
    """The model with tensors in and logits out."""

    def __init__(self, model: FusionModel):
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> Tensor:
        """Entries per modality, in order, then present (B, M)."""
        *entries, present = tensors
        names = self.model.spec.names
        nobody = present.new_zeros(0, dtype=torch.int64)
        batch = Batch(dict(zip(names, entries, strict=True)), {}, present, nobody, nobody)
        return self.model(batch).logits


def export(model: FusionModel, file: Path) -> None:
    """Write the model as ONNX, atomically. Raises SuffuseError where it can't be."""
    import onnx

    for name in model.spec.names:
        if reason := model.encoder(name).hindrance:
            hint = "choose another encoder for it in what is to be exported"
            raise SuffuseError("this model can't be exported", where=f"encoders.{name}", got=reason, hint=hint)
    examples = [torch.from_numpy(load_modality(f.kind).traced(f.statistics)) for f in model.spec.fields]
    present = torch.ones(3, len(examples), dtype=torch.bool)
    batch = torch.export.Dim("batch")
    shapes = [{0: batch, **_length(f)} for f in model.spec.fields]
    with _silence():
        try:
            program = torch.onnx.export(
                swapped(Flat(model)).eval(),
                (*examples, present),
                dynamo=True,
                input_names=[*model.spec.names, "present"],
                output_names=["logits"],
                dynamic_shapes=((*shapes, {0: batch}),),
                opset_version=OPSET,
                custom_translation_table=translations(),
                external_data=False,
            )
        except Exception as error:
            raise SuffuseError("the model can't be exported", got=str(error).splitlines()[0]) from error
    assert program is not None
    proto = program.model_proto
    strip(proto)
    onnx.checker.check_model(proto)
    write_bytes(file, proto.SerializeToString())


def strip(proto) -> None:
    """Remove what only a debugger needs: it can be larger than the weights."""
    del proto.metadata_props[:]
    proto.doc_string = ""
    proto.producer_name, proto.producer_version = "suffuse", ""
    graph = proto.graph
    graph.doc_string = ""
    del graph.value_info[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for function in proto.functions:
        del function.metadata_props[:], function.value_info[:]
        for node in function.node:
            del node.metadata_props[:]


def _length(field: Field) -> dict[int, Any]:
    """The axis of a modality's entries that has any length, named for itself alone."""
    if load_modality(field.kind).axes(field.statistics)[0] is not None:
        return {}
    return {1: torch.export.Dim(f"{field.name}_length", min=1)}


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silences the exporter's prints and logs; its errors come as exceptions."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)

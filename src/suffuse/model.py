"""The network: encoders -> fusion -> head. Teacher and student are the same class in two sizes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from . import encoders, fusions
from .errors import SuffuseError, UsageError
from .files import write_bytes, write_json
from .parts import load
from .recipe import Network
from .types import Batch, Encoded, Field, Output, Spec


class Encoder(nn.Module):
    """One modality's entries, as they are stored, to features."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, field: Field):
        super().__init__()
        self.settings = network.encoders[field.name]
        part = load(encoders.TABLE, self.settings.kind)
        if field.kind not in part.MODALITIES:
            raise UsageError(
                "this encoder can't read this modality",
                where=f"encoders.{field.name}",
                got=f"kind '{self.settings.kind}' for {field.kind}",
                expected="kind for " + " or ".join(part.MODALITIES),
            )
        self.function = part.encode
        try:
            self.layers = part.layers(self.settings, field)
        except ValueError as error:
            where = f"encoders.{field.name}"
            raise UsageError("this encoder can't be used here", where=where, got=error) from None
        if field.kind == "image":
            shape = (1, 3, 1, 1)
            self.register_buffer("mean", 255 * torch.tensor(field.statistics["mean"]).reshape(shape))
            self.register_buffer("std", 255 * torch.tensor(field.statistics["std"]).reshape(shape))
        self.kind = field.kind

    def forward(self, x: Tensor) -> Encoded:
        """Pictures (U, H, W, 3) uint8, or token ids (U, L)."""
        if self.kind == "image":
            x = x.permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)
        return self.function(self.settings, self.layers, x)


class FusionModel(nn.Module):
    """Encoders, a fusion that respects what is absent, and a head."""

    log_prior: Tensor

    def __init__(self, network: Network, spec: Spec):
        super().__init__()
        self.network, self.spec = network.bare(), spec
        self.encoders = nn.ModuleDict({f"{f.name}_encoder": Encoder(network, f) for f in spec.fields})
        part = load(fusions.TABLE, network.fusion.kind)
        fewest, most = part.TAKES
        if not fewest <= len(spec.fields) <= most:
            got, expected = f"{len(spec.fields)} modalities", f"{fewest} to {most}"
            raise UsageError("this fusion can't be used here", where="fusion", got=got, expected=expected)
        self.function = part.fuse
        self.fusion = part.layers(network.fusion, list(self.widths().values()))
        joint = part.width(network.fusion)
        hidden = [nn.Linear(joint, network.hidden), nn.ReLU()] if network.hidden else []
        dropout = [nn.Dropout(network.dropout)] if network.dropout else []
        self.head = nn.Sequential(*hidden, *dropout, nn.Linear(network.hidden or joint, len(spec.classes)))
        self.register_buffer("log_prior", torch.tensor(spec.log_prior))

    def widths(self) -> dict[str, int]:
        """D_m of each modality."""
        chosen = ((f.name, self.network.encoders[f.name]) for f in self.spec.fields)
        return {name: load(encoders.TABLE, s.kind).width(s) for name, s in chosen}

    def taps(self) -> dict[str, int]:
        """Width of every tap a loss may ask for."""
        return {"fused": load(fusions.TABLE, self.network.fusion.kind).width(self.network.fusion), **self.widths()}

    def forward(self, batch: Batch) -> Output:
        """Rows (B) -> Output. A row with nothing present gets the training prior, never NaN."""
        output = self.fuse(self.encode(batch), batch.present)
        if not batch.complete:
            output.present.update(zip(self.spec.names, batch.present.unbind(1), strict=True))
        return output

    def encode(self, batch: Batch) -> list[Encoded]:
        """Each distinct entry once, then one vector per row: M x (B, D_m)."""
        encoded = []
        for name, encoder in zip(self.spec.names, self.encoders.values(), strict=True):
            entries, index = batch.inputs[name], batch.index.get(name)
            if index is None:
                encoded.append(encoder(entries))
            elif len(entries):
                encoded.append(Encoded(spread(encoder(entries).vector, index)))
            else:  # no row of this batch has it
                encoded.append(Encoded(self.log_prior.new_zeros(len(index), self.widths()[name])))
        return encoded

    def fuse(self, encoded: list[Encoded], present: Tensor) -> Output:
        """M x (B, D_m) and present (B, M) -> Output."""
        fused = self.function(self.network.fusion, self.fusion, encoded, present)
        logits = self.head(fused.vector)
        logits = torch.where(present.any(1, keepdim=True), logits, self.log_prior)
        features = {n: e.vector for n, e in zip(self.spec.names, encoded, strict=True)}
        return Output(logits, fused.vector, features, fused.gates)

    def size(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for p in self.parameters())


def spread(vectors: Tensor, index: Tensor) -> Tensor:
    """Rows of (U, D) by index (B,). ``index_select`` adds gradients up in one order, on every run."""
    return vectors.index_select(0, index)


def save(model: FusionModel, folder: Path) -> None:
    """model.safetensors and config.json: all that is needed to build the model again."""
    from safetensors.torch import save as to_bytes

    tensors = {k: v.contiguous() for k, v in model.state_dict().items()}
    write_bytes(folder / "model.safetensors", to_bytes(tensors))
    config = {"network": model.network.model_dump(mode="json"), "spec": model.spec.to_json()}
    write_json(folder / "config.json", config)


def open_model(folder: Path) -> FusionModel:
    """The model that :func:`save` wrote, in eval mode.

    Raises SuffuseError where the folder holds none or its weights don't fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = FusionModel(Network.model_validate(config["network"]), Spec.from_json(config["spec"]))
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise SuffuseError("can't load the model", where=folder, got=str(error).splitlines()[0]) from None
    return model.eval()

"""The network: encoders -> fusion -> head. Teacher and student are the same class in two sizes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import cast

import torch
from torch import Tensor, nn

from . import encoders, fusions
from .errors import SuffuseError, UsageError
from .files import write_bytes, write_json
from .parts import load
from .recipe import Network
from .types import Batch, Encoded, Field, Output, Sizes, Spec


class Encoder(nn.Module):
    """One modality's entries, as they are stored, to features."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, field: Field):
        super().__init__()
        self.settings, self.field = network.encoders[field.name], field
        self.frozen = bool(getattr(self.settings, "frozen", False))
        part = load(encoders.TABLE, self.settings.kind)
        if field.kind not in part.MODALITIES:
            raise UsageError(
                "this encoder can't read this modality",
                where=f"encoders.{field.name}",
                got=f"kind '{self.settings.kind}' for {field.kind}",
                expected="kind for " + " or ".join(part.MODALITIES),
            )
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
        if self.frozen:
            self.requires_grad_(False)

    @property
    def part(self) -> ModuleType:
        """The module that this encoder is made by."""
        return load(encoders.TABLE, self.settings.kind)

    @property
    def width(self) -> int:
        """D of the vector."""
        return self.part.width(self.settings, self.layers)

    @property
    def tokens(self) -> int:
        """Width of each token; 0 where there are none. A frozen encoder has none: what is kept of it is its vectors."""
        if self.frozen:
            return 0
        return self.part.tokens(self.settings, self.layers) if hasattr(self.part, "tokens") else 0

    def initialise(self) -> None:
        """Pretrained weights, where the settings name some: once, before training; a saved model has them."""
        if hasattr(self.part, "initialise"):
            self.part.initialise(self.settings, self.layers, self.field)

    def train(self, mode: bool = True) -> Encoder:
        """A frozen encoder never leaves eval mode."""
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> Encoded:
        """Pictures (U, H, W, 3) uint8, token ids (U, L), or what else the modality's ``encode`` gives."""
        if self.kind == "image":
            x = x.permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)
        if self.frozen:
            with torch.no_grad():
                return Encoded(self.part.encode(self.settings, self.layers, x).vector)
        return self.part.encode(self.settings, self.layers, x)


class FusionModel(nn.Module):
    """Encoders, a fusion that respects what is absent, and a head."""

    log_prior: Tensor

    def __init__(self, network: Network, spec: Spec):
        super().__init__()
        self.network, self.spec = network.bare(), spec
        self.encoders = nn.ModuleDict({f"{f.name}_encoder": Encoder(network, f) for f in spec.fields})
        part = load(fusions.TABLE, network.fusion.kind)
        made = [self.encoder(name) for name in spec.names]
        sizes = Sizes(tuple(e.width for e in made), tuple(e.tokens for e in made), spec.outputs)
        try:
            self.fusion = part.layers(network.fusion, sizes)
        except ValueError as error:
            raise UsageError("this fusion can't be used here", where="fusion", got=error) from None
        self.joint = part.width(network.fusion, sizes)
        hidden = [nn.Linear(self.joint, network.hidden), nn.ReLU()] if network.hidden else []
        dropout = [nn.Dropout(network.dropout)] if network.dropout else []
        last = nn.Linear(network.hidden or self.joint, spec.outputs)
        self.head = nn.Identity() if fusions.headless(network.fusion) else nn.Sequential(*hidden, *dropout, last)
        self.register_buffer("log_prior", torch.tensor(spec.log_prior))

    @property
    def part(self) -> ModuleType:
        """The module that the fusion is made by."""
        return load(fusions.TABLE, self.network.fusion.kind)

    def encoder(self, name: str) -> Encoder:
        """A modality's encoder."""
        return cast(Encoder, self.encoders[f"{name}_encoder"])

    def initialise(self) -> FusionModel:
        """Load pretrained weights, where the recipe names some; before training, not when a model is opened."""
        for name in self.spec.names:
            self.encoder(name).initialise()
        return self

    def widths(self) -> dict[str, int]:
        """D_m of each modality."""
        return {name: self.encoder(name).width for name in self.spec.names}

    def taps(self) -> dict[str, int]:
        """Width of every tap a loss may ask for."""
        return {"fused": self.joint, **self.widths()}

    def forward(self, batch: Batch) -> Output:
        """Rows (B) -> Output. A row with nothing present gets the training prior, never NaN."""
        output = self.fuse(self.encode(batch), batch.present)
        if not batch.complete:
            output.present.update(zip(self.spec.names, batch.present.unbind(1), strict=True))
        return output

    def encode(self, batch: Batch) -> list[Encoded]:
        """Each distinct entry once, then one vector per row, and tokens where the fusion reads them: M x (B, D_m)."""
        encoded = []
        for name in self.spec.names:
            encoder, entries, index = self.encoder(name), batch.inputs[name], batch.index.get(name)
            if index is not None and not len(entries):
                encoded.append(self._nothing(encoder, len(index)))
                continue
            found = Encoded(entries) if name in batch.ready else encoder(entries)
            encoded.append(found if index is None else spread(found, index, getattr(self.part, "TOKENS", False)))
        return encoded

    def _nothing(self, encoder: Encoder, rows: int) -> Encoded:
        """Where no row of a batch has a modality; every slot is masked."""
        vector = self.log_prior.new_zeros(rows, encoder.width)
        if not encoder.tokens:
            return Encoded(vector)
        return Encoded(vector, vector.new_zeros(rows, 1, encoder.tokens), vector.new_zeros(rows, 1, dtype=torch.bool))

    def fuse(self, encoded: list[Encoded], present: Tensor) -> Output:
        """M x (B, D_m) and present (B, M) -> Output."""
        fused = self.part.fuse(self.network.fusion, self.fusion, encoded, present)
        logits = self.head(fused.vector) if fused.logits is None else fused.logits
        logits = torch.where(present.any(1, keepdim=True), logits, self.log_prior)
        features = {n: e.vector for n, e in zip(self.spec.names, encoded, strict=True)}
        return Output(logits, fused.vector, features, fused.gates)

    def size(self) -> int:
        """Parameters, frozen ones too."""
        return sum(p.numel() for p in self.parameters())


def spread(encoded: Encoded, index: Tensor, tokens: bool) -> Encoded:
    """Entries (U, D) to rows by index (B,). ``index_select`` adds gradients up in one order, on every run."""
    vector = encoded.vector.index_select(0, index)
    if not tokens or encoded.tokens is None or encoded.token_mask is None:
        return Encoded(vector)
    return Encoded(vector, encoded.tokens.index_select(0, index), encoded.token_mask.index_select(0, index))


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

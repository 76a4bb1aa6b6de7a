"""The network: encoders -> fusion -> head. Teacher and student are the same class in two sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from . import encoders, export_integrity, fusions
from .attention_maps import CELLS, STRETCHES, looks, strengths
from .data.columns import Columns
from .data.entry_gather import blanked, spread
from .errors import SuffuseError, UsageError
from .files import write_bytes, write_json
from .modality_encoder import Encoder, recipe_errors
from .output_frames import check_fusion, frames_of, recording
from .recipe import Network
from .types import LOOK, MAP, Batch, Encoded, Frames, Output, Sizes, Spec
from .unimodal_heads import UnimodalHeads
from .weight_shapes import check_weights


class FusionModel(nn.Module):
    """Encoders, a fusion that respects what is absent, and a head."""

    log_prior: Tensor

    def __init__(self, network: Network, spec: Spec):
        super().__init__()
        self.network, self.spec = resolved(network.bare(), spec.names), spec
        self.encoders = nn.ModuleDict({f"{f.name}_encoder": Encoder(self.network, f) for f in spec.fields})
        made = [self.encoder(name) for name in spec.names]
        widths, outputs = tuple(e.width for e in made), tuple(h.outputs for h in spec.heads)
        sizes = Sizes(widths, tuple(e.tokens for e in made), spec.outputs, outputs, self._frames(made))
        try:
            self.fusion = self.part.layers(network.fusion, sizes)
        except ValueError as error:
            dropped = self.part.TOKENS and any(e.frozen and not e.keeps_tokens for e in made)
            hint = "keep_tokens: true keeps the tokens of a frozen encoder" if dropped else ""
            got = str(error).removeprefix("got ")
            raise UsageError("this fusion can't be used here", where="fusion", got=got, hint=hint) from None
        self.joint = self.part.width(network.fusion, sizes)
        hidden = [nn.Linear(self.joint, network.hidden), nn.ReLU()] if network.hidden else []
        dropout = [nn.Dropout(network.dropout)] if network.dropout else []
        last = nn.Linear(network.hidden or self.joint, spec.outputs)
        self.head = nn.Identity() if fusions.headless(network.fusion) else nn.Sequential(*hidden, *dropout, last)
        self.register_buffer("log_prior", torch.tensor(spec.log_prior))
        self.unimodal = UnimodalHeads(spec, widths, network.dropout) if network.unimodal_heads else None
        self.only_head = spec.heads[0] if len(spec.heads) == 1 else None

    def _frames(self, made: Sequence[Encoder]) -> Frames | None:
        """Which frames the network gives logits for, where its target is a sequence."""
        check_fusion(self.network, self.spec)
        place = recording(self.spec)
        if place is None:
            return None
        with recipe_errors(self.spec.names[place]):
            encoder = made[place]
            return frames_of(self.spec, place, encoder.part, encoder.settings, encoder.layers)

    @property
    def part(self) -> fusions.FusionPart:
        """The module that the fusion is made by."""
        return fusions.load_fusion(self.network.fusion.kind)

    def encoder(self, name: str) -> Encoder:
        """A modality's encoder."""
        return cast(Encoder, self.encoders[f"{name}_encoder"])

    def initialise(self, say: Callable[[str], None] = lambda words: None) -> FusionModel:
        """Load pretrained weights, where the recipe names some; before training, not when a model is opened."""
        for name in self.spec.names:
            words = self.encoder(name).initialise()
            if words:
                say(f"{name}: {words}")
        return self

    def frozen(self) -> frozenset[str]:
        """Names of the state's tensors that training never changes: those of frozen encoders, and the weights beside
        which adapters learn."""
        fixed = [f"encoders.{name}_encoder" for name in self.spec.names if self.encoder(name).frozen]
        beside = frozenset(f"encoders.{n}_encoder.{key}" for n in self.spec.names for key in self.encoder(n).fixed)
        return beside | frozenset(k for k in self.state_dict() if any(k.startswith(f"{prefix}.") for prefix in fixed))

    def standardise(self, columns: Columns, rows: np.ndarray) -> None:
        """Fix how the vectors of frozen encoders are standardised, from these rows (of training): once, before it."""
        for m, name in enumerate(columns.spec.names):
            if name in columns.ready:
                used = np.unique(columns.entry[rows, m][columns.present[rows, m]])
                self.encoder(name).fit_standard(columns.entries[name], used)

    def widths(self) -> dict[str, int]:
        """D_m of each modality."""
        return {name: self.encoder(name).width for name in self.spec.names}

    def taps(self) -> dict[str, int]:
        """Width of every tap a loss may ask for."""
        gates = {"gates": len(self.spec.names)} if fusions.gates(self.network.fusion) else {}
        read = [name for name in self.spec.names if self.encoder(name).tokens]
        wide = {MAP: CELLS} | ({LOOK: len(self.spec.heads) * STRETCHES} if self.part.LOOKS else {})
        return {"fused": self.joint, **self.widths(), **gates, **{n + tap: wide[tap] for n in read for tap in wide}}

    def mapped(self, needs: Collection[str]) -> tuple[str, ...]:
        """Modalities whose maps are among what losses need, and can be had; looks by their tap's name."""
        there = [tap for tap in self.taps() if tap.endswith(MAP) and tap in needs]
        return tuple(tap if tap.endswith(LOOK) else tap.removesuffix(MAP) for tap in there)

    def forward(self, batch: Batch, maps: Collection[str] = ()) -> Output:
        """Rows (B) -> Output. A row with nothing present gets the training prior, never NaN. ``maps``: modalities
        whose maps are asked for."""
        encoded = self.encode(batch, maps)
        output = self.fuse(encoded, batch.present, maps)
        if batch.full_present is not None:
            if batch.train_full:
                full_logits = self.fuse(encoded, batch.full_present).logits
            else:
                full_logits = self.inference_logits(encoded, batch.full_present)
            output = replace(output, full_logits=full_logits, is_partial=(batch.full_present != batch.present).any(1))
        if batch.complementary_masks is not None:
            logits = tuple(self.fuse(encoded, mask).logits for mask in batch.complementary_masks)
            output = replace(output, complementary_logits=logits)
        if not batch.complete:
            output.present.update(zip(self.spec.names, batch.present.unbind(1), strict=True))
        return output

    def encode(self, batch: Batch, maps: Collection[str] = (), known: Mapping[str, Encoded] = {}) -> list[Encoded]:
        """Each distinct entry once, then one vector per row, and tokens where the fusion reads them: M x (B, D_m).
        ``known``: what :meth:`entries` gave of some modalities' entries before."""
        encoded = []
        batch = batch if batch.complete else blanked(batch, self.spec.names)
        for name in self.spec.names:
            entries, index = batch.inputs[name], batch.index.get(name)
            if index is not None and not len(entries):
                encoded.append(self.nothing(name, len(index), name in maps))
                continue
            found = known[name] if name in known else self.entries(name, batch, name in maps)
            encoded.append(found if index is None else spread(found, index, self.part.TOKENS))
        return encoded

    def entries(self, name: str, batch: Batch, mapped: bool) -> Encoded:
        """A modality's distinct entries that a batch has, encoded: (U, D_m)."""
        encoder, entries = self.encoder(name), batch.inputs[name]
        found = encoder.restored(entries) if name in batch.ready else encoder(entries)
        if mapped:
            one_picture = encoder.kind == "image" and encoder.field.statistics.get("places", 1) == 1
            found = replace(found, map=strengths(found, one_picture))
        return found

    def nothing(self, name: str, rows: int, mapped: bool) -> Encoded:
        """Where no row of a batch has a modality; every slot is masked."""
        encoder = self.encoder(name)
        vector = self.log_prior.new_zeros(rows, encoder.width)
        if not encoder.tokens:
            return Encoded(vector)
        tokens, mask = vector.new_zeros(rows, 1, encoder.tokens), vector.new_zeros(rows, 1, dtype=torch.bool)
        return Encoded(vector, tokens, mask, vector.new_zeros(rows, CELLS) if mapped else None)

    def fuse(self, encoded: list[Encoded], present: Tensor, maps: Collection[str] = ()) -> Output:
        """M x (B, D_m) and present (B, M) -> Output; ``maps``: taps of the queries' attention that are needed."""
        fused = self.part.fuse(self.network.fusion, self.fusion, encoded, present)
        logits = self.head(fused.vector) if fused.logits is None else fused.logits
        logits = torch.where(present.any(1, keepdim=True), logits, self.log_prior)
        unimodal = self.unimodal(encoded, present, self.log_prior) if self.unimodal else ()
        if self.unimodal and not self.training:
            logits = self.unimodal.pool(logits, unimodal, present, self.log_prior)
        features = {n: e.vector for n, e in zip(self.spec.names, encoded, strict=True)}
        shown = {n: e.map for n, e in zip(self.spec.names, encoded, strict=True) if e.map is not None}
        shown |= looks(fused.looks, self.spec.names, maps)
        return Output(
            logits, fused.vector, features, fused.gates, head=self.only_head, maps=shown, unimodal_logits=unimodal
        )

    @torch.no_grad()
    def inference_logits(self, encoded: list[Encoded], present: Tensor) -> Tensor:
        """Logits (B, C) on other modalities than the row is trained on now, as they are in use: without dropout."""
        was_training = self.training
        for part in (self.fusion, self.head):
            part.train(False)
        logits = self.fuse(encoded, present).logits
        for part in (self.fusion, self.head):
            part.train(was_training)
        return logits

    def size(self) -> int:
        """Parameters, frozen ones too."""
        return sum(p.numel() for p in self.parameters())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model.safetensors and config.json into a folder, which is made where it isn't there."""
        save(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FusionModel:
        """The network in a folder of a run (``student/seed-1``, ``teacher``), of an export made with ``export.torch``,
        or of :meth:`save_pretrained`; in eval mode. No code of the folder's runs, and an export's seal is checked.

        Raises SuffuseError where there is none, or where it isn't what was written.
        """
        place = Path(folder)
        if (place / export_integrity.SIGNATURE).exists() and "model.safetensors" not in export_integrity.read(place)[1]:
            hint = "`export.torch: true` puts the network beside model.onnx; `Predictor.load` runs that alone"
            raise SuffuseError("this export holds no torch network", where=place, hint=hint)
        return open_model(place)


def resolved(network: Network, names: Iterable[str]) -> Network:
    """The network with what its encoders' settings name outside (but for weights) written in."""
    found = dict(network.encoders)
    for name in names:
        with recipe_errors(name):
            found[name] = encoders.load_encoder(found[name].kind).resolved(found[name])
    return network.model_copy(update={"encoders": found})


def save(model: FusionModel, folder: Path) -> None:
    """model.safetensors and config.json: all that is needed to build the model again."""
    from safetensors.torch import save as to_bytes

    tensors = {k: v.cpu().contiguous() for k, v in model.state_dict().items()}
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
        network, spec = Network.model_validate(config["network"]), Spec.from_json(config["spec"])
        weights = load_file(folder / "model.safetensors")
        check_weights(lambda: FusionModel(network, spec), weights)
        model = FusionModel(network, spec)
        model.load_state_dict(weights)
    except (OSError, LookupError, TypeError, AttributeError, ValueError, RuntimeError, SafetensorError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise SuffuseError("can't load the model", where=folder, got=said) from None
    return model.eval()

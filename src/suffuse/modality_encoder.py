"""The encoder of one modality: entries as they are stored, normalised, to features."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import encoders
from .data.entry_gather import only, put
from .errors import UsageError
from .modalities.ragged import moments
from .recipe import Network
from .registry import implements
from .token_packing import pack, unpack
from .types import Encoded, Field
from .user_parts import short

FAR, SMALLEST = 6.0, 1e-6  # of a frozen encoder's numbers, in deviations: where they are cut; least deviation
TOKEN_ENTRIES = 256  # entries whose tokens are read at once
EPSILON = 1e-12  # of a batch norm that normalises pictures: below any variance's rounding; older torch refuses 0


class Encoder(nn.Module):
    """One modality's entries, as they are stored, to features."""

    mean: Tensor
    std: Tensor
    centre: Tensor  # (D,) of a frozen encoder's vectors
    scale: Tensor
    token_centre: Tensor  # (C,) of its tokens, where they are kept
    token_scale: Tensor
    drop: float = 0.0  # share of a frozen encoder's numbers that is dropped now
    at_rest: tuple[nn.Module, ...] = ()  # modules that don't learn in this epoch of fine-tuning: in eval mode
    fixed: frozenset[str] = frozenset()  # names of its state's tensors that fine-tuning never changes

    def __init__(self, network: Network, field: Field):
        super().__init__()
        self.settings, self.field = network.encoders[field.name], field
        self.frozen = bool(self.settings.get("frozen", False))
        part = encoders.load_encoder(self.settings.kind)
        if not {field.kind, short(field.kind)} & {*part.MODALITIES}:
            raise UsageError(
                "this encoder can't read this modality", where=f"encoders.{field.name}",
                got=f"kind '{self.settings.kind}' for {field.kind}",
                expected="kind for " + " or ".join(part.MODALITIES),
            )  # fmt: skip
        with recipe_errors(field.name):
            self.layers = part.layers(self.settings, field)
        self.kind = field.kind
        if field.kind in ("image", "audio", "sequence"):
            own = part.normalised(self.settings, self.layers)
            mean, std = own or (field.statistics["mean"], field.statistics["std"])
            shape, white = ((1, 3, 1, 1), 255) if field.kind == "image" else ((1, 1, -1), 1)
            for name, numbers in (("mean", mean), ("std", std)):
                # numpy's product: torch's on meta (weight_shapes) imports its compiler, which takes seconds
                scaled = white * np.asarray(numbers, dtype=np.float32)
                self.register_buffer(name, torch.tensor(scaled).reshape(shape))
        self.standardised = self.frozen or getattr(self.settings.get("finetune"), "after_frozen", False)
        if self.frozen:
            self.requires_grad_(False)
            super().train(False)  # from the start: a module is made in training mode, with dropout and batch statistics
        if self.standardised:
            self.register_buffer("centre", torch.zeros(self.width))
            self.register_buffer("scale", torch.ones(self.width))
        self.keeps_tokens = self.standardised and bool(self.settings.get("keep_tokens", False))
        if self.keeps_tokens:
            if not self.tokens:
                got = f"keep_tokens for {self.settings.kind}, which has no tokens"
                raise UsageError("this encoder can't be used here", where=f"encoders.{field.name}", got=got)
            self.register_buffer("token_centre", torch.zeros(self.tokens))
            self.register_buffer("token_scale", torch.ones(self.tokens))

    @property
    def part(self) -> encoders.EncoderPart:
        """The module that this encoder is made by."""
        return encoders.load_encoder(self.settings.kind)

    @property
    def width(self) -> int:
        """D of the vector."""
        return self.part.width(self.settings, self.layers)

    @property
    def tokens(self) -> int:
        """Width of each token; 0 where there are none. A frozen encoder has none unless they are kept beside its
        vectors."""
        return 0 if self.standardised and not self.keeps_tokens else self.part.tokens(self.settings, self.layers)

    @property
    def hindrance(self) -> str:
        """Why it can't be exported; empty where it can."""
        return self.part.hindrance(self.settings, self.layers)

    def initialise(self) -> str:
        """Pretrained weights, where the settings name some: once, before training; a saved model has them."""
        with recipe_errors(self.field.name):
            return self.part.initialise(self.settings, self.layers, self.field)

    def train(self, mode: bool = True) -> Encoder:
        """Neither a frozen encoder nor a module ``at_rest`` leaves eval mode; ``drop`` applies in training."""
        self.drop = float(self.settings.get("drop", 0.0)) if mode and self.standardised else 0.0
        super().train(mode and not self.frozen)
        for module in self.at_rest:
            module.train(False)
        return self

    def forward(self, x: Tensor) -> Encoded:
        """Pictures (U, H, W, 3) or (U, P, H, W, 4) uint8, token ids (U, L), steps (U, L, F + 1) whose last channel
        says which are real, or what else the modality's ``encode`` gives."""
        if self.frozen:
            with torch.no_grad():
                return self.restored(self.vectors(x))
        return self.restored(self.vectors(x)) if self.standardised else self._read(x)

    def vectors(self, x: Tensor) -> Tensor:
        """What is kept of a frozen encoder, before it is standardised: its vectors (U, D). With ``keep_tokens`` vectors
        and tokens, as :func:`.token_packing.pack` joins them."""
        found = self._read(x)
        return pack(found) if self.keeps_tokens else found.vector

    def restored(self, kept: Tensor) -> Encoded:
        """What :meth:`vectors` gave, standardised: the vectors, and the tokens where they are kept."""
        if not self.keeps_tokens:
            return Encoded(self.standard(kept))
        vector, tokens, mask = unpack(kept, self.width, self.tokens)
        return Encoded(self.standard(vector), self._standard(tokens, self.token_centre, self.token_scale), mask)

    def fit_standard(self, column: Any, entries: np.ndarray) -> None:
        """Fix how vectors, and tokens that are kept, are standardised: by the training rows' ``entries`` (N,) of the
        column that :meth:`vectors` gave."""
        if not self.keeps_tokens:
            self._fix("centre", "scale", *_mean_and_deviation(column[entries]))
            return
        self._fix("centre", "scale", *_mean_and_deviation(column[entries, 0, : self.width]))
        some = (np.asarray(column[entries[n : n + TOKEN_ENTRIES]]) for n in range(0, len(entries), TOKEN_ENTRIES))
        tokens = (steps[:, 1:][steps[:, 1:, -1] > 0][:, : self.tokens] for steps in some)
        self._fix("token_centre", "token_scale", *moments(tokens, self.tokens))

    def _fix(self, centre: str, scale: str, mean: np.ndarray, deviation: np.ndarray) -> None:
        self.get_buffer(centre).copy_(torch.from_numpy(mean).float())
        self.get_buffer(scale).copy_(torch.from_numpy(deviation).float())

    def standard(self, vectors: Tensor) -> Tensor:
        """A frozen encoder's vectors (U, D), every number with mean 0 and deviation 1 over the training rows: their
        sizes differ by orders of magnitude, and no weight of the encoder's can learn to mend that. In training some of
        the numbers are dropped."""
        return self._standard(vectors, self.centre, self.scale)

    def _standard(self, numbers: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
        standard = ((numbers - centre) / scale).clamp(-FAR, FAR)
        return nn.functional.dropout(standard, self.drop) if self.drop else standard

    def _read(self, x: Tensor) -> Encoded:
        if self.kind == "image":
            return self._pictures(x) if x.dim() == 5 else self._picture(x)
        if self.kind in ("audio", "sequence"):
            steps, real = x[..., :-1], x[..., -1:]
            mean = steps_mean(steps, real) if self.field.statistics.get("center") == "clip" else self.mean
            steps = torch.where(real > 0, (steps - mean) / self.std, torch.zeros_like(steps))
            x = torch.cat([steps, real], dim=2)
        return self.part.encode(self.settings, self.layers, x)

    def _picture(self, x: Tensor) -> Encoded:
        x = x.permute(0, 3, 1, 2).to(self.mean.dtype)
        if torch.compiler.is_exporting() and not implements(self.part, "initialise"):
            # one node of a graph instead of two; deep pretrained networks amplify the other rounding
            x = torch.nn.functional.batch_norm(x, self.mean.flatten(), self.std.flatten().square(), eps=EPSILON)
        else:
            x = x.sub_(self.mean).div_(self.std)
        return self.part.encode(self.settings, self.layers, x)

    def _pictures(self, x: Tensor) -> Encoded:
        """Each real picture of (U, P, H, W, 4) by itself; the mean of their vectors, their tokens side by side.

        In training the empty places are not encoded, so they enter no batch statistics; an export encodes them too,
        which keeps its shapes plain, and masks them.
        """
        real, flat = x[:, :, 0, 0, 3] > 0, x.flatten(0, 1)[..., :3]
        if self.training:
            places = real.flatten().nonzero().squeeze(1)
            found = self._picture(flat.index_select(0, places))
            found = put(found, places, len(flat))
        else:
            found = self._picture(flat)
        mean = only(found.vector, real).sum(1) / real.sum(1, keepdim=True).clamp(min=1)
        if found.tokens is None or found.token_mask is None:
            return Encoded(mean)
        tokens, mask = only(found.tokens, real), only(found.token_mask, real)
        return Encoded(mean, tokens.flatten(1, 2), mask.flatten(1, 2))


def steps_mean(steps: Tensor, real: Tensor) -> Tensor:
    """Steps (U, L, F) and which are real (U, L, 1) -> the mean of the real ones of each entry (U, 1, F)."""
    return (steps * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)


def _mean_and_deviation(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (N, D) -> mean (D,) and deviation (D,), which isn't 0."""
    exact = np.asarray(vectors).astype(np.float64)
    return exact.mean(0), exact.std(0) + SMALLEST


@contextlib.contextmanager
def recipe_errors(name: str) -> Iterator[None]:
    """A part's ValueError, as the recipe's error about this modality's encoder."""
    try:
        yield
    except ValueError as error:
        got = str(error).removeprefix("got ")
        raise UsageError("this encoder can't be used here", where=f"encoders.{name}", got=got) from None

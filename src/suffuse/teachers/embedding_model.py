"""Vectors of texts and pictures from a model of transformers: a dual encoder (CLIP, SigLIP), or an encoder of
sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoders.huggingface import local_folder
from ..errors import UsageError
from .pretrained import open_pretrained, open_processor, small_files_hash

if TYPE_CHECKING:
    from ..recipe.stage_settings import Compute

SIGLIP_LENGTH = 64  # tokens of a text; SigLIP learned with texts that are padded to it, and without a mask


@dataclass(frozen=True)
class EmbeddingModel:
    """A frozen network with its tokenizer, and where it reads pictures their processor."""

    network: Any
    tokenizer: Any
    processor: Any  # None: it reads texts alone
    content: str  # hash of the folder's small files
    pool: str  # of an encoder of sentences: mean or cls
    length: int | None  # tokens at the most

    def fingerprint(self) -> str:
        """Hash of weights, tokenizer and processor, and of how texts become vectors."""
        from ..engine.training_record import weights_hash

        return f"{self.content} {weights_hash(self.network)} {self.pool} {self.length}"

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def is_dual(self) -> bool:
        """Whether texts and pictures have vectors in one space."""
        return hasattr(self.network, "get_text_features")

    @property
    def logit_scale(self) -> float | None:
        """What it multiplies cosines by in training; None: it has no such weight."""
        scale = getattr(self.network, "logit_scale", None)
        return None if scale is None else float(scale.exp())

    def texts(self, texts: list[str]) -> np.ndarray:
        """(B, D) float32 of B texts."""
        tokens = self.tokenizer(texts, truncation=True, return_tensors="pt", **self._padding())
        if self.is_dual:
            return self._run(self.network.get_text_features, tokens)
        return self._run(self._pooled, tokens)

    def pictures(self, pictures: list[Any]) -> np.ndarray:
        """(B, D) float32 of B pictures."""
        return self._run(self.network.get_image_features, self.processor(images=pictures, return_tensors="pt"))

    def _padding(self) -> dict[str, Any]:
        limit = _text_limit(self.network.config, self.tokenizer, self.length)
        if "siglip" in self.network.config.model_type:
            return {"padding": "max_length", "max_length": min(limit, SIGLIP_LENGTH)}
        return {"padding": True, "max_length": limit}

    def _run(self, embed: Any, inputs: Any) -> np.ndarray:
        import torch

        from ..data.device_transfer import to_array
        from ..engine.runtime import explained

        with torch.inference_mode(), explained(self.network.device):
            vectors = embed(**inputs.to(self.network.device))
            return to_array(getattr(vectors, "pooler_output", vectors)).astype(np.float32)

    def _pooled(self, **inputs: Any) -> Any:
        states = self.network(**inputs).last_hidden_state
        if self.pool == "cls":
            return states[:, 0]
        mask = inputs["attention_mask"].unsqueeze(2)
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1)


def open_model(name: str, reads: str, pool: str, length: int | None, compute: Compute, where: str) -> EmbeddingModel:
    """Load it from this machine onto the recipe's device.

    Raises UsageError (``where``: the teacher's key) where it isn't there, lacks weights, or can't read pictures where
    ``reads`` is ``image``.
    """
    from ..engine.runtime import device_of

    network, missing = open_pretrained(name, "AutoModel", f"{where}.name")
    if reads == "image" and not hasattr(network, "get_image_features"):
        raise UsageError(
            "this model has no vectors of pictures and texts in one space", where=f"{where}.name",
            got=f"{name} ({network.config.model_type})", expected="a model such as CLIP or SigLIP",
            hint="reads: text takes any encoder of sentences",
        )  # fmt: skip
    lacking = [key for key in missing if "pooler" not in key or hasattr(network, "get_text_features")]
    if lacking:
        raise UsageError("this model lacks weights", where=f"{where}.name", got=f"no weights for {lacking[0]}")
    tokenizer = open_processor(name, "AutoTokenizer", f"{where}.name")
    processor = open_processor(name, "AutoImageProcessor", f"{where}.name") if reads == "image" else None
    content = small_files_hash(local_folder(name))
    return EmbeddingModel(network.to(device_of(compute)), tokenizer, processor, content, pool, length)


def _text_limit(config: Any, tokenizer: Any, length: int | None) -> int:
    """Tokens of a text at the most: of the setting, the tokenizer and the network's positions the least."""
    positions = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
    return min(n for n in (length, tokenizer.model_max_length, positions) if n)

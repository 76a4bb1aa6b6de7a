"""Vectors of texts and pictures from a model of open_clip (Ilharco et al. 2021), as its folders hold it:
``open_clip_config.json``, ``open_clip_model.safetensors``, and the tokenizer's files where it isn't CLIP's own.

Nothing is downloaded, no pickle is read. A text network of transformers, which is configured elsewhere, is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..registry import optional
from .pretrained import small_files_hash

if TYPE_CHECKING:
    from ..recipe.stage_settings import Compute

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json")  # one of them, where the tokenizer isn't CLIP's own
EXTRA = "open_clip"


@dataclass(frozen=True)
class OpenClipModel:
    """A frozen network with its tokenizer and the preparation of its pictures."""

    network: Any
    tokenizer: Any
    prepare: Any  # picture -> (3, H, W)
    content: str  # hash of the folder's small files

    def fingerprint(self) -> str:
        """Hash of weights, tokenizer and preparation."""
        from ..engine.training_record import weights_hash

        facts = f"{self.content} {self.prepare} {weights_hash(self.network)}"
        return hashlib.sha256(facts.encode()).hexdigest()

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def logit_scale(self) -> float | None:
        """What it multiplies cosines by in training."""
        return float(self.network.logit_scale.exp())

    def texts(self, texts: list[str]) -> np.ndarray:
        """(B, D) float32 of B texts, cut at the network's length."""
        return self._run(self.network.encode_text, self.tokenizer(texts))

    def pictures(self, pictures: list[Any]) -> np.ndarray:
        """(B, D) float32 of B pictures."""
        import torch

        return self._run(self.network.encode_image, torch.stack([self.prepare(picture) for picture in pictures]))

    def _run(self, embed: Any, inputs: Any) -> np.ndarray:
        import torch

        from ..data.device_transfer import to_array
        from ..engine.runtime import explained

        device = self.network.logit_scale.device
        with torch.inference_mode(), explained(device):
            return to_array(embed(inputs.to(device))).astype(np.float32)


def is_open_clip(name: str) -> bool:
    """Whether a model's name is a folder as open_clip lays it out."""
    return (Path(name) / CONFIG).is_file()


def open_folder(name: str, compute: Compute, where: str) -> OpenClipModel:
    """Load it onto the recipe's device.

    Raises UsageError (``where``: the teacher's key) where the folder lacks something, or open_clip refuses it.
    """
    from ..engine.runtime import device_of

    folder, source = Path(name), f"local-dir:{name}"
    library: Any = optional("open_clip", EXTRA)
    _check(folder, where)
    with _explained(folder, where):
        network = library.create_model(source, pretrained_image=False, pretrained_text=False, require_pretrained=True)
        tokenizer = library.get_tokenizer(source)
        transform: Any = optional("open_clip.transform", EXTRA)
        prepare = transform.image_transform_v2(transform.PreprocessCfg(**network.visual.preprocess_cfg), is_train=False)
    network = network.float().requires_grad_(False).eval().to(device_of(compute))
    return OpenClipModel(network, tokenizer, prepare, small_files_hash(folder))


@contextlib.contextmanager
def _explained(folder: Path, where: str) -> Generator[None]:
    """What open_clip refuses, as an error of the user's; it logs each of its decisions as a warning or a note."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AssertionError) as error:
        got = (
            f"{folder}, which open_clip refuses: {(str(error).strip().splitlines() or [type(error).__name__])[0][:200]}"
        )
        raise UsageError("this teacher can't be opened", where=where, got=got) from None
    finally:
        logging.disable(before)


def _check(folder: Path, where: str) -> None:
    """Raise UsageError where something of the model isn't in the folder, so that open_clip would fetch it."""
    try:
        text: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
    except (ValueError, KeyError, TypeError) as error:
        got = f"{folder / CONFIG}: {error}"
        raise UsageError("this is no configuration of open_clip", where=f"{where}.name", got=got) from None
    if not (folder / WEIGHTS).is_file():
        raise UsageError("this model lacks weights", where=f"{where}.name", expected=f"{WEIGHTS} in {folder}")
    if text.get("hf_model_name"):
        raise UsageError(
            "this model's text network is one of transformers, whose configuration isn't in the folder",
            where=f"{where}.name", got=text["hf_model_name"],
            hint="a folder in transformers' format holds all of it",
        )  # fmt: skip
    if text.get("hf_tokenizer_name") and not any((folder / name).is_file() for name in TOKENIZERS):
        raise UsageError(
            "this model lacks its tokenizer", where=f"{where}.name", expected=f"tokenizer.json in {folder}"
        )

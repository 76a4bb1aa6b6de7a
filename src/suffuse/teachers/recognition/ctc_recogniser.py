"""Recognisers of transformers' AutoModelForCTC (wav2vec 2.0, HuBERT, WavLM, ...): greedy decoding of their frames.

Text: the most probable output of each frame, without repetitions and blanks (Graves et al. 2006), by the folder's own
tokenizer. Confidence: exp of the mean over all frames of log p of that output. One recording is read at a time, at its
own length: some of these networks normalise over time, and would take padding into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from ..pretrained import open_pretrained, open_processor
from .recogniser_folder import RATE, RecogniserModel

SHORTEST = RATE // 10  # samples: shorter recordings are padded with silence, a frame of some networks needs so many


@dataclass(frozen=True)
class CtcRecogniser:
    """A network with its extractor of features and its tokenizer."""

    network: Any
    extractor: Any
    tokenizer: Any

    def recognise(self, recordings: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """As :class:`.recogniser_folder.Recogniser` says."""
        return [self._recognise(samples) for samples in recordings]

    def _recognise(self, samples: np.ndarray) -> tuple[str, float]:
        import torch

        from ...engine.runtime import explained

        padded = np.pad(samples, (0, max(0, SHORTEST - len(samples))))
        inputs = self.extractor(padded, sampling_rate=RATE, return_tensors="pt").to(self.network.device)
        with torch.inference_mode(), explained(self.network.device):
            best = self.network(**inputs).logits[0].float().log_softmax(-1).max(-1)
        return self.tokenizer.decode(best.indices.tolist()), float(best.values.mean().exp())


def open_ctc(model: RecogniserModel, device: Any) -> CtcRecogniser:
    """Raises UsageError where the folder has no CTC network that is finished, or settings don't go with one."""
    name, where = str(model.folder), f"{model.where}.name"
    for key, value, plain in (("language", model.language, None), ("beam", model.beam, 1)):
        if value != plain:
            hint = f"without {key}: such a network has one language, and is decoded greedily"
            raise UsageError("of Whisper alone", where=f"{model.where}.{key}", got=value, hint=hint)
    network, missing = open_pretrained(name, "AutoModelForCTC", where)
    if missing:
        raise UsageError("this model is no finished recogniser", where=where, got=f"no weights for {missing[0]}")
    extractor = open_processor(name, "AutoFeatureExtractor", where)
    if extractor.sampling_rate != RATE:
        got = f"a network that reads {extractor.sampling_rate:,} samples a second"
        raise UsageError("this recogniser can't be used", where=where, got=got, expected=f"{RATE:,}")
    return CtcRecogniser(network.to(device), extractor, open_processor(name, "AutoTokenizer", where))

"""Whisper by faster-whisper, which runs it with CTranslate2: greedy decoding, or beam search, of a window of 30 s.

Text and options are those of :mod:`.whisper_recogniser`, without a detection of silence and without further attempts
at a higher temperature. Confidence: exp of the mean log p that faster-whisper gives, which counts the text's end too.
Weights are in the type that the folder stores, or in the next one that the device has.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from ...registry import optional
from .recogniser_folder import RecogniserModel
from .whisper_recogniser import read_tokenizer

MAX_TOKENS = 224  # of a window: half of what Whisper has positions for


@dataclass(frozen=True)
class CTranslate2Recogniser:
    """A model of faster-whisper."""

    network: Any
    options: dict[str, Any]

    def recognise(self, recordings: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """As :class:`.recogniser_folder.Recogniser` says."""
        return [self._recognise(samples) for samples in recordings]

    def _recognise(self, samples: np.ndarray) -> tuple[str, float]:
        segments = [*self.network.transcribe(samples, **self.options)[0]]
        counts = [len(segment.tokens) + 1 for segment in segments]
        total = sum(segment.avg_logprob * count for segment, count in zip(segments, counts, strict=True))
        text = "".join(segment.text for segment in segments).strip()
        return text, min(math.exp(total / sum(counts)), 1.0) if segments else 0.0


def open_ctranslate2(model: RecogniserModel, device: Any, threads: int) -> CTranslate2Recogniser:
    """Raises UsageError where faster-whisper isn't installed or refuses the folder, or the language isn't one of
    its."""
    library: Any = optional("faster_whisper", "faster-whisper")
    optional("ctranslate2", "faster-whisper").set_log_level(logging.ERROR)  # types that a device lacks are no news
    read_tokenizer(model)  # without one the library would download another
    where, kind = model.where, "cuda" if device.type == "cuda" else "cpu"
    try:
        network = library.WhisperModel(str(model.folder), device=kind, cpu_threads=threads, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        got = f"{model.folder}, which faster-whisper refuses: {str(error).splitlines()[0][:200]}"
        raise UsageError("this teacher can't be opened", where=f"{where}.name", got=got) from None
    known = network.supported_languages
    if model.language is not None and model.language not in known:
        raise UsageError("this Whisper doesn't know the language", where=f"{where}.language", got=model.language,
                         expected=", ".join(sorted(known)))  # fmt: skip
    options = {
        "language": model.language, "beam_size": model.beam, "temperature": 0.0, "without_timestamps": True,
        "condition_on_previous_text": False, "no_speech_threshold": None, "log_prob_threshold": None,
        "compression_ratio_threshold": None, "max_new_tokens": MAX_TOKENS,
    }  # fmt: skip
    return CTranslate2Recogniser(network, options)

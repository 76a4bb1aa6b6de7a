"""Whisper (Radford et al. 2022) of transformers: greedy decoding, or beam search, of a window of 30 s.

Text: the tokens that are no special ones, by the folder's ``tokenizer.json``; timestamps are off. Confidence: exp of
the mean of log p of these tokens, each given those before it; of a text without any, p of its end. Recordings that are
longer than the window aren't read: cut into windows, words would be cut too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...encoders.huggingface import silence
from ...errors import UsageError
from ..pretrained import open_pretrained, open_processor
from .recogniser_folder import RATE, RecogniserModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

MULTILINGUAL = 51_865  # outputs of the smallest Whisper that knows more than English
LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")  # <|yue|> too
TASKS = ("transcribe", "translate")
NO_TIMESTAMPS = "<|notimestamps|>"


@dataclass(frozen=True)
class WhisperRecogniser:
    """A network with its extractor of features and its tokenizer."""

    network: Any
    extractor: Any
    tokenizer: Tokenizer
    options: dict[str, Any]  # of transformers' generate
    is_text: Tensor  # (V,) bool, tokens that aren't special

    def recognise(self, recordings: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """As :class:`.recogniser_folder.Recogniser` says."""
        import torch

        from ...engine.runtime import explained

        network = self.network
        features = self.extractor([*recordings], sampling_rate=RATE, return_tensors="pt").input_features
        with torch.inference_mode(), explained(network.device), silence():
            states = network.get_encoder()(features.to(network.device))
            tokens = network.generate(encoder_outputs=states, **self.options).sequences  # the prompt before the text
            logits = network(encoder_outputs=states, decoder_input_ids=tokens[:, :-1]).logits
        return [self._recognition(*row) for row in zip(tokens[:, 1:], logits.float(), strict=True)]

    def _recognition(self, tokens: Tensor, logits: Tensor) -> tuple[str, float]:
        """Tokens (L,) after the first, and logits (L, V) of each."""
        p = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
        words = self.is_text[tokens]
        if words.any():
            return self.tokenizer.decode(tokens[words].tolist()).strip(), float(p[words].mean().exp())
        ends = (tokens == self.network.generation_config.eos_token_id).nonzero()
        return "", float(p[ends[0, 0]].exp()) if len(ends) else 0.0


def open_whisper(model: RecogniserModel, device: Any) -> WhisperRecogniser:
    """Raises UsageError where the folder has no Whisper that is finished, or the language isn't one of its."""
    name, where = str(model.folder), f"{model.where}.name"
    network, missing = open_pretrained(name, "WhisperForConditionalGeneration", where)
    if missing:
        raise UsageError("this model is no finished recogniser", where=where, got=f"no weights for {missing[0]}")
    extractor = open_processor(name, "AutoFeatureExtractor", where)
    expected, frames = 2 * network.config.max_source_positions, getattr(extractor, "nb_max_frames", 0)
    if extractor.sampling_rate != RATE or frames != expected:
        got = f"{frames:,} frames at {extractor.sampling_rate:,} samples a second"
        raise UsageError(
            "the extractor isn't the network's", where=where, got=got, expected=f"{expected:,} at {RATE:,}"
        )
    tokenizer = read_tokenizer(model)
    complete_generation(network, tokenizer)
    if network.generation_config.no_timestamps_token_id is None:
        raise UsageError("the tokenizer isn't Whisper's", where=where, got=f"{model.folder}", expected=NO_TIMESTAMPS)
    options = {
        "num_beams": model.beam, "do_sample": False, "return_timestamps": False, "return_dict_in_generate": True,
        "force_unique_generate_call": True,  # a window is all that there is
        "max_new_tokens": network.config.max_target_positions // 2,
    }  # fmt: skip
    options |= language_options(network.generation_config, model)
    return WhisperRecogniser(
        network.to(device), extractor, tokenizer, options, text_tokens(network, tokenizer).to(device)
    )


def read_tokenizer(model: RecogniserModel) -> Tokenizer:
    """The folder's ``tokenizer.json``. Raises UsageError where there is none: nothing is downloaded in its place."""
    from tokenizers import Tokenizer

    file = model.folder / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exceptions
        got = str(error).splitlines()[0] if file.is_file() else "no tokenizer.json"
        raise UsageError("this recogniser has no tokenizer", where=f"{model.where}.name", got=got) from None


def complete_generation(network: Any, tokenizer: Tokenizer) -> None:
    """Write into the network's generation settings what a folder without ``generation_config.json`` lacks, by its
    tokenizer."""
    vocabulary, settings = tokenizer.get_vocab(with_added_tokens=True), network.generation_config
    found = {
        "no_timestamps_token_id": vocabulary.get(NO_TIMESTAMPS),
        "is_multilingual": network.config.vocab_size >= MULTILINGUAL,
        "lang_to_id": {token: n for token, n in vocabulary.items() if LANGUAGE.fullmatch(token)},
        "task_to_id": {task: vocabulary.get(f"<|{task}|>") for task in TASKS},
    }
    if not getattr(settings, "is_multilingual", found["is_multilingual"]):
        del found["lang_to_id"], found["task_to_id"]
    for name, value in found.items():
        if not hasattr(settings, name):
            setattr(settings, name, value)


def text_tokens(network: Any, tokenizer: Tokenizer) -> Tensor:
    """(V,) bool: the tokens that stand for text, and not for a language, a task, a time, the start or the end."""
    import torch

    size, settings = network.config.vocab_size, network.generation_config
    special = {n for n, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special |= {settings.eos_token_id, settings.pad_token_id}
    is_text = torch.zeros(size, dtype=torch.bool)
    is_text[[n for n in tokenizer.get_vocab().values() if n < size and n not in special]] = True
    is_text[settings.no_timestamps_token_id :] = False  # times
    return is_text


def language_options(settings: Any, model: RecogniserModel) -> dict[str, Any]:
    """Options of ``generate`` for a network of several languages; without one it is detected in each recording."""
    if not settings.is_multilingual:
        if model.language not in (None, "en"):
            raise UsageError("this Whisper knows English alone", where=f"{model.where}.language", got=model.language)
        return {}
    known = [token.strip("<|>") for token in settings.lang_to_id]
    if model.language is not None and model.language not in known:
        raise UsageError("this Whisper doesn't know the language", where=f"{model.where}.language",
                         got=model.language, expected=", ".join(sorted(known)))  # fmt: skip
    return {"task": "transcribe", "language": model.language}

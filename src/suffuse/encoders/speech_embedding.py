"""Google's speech embedding (Lin et al. 2020) for sound: 16 kHz samples (U, L, 2) -> (U, D).

96 numbers for every 80 ms, each from 775 ms of sound; the vector is their mean and, beside it, their maximum. The
network and its TensorFlow Lite runtime come from the package ``pyopen-wakeword`` (Apache-2.0), of which nothing else
is used. It runs outside torch: always frozen, on the CPU, one entry after the other, and it can't be exported.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import SuffuseError
from ..files import package_file
from ..parts import PartSettings, optional
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("audio",)
PACKAGE = "package:pyopen-wakeword"
MODELS = ("melspectrogram.tflite", "embedding_model.tflite")
RATE, LOUDEST = 16_000, 32_767
FRAME, HOP = 512, 160  # samples of a spectrogram's column, and between two
WINDOW, STEP, NUMBERS = 76, 8, 96  # columns that an embedding sees, and between two; numbers that it has


class Settings(PartSettings):
    """What is taken of the embeddings of an entry."""

    kind: Literal["speech_embedding"] = "speech_embedding"
    pool: Literal["mean", "meanmax"] = "meanmax"
    frozen: Literal[True] = True


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: 96 or twice that."""
    return NUMBERS * (2 if settings.pool == "meanmax" else 1)


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: 96."""
    return NUMBERS


def normalised(settings: Settings, layers: nn.ModuleDict) -> tuple[list[float], list[float]]:
    """Samples come as they are."""
    return [0.0], [1.0]


def hindrance(settings: Settings, layers: nn.ModuleDict) -> str:
    """Why it can't be exported."""
    return "speech_embedding runs in TensorFlow Lite, outside torch"


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The hash of the network's files, so that a saved model knows whether it meets the same ones."""
    import torch
    from torch import nn

    if field.statistics["features"] != 1 or field.statistics.get("rate") != RATE:
        got = f"{field.statistics['features']} numbers a frame at a rate of {field.statistics.get('rate', 'unknown')}"
        raise ValueError(f"got {got}, expected the samples themselves (form: wave) at {RATE:,}")
    made = nn.ModuleDict()
    made.register_buffer("files", torch.from_numpy(np.frombuffer(_hash(), dtype=np.uint8).copy()))
    return made


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L, 2): samples in -1..1, and 1 where they are real -> vector (U, D), tokens (U, T, 96), token_mask (U, T).

    Raises SuffuseError where the installed network isn't the one that a saved model was trained with.
    """
    import torch

    if bytes(layers.get_buffer("files").cpu().numpy()) != _hash():
        raise SuffuseError("the installed speech embedding isn't the one that this model was trained with")
    lengths = (x[:, :, 1] > 0).sum(1).tolist()
    sounds = x[:, :, 0].float().cpu().numpy()
    found = embed([sound[:n] for sound, n in zip(sounds, lengths, strict=True)])
    longest = max((len(f) for f in found), default=1)
    states = np.zeros((len(x), longest, NUMBERS), dtype=np.float32)
    mask = np.zeros((len(x), longest), dtype=bool)
    for row, embeddings in enumerate(found):
        states[row, : len(embeddings)], mask[row, : len(embeddings)] = embeddings, True
    mean = np.stack([f.mean(0) for f in found]) if found else states[:, 0]
    top = np.stack([f.max(0) for f in found]) if found else states[:, 0]
    vector = np.concatenate([mean, top], axis=1) if settings.pool == "meanmax" else mean
    return Encoded(*(torch.from_numpy(a).to(x.device) for a in (vector, states, mask)))


def embed(sounds: list[np.ndarray]) -> list[np.ndarray]:
    """Samples (L,) in -1..1 at 16 kHz, each of its own length -> embeddings (T, 96) of each."""
    found = []
    with _opened(MODELS[0]) as spectrogram, _opened(MODELS[1]) as embedding:
        for sound in sounds:
            columns = max(0, len(sound) - FRAME) // HOP + 1
            windows = max(0, -(-(columns - WINDOW) // STEP)) + 1
            samples = FRAME + HOP * (WINDOW - 1 + STEP * (windows - 1))  # silence fills the last window
            wave = np.zeros((1, max(samples, len(sound))), dtype=np.float32)
            wave[0, : len(sound)] = sound * LOUDEST
            mels = spectrogram(wave[:, :samples])[0, 0] / 10 + 2  # as the embedding was trained
            pieces = [mels[STEP * n : STEP * n + WINDOW, :, None] for n in range(windows)]
            found.append(embedding(np.stack(pieces)).reshape(windows, NUMBERS))
    return found


def _hash() -> bytes:
    """Of the network's two files."""
    import hashlib

    optional("pyopen_wakeword", "speech")
    return hashlib.blake2b(b"".join(package_file(PACKAGE, m).read_bytes() for m in MODELS), digest_size=16).digest()


@contextlib.contextmanager
def _opened(model: str) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """A network of the package, as a function of a float32 array of any shape that it takes."""
    wakeword: Any = optional("pyopen_wakeword.wakeword", "speech")
    lib = wakeword.TfLiteWakeWord(package_file(PACKAGE, "*tensorflowlite_c.*")).lib
    loaded = lib.TfLiteModelCreateFromFile(str(package_file(PACKAGE, model)).encode())
    interpreter = lib.TfLiteInterpreterCreate(loaded, None)
    try:
        yield lambda x: _run(lib, interpreter, x)
    finally:
        lib.TfLiteInterpreterDelete(interpreter)
        lib.TfLiteModelDelete(loaded)


def _run(lib: Any, interpreter: Any, x: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(x, dtype=np.float32)
    shape = (ctypes.c_int32 * x.ndim)(*x.shape)
    failed = lib.TfLiteInterpreterResizeInputTensor(interpreter, 0, shape, x.ndim)
    failed = failed or lib.TfLiteInterpreterAllocateTensors(interpreter)
    goes_in = lib.TfLiteInterpreterGetInputTensor(interpreter, 0)
    failed = failed or lib.TfLiteTensorCopyFromBuffer(goes_in, x.ctypes.data_as(ctypes.c_void_p), x.nbytes)
    failed = failed or lib.TfLiteInterpreterInvoke(interpreter)
    comes_out = lib.TfLiteInterpreterGetOutputTensor(interpreter, 0)
    y = np.empty([lib.TfLiteTensorDim(comes_out, n) for n in range(lib.TfLiteTensorNumDims(comes_out))], np.float32)
    failed = failed or lib.TfLiteTensorCopyToBuffer(comes_out, y.ctypes.data_as(ctypes.c_void_p), y.nbytes)
    if failed:
        raise RuntimeError(f"TensorFlow Lite failed on an input of shape {x.shape}")
    return y

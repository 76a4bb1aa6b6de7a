"""Google's speech embedding (Lin et al. 2020): sound at 16 kHz -> 96 numbers for every 80 ms, each from 775 ms.

The network and its TensorFlow Lite runtime come from the package ``pyopen-wakeword`` (Apache-2.0), of which nothing
else is used. It runs on the CPU, outside torch, one recording after the other.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ..files import package_file
from ..registry import optional

PACKAGE = "package:pyopen-wakeword"
MODELS = ("melspectrogram.tflite", "embedding_model.tflite")
RATE, LOUDEST = 16_000, 32_767
FRAME, HOP = 512, 160  # samples of a spectrogram's column, and between two
WINDOW, STEP, NUMBERS = 76, 8, 96  # columns that an embedding sees, and between two; numbers that it has
AROUND = HOP * WINDOW // 2  # samples: half of what an embedding sees


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


@lru_cache(maxsize=1)
def fingerprint() -> bytes:
    """Of the network's two files."""
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

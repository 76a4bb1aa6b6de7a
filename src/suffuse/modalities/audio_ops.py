"""Sound: bytes of a file -> samples; resampling, trimming, log-mel power. NumPy, soundfile and soxr.

All reasons for which a file can't be read come as ValueError.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache

import numpy as np

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")
MAX_FRAMES = 2**25  # that are read of one clip at the most: 11 minutes at 48 kHz
RATES = (1000, 768_000)  # samples a second that a file may have
MAX_CHANNELS = 64
LOUDEST = 16.0  # a sample beyond this is not on the scale of -1 to 1
BLOCK = 2**16  # frames
MIN_POWER = 1e-10  # what is quieter is taken for this before the logarithm
STREAMED = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # sizes that a writer leaves which didn't know the end


def read(content: bytes, seconds: float | None = None, longest: float = np.inf) -> tuple[np.ndarray, int, float]:
    """WAV, FLAC, OGG (Vorbis, Opus) or MP3 -> mono samples (N,) float32, their rate, and the clip's seconds.

    Channels are averaged. No more than ``seconds`` are read where it is given, and never more than MAX_FRAMES. A
    clip that says that it lasts longer than ``longest`` seconds is refused before it is decoded.
    """
    import soundfile

    _check_whole(content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.format not in FORMATS:
                raise ValueError(f"{file.format}: not a format that is read ({', '.join(FORMATS)})")
            if not RATES[0] <= file.samplerate <= RATES[1] or file.channels > MAX_CHANNELS:
                raise ValueError(f"{file.channels} channels at {file.samplerate} Hz: not a recording")
            if file.frames < 2**62:
                _check_length(file.frames / file.samplerate, longest)
            max_frames = MAX_FRAMES if seconds is None else min(int(np.ceil(seconds * file.samplerate)), MAX_FRAMES)
            samples = _blocks(file, max_frames)
            said, rate = file.frames, file.samplerate
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not audio that can be read: {error.error_string.strip()}") from None
    if len(samples) < min(said, max_frames) and said < 2**62:
        raise ValueError(f"cut off: the header says {said:,} samples, {len(samples):,} are there")
    lasts = max(said if said < 2**62 else 0, len(samples)) / rate
    _check_length(lasts, longest)
    return samples, rate, lasts


def check(samples: np.ndarray) -> np.ndarray:
    """The samples, where they are any: not none, not NaN, not silent. Raises ValueError."""
    if not len(samples):
        raise ValueError("no samples")
    if not np.isfinite(samples).all():
        raise ValueError("NaN or infinite samples")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise ValueError(f"samples up to {peak:g}, expected -1 to 1")
    if samples.min() == samples.max():
        raise ValueError("silent: all samples are the same")
    return samples


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """(N,) float32 from one rate to another, by soxr's high quality."""
    if rate == new_rate:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, new_rate, quality="HQ"), dtype=np.float32)


def trimmed(samples: np.ndarray, decibels: float, window: int, hop: int) -> np.ndarray:
    """Without what is quieter at both ends than the loudest window by so many decibels (as librosa trims)."""
    around = np.pad(samples.astype(np.float64), window // 2)
    power = np.concatenate([[0.0], np.cumsum(around**2)])
    starts = np.arange(0, len(around) - window + 1, hop)
    loud = power[starts + window] - power[starts]
    kept = np.flatnonzero(loud > loud.max() * 10 ** (-decibels / 10))
    return samples[kept[0] * hop : min((kept[-1] + 1) * hop, len(samples))]


def log_mel(samples: np.ndarray, rate: int, mels: int, window: int, hop: int) -> np.ndarray:
    """(N,) -> (1 + N // hop, mels) float64: log(max(power, 1e-10)) in Slaney's mel bands.

    Frames are centred, the ends padded with zeros; Hann window; power spectrum; triangles of equal area. It is what
    librosa's melspectrogram gives with htk=False, norm="slaney", center=True, pad_mode="constant" and power=2.
    """
    size = transform(rate, mels, window)
    bands = filters(rate, mels, size)
    padded = np.pad(samples.astype(np.float64), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    shape = np.zeros(size)
    left = (size - window) // 2
    shape[left : left + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    out = np.empty((len(frames), mels))
    for start in range(0, len(frames), 2048):  # a long clip's spectrum is never whole in memory
        spectrum = np.fft.rfft(frames[start : start + 2048] * shape)
        out[start : start + 2048] = (spectrum.real**2 + spectrum.imag**2) @ bands
    return np.log(np.maximum(out, MIN_POWER))


@lru_cache(maxsize=32)
def transform(rate: int, mels: int, window: int) -> int:
    """Length of the Fourier transform: the least power of two that holds the window and leaves no band empty."""
    size = 1 << (window - 1).bit_length()
    while not filters(rate, mels, size).any(0).all():
        size *= 2
    return size


@lru_cache(maxsize=32)
def filters(rate: int, mels: int, size: int) -> np.ndarray:
    """(size // 2 + 1, mels): triangles in Slaney's mel scale (Auditory Toolbox, 1998) from 0 to half the rate, each
    divided by half its width in hertz."""
    edges = _hertz(np.linspace(_mel(0.0), _mel(rate / 2), mels + 2))
    at = np.fft.rfftfreq(size, 1 / rate)[:, None]
    up = (at - edges[:-2]) / np.diff(edges)[:-1]
    down = (edges[2:] - at) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(up, down)) * (2 / (edges[2:] - edges[:-2]))


@lru_cache(maxsize=32)
def band_widths(rate: int, mels: int) -> np.ndarray:
    """(mels,) in hertz: a frame's power in mel bands times these adds up to its power spectrum's sum, as neighbouring
    triangles do to 1; below the first centre and above the last one to less."""
    edges = _hertz(np.linspace(_mel(0.0), _mel(rate / 2), mels + 2))
    return (edges[2:] - edges[:-2]) / 2


def heard_through(rate: int, mels: int, factor: float, knee: float = 0.6) -> np.ndarray:
    """(mels,) between which bands each band is read, where every frequency is read ``factor`` times as high: above 1 a
    voice gets lower, as through a longer vocal tract (VTLP; Jaitly & Hinton 2013). Above ``knee`` of half the rate the
    stretch is the one that keeps the top where it is."""
    top, centres = rate / 2, _hertz(np.linspace(_mel(0.0), _mel(rate / 2), mels + 2)[1:-1])
    edge = knee * top * min(factor, 1.0)
    slope = (top - edge) / (top - edge / factor)
    source = np.where(centres <= edge / factor, centres * factor, top - slope * (top - centres))
    return np.interp(source, centres, np.arange(mels))


def as_wav(samples: np.ndarray, rate: int) -> bytes:
    """(N,) or (N, channels) -> a WAV file without loss: 16 and 32 bits and unsigned 8 as such, floats as float32.

    The same samples always give the same bytes.
    """
    kind = {"i2": 1, "i4": 1, "u1": 1, "f4": 3}
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large becomes infinite, which is refused when it is read
            samples = samples.astype("<f4")
    name = f"{samples.dtype.kind}{samples.dtype.itemsize}"
    if name not in kind:
        raise ValueError(f"samples of {samples.dtype}: expected float, int16, int32 or uint8")
    channels, width = (samples.shape[1] if samples.ndim == 2 else 1), samples.dtype.itemsize
    if not RATES[0] <= rate <= RATES[1] or channels > MAX_CHANNELS:
        raise ValueError(f"{channels} channels at {rate} Hz: not a recording")
    body = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    form = struct.pack("<HHIIHH", kind[name], channels, rate, rate * channels * width, channels * width, 8 * width)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks + b"\0" * (len(body) % 2)


def _check_length(lasts: float, longest: float) -> None:
    if lasts > longest:
        raise ValueError(f"{lasts:,.1f} s: too long, expected at most {longest:g} s")


def _blocks(file, max_frames: int) -> np.ndarray:
    """Up to so many frames, averaged over channels block by block: a header that lies allocates nothing."""
    parts, got = [], 0
    while got < max_frames:
        block = file.read(min(BLOCK, max_frames - got), dtype="float32", always_2d=True)
        if not len(block):
            break
        parts.append(block[:, 0] if block.shape[1] == 1 else block.mean(1, dtype=np.float64).astype(np.float32))
        got += len(block)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _check_whole(content: bytes) -> None:
    """Raises ValueError where a WAV, OGG or MP3 ends before its header says so, of which the decoder may say nothing.

    An MP3 without a count in its first frame, cut off where a frame ends, can't be told from a shorter one.
    """
    if content[8:12] == b"WAVE":
        _check_wav(content)
    elif content[:4] == b"OggS":
        at = content.rfind(b"OggS")
        table = content[at + 27 : at + 27 + content[at + 26]] if at + 27 <= len(content) else b""
        if not table or len(table) < content[at + 26] or at + 27 + len(table) + sum(table) > len(content):
            raise ValueError("cut off: its last page is not whole")
    else:
        start = 0
        if content[:3] == b"ID3" and len(content) > 10:  # a tag, its size in 7 bits a byte
            start = 10 + sum((byte & 127) << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))
        at = max(content.find(name, start, start + 200) for name in (b"Xing", b"Info"))
        if at > 0 and content[start : start + 1] == b"\xff" and len(content) >= at + 16:
            flags, _, size = struct.unpack_from(">III", content, at + 4)
            _compare(size if flags & 3 == 3 else 0, len(content) - start)


def _check_wav(content: bytes) -> None:
    """The size of the data; what is larger than 4 GB has it in a chunk of its own (RF64)."""
    at, large = 12, 0
    while at + 8 <= len(content):
        name, size = content[at : at + 4], struct.unpack_from("<I", content, at + 4)[0]
        if name == b"ds64" and at + 24 <= len(content):
            large = struct.unpack_from("<Q", content, at + 16)[0]
        if name == b"data":
            return _compare(large if size in STREAMED else size, len(content) - at - 8)
        at += 8 + size + size % 2
    raise ValueError("cut off: no samples after the header")


def _compare(expected: int, actual: int) -> None:
    if expected > actual:
        raise ValueError(f"cut off: the header says {expected:,} bytes, {actual:,} are there")


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    """Linear to 1000 Hz (15 mel), logarithmic above: 27 steps for a factor of 6.4."""
    low = np.asarray(hertz, dtype=np.float64) * 3 / 200
    return np.where(low < 15, low, 15 + 27 * np.log(np.maximum(low, 15) / 15) / np.log(6.4))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) * (np.maximum(mel, 15) - 15) / 27))

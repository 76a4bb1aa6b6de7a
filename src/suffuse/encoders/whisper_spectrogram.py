"""What the encoder of Whisper (Radford et al. 2022) reads: the log-mel spectrogram of samples at 16 kHz, in torch.

    S = log10(max(mel power, 1e-10));  S <- (max(S, max(S) - 8) + 4) / 4      the maximum over the whole spectrogram

25 ms windows every 10 ms, Slaney's mel bands; transformers' ``WhisperFeatureExtractor`` gives the same numbers. The
network has a position for every 20 ms, for 30 s in all. One with fewer positions reads shorter recordings: what is
padded to 30 s is then padded less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..modalities.audio_ops import filters

if TYPE_CHECKING:
    from torch import Tensor

RATE, WINDOW, HOP = 16_000, 400, 160
POSITION = 2 * HOP  # samples
RANGE = 8.0  # powers of ten below the loudest


def reads_spectrogram(config: Any) -> bool:
    """Whether a configuration is one of Whisper's."""
    return config.model_type == "whisper"


def positions(longest: int, most: int) -> int:
    """Positions that recordings of up to ``longest`` samples need; ``most`` is what the weights have.

    Raises ValueError where they need more.
    """
    needed = max(-(-longest // POSITION), 1)
    if needed > most:
        got = f"recordings of {longest / RATE:g} s"
        raise ValueError(f"got {got}, expected {most * POSITION / RATE:g} s at most: set the modality's seconds")
    return needed


def log_mel(sound: Tensor, mels: int) -> Tensor:
    """Samples (U, N) in -1..1 -> (U, mels, N // 160)."""
    import torch

    window = torch.hann_window(WINDOW, device=sound.device)
    spectrum = torch.stft(sound, WINDOW, HOP, window=window, return_complex=True)[..., :-1]
    bands = torch.tensor(filters(RATE, mels, WINDOW).T, dtype=torch.float32, device=sound.device)
    power = (bands @ spectrum.abs().square()).clamp(min=1e-10).log10()
    loudest = power.amax((1, 2), keepdim=True)
    return (torch.maximum(power, loudest - RANGE) + 4) / 4


def spectrograms(x: Tensor, mels: int, count: int) -> tuple[Tensor, Tensor]:
    """Samples (U, L, 2), the second number 1 where the first is real -> spectrograms (U, mels, 2 count), padded with
    silence and cut, and which of the network's ``count`` positions are real (U, count)."""
    import torch
    from torch.nn import functional as F

    real = x[:, :, 1] > 0
    sound = (x[:, :, 0] * real)[:, : count * POSITION].float()
    sound = F.pad(sound, (0, count * POSITION - sound.shape[1]))
    needed = (real.sum(1) + POSITION - 1) // POSITION
    return log_mel(sound, mels), torch.arange(count, device=x.device) < needed.unsqueeze(1)

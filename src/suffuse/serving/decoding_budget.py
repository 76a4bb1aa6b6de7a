"""How much one request may have decoded: pixels of its pictures, seconds and samples of its sounds.

All of it is read from the heads of the files before any of them is decoded, so a request that is refused costs next to
nothing. A few kilobytes can hold a picture that takes a second to decode, and the limits of one cell don't bound a body
that holds a hundred of them. What Pillow or libsndfile has begun can't be cancelled, so it must not last long.
"""

from __future__ import annotations

import io
import math

from PIL import Image

from ..modalities.audio_ops import MAX_FRAMES
from ..modalities.image import FORMATS
from .http_error import Refusal, unprocessable
from .limits import CellLimits, Limits

UNKNOWN_LENGTH = 2**62  # frames, where a sound file doesn't know how many it has
SCAN = b"\xff\xda"  # begins one of a JPEG's scans, each of which is a pass over the whole picture
SCANS = 16  # that a progressive JPEG may need; each further 16 cost as much again


class DecodingBudget:
    """Of one request: the limits of its cells, and what is left for all of them together."""

    def __init__(self, cells: CellLimits, limits: Limits):
        self.cells, self.limits = cells, limits
        self.pixels, self.samples, self.seconds = 0, 0, 0.0

    def add_picture(self, name: str, content: bytes) -> None:
        """Count a picture's pixels. Raises Refusal."""
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                (width, height), file_format = picture.size, picture.format
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            width, height, file_format = self.cells.pixels + 1, 1, None
        except Exception:  # no picture: the predictor gives the reason, and leaves the modality out
            return
        if width * height > self.cells.pixels:
            message = f"'{name}' has {width:,} x {height:,} pixels"
            raise unprocessable("too_many_pixels", message, f"at most {self.cells.pixels:,} in all")
        passes = math.ceil(content.count(SCAN) / SCANS) if file_format in ("JPEG", "MPO") else 1
        self.pixels += width * height * max(passes, 1)
        self._check("pixels of its pictures", self.pixels, "request_pixels")

    def add_sound(self, name: str, content: bytes) -> None:
        """Count a sound's seconds and samples; where its head doesn't say them, as many as are read at the most. Raises
        Refusal."""
        import soundfile

        try:
            facts = soundfile.info(io.BytesIO(content))
        except Exception:  # no sound: the predictor gives the reason, and leaves the modality out
            return
        limit, rate, frames = self.cells.seconds, max(facts.samplerate, 1), facts.frames
        if not 0 < frames < UNKNOWN_LENGTH:
            frames = min(math.ceil(limit * rate), MAX_FRAMES)
        elif frames > limit * rate:
            message = f"'{name}' lasts {frames / rate:,.1f} seconds"
            raise unprocessable("sound_too_long", message, f"at most {limit:g}")
        self.seconds += frames / rate
        self.samples += frames * facts.channels
        self._check("seconds of its sounds", self.seconds, "request_seconds")
        self._check("samples of its sounds", self.samples, "request_samples")

    def _check(self, quantity: str, count: float, limit: str) -> None:
        maximum = getattr(self.limits, limit)
        if count > maximum:
            message = f"the request needs more than {maximum:,.10g} {quantity} decoded: the limit {limit} of the server"
            hint = f"send fewer records, or suffuse serve --limit {limit}=NUMBER"
            raise Refusal(413, "too_much_to_decode", message, hint)

"""Original recordings of a run's rows, where the table and its files are unchanged: a prepared sound may be inaudible
(log-mel power, an embedding)."""

from __future__ import annotations

import base64
from functools import cached_property

import numpy as np

from ..errors import SuffuseError
from ..modalities import audio_ops
from ..prepare.raw_cells import RawRows
from ..run import Run
from ..sources import file_of, is_class_folder

MAX_CLIPS = 8  # on a page: each takes 21 kB in each language
MAX_TABLE_BYTES = 2**26  # of a table that is read again for the page's clips
MAX_FILE_BYTES = 2**25
SAMPLE_RATE, SECONDS = 8000, 2.0  # of a clip on the page, in 8 bits: 16 kB


class SourceAudio:
    """Clips of rows by modality. Repeated calls for a row return the same clip."""

    def __init__(self, run: Run):
        self.run, self.raw = run, RawRows(run)
        self.clips: dict[tuple[str, int], str] = {}  # modality, row
        self.columns: set[tuple[str, int]] = set()  # column, row

    def short_clip(self, modality: str, row: int) -> str:
        """Data URI of a recording's first seconds; empty where it can't be read, where the page has MAX_CLIPS, or where
        another modality of the row plays the same recording."""
        settings = self.run.recipe.modalities.get(modality)
        column = settings.column if settings else None
        if not isinstance(column, str) or column not in self._table_columns:
            return ""
        if (modality, row) not in self.clips:
            full = sum(map(bool, self.clips.values())) >= MAX_CLIPS or (column, row) in self.columns
            self.clips[modality, row] = "" if full else self._read(column, row, SECONDS)
            self.columns.add((column, row))
        return self.clips[modality, row]

    def clip(self, modality: str, row: int, seconds: float) -> str:
        """Data URI of a recording's first seconds; empty where it can't be read."""
        return self._read(self.run.recipe.modalities[modality].columns[0], row, seconds)

    @cached_property
    def _table_columns(self) -> frozenset[str]:
        """The table's columns; empty where it is gone, too large, or was changed."""
        path = file_of(self.run.recipe.data.source)
        try:
            if is_class_folder(path) or (path.is_file() and path.stat().st_size <= MAX_TABLE_BYTES):
                self.raw.cells(self.raw.columns[0], np.array([], dtype=np.int64))  # compares the table with the rows
                return frozenset(self.raw.columns)
        except (SuffuseError, OSError, ValueError):
            pass
        return frozenset()

    def _read(self, column: str, row: int, seconds: float) -> str:
        try:
            content = self.raw.records([column], np.array([row]), files=[column])[0][column]
            if content is None or len(content) > MAX_FILE_BYTES:
                return ""
            samples, rate, _ = audio_ops.read(content, seconds)
        except (SuffuseError, ValueError, OSError):  # the table or the file was changed
            return ""
        return sound_uri(samples, rate, seconds)


def sound_uri(samples: np.ndarray, rate: int, seconds: float = SECONDS) -> str:
    """(N,) samples in -1 to 1 -> their first seconds as a WAV data URI, 8 bits, at most SAMPLE_RATE."""
    page_rate = min(rate, SAMPLE_RATE)
    samples = audio_ops.resample(samples[: int(seconds * rate)].astype(np.float32), rate, page_rate)
    quantised = np.clip(np.rint(127 * samples) + 128, 0, 255).astype(np.uint8)
    return f"data:audio/wav;base64,{base64.b64encode(audio_ops.as_wav(quantised, page_rate)).decode()}"

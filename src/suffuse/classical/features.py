"""Features of one modality for classical models, one row each; a row without the modality has zeros.

text       TF-IDF of words and pairs of words, and of character n-grams within words (raw cells, normalised); where the
           teacher reads it with a frozen encoder, the encoder's vectors
image      histograms of oriented gradients (Dalal & Triggs 2005) and of colours, as the mean of a row's pictures
audio      cepstral-time matrices (Milner & Vaseghi 1995), and each cepstrum's standard deviation
sequence   a cosine transform of each number over time, its standard deviation, maximum and mean absolute change
tabular    numbers (NaN where missing) and category codes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.runtime import device_of
from ..modalities import text
from ..modalities.audio_ops import log_mel
from ..modalities.cell import Absent, Unreadable
from ..modalities.tabular import MISSING
from ..model import FusionModel
from ..prepare.raw_cells import RawRows
from ..registry import optional
from ..run import Run
from ..subsample import evenly_spaced

SIDE = 64  # pixels of a picture whose gradients are read
COLOUR_BINS = 16  # of each channel, in each quarter of a picture
CEPSTRA, TIMES = 13, 8  # coefficients over bands, and over time
MELS = 40  # bands of a wave's log-mel power
CHUNK = 256  # entries at a time
COMPONENTS = 256  # principal components of pictures' and recordings' features, at most
PCA_ENTRIES = 5_000  # entries that they are computed from, at most


class Features(Protocol):
    """Features of one modality. ``X`` is a sparse matrix or an array (N, K)."""

    is_table: bool  # X holds a table's numbers and category codes, to be read by trees

    @property
    def categories(self) -> tuple[int, ...]:
        """Columns of X that are category codes."""
        ...

    def present(self, rows: np.ndarray) -> np.ndarray:
        """(N,) bool, which rows have the modality."""
        ...

    def fit(self, rows: np.ndarray) -> Any:
        """Fit on these rows (N,) and return their X."""
        ...

    def transform(self, rows: np.ndarray) -> Any:
        """X of any rows (N,)."""
        ...


def modality_features(run: Run, columns: Columns, name: str) -> Features:
    """Features of the run's modality ``name``."""
    if run.recipe.modalities[name].kind == "text":
        vectors = frozen_vectors(run, columns, name)
        if vectors is not None:
            return VectorFeatures(columns.of((name,)), run.recipe.modalities[name], vectors=vectors)
        return TextFeatures(run, columns, name)
    if run.recipe.modalities[name].kind == "tabular":
        return TableFeatures(columns.of((name,)))
    return EntryFeatures(columns.of((name,)), run.recipe.modalities[name])


@dataclass
class TextFeatures:
    """TF-IDF of words and characters."""

    run: Run
    columns: Columns
    name: str
    fitted: Any = None
    is_table = False
    categories: tuple[int, ...] = ()

    def present(self, rows: np.ndarray) -> np.ndarray:
        """(N,) bool, which rows have a text."""
        return self.columns.of((self.name,)).present[rows, 0]

    def fit(self, rows: np.ndarray) -> Any:
        """Sparse X of the rows. The vocabulary is theirs."""
        extraction = optional("sklearn.feature_extraction.text", "train")
        pipeline = optional("sklearn.pipeline", "train")
        words = extraction.TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, lowercase=False, token_pattern=r"(?u)\b\w+\b|[^\w\s]"
        )
        characters = extraction.TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, lowercase=False, min_df=min(2, len(rows))
        )
        self.fitted = pipeline.make_union(words, characters)
        return self.fitted.fit_transform(self._texts(rows))

    def transform(self, rows: np.ndarray) -> Any:
        """Sparse X of the rows."""
        return self.fitted.transform(self._texts(rows))

    def _texts(self, rows: np.ndarray) -> list[str]:
        """Normalised texts; of a row without one, or with one that can't be read, an empty one."""
        settings: Any = self.run.recipe.modalities[self.name]
        records = self._raw.records(settings.columns, rows)
        texts = []
        for record, has_text in zip(records, self.present(rows), strict=True):
            value = record if len(settings.columns) > 1 else record[settings.columns[0]]
            try:
                texts.append(text.load(settings, value, self._raw.root)[1] if has_text else "")
            except (Absent, Unreadable):
                texts.append("")
        return texts

    @cached_property
    def _raw(self) -> RawRows:
        return RawRows(self.run)


@dataclass
class TableFeatures:
    """Numbers with NaN where they are missing, then category codes."""

    columns: Columns
    is_table = True

    @property
    def categories(self) -> tuple[int, ...]:
        """Columns of X that are category codes."""
        numbers, width = self._sizes
        return tuple(range(numbers, width - numbers))

    @property
    def _sizes(self) -> tuple[int, int]:
        statistics = self.columns.spec.fields[0].statistics
        return statistics["numbers"], 2 * statistics["numbers"] + len(statistics["categories"])

    def present(self, rows: np.ndarray) -> np.ndarray:
        """(N,) bool, which rows have a value in any column."""
        return self.columns.present[rows, 0]

    def fit(self, rows: np.ndarray) -> np.ndarray:
        """X of the rows."""
        return self.transform(rows)

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """X of the rows."""
        numbers, _ = self._sizes
        entries = np.asarray(self.columns.entries[self.columns.spec.names[0]])[self.columns.entry[rows, 0]]
        values, missing, codes = entries[:, :numbers], entries[:, numbers : 2 * numbers], entries[:, 2 * numbers :]
        present = self.columns.present[rows]
        values = np.where((missing > 0) | ~present, np.nan, values)
        return np.concatenate([values, np.where(present, codes, MISSING)], axis=1)


@dataclass
class EntryFeatures:
    """Principal components of the features of each distinct picture or recording.

    Features are standardised first. Both are fitted on the distinct entries of the rows. A linear model with an L2
    penalty is the same on all components as on the features themselves, and is fitted faster.
    """

    columns: Columns
    settings: Any
    is_table = False
    categories: tuple[int, ...] = ()
    fitted: Any = None
    computed: dict[int, np.ndarray] = field(default_factory=dict)  # entry -> (K,)

    def present(self, rows: np.ndarray) -> np.ndarray:
        """(N,) bool, which rows have a picture, recording or sequence."""
        return self.columns.present[rows, 0]

    def fit(self, rows: np.ndarray) -> np.ndarray:
        """X of the rows."""
        entries = np.unique(self._entries_of(rows[self.present(rows)]))
        values = self._values(entries[evenly_spaced(len(entries), PCA_ENTRIES)])
        if not len(values):
            values = np.zeros((1, 1), np.float32)
        self.fitted = optional("sklearn.pipeline", "train").make_pipeline(
            optional("sklearn.preprocessing", "train").StandardScaler(),
            optional("sklearn.decomposition", "train").PCA(min(COMPONENTS, *values.shape), random_state=0),
        )
        with np.errstate(invalid="ignore"):  # the variance of a single entry, which nothing reads
            self.fitted.fit(values)
        return self.transform(rows)

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """X of the rows."""
        present = self.present(rows)
        matrix = np.zeros((len(rows), self.fitted[-1].n_components_), np.float32)
        if present.any():
            entries, position = np.unique(self._entries_of(rows[present]), return_inverse=True)
            matrix[present] = self.fitted.transform(self._values(entries))[position]
        return matrix

    def _entries_of(self, rows: np.ndarray) -> np.ndarray:
        return self.columns.entry[rows, 0]

    def _values(self, entries: np.ndarray) -> np.ndarray:
        """(N, K) of entries (N,); each is computed once."""
        wanted = [int(entry) for entry in entries if int(entry) not in self.computed]
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            arrays = self.columns.entries[self.columns.spec.names[0]][np.array(chunk)]
            for entry, values in zip(chunk, arrays, strict=True):
                self.computed[entry] = self._entry(np.asarray(values))
        return np.stack([self.computed[int(entry)] for entry in entries]) if len(entries) else np.zeros((0, 1))

    def _entry(self, values: np.ndarray) -> np.ndarray:
        if self.columns.spec.fields[0].kind == "image":
            if values.ndim == 3:
                return picture_features(values)
            pictures = [picture[..., :3] for picture in values if picture[0, 0, 3]]
            return np.mean([picture_features(picture) for picture in pictures], axis=0)
        steps = values[values[:, -1] > 0, :-1].astype(np.float32)
        if self.columns.spec.fields[0].kind != "audio" or self.settings.form == "embedding":
            return step_features(steps)
        return sound_features(steps if steps.shape[1] > 1 else wave_features(steps[:, 0], self.settings.rate))


@dataclass
class VectorFeatures(EntryFeatures):
    """Principal components of a frozen encoder's vectors."""

    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))  # (U, D), of each entry

    def _values(self, entries: np.ndarray) -> np.ndarray:
        return np.asarray(self.vectors[entries])


def frozen_vectors(run: Run, columns: Columns, name: str) -> np.ndarray | None:
    """(U, D) float32 of a modality's entries, by the frozen encoder of the teacher that the run trains; None where it
    has none. Vectors that a training has cached are read."""
    teacher = run.recipe.trained
    if teacher is None or name not in teacher.encoders or not teacher.encoders[name].get("frozen"):
        return None
    own = columns.of((name,))
    model = FusionModel(teacher.only(name).bare(), own.spec).initialise().to(device_of(run.recipe.compute))
    found = feature_cache.ready(own, model, feature_cache.place(run)).entries[name]
    return found[:, 0, : model.encoder(name).width] if model.encoder(name).keeps_tokens else found


def picture_features(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> oriented gradients of 8 x 8 cells of 8 pixels, and colour histograms of four quarters."""
    features = optional("skimage.feature", "train")
    picture = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    gradients = features.hog(
        picture, orientations=8, pixels_per_cell=(8, 8), cells_per_block=(2, 2), channel_axis=2, feature_vector=True
    )
    half, colours = SIDE // 2, []
    for rows in (slice(0, half), slice(half, SIDE)):
        for cols in (slice(0, half), slice(half, SIDE)):
            quarter = picture[rows, cols].reshape(-1, 3)
            bins = quarter // (256 // COLOUR_BINS)
            colours += [np.bincount(bins[:, c], minlength=COLOUR_BINS) / len(quarter) for c in range(3)]
    return np.concatenate([gradients, np.sqrt(np.concatenate(colours))]).astype(np.float32)


def wave_features(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (L,) -> log-mel power (T, MELS)."""
    window = max(round(0.025 * rate), 2)
    return log_mel(samples.astype(np.float32), rate, MELS, window, max(round(0.01 * rate), 1))


def sound_features(log_power: np.ndarray) -> np.ndarray:
    """Log-mel power (T, F) -> cepstra over time (:func:`over_time`), and each one's standard deviation."""
    transform = optional("scipy.fft", "train").dct
    cepstra = transform(log_power, axis=1, norm="ortho")[:, :CEPSTRA]
    return np.concatenate([over_time(cepstra), cepstra.std(0)]).astype(np.float32)


def step_features(steps: np.ndarray) -> np.ndarray:
    """(L, F) -> how each feature moves over time (:func:`over_time`), and its standard deviation, maximum and mean
    absolute change."""
    changes = np.abs(np.diff(steps, axis=0)) if len(steps) > 1 else np.zeros_like(steps)
    parts: Sequence[np.ndarray] = (over_time(steps), steps.std(0), steps.max(0), changes.mean(0))
    return np.concatenate(parts).astype(np.float32)


def over_time(steps: np.ndarray) -> np.ndarray:
    """(L, F) -> (F TIMES,) the first coefficients of a cosine transform over time; the first one is the mean. Of fewer
    than TIMES steps the others are 0."""
    coefficients = optional("scipy.fft", "train").dct(steps, axis=0)[:TIMES] / (2 * len(steps))
    return np.pad(coefficients, ((0, TIMES - len(coefficients)), (0, 0))).ravel()

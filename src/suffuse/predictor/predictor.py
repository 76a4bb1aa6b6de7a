"""A loaded export: records in, predictions out."""

from __future__ import annotations

import types
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np

from ..activations import activate, activate_row
from ..errors import SuffuseError, UsageError, did_you_mean, listed
from ..modalities.cell import Absent, Root, Unreadable
from ..sources.table_format import is_missing
from ..temperature_scaling import calibrated, calibrated_row
from ..types import CLASSES, LABELS, NUMBER, Head
from . import loader
from .input_encoding import Derivation, Encoded, Input, encode
from .model_schema import describe
from .prediction import Prediction, answers, contributions
from .record_rows import Record, Rows, check_records, to_records
from .scores import measure

PIECE = 256  # records that are encoded at a time
BATCH = 32  # of these, that the network answers at a time on a processor: what more need no longer fits a core's cache
LOGITS = ["logits"]  # the network's outputs that are asked for


class Predictor:
    """An export, loaded. Safe to share between threads."""

    def __init__(
        self,
        heads: tuple[Head, ...],
        inputs: tuple[Input, ...],
        session: Any,
        derived: Mapping[str, Derivation] = types.MappingProxyType({}),
        facts: loader.Facts = loader.Facts(),
    ):
        self.heads, self.inputs, self.session, self.derived, self.facts = heads, inputs, session, derived, facts
        self.names = tuple(i.field.name for i in inputs)
        self.ids = frozenset(i.field.name for i in inputs if i.field.kind == "text")  # the network reads int64 of them
        self.known = {name for i in inputs for name in (i.field.name, *i.settings.columns)}
        self.several = tuple(i for i in inputs if not isinstance(i.settings.column, str))  # of several columns
        self.known |= {d.settings.column for d in derived.values()}
        self.missing_values = frozenset(facts.table.missing_values)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        threads: int = 1,
        form: str | None = None,
        model_files: str | Path | None = None,
        device: str = "cpu",
    ) -> Predictor:
        """Open an export folder. ``form`` is fp32 or int8 where it has both; else the one that it calls its own.
        Outside of the export, files that it names (of another acoustic model) are opened below ``model_files`` alone.
        ``device`` is where ONNX Runtime runs the network (:func:`.execution_device.execution_device`).

        Raises SuffuseError where it isn't one, a file isn't the one that was exported, a library isn't installed, or
        the device can't be opened; UsageError where it has no such form, names a file that isn't allowed, or ONNX
        Runtime has no such device.
        """
        export = loader.read(Path(folder), threads, form, model_files, device)
        return cls(export.heads, export.inputs, export.session, export.derived, export.facts)

    def describe(self) -> dict[str, Any]:
        """Inputs with their columns, targets, limits and form, as JSON holds them (docs/predict.md)."""
        return describe(self.heads, self.inputs, self.derived, self.facts)

    @overload
    def predict(
        self,
        records: Record,
        root: str | Path = ".",
        allowed_dir: str | Path | None = None,
        threshold: float | None = None,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        records: Rows,
        root: str | Path = ".",
        allowed_dir: str | Path | None = None,
        threshold: float | None = None,
    ) -> list[Prediction]: ...

    def predict(
        self,
        records: Record | Rows,
        root: str | Path = ".",
        allowed_dir: str | Path | None = None,
        threshold: float | None = None,
    ) -> Prediction | list[Prediction]:
        """One record -> Prediction; a list of records, a frame or a table -> a list of them.

        Columns that the model doesn't read are left alone. A record maps a column, or a modality, to a path, bytes,
        array or text; any may be left out. A derived column that a record lacks is made from its source. Relative paths
        start from ``root``, and no file outside of ``allowed_dir`` (which is ``root`` unless it is given) is read. An
        answer less sure than ``threshold`` abstains.

        Raises UsageError where a record is no mapping, has none of the model's inputs, or a key that looks like a
        mistyped one. Warns where no record has some column of a modality, but others of its columns: they count as
        empty.
        """
        check_threshold(threshold)
        place = self.place(root, allowed_dir)
        if isinstance(records, Mapping):
            self._warn(check_records((records,), self.known))
            return self.predict_cells([(self._cell(records, i, place),) for i in self.inputs], place, threshold)[0]
        return self._predictions(self._checked(records), place, threshold)

    def predict_proba(
        self,
        records: Record | Rows,
        root: str | Path = ".",
        allowed_dir: str | Path | None = None,
        target: str | None = None,
    ) -> np.ndarray:
        """Records, or a frame -> (N, C) float64: the probability of each of :meth:`classes` of a target, by default the
        first. Raises UsageError where it is a number or a transcript, and as :meth:`predict` does."""
        head = self._head(target)
        if head.kind not in (CLASSES, LABELS):
            what = "a number" if head.kind == NUMBER else "a transcript"
            raise UsageError(f"{what} has no probabilities", got=f"'{head.name}'", hint="predict gives its value")
        predictions = self._predictions(self._checked(records), self.place(root, allowed_dir))
        rows = [[*p.answers[head.name].probabilities.values()] for p in predictions]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(head.classes))

    def classes(self, target: str | None = None) -> tuple[str, ...]:
        """The classes or labels of a target, by default the first, in the order of :meth:`predict_proba`."""
        return self._head(target).classes

    def evaluate(
        self, rows: Record | Rows, root: str | Path = ".", allowed_dir: str | Path | None = None
    ) -> dict[str, dict[str, float]]:
        """Target -> metrics on rows that have the targets' columns too: counts of ``rows`` with and without a label,
        and the metrics that a scorecard has (docs/predict.md). Raises UsageError where a target has no column."""
        records = self._checked(rows)
        predictions = self._predictions(records, self.place(root, allowed_dir))
        tasks, missing_values = self.facts.tasks, self.missing_values
        return {h.name: measure(h, records, predictions, tasks.get(h.name), missing_values) for h in self.heads}

    def _head(self, target: str | None) -> Head:
        names = {head.name: head for head in self.heads}
        if target is not None and target not in names:
            raise UsageError("no such target", got=f"'{target}'", hint=did_you_mean(target, names))
        return self.heads[0] if target is None else names[target]

    def contributions(
        self, record: Record, root: str | Path = ".", allowed_dir: str | Path | None = None
    ) -> dict[str, dict[str, float]]:
        """Target -> modality -> what it added to the answer: exact Shapley values (:mod:`suffuse.shapley`) of the
        answered class's probability, of labels the mean of the decisions' probabilities, of a number its value, over
        the subsets of what the record has. They sum to the answer's less that of nothing; absent ones have 0."""
        check_records((record,), self.known)
        entries, present = self.encoded([record], self.place(root, allowed_dir))

        def ask(subsets: np.ndarray) -> np.ndarray:
            several = {n: np.repeat(e, len(subsets), axis=0) for n, e in entries.items()}
            return self.probabilities(several, subsets)

        return contributions(self.heads, self.names, present[0], ask)

    def place(self, root: str | Path = ".", allowed_dir: str | Path | None = None) -> Root:
        """The root of relative paths, the folder that files must be in, and the limits of cells."""
        return Root.of(root, allowed_dir, self.facts.limits)

    def value(self, column: str, record: Record, root: Path | Root) -> Any:
        """A record's cell. A derived column that the record lacks is derived; its value is an exception where that
        fails."""
        derivation = self.derived.get(column)
        if derivation is None or column in record:
            return self.filled(record.get(column))
        source = self.value(derivation.settings.column, record, root)
        if isinstance(source, (Absent, Unreadable)):
            return source
        try:
            return derivation.part.make(derivation.settings, derivation.facts, source, root)
        except (Absent, Unreadable) as error:
            return error

    def filled(self, cell: Any) -> Any:
        """A cell; None where it is a text that stands for a missing value."""
        return None if is_missing(cell, self.missing_values) else cell

    def source(self, column: str, names: Collection[str]) -> str | None:
        """The column among ``names`` that a column's cells come from: itself, or its source."""
        while column not in names:
            if column not in self.derived:
                return None
            column = self.derived[column].settings.column
        return column

    def encoded(self, records: Sequence[Record], root: Path | Root) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """B records, column -> cell -> entries (B, ...) of each modality, and present (B, M) bool."""
        columns = [encode(i, [self._cell(record, i, root) for record in records], root) for i in self.inputs]
        return {n: c.entries for n, c in zip(self.names, columns, strict=True)}, _present(columns, len(records))

    def predict_cells(
        self, cells: Sequence[Iterable[Any]], root: Path | Root, threshold: float | None = None
    ) -> list[Prediction]:
        """M columns of B cells -> B predictions."""
        columns = [encode(i, column, root) for i, column in zip(self.inputs, cells, strict=True)]
        entries = {n: c.entries for n, c in zip(self.names, columns, strict=True)}
        rows = len(columns[0].entries)
        if not rows:
            return []
        present = _present(columns, rows)
        if rows == 1:
            return [self._prediction(columns, 0, self._row_probabilities(entries, present), threshold)]
        probabilities = self.probabilities(entries, present).tolist()
        return [self._prediction(columns, row, values, threshold) for row, values in enumerate(probabilities)]

    def probabilities(self, entries: Mapping[str, np.ndarray], present: np.ndarray) -> np.ndarray:
        """Encoded entries (B, ...) and present (B, M) bool -> (B, C): calibrated probabilities of classes and labels,
        numbers in their own unit."""
        rows = len(present)
        batch = BATCH if self.facts.device == "cpu" else PIECE
        if rows <= batch:
            logits = self.logits(entries, present)
        else:
            parts = [slice(at, at + batch) for at in range(0, rows, batch)]
            logits = np.concatenate([self.logits({n: e[p] for n, e in entries.items()}, present[p]) for p in parts])
        return activate(self.heads, calibrated(self.heads, logits, self.names, present, self.facts.temperatures))

    def logits(self, entries: Mapping[str, np.ndarray], present: np.ndarray) -> np.ndarray:
        """Encoded entries (B, ...) and present (B, M) bool -> (B, C) float32 of all heads, as the network gives them:
        without temperatures."""
        feeds = {n: e.astype(np.int64) if n in self.ids else e for n, e in entries.items()}
        feeds["present"] = present
        try:
            return self.session.run(LOGITS, feeds)[0]
        except Exception as error:  # what ONNX Runtime raises shares no base class
            message = next(iter(str(error).splitlines()), type(error).__name__)
            raise SuffuseError("the export's network can't run", where=self.facts.name, got=message) from None

    def _row_probabilities(self, entries: Mapping[str, np.ndarray], present: np.ndarray) -> list[float]:
        """:meth:`probabilities` of one record: entries (1, ...) and present (1, M) -> (C,)."""
        logits, is_present = self.logits(entries, present)[0].tolist(), present[0].tolist()
        logits = calibrated_row(self.heads, logits, self.names, is_present, self.facts.temperatures)
        return activate_row(self.heads, logits)

    def _predictions(self, records: Sequence[Record], place: Root, threshold: float | None = None) -> list[Prediction]:
        """Records that are checked -> their predictions."""
        parts = (records[start : start + PIECE] for start in range(0, len(records), PIECE))
        return [prediction for part in parts for prediction in self._predict_records(part, place, threshold)]

    def _predict_records(self, records: Sequence[Record], place: Root, threshold: float | None) -> list[Prediction]:
        cells = [[self._cell(record, i, place) for record in records] for i in self.inputs]
        return self.predict_cells(cells, place, threshold)

    def _cell(self, record: Record, model_input: Input, root: Path | Root) -> Any:
        """A record's cell of a modality by its columns, or else by its name. A modality may be named like the source of
        its column."""
        column = model_input.settings.column
        if isinstance(column, str) and column in record:
            return self.filled(record[column])
        if model_input.field.name in record and not any(self.source(c, record) for c in model_input.settings.columns):
            return self.filled(record[model_input.field.name])
        if isinstance(column, str):
            return self.value(column, record, root)
        return {column: self.value(column, record, root) for column in model_input.settings.columns}

    def _prediction(
        self, columns: Sequence[Encoded], row: int, values: Sequence[float], threshold: float | None
    ) -> Prediction:
        row_answers = answers(self.heads, values, threshold)
        unknown = tuple(text for encoded in columns for text in encoded.unknown.get(row, ()))
        if not any(encoded.absent or encoded.partly for encoded in columns):
            return Prediction(row_answers, {}, {}, self.names, unknown=unknown)
        absent: dict[str, str] = {}
        partly: dict[str, str] = {}
        used: list[str] = []
        unreadable: list[str] = []
        for name, encoded in zip(self.names, columns, strict=True):
            if row in encoded.absent:
                absent[name] = encoded.absent[row]
                if row in encoded.unreadable:
                    unreadable.append(name)
            else:
                used.append(name)
            if row in encoded.partly:
                partly[name] = encoded.partly[row]
        return Prediction(row_answers, absent, partly, tuple(used), tuple(unreadable), unknown)

    def _checked(self, rows: Record | Rows) -> list[Record]:
        """Rows as records, all of which are checked before any is answered."""
        records = [rows] if isinstance(rows, Mapping) else to_records(rows)
        keys = check_records(records, self.known)
        self._warn(keys if self.several else ())
        return records

    def _warn(self, keys: Collection[str]) -> None:
        """``keys``: of all records together."""
        for model_input in self.several:
            lacking = [column for column in model_input.settings.columns if self.source(column, keys) is None]
            if 0 < len(lacking) < len(model_input.settings.columns):
                text = f"no record has {listed(map(repr, lacking))} of '{model_input.field.name}': they count as empty"
                warnings.warn(text, UserWarning, stacklevel=3)


def check_threshold(threshold: float | None) -> None:
    """Raise UsageError where it is no probability."""
    is_number = isinstance(cast(object, threshold), (int, float, np.number))
    if threshold is not None and not (is_number and 0 <= threshold <= 1):
        raise UsageError("the threshold is no probability", got=threshold, expected="0 to 1")


def _present(columns: Sequence[Encoded], rows: int) -> np.ndarray:
    """(B, M) bool."""
    if rows == 1:
        return np.array([[not encoded.absent for encoded in columns]])
    present = np.ones((rows, len(columns)), dtype=bool)
    for m, encoded in enumerate(columns):
        for row in encoded.absent:
            present[row, m] = False
    return present

"""Raw record -> prediction, from an export alone: NumPy, Pillow, tokenizers and ONNX Runtime, no torch.

The cells go through the same code that prepared the training data, so the model sees the same bits.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort

from . import derive, modalities, sealed
from .answers import THRESHOLD, activate
from .errors import SuffuseError, UsageError, did_you_mean
from .modalities.cell import Absent, Root, Unreadable
from .parts import DeriveSettings, ModalitySettings, load, settings
from .sealed import SIGNATURE, digest
from .types import CLASSES, NUMBER, Field, Head, heads_of

__all__ = ["SIGNATURE", "Answer", "Derivation", "Input", "Prediction", "Predictor", "digest"]


@dataclass(frozen=True)
class Answer:
    """What the model says of one target of one record."""

    value: str | tuple[str, ...] | float  # a class, the labels that it has, or a number
    confidence: float | None  # of a class, its probability; of labels, that of the least sure decision
    probabilities: dict[str, float]  # of classes or labels; nothing for a number


@dataclass(frozen=True)
class Prediction:
    """What the model says of one record. Label, confidence and probabilities are those of the first target."""

    answers: dict[str, Answer]  # target -> answer
    absent: dict[str, str]  # modality -> why it wasn't used; all of them: the answer is the training prior
    partly: dict[str, str] = field(default_factory=dict)  # modality -> what of it wasn't used

    @property
    def first(self) -> Answer:
        """The only target's answer, or the first one's."""
        return next(iter(self.answers.values()))

    @property
    def label(self) -> str:
        """As text."""
        value = self.first.value
        return "; ".join(value) if isinstance(value, tuple) else str(value)

    @property
    def confidence(self) -> float | None:
        """The label's probability."""
        return self.first.confidence

    @property
    def probabilities(self) -> dict[str, float]:
        """Of every class or label."""
        return self.first.probabilities


@dataclass(frozen=True)
class Input:
    """One modality of an export."""

    field: Field
    settings: ModalitySettings
    part: ModuleType


@dataclass(frozen=True)
class Derivation:
    """How a column is made that a record may lack."""

    settings: DeriveSettings
    part: ModuleType
    facts: dict


class Predictor:
    """An export, loaded. Safe to share between threads."""

    def __init__(
        self,
        heads: tuple[Head, ...],
        inputs: tuple[Input, ...],
        session: ort.InferenceSession,
        derived: Mapping[str, Derivation] = types.MappingProxyType({}),
    ):
        self.heads, self.inputs, self.session, self.derived = heads, inputs, session, derived

    @classmethod
    def load(cls, folder: str | Path, threads: int = 1, form: str | None = None) -> Predictor:
        """Open an export folder; ``form`` is one that its signature names, the default one if none is given.

        Raises SuffuseError where it isn't one, a file isn't the one that was exported, or a library isn't installed.
        """
        folder = Path(folder)
        signature, contents, model = sealed.read(folder, form)
        try:
            inputs = tuple(_input(m, contents) for m in signature["modalities"])
            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3
            session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            sealed.fit(signature, session)
            derived = {name: _derivation(facts) for name, facts in signature.get("derive", {}).items()}
            for one in inputs:
                if hasattr(one.part, "ready"):
                    one.part.ready(one.settings, True)
            return cls(heads_of(signature["heads"]), inputs, session, derived)
        except UsageError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise SuffuseError("can't read the export", where=folder, got=said) from None
        except Exception as error:  # what ONNX Runtime raises shares no base class
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise SuffuseError("can't load the model", where=folder, got=said) from None

    def predict(
        self,
        records: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        root: str | Path = ".",
        within: str | Path | None = None,
    ) -> Any:
        """One record -> Prediction; a list of records -> a list of them.

        A record maps a column, or a modality, to a path, bytes, array or text; any may be left out. A derived
        column that a record lacks is made from its source. Relative paths start from ``root``, and no file outside of
        ``within`` (which is ``root`` unless it is given) is read.
        """
        if isinstance(records, Mapping):
            return self.predict([records], root, within)[0]
        for record in records:
            self._check(record)
        place = Root.of(Path(root), None if within is None else Path(within))
        cells = [[self._cell(record, i, place) for record in records] for i in self.inputs]
        return self.predict_cells(cells, place)

    def value(self, column: str, record: Mapping[str, Any], root: Path | Root) -> Any:
        """A record's cell; one of a derived column that it lacks is made, and is an exception where it can't be."""
        one = self.derived.get(column)
        if one is None or column in record:
            return record.get(column)
        source = self.value(one.settings.column, record, root)
        if isinstance(source, (Absent, Unreadable)):
            return source
        try:
            return one.part.make(one.settings, one.facts, source, root)
        except (Absent, Unreadable) as error:
            return error

    def source(self, column: str, names: Collection[str]) -> str | None:
        """The column among ``names`` that a column's cells come from: itself, or what it is derived from."""
        while column not in names:
            if column not in self.derived:
                return None
            column = self.derived[column].settings.column
        return column

    def _cell(self, record: Mapping[str, Any], one: Input, root: Path | Root) -> Any:
        """By the columns; else by the modality's name. A modality may be called like the source of its column."""
        if one.field.name in record and not any(self.source(c, record) for c in one.settings.columns):
            return record[one.field.name]
        if isinstance(one.settings.column, str):
            return self.value(one.settings.column, record, root)
        return {column: self.value(column, record, root) for column in one.settings.columns}

    def encoded(
        self, records: Sequence[Mapping[str, Any]], root: Path | Root
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """B records, column -> cell -> entries (B, ...) of each modality, and present (B, M) bool."""
        columns = [self._encode(i, [self._cell(record, i, root) for record in records], root) for i in self.inputs]
        present = np.array([[row not in c[1] for c in columns] for row in range(len(records))], dtype=bool)
        names = [i.field.name for i in self.inputs]
        return {n: c[0] for n, c in zip(names, columns, strict=True)}, present.reshape(len(records), len(names))

    def predict_cells(self, cells: Sequence[Iterable[Any]], root: Path | Root) -> list[Prediction]:
        """M columns of B cells -> B predictions."""
        columns = [self._encode(i, column, root) for i, column in zip(self.inputs, cells, strict=True)]
        entries = {i.field.name: c[0] for i, c in zip(self.inputs, columns, strict=True)}
        absent, partly = [c[1] for c in columns], [c[2] for c in columns]
        rows = len(next(iter(entries.values())))
        if not rows:
            return []
        present = np.array([[row not in a for a in absent] for row in range(rows)])
        found = activate(self.heads, self.logits(entries, present))
        names = [i.field.name for i in self.inputs]
        return [
            Prediction(_answers(self.heads, p), *(_of_row(names, said, row) for said in (absent, partly)))
            for row, p in enumerate(found)
        ]

    def logits(self, entries: Mapping[str, np.ndarray], present: np.ndarray) -> np.ndarray:
        """Encoded entries (B, ...) and present (B, M) bool -> (B, C) float32 of all heads."""
        feeds = {n: e.astype(np.int64) if e.dtype == np.int32 else e for n, e in entries.items()}
        return np.asarray(self.session.run(["logits"], {**feeds, "present": present})[0])

    def _encode(
        self, one: Input, cells: Iterable[Any], root: Path | Root
    ) -> tuple[np.ndarray, dict[int, str], dict[int, str]]:
        """(B, ...) entries, row -> why it is absent, and row -> what of it was left out. An absent slot holds zeros,
        and they change nothing."""
        items, absent = [], {}
        partly: dict[int, list[str]] = {}
        for row, value in enumerate(cells):
            try:
                value, lost = _made(value)
                _, item, *remark = one.part.load(one.settings, value, root)
                items.append(item)
                if lost or any(remark):
                    partly[row] = [*lost, *filter(None, remark)]
            except (Absent, Unreadable) as error:
                absent[row] = str(error)
                items.append(one.part.blank(one.settings))
        if hasattr(one.part, "problems"):
            for row, column, why in one.part.problems(one.settings, one.field.statistics, items):
                partly.setdefault(row, []).append(f"{column}: {why}")
        said = {row: "; ".join(reasons) for row, reasons in partly.items()}
        return one.part.encode(one.settings, one.field.statistics, items), absent, said

    def _check(self, record: Mapping[str, Any]) -> None:
        known = {name for i in self.inputs for name in (i.field.name, *i.settings.columns)}
        known |= {d.settings.column for d in self.derived.values()}
        for key in record:
            if key not in known:
                raise UsageError("this model has no such input", got=f"'{key}'", hint=did_you_mean(str(key), known))


def _of_row(names: list[str], said: list[dict[int, str]], row: int) -> dict[str, str]:
    """Modality -> what was said of it in this row."""
    return {name: one[row] for name, one in zip(names, said, strict=True) if row in one}


def _answers(heads: tuple[Head, ...], values: np.ndarray) -> dict[str, Answer]:
    """One row (C,) of what :func:`suffuse.answers.activate` gives -> an answer per target."""
    found, at = {}, 0
    for head in heads:
        part = values[at : at + head.outputs]
        if head.kind == NUMBER:
            found[head.name] = Answer(float(part[0]), None, {})
        else:
            each = dict(zip(head.classes, part.tolist(), strict=True))
            said = tuple(c for c, p in each.items() if p > THRESHOLD)
            sure = float(part.max()) if head.kind == CLASSES else float(np.maximum(part, 1 - part).min())
            found[head.name] = Answer(head.classes[int(part.argmax())] if head.kind == CLASSES else said, sure, each)
        at += head.outputs
    return found


def _made(value: Any) -> tuple[Any, list[str]]:
    """A cell as ``load`` reads it, and what of it couldn't be derived. Raises where all of it couldn't."""
    if isinstance(value, (Absent, Unreadable)):
        raise value
    if not isinstance(value, dict):
        return value, []
    lost = {k: v for k, v in value.items() if isinstance(v, (Absent, Unreadable))}
    return {k: None if k in lost else v for k, v in value.items()}, [f"{k}: {v}" for k, v in lost.items()]


def _derivation(facts: dict) -> Derivation:
    chosen = settings(derive.TABLE, facts["settings"])
    assert isinstance(chosen, DeriveSettings)
    return Derivation(chosen, load(derive.TABLE, str(chosen.kind)), facts["facts"])


def _input(facts: dict, contents: Mapping[str, bytes]) -> Input:
    statistics = dict(facts["statistics"])
    if "tokenizer" in facts:
        statistics["tokenizer"] = contents[facts["tokenizer"]].decode("utf-8")
    chosen = settings(modalities.TABLE, facts["settings"])
    assert isinstance(chosen, ModalitySettings)
    return Input(Field(facts["name"], facts["kind"], statistics), chosen, load(modalities.TABLE, facts["kind"]))

"""Raw record -> prediction, from an export alone: NumPy, Pillow, tokenizers and ONNX Runtime, no torch.

The cells go through the same code that prepared the training data, so the model sees the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort

from . import modalities
from .answers import THRESHOLD, activate
from .errors import SuffuseError, UsageError, did_you_mean
from .modalities.cell import Absent, Root, Unreadable
from .parts import ModalitySettings, load, settings
from .types import CLASSES, NUMBER, Field, Head, heads_of

SIGNATURE = "signature.json"


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


class Predictor:
    """An export, loaded. Safe to share between threads."""

    def __init__(self, heads: tuple[Head, ...], inputs: tuple[Input, ...], session: ort.InferenceSession):
        self.heads, self.inputs, self.session = heads, inputs, session

    @classmethod
    def load(cls, folder: str | Path, threads: int = 1) -> Predictor:
        """Open an export folder.

        Raises SuffuseError where it isn't one, or a file isn't the one that was exported.
        """
        folder = Path(folder)
        try:
            signature = json.loads((folder / SIGNATURE).read_text(encoding="utf-8"))
            if signature["digest"] != digest(signature):
                raise ValueError(f"{SIGNATURE} is not the file that was exported")
            contents = {name: _read_checked(folder, name, wanted) for name, wanted in signature["files"].items()}
            inputs = tuple(_input(m, contents) for m in signature["modalities"])
            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3
            session = ort.InferenceSession(contents["model.onnx"], options, providers=["CPUExecutionProvider"])
            return cls(heads_of(signature["heads"]), inputs, session)
        except FileNotFoundError as error:
            raise SuffuseError(
                "this folder is no export",
                where=folder,
                got=f"no {Path(error.filename).name}",
                hint="`suffuse export` makes one",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SuffuseError("can't read the export", where=folder, got=str(error).splitlines()[0]) from None
        except Exception as error:  # what ONNX Runtime raises shares no base class
            raise SuffuseError("can't load the model", where=folder, got=str(error).splitlines()[0]) from None

    def predict(
        self,
        records: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        root: str | Path = ".",
        within: str | Path | None = None,
    ) -> Any:
        """One record -> Prediction; a list of records -> a list of them.

        A record maps a column, or a modality, to a path, bytes, array or text; any may be left out. Relative paths
        start from ``root``, and no file outside of ``within`` (which is ``root`` unless it is given) is read.
        """
        if isinstance(records, Mapping):
            return self.predict([records], root, within)[0]
        for record in records:
            self._check(record)
        cells = [[_cell(record, i) for record in records] for i in self.inputs]
        return self.predict_cells(cells, Root.of(Path(root), None if within is None else Path(within)))

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
        items, absent, partly = [], {}, {}
        for row, value in enumerate(cells):
            try:
                _, item, *remark = one.part.load(one.settings, value, root)
                items.append(item)
                partly |= {row: remark[0]} if any(remark) else {}
            except (Absent, Unreadable) as error:
                absent[row] = str(error)
                items.append(one.part.blank(one.settings))
        return one.part.encode(one.settings, one.field.statistics, items), absent, partly

    def _check(self, record: Mapping[str, Any]) -> None:
        known = {name for i in self.inputs for name in (i.field.name, *i.settings.columns)}
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


def digest(signature: Mapping[str, Any]) -> str:
    """Hash of what a signature says, but for the hash itself."""
    said = {key: value for key, value in signature.items() if key != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _cell(record: Mapping[str, Any], one: Input) -> Any:
    if one.field.name in record:
        return record[one.field.name]
    if isinstance(one.settings.column, str):
        return record.get(one.settings.column)
    return {column: record.get(column) for column in one.settings.columns}


def _input(facts: dict, contents: Mapping[str, bytes]) -> Input:
    statistics = dict(facts["statistics"])
    if "tokenizer" in facts:
        statistics["tokenizer"] = contents[facts["tokenizer"]].decode("utf-8")
    chosen = settings(modalities.TABLE, facts["settings"])
    assert isinstance(chosen, ModalitySettings)
    return Input(Field(facts["name"], facts["kind"], statistics), chosen, load(modalities.TABLE, facts["kind"]))


def _read_checked(folder: Path, name: str, digest: str) -> bytes:
    if Path(name).name != name:
        raise ValueError(f"'{name}' is not a file name")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{name} is not the file that was exported")
    return content

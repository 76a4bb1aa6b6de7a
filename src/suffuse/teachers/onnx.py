"""An ONNX file as the teacher, run by ONNX Runtime on the CPU.

Its inputs are mapped in the recipe (:mod:`suffuse.teachers.input_adapters`), and its outputs are named there. A file
that suffuse exported needs neither: where ``inputs`` are left out, ``signature.json`` beside it describes the
preprocessing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..errors import SuffuseError, UsageError, did_you_mean
from ..files import absolute_file
from ..registry import NameList, TeacherSettings
from ..types import Head
from . import input_adapters
from .input_adapters import InputSettings
from .suffuse_network import NetworkSource, check_kinds, find_columns

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows


class Settings(TeacherSettings):
    """Which file, and its inputs and outputs."""

    kind: Literal["onnx"] = "onnx"
    FILES: ClassVar = ("file",)
    file: str
    inputs: dict[str, InputSettings] = Field(default_factory=dict)  # the file's input -> which cells, and how
    output: str | None = None  # the first one, where none is named
    form: Literal["logits", "probabilities"] = "logits"
    labels: NameList = ()  # names of the outputs, in their order; those of ``signature.json`` where it stands beside
    batch: int = Field(default=64, ge=1)

    def placed(self, base: Path) -> Settings:
        """The file, and the tokenizers of its inputs, from ``base``."""
        inputs = {name: feed.placed(base) for name, feed in self.inputs.items()}
        return self.model_copy(update={"file": absolute_file(self.file, base), "inputs": inputs})

    def references(self) -> dict[str, str]:
        """The file and the tokenizers."""
        return {"file": self.file, **input_adapters.references(self.inputs)}


@dataclass(frozen=True)
class OnnxSource:
    """A loaded ONNX file."""

    settings: Settings
    session: Any
    output: str
    outputs: tuple[str, ...]
    raw: RawRows
    content: str
    where: str

    @property
    def form(self) -> str:
        """The recipe's ``form``."""
        return self.settings.form

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of its columns."""
        return self.raw.named(input_adapters.columns(self.settings.inputs))

    def fingerprint(self) -> str:
        """Hash of the file (as it is now), the tokenizers, and how cells are read."""
        file_hashes = {
            key: hashlib.sha256(Path(f).read_bytes()).hexdigest() for key, f in self.settings.references().items()
        }
        facts = self.settings.model_dump(mode="json", exclude={"file", "classes", "covers", "batch"})
        for feed in facts["inputs"].values():
            feed.pop("tokenizer")
        return hashlib.sha256(json.dumps([self.content, file_hashes, facts], sort_keys=True).encode()).hexdigest()

    def facts(self) -> dict:
        """Its size on the disk; parameters are not counted."""
        return {"parameters": None, "bytes": Path(self.settings.file).stat().st_size}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """Logits or probabilities; NaN for a row without any of the cells."""
        return {"logits": input_adapters.batched_logits(self, rows, hidden, self._run)}

    def _run(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(arrays.values())))
        try:
            outputs = np.asarray(self.session.run([self.output], arrays)[0])
        except Exception as error:  # what ONNX Runtime raises shares no base class
            got = str(error).splitlines()[0]
            raise SuffuseError("the teacher can't read these inputs", where=f"{self.where}.inputs", got=got) from None
        if outputs.shape != (count, len(self.outputs)):
            expected, hint = f"({count}, {len(self.outputs)})", "is it another output, or another number of labels?"
            raise UsageError("the teacher's output has another shape", where=f"{self.where}.output, '{self.output}'",
                             got=outputs.shape, expected=expected, hint=hint)  # fmt: skip
        return outputs


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> OnnxSource | NetworkSource:
    """Load the file, and find its inputs, output and labels. Raises UsageError where one isn't there."""
    import onnxruntime as ort

    file = Path(settings.file)
    if not file.is_file():
        raise UsageError("no such file", where=f"{where}.file", got=f"'{file}'")
    if not settings.inputs:
        return _open_export(settings, raw, heads, where)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # the same bits whatever else runs
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # what ONNX Runtime raises shares no base class
        raise UsageError("can't load the model", where=f"{where}.file", got=str(error).splitlines()[0]) from None
    input_adapters.check_inputs([value.name for value in session.get_inputs()], settings.inputs, "file", where)
    names = [value.name for value in session.get_outputs()]
    output = settings.output or names[0]
    if output not in names:
        hint = did_you_mean(output, names)
        raise UsageError("no such output", where=f"{where}.output", got=f"'{output}'", hint=hint)
    return OnnxSource(
        settings, session, output, settings.labels or _signature_labels(file, where), raw,
        hashlib.sha256(file.read_bytes()).hexdigest(), where,
    )  # fmt: skip


def _open_export(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> NetworkSource:
    """A file that suffuse exported, with its preprocessing."""
    from ..predictor import SIGNATURE, Predictor

    file = Path(settings.file)
    if file.name != "model.onnx" or not file.with_name(SIGNATURE).is_file():
        hint = f"say what goes in, or put suffuse's model.onnx and {SIGNATURE} beside each other"
        raise UsageError("nothing says what goes into this file", where=f"{where}.inputs", hint=hint)
    predictor = Predictor.load(file.parent, model_files=raw.root.allowed_dir)
    check_kinds(predictor.heads, heads, where)
    mark = hashlib.sha256(file.with_name(SIGNATURE).read_bytes()).hexdigest()
    return NetworkSource(predictor, None, raw, find_columns(predictor, raw, {}, where), settings.batch, mark)


def _signature_labels(file: Path, where: str) -> tuple[str, ...]:
    """The labels in suffuse's signature beside the file. Raises UsageError where there is none, or it is of another
    file."""
    from ..predictor import SIGNATURE, digest

    place = file.with_name(SIGNATURE)
    if not place.is_file():
        hint = f"name them in the order of the outputs, or put suffuse's {SIGNATURE} beside the file"
        raise UsageError("the outputs have no names", where=f"{where}.labels", hint=hint)
    try:
        signature = json.loads(place.read_text(encoding="utf-8"))
        same = signature["digest"] == digest(signature)
        same = same and signature["files"].get(file.name) == hashlib.sha256(file.read_bytes()).hexdigest()
        labels = tuple(str(name) for name in signature["classes"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError("can't read the signature", where=place, got=error) from None
    if not same:
        raise UsageError("the signature is of another file", where=place, hint="name the labels in the recipe")
    return labels

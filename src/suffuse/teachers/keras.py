"""A Keras 3 model (``.keras``) or a TensorFlow SavedModel (a folder) as the teacher.

A ``.keras`` file is read with ``safe_mode`` on and without compiling: no code in it is run (a Lambda layer is
refused). Keras runs on the backend that KERAS_BACKEND names, or on torch where none is named; a SavedModel needs
TensorFlow (:mod:`suffuse.teachers.saved_model`). Inputs are mapped in the recipe as those of ONNX files are
(:mod:`suffuse.teachers.input_adapters`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..errors import SuffuseError, UsageError, did_you_mean
from ..files import absolute_file
from ..registry import NameList, TeacherSettings, optional
from ..types import Head
from . import input_adapters, saved_model
from .input_adapters import InputSettings

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows


class Settings(TeacherSettings):
    """Which model, and its inputs and outputs."""

    kind: Literal["keras"] = "keras"
    FILES: ClassVar = ("file",)
    file: str  # a .keras file, or a SavedModel's folder
    inputs: dict[str, InputSettings] = Field(min_length=1)  # the model's name of an input -> which cells, and how
    output: str | None = None  # of a SavedModel that has several
    signature: str = "serving_default"  # of a SavedModel
    form: Literal["logits", "probabilities"] = "probabilities"
    labels: NameList = Field(min_length=1)  # names of the outputs, in their order
    batch: int = Field(default=64, ge=1)

    def placed(self, base: Path) -> Settings:
        """The file, and the tokenizers of its inputs, from ``base``."""
        inputs = {name: feed.placed(base) for name, feed in self.inputs.items()}
        return self.model_copy(update={"file": absolute_file(self.file, base), "inputs": inputs})

    def references(self) -> dict[str, str]:
        """The model and the tokenizers."""
        return {"file": self.file, **input_adapters.references(self.inputs)}


@dataclass(frozen=True)
class KerasSource:
    """A loaded model."""

    settings: Settings
    call: Callable[[dict[str, np.ndarray]], Any]
    weights: Callable[[], list[np.ndarray]]  # as they are in memory now
    parameters: int | None
    raw: RawRows
    where: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """The recipe's ``labels``."""
        return self.settings.labels

    @property
    def form(self) -> str:
        """The recipe's ``form``."""
        return self.settings.form

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of its columns."""
        return self.raw.named(input_adapters.columns(self.settings.inputs))

    def fingerprint(self) -> str:
        """Hash of all files that the recipe names, of the weights in memory, and of how cells are read."""
        facts = self.settings.model_dump(mode="json", exclude={"file", "classes", "covers", "batch"})
        for feed in facts["inputs"].values():
            feed.pop("tokenizer")
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for reference in self.settings.references().values():
            place = Path(reference)
            for file in [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file()):
                digest.update(str(file.relative_to(place)).encode() + hashlib.sha256(file.read_bytes()).digest())
        for weight in self.weights():
            digest.update(f"{weight.dtype} {weight.shape}".encode() + np.ascontiguousarray(weight).tobytes())
        return digest.hexdigest()

    def facts(self) -> dict:
        """Its number of parameters, where Keras knows it."""
        return {"parameters": self.parameters}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """Logits or probabilities; NaN for a row without any of the cells."""
        return {"logits": input_adapters.batched_logits(self, rows, hidden, self._run)}

    def _run(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(arrays.values())))
        try:
            outputs = np.asarray(self.call(arrays))
        except Exception as error:  # the backends' errors share no base class
            got = str(error).strip().splitlines()[0][:200]
            raise SuffuseError("the teacher can't read these inputs", where=f"{self.where}.inputs", got=got) from None
        if outputs.shape != (count, len(self.outputs)):
            expected = f"({count}, {len(self.outputs)}): one output for each of labels"
            raise UsageError("the teacher's output has another shape", where=f"{self.where}.labels",
                             got=outputs.shape, expected=expected)  # fmt: skip
        return outputs


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> KerasSource:
    """Load the model. Raises UsageError where it can't be read, or its inputs have other names."""
    place = Path(settings.file)
    if not place.exists():
        raise UsageError("no such file", where=f"{where}.file", got=f"'{place}'")
    if place.is_dir():
        loaded = _saved_model(settings, where)
    elif place.suffix == ".keras":
        loaded = _keras(settings, where)
    else:
        expected = ".keras, or a SavedModel's folder"
        raise UsageError("unknown kind of file", where=f"{where}.file", got=place.suffix or "none", expected=expected)
    return KerasSource(settings, *loaded, raw, where)


Parts = tuple[Callable[[dict[str, np.ndarray]], Any], Callable[[], list[np.ndarray]], int | None]


def _keras(settings: Settings, where: str) -> Parts:
    os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is loaded
    keras: Any = optional("keras", "keras")
    try:
        model = keras.saving.load_model(settings.file, compile=False, safe_mode=True)
    except Exception as error:
        got = str(error).strip().splitlines()[0][:200]
        raise UsageError("this model can't be opened", where=f"{where}.file", got=got) from None
    model.trainable = False
    input_adapters.check_inputs([value.name for value in model.inputs], settings.inputs, "model", where)

    def call(arrays: dict[str, np.ndarray]) -> Any:
        ordered = [arrays[value.name] for value in model.inputs]
        outputs = model(ordered if len(ordered) > 1 else ordered[0], training=False)
        return keras.ops.convert_to_numpy(keras.ops.stop_gradient(outputs))

    return call, model.get_weights, model.count_params()


def _saved_model(settings: Settings, where: str) -> Parts:
    signature = saved_model.load(Path(settings.file), settings.signature, f"{where}.file")
    input_adapters.check_inputs(signature.inputs, settings.inputs, "model", where)
    output = settings.output or signature.outputs[0]
    if output not in signature.outputs:
        hint = did_you_mean(output, signature.outputs)
        raise UsageError("no such output", where=f"{where}.output", got=f"'{output}'", hint=hint)
    return lambda arrays: signature.call(arrays)[output], signature.weights, None

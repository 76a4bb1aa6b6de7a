"""An export folder -> its parts, read by :mod:`suffuse.sealed`, which trusts nothing in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import derive, modalities, sealed
from ..errors import SuffuseError
from ..machine import readers
from ..modalities.cell import Limits
from ..parts import DeriveSettings, ModalitySettings, load, settings
from ..sealed import FIRST
from ..types import Field, Head, heads_of
from .inputs import Derivation, Input

RECORDS = 1000  # that a server takes at once, where the signature says nothing
Temperatures = Mapping[str, Mapping[str, float]]  # modalities that are present, with a + between them -> target -> T


@dataclass(frozen=True)
class Facts:
    """What a signature says besides inputs and targets."""

    name: str = ""
    digest: str = ""  # of the signature, and so of everything in the folder
    form: str = FIRST  # the form of the network that runs
    temperatures: Temperatures = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    records: int = RECORDS
    id: str = ""  # the column that names rows, as the recipe says; none: ""
    differs: tuple[str, ...] = ()  # libraries that read entries here with another version than where it was exported


@dataclass(frozen=True)
class Opened:
    """An export, read and checked."""

    heads: tuple[Head, ...]
    inputs: tuple[Input, ...]
    derived: dict[str, Derivation]
    facts: Facts
    session: Any  # onnxruntime.InferenceSession


def read(folder: Path, threads: int, form: str | None) -> Opened:
    """Everything that an export folder holds.

    Raises SuffuseError where it isn't one, a file isn't the one that was exported, or a library isn't installed;
    UsageError where it has no such form.
    """
    try:
        return _read(folder, threads, form)
    except SuffuseError:  # a usage error is one
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SuffuseError("can't read the export", where=folder, got=_line(error)) from None
    except Exception as error:  # what ONNX Runtime raises shares no base class
        raise SuffuseError("can't load the model", where=folder, got=_line(error)) from None


def _read(folder: Path, threads: int, form: str | None) -> Opened:
    signature, contents, network = sealed.read(folder, form)
    chosen = str(form or signature.get("form", FIRST))
    inputs = tuple(_input(m, contents) for m in signature["modalities"])
    facts = _facts(signature, folder, chosen)
    session = _session(network, threads)
    sealed.fit(signature, session)
    derived = {name: _derivation(facts) for name, facts in signature.get("derive", {}).items()}
    for one in inputs:
        if hasattr(one.part, "ready"):
            one.part.ready(one.settings, True)
    return Opened(heads_of(signature["heads"]), inputs, derived, facts, session)


def _session(network: bytes, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def _facts(signature: Mapping[str, Any], folder: Path, form: str) -> Facts:
    """Name, temperatures and limits. Raises ValueError where a temperature is none."""
    place = folder.resolve()
    name = str(signature.get("name") or (place.parent.name if place.name == "export" else place.name))
    temperatures = signature.get("temperatures") or {}
    for subset, each in temperatures.items():
        for target, value in each.items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"temperature of '{target}' for {subset}: {value}")
    said = dict(signature.get("limits") or {})
    records = int(said.pop("records", RECORDS))
    known = {key: value for key, value in said.items() if key in Limits.__dataclass_fields__}
    limits, id_ = Limits(**known), signature.get("id") or ""
    if not isinstance(id_, str):
        raise ValueError(f"the id column's name is {type(id_).__name__}")
    return Facts(name, signature["digest"], form, temperatures, limits, records, id_, _differs(signature))


def _differs(signature: Mapping[str, Any]) -> tuple[str, ...]:
    then = signature.get("libraries") or {}
    here = readers(one["kind"] for one in signature["modalities"])
    return tuple(f"{n} {here[n]}, exported with {then[n]}" for n in here if n in then and str(then[n]) != here[n])


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


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)

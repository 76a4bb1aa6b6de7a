"""An export folder -> its parts. :mod:`suffuse.export_integrity` checks the files, :mod:`.signature` what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import export_integrity
from ..environment import readers
from ..errors import SuffuseError
from ..export_integrity import FIRST, unreadable
from ..modalities.cell import Limits
from ..sources.table_format import AS_IS, TableFormat
from ..sources.text_format import is_encoding
from ..temperature_scaling import Temperatures
from ..types import Field, Head
from . import exported_examples
from . import signature as signatures
from .execution_device import ExecutionDevice, execution_device
from .input_encoding import Derivation, Input
from .signature import Signature, TargetCells

RECORDS = 1000  # that a server takes at once, where the signature says nothing


@dataclass(frozen=True)
class Facts:
    """The rest of a signature, besides inputs and targets."""

    name: str = ""
    digest: str = ""  # of the signature, and so of everything in the folder
    form: str = FIRST  # the form of the network that runs
    temperatures: Temperatures = field(default_factory=lambda: {})
    limits: Limits = field(default_factory=Limits)
    records: int = RECORDS
    id: str = ""  # the column that names rows, as the recipe says; none: ""
    table: TableFormat = AS_IS  # how the recipe's table is written; an encoding that others may have too
    tasks: Mapping[str, TargetCells] = field(default_factory=lambda: {})  # target -> how its cells are written
    differs: tuple[str, ...] = ()  # libraries that read entries here with another version than where it was exported
    examples: tuple[exported_examples.Example, ...] = ()  # rows to try the model on
    device: str = "cpu"  # where the network runs


@dataclass(frozen=True)
class LoadedExport:
    """An export, read and checked."""

    heads: tuple[Head, ...]
    inputs: tuple[Input, ...]
    derived: dict[str, Derivation]
    facts: Facts
    session: Any  # onnxruntime.InferenceSession


def read(folder: Path, threads: int, form: str | None, allowed: str | Path | None, device: str = "cpu") -> LoadedExport:
    """Open everything that an export folder holds.

    Raises SuffuseError where it isn't one, a file isn't the one that was exported, a library isn't installed, or the
    device can't be opened; UsageError where it has no such form, names files that don't lie below ``allowed``, or ONNX
    Runtime has no such device.
    """
    place = execution_device(device)
    raw, contents, network = export_integrity.read(folder, form)
    try:
        signature = signatures.checked(raw)
        inputs = tuple(_input(modality, contents) for modality in signature.modalities)
        derived = _derived(signature, allowed)
        rows = _examples(contents, inputs, derived)
    except SuffuseError:  # a library isn't installed, or a file may not be opened
        raise
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise unreadable(folder, getattr(error, "file", export_integrity.SIGNATURE), error) from None
    session = _session(network, threads, place, (folder, export_integrity.model_file(raw, form)))
    try:
        axes = {i.field.name: i.part.axes(i.field.statistics) for i in inputs}
        export_integrity.check_shapes(raw, session, axes)
    except ValueError as error:
        raise unreadable(folder, export_integrity.SIGNATURE, error) from None
    for model_input in inputs:
        model_input.part.ready(model_input.settings, True)
    heads = tuple(head.head() for head in signature.heads)
    facts = _facts(signature, folder, str(form or signature.form or FIRST))
    facts = replace(facts, examples=rows, device=place.name)
    return LoadedExport(heads, inputs, derived, facts, session)


def _examples(
    contents: Mapping[str, bytes], inputs: tuple[Input, ...], derived: Mapping[str, Derivation]
) -> tuple[exported_examples.Example, ...]:
    if exported_examples.FILE not in contents:
        return ()
    known = {c for i in inputs for c in i.settings.columns} | {d.settings.column for d in derived.values()}
    try:
        return exported_examples.parse(contents[exported_examples.FILE], known)
    except ValueError as error:
        raise signatures.FileError(exported_examples.FILE, str(error)) from None


def _session(network: bytes, threads: int, device: ExecutionDevice, file: tuple[Path, str]) -> Any:
    """``file``: the folder and the name of the network's file, for errors."""
    try:
        return device.session(network, threads)
    except SuffuseError:
        raise
    except Exception as error:  # what ONNX Runtime raises shares no base class
        raise unreadable(*file, error) from None


def _facts(signature: Signature, folder: Path, form: str) -> Facts:
    """Name, temperatures and limits."""
    place = folder.resolve()
    name = signature.name or (place.parent.name if place.name == "export" else place.name)
    limits = signature.limits.set_limits() if signature.limits else {}
    records = limits.pop("records", RECORDS)
    temperatures = signature.temperatures or {}
    return Facts(
        name,
        signature.digest,
        form,
        temperatures,
        Limits(**limits),
        records,
        signature.id or "",
        TableFormat(missing_values=tuple(signature.table.missing_values), likely=_likely(signature.table.encoding)),
        signature.table.tasks,
        _changed_libraries(signature),
    )


def _likely(encoding: str | None) -> str | None:
    return encoding if encoding is not None and is_encoding(encoding) else None


def _changed_libraries(signature: Signature) -> tuple[str, ...]:
    exported, current = signature.libraries or {}, readers(modality.kind for modality in signature.modalities)
    changed = [name for name in current if name in exported and exported[name] != current[name]]
    return tuple(f"{name} {current[name]}, exported with {exported[name]}" for name in changed)


def _derived(signature: Signature, allowed: str | Path | None) -> dict[str, Derivation]:
    derivations: dict[str, Derivation] = {}
    for name, derivation in signature.derive.items():
        settings, part = signatures.derivation(name, derivation)
        derivations[name] = Derivation(settings, part, derivation.facts)
        derivations[name].check_files(name, allowed)
    signatures.check_sources({name: derivation.settings.column for name, derivation in derivations.items()})
    return derivations


def _input(facts: signatures.Modality, contents: Mapping[str, bytes]) -> Input:
    settings, part, statistics = signatures.modality(facts, contents)
    return Input(Field(facts.name, facts.kind, statistics), settings, part)

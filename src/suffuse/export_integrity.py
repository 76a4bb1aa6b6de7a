"""The export folder's seal: what is in it, how large, with which hash; and how it is read without trusting it.

A folder comes from anywhere. So what is read are plain files that stand beside ``signature.json``, whole, of the size
and the hash that it states, and no others; a link, another file, a path, a file cut off or changed is refused in one
line. A model may not point outside of itself (:mod:`suffuse.onnx_safety`). Hashes find damage and changes; who signs a
changed folder again is not found out, but what it holds is still data alone.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from . import onnx_safety
from .errors import SuffuseError, UsageError, did_you_mean
from .files import write_json
from .paths import is_plain
from .types import TOKENS

SIGNATURE = "signature.json"
VERSION = 1
MAX_SIGNATURE_BYTES = 64_000_000  # bytes of signature.json: categories of large tables stand in it
MAX_FILE_BYTES = 2**31  # bytes of another file: an ONNX file can't be larger
FIRST = "fp32"  # the form of a folder that names none, in model.onnx


class Form(BaseModel):
    """One form of the model."""

    model_config = ConfigDict(strict=True, frozen=True)

    file: str


class Seal(BaseModel):
    """What signature.json states about the files beside it."""

    model_config = ConfigDict(strict=True, frozen=True)

    files: dict[str, str]  # name -> SHA-256
    bytes: dict[str, int]
    forms: dict[str, Form] = {FIRST: Form(file="model.onnx")}
    form: str = FIRST  # the one that runs where none is asked for
    refused: dict[str, str] = {}  # of a form that isn't there, why

    @model_validator(mode="after")
    def _consistent(self) -> Seal:
        if self.bytes.keys() != self.files.keys():
            raise ValueError(f"{SIGNATURE} doesn't say which files there are")
        if FIRST not in self.forms:
            raise ValueError(f"{SIGNATURE} names no form {FIRST}")
        return self


def digest(signature: Mapping[str, Any]) -> str:
    """Hash of a signature, without the hash itself."""
    content = {key: value for key, value in signature.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seal(folder: Path, signature: Mapping[str, Any]) -> dict[str, Any]:
    """Write signature.json with the sizes and hashes of all that stands in the folder; returns it."""
    files = sorted(p for p in folder.iterdir() if p.name != SIGNATURE and not p.name.startswith("."))
    sealed = {k: v for k, v in signature.items() if k not in ("files", "bytes", "digest")}
    sealed["files"] = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    sealed["bytes"] = {p.name: p.stat().st_size for p in files}
    sealed["digest"] = digest(sealed)
    write_json(folder / SIGNATURE, sealed)
    return sealed


def checked_files(folder: Path) -> tuple[Path, list[str], dict[str, Any]]:
    """(the export folder, the files that its signature states, the signature), of an export folder or of a run. Every
    file is compared with its hash. Raises SuffuseError where one differs or isn't there."""
    place = folder if (folder / SIGNATURE).exists() else folder / "export"
    files: list[str] = []
    for form in forms(place):
        files = [*read(place, form)[0]["files"]]
    return place, files, read_signature(place)


def forms(folder: str | Path) -> list[str]:
    """Names of the forms that an export folder holds, e.g. ``["fp32", "int8"]``; the first is always fp32."""
    place = Path(folder)
    names = _parse_seal(place, read_signature(place)).forms
    return sorted(names, key=lambda name: (name != FIRST, name))


def read(folder: Path, form: str | None = None) -> tuple[dict[str, Any], dict[str, bytes], bytes]:
    """An export folder -> its signature, its files but for models, and the form's model. All files are checked.

    Raises SuffuseError where it is no export or not the one that was written; UsageError where it has no such form.
    """
    signature = read_signature(folder)
    seal = _parse_seal(folder, signature)
    chosen = _file_of_form(folder, seal, form)
    models = {form_entry.file for form_entry in seal.forms.values()}
    try:
        if chosen not in seal.files:
            raise ValueError(f"{SIGNATURE} doesn't say which files there are")
        _refuse_unlisted(folder, set(seal.files))
        contents, model = {}, b""
        for name, sha256 in seal.files.items():
            content = _read_verified(folder, name, sha256, seal.bytes[name])
            if name == chosen:
                model = content
            elif name not in models:
                contents[name] = content
        onnx_safety.check(model)
        return signature, contents, model
    except FileNotFoundError as error:
        raise _no_export(folder, Path(error.filename).name) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(folder, "", error) from None


def model_file(signature: Mapping[str, Any], form: str | None) -> str:
    """The file of a form, of a signature that :func:`read` gave."""
    seal = Seal.model_validate(signature)
    return seal.forms[form or seal.form].file


def read_signature(folder: Path) -> dict[str, Any]:
    """signature.json, checked against its own hash. Raises SuffuseError where it isn't what was written."""
    try:
        content = _read_plain_file(folder, SIGNATURE, MAX_SIGNATURE_BYTES)
        signature = json.loads(content.decode("utf-8"))
        if not isinstance(signature, dict) or signature.get("digest") != digest(signature):
            raise ValueError(f"{SIGNATURE} is not the file that was exported")
        if signature.get("version") != VERSION or isinstance(signature["version"], bool):
            raise ValueError(f"{SIGNATURE}: version {signature.get('version')!r}, this suffuse reads {VERSION}")
        return signature
    except FileNotFoundError as error:
        raise _no_export(folder, Path(error.filename).name) from None
    except RecursionError:
        raise unreadable(folder, "", ValueError(f"{SIGNATURE} is nested too deeply")) from None
    except json.JSONDecodeError as error:
        raise unreadable(folder, SIGNATURE, error) from None
    except UnicodeDecodeError as error:
        raise unreadable(folder, SIGNATURE, error) from None
    except (OSError, ValueError, TypeError) as error:
        raise unreadable(folder, "", error) from None


def check_shapes(signature: Mapping[str, Any], session: Any, axes: Mapping[str, Sequence[int | None]]) -> None:
    """Raise ValueError where the model's inputs and output (of an ONNX Runtime session) aren't those that the signature
    describes: no array is ever made by a size that the model doesn't have. ``axes``: modality -> those of an entry;
    None is any length."""
    names = [modality["name"] for modality in signature["modalities"]]
    shapes = {value.name: value.shape for value in session.get_inputs()}
    if set(shapes) != {*names, "present"}:
        raise ValueError(f"the model reads {', '.join(shapes)}, the signature describes {', '.join(names)}")
    for modality in signature["modalities"]:
        expected, got = [None, *axes[modality["name"]]], shapes[modality["name"]]
        if len(expected) != len(got) or any(w is not None and w != g for w, g in zip(expected, got, strict=True)):
            raise ValueError(f"the model reads {modality['name']} as {got}, the signature describes {expected}")
    outputs = sum(_outputs(head) for head in signature["heads"])
    if session.get_outputs()[0].shape[-1] != outputs:
        raise ValueError(f"the model has not the {outputs} outputs that the signature describes")


def _outputs(head: Mapping[str, Any]) -> int:
    """How many outputs a target has: one for each class, one of a number, of a transcript those of all its frames."""
    if head["kind"] == TOKENS:
        return head["frames"] * (len(head["classes"]) + 1)
    return len(head["classes"]) or 1


def _parse_seal(folder: Path, signature: Mapping[str, Any]) -> Seal:
    try:
        return Seal.model_validate(signature)
    except ValidationError as error:
        raise unreadable(folder, SIGNATURE, ValueError(problem(error))) from None


def _file_of_form(folder: Path, seal: Seal, form: str | None) -> str:
    """The file of a form; of the default form for None."""
    name = form or seal.form
    if name in seal.forms:
        return seal.forms[name].file
    if form is None:
        raise unreadable(folder, SIGNATURE, ValueError(f"form: got '{name}', expected {', '.join(seal.forms)}"))
    hint = seal.refused.get(name, "") or did_you_mean(name, seal.forms)
    raise UsageError(
        "the export has no such form", where=folder, got=f"'{name}'", expected=", ".join(seal.forms), hint=hint
    )


def _refuse_unlisted(folder: Path, named: set[str]) -> None:
    """Raise where the folder holds what its signature doesn't name; hidden files are left out: nothing reads them."""
    for place in sorted(folder.iterdir()):
        if place.name != SIGNATURE and place.name not in named and not place.name.startswith("."):
            raise ValueError(f"{place.name} was not exported")


def _read_verified(folder: Path, name: str, sha256: str, size: int) -> bytes:
    """A file's content, of exactly this size and hash."""
    if not is_plain(name):
        raise ValueError(f"'{name}' is not a file name")
    if not isinstance(size, int) or not 0 <= size <= MAX_FILE_BYTES:
        raise ValueError(f"{name} can't have {size} bytes")
    content = _read_plain_file(folder, name, size)
    if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{name} is not the file that was exported")
    return content


def _read_plain_file(folder: Path, name: str, limit: int) -> bytes:
    """A plain file's bytes, at most ``limit`` and one: a larger file is not read."""
    kind = (folder / name).lstat()
    if stat.S_ISLNK(kind.st_mode):
        raise ValueError(f"{name} is a link")
    if not stat.S_ISREG(kind.st_mode):
        raise ValueError(f"{name} is not a plain file")
    with (folder / name).open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name} is not the file that was exported: it is larger")
    return content


def _no_export(folder: Path, name: str) -> SuffuseError:
    return SuffuseError("this folder is no export", where=folder, got=f"no {name}", hint="`suffuse export` makes one")


def unreadable(folder: Path, file: str, error: Exception) -> SuffuseError:
    """One line for whatever is wrong with an export: its file, where the error doesn't name it, and what."""
    message = next(iter(str(error).splitlines()), "") or type(error).__name__
    return SuffuseError("can't read the export: " + (f"{file}: {message}" if file else message), where=folder)


def problem(error: ValidationError) -> str:
    """The first of its problems, in one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    place, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    if first["type"] not in ("value_error", "missing"):
        got = repr(first["input"])
        message = f"got {got if len(got) <= 60 else got[:57] + '...'}: {message}"
    return f"{place}: {message}" if place else message

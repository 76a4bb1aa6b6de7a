"""The manifest: a store's facts in JSON, signed with their own hash, and its arrays as they lie on disk.

Opening checks the manifest's hash and every file's size and header; :func:`changed_arrays` reads every byte.
:func:`show` prints a store in lines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..errors import SuffuseError
from ..files import write_json
from ..paths import inside
from .chunks import Block
from .fingerprint import WORDS

FORMAT = 2
FILE = "manifest.json"


def sign(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts and, last, the hash of all the others."""
    content = {k: v for k, v in facts.items() if k != "digest"}
    return {**content, "digest": _digest(content)}


def write(folder: Path, facts: dict[str, Any]) -> None:
    """Write the signed manifest."""
    write_json(folder / FILE, sign(facts))


def read(folder: Path) -> dict[str, Any]:
    """A store's manifest, its hash and its arrays' sizes checked.

    Raises SuffuseError where there is no whole store.
    """
    try:
        facts = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if facts.get("format") != FORMAT:
            raise ValueError(f"{FILE} of format {facts.get('format')}, expected {FORMAT}")
        if facts.get("digest") != _digest({k: v for k, v in facts.items() if k != "digest"}):
            raise ValueError(f"{FILE} was changed after it was written: it doesn't fit its own hash")
        for name, array in facts["arrays"].items():
            size = array_file(folder, name).stat().st_size
            if size != array["bytes"]:
                raise ValueError(f"{name}.npy has {size:,} bytes, expected {array['bytes']:,}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SuffuseError(
            "can't open the knowledge store", where=folder, got=error, hint="`suffuse extract` makes it"
        ) from None
    return facts


def load(folder: Path, facts: dict[str, Any], names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays by name, memory-mapped: copy-on-write, since torch wants writable memory and nobody writes.

    Raises SuffuseError where one isn't what the manifest says.
    """
    arrays: dict[str, np.ndarray] = {}
    for name in facts["arrays"] if names is None else names:
        described, file = facts["arrays"][name], array_file(folder, name)
        try:
            array = np.load(file, mmap_mode="c", allow_pickle=False)
            if list(array.shape) != described["shape"] or str(array.dtype) != described["dtype"]:
                raise ValueError(
                    f"{name}.npy holds {array.dtype} {list(array.shape)}, "
                    f"expected {described['dtype']} {described['shape']}"
                )
        except (OSError, ValueError, EOFError) as error:
            raise SuffuseError(
                "can't open the knowledge store", where=folder, got=error, hint="`suffuse extract` makes it"
            ) from None
        arrays[name] = array
    return arrays


def describe(file: Path, sha256: str, starts: Sequence[int] | None = None) -> dict[str, Any]:
    """The manifest's entry of an array with this hash; ``starts``: the row at which each block begins in it."""
    array = np.load(file, mmap_mode="r")
    facts = {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "bytes": file.stat().st_size,
        "sha256": sha256,
    }
    return facts if starts is None else {**facts, "starts": list(starts)}


def blocks(facts: dict[str, Any]) -> list[Block]:
    """The blocks of a store, in order."""
    return [Block(tuple(b["subset"]), b["view"], b.get("teacher")) for b in facts["blocks"]]


def size(facts: dict[str, Any]) -> int:
    """Bytes of all arrays."""
    return sum(array["bytes"] for array in facts["arrays"].values())


def changed_arrays(folder: Path, facts: dict[str, Any]) -> list[str]:
    """Names of arrays whose content isn't what was written. Reads all of it."""
    return [name for name, array in facts["arrays"].items() if digest(array_file(folder, name)) != array["sha256"]]


def array_file(folder: Path, name: str) -> Path:
    """The file of an array that a manifest names. Raises SuffuseError where it isn't in the folder."""
    return inside(folder, f"{name}.npy", plain=True)


def digest(file: Path) -> str:
    """Hash of a file."""
    with file.open("rb") as open_file:
        return hashlib.file_digest(open_file, "sha256").hexdigest()


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


LISTED, WIDE = 8, 26  # names of a long list


def show(folder: Path) -> Iterator[str]:
    """Lines about what a store holds, how it is stored, and what decided it. Raises SuffuseError where it isn't
    whole."""
    facts = read(folder)
    yield _line("knowledge store", str(folder))
    train, validation = facts["train_rows"], facts["rows"] - facts["train_rows"]
    rows = f"{facts['rows']:,}: {train:,} training, {validation:,} validation; {facts['unlabelled']:,} without a label"
    yield _line("rows", rows)
    yield _line("on disk", f"{_size(size(facts))} in {len(facts['arrays'])} arrays")
    for name, array in facts["arrays"].items():
        shape = " x ".join(f"{n:,}" for n in array["shape"])
        yield _line(f"  {name}", f"{shape} {array['dtype']}, {_size(array['bytes'])}")
    yield _line("taps", ", ".join(facts["taps"]))
    yield _line("subsets", "; ".join(" + ".join(s) or "full" for s in facts["fingerprint"]["subsets"]))
    yield _line("views", _views(facts["fingerprint"]["views"]))
    yield from _encoding(facts)
    silent_rows = {t["name"]: facts["blocks"][0]["abstentions"][t["name"]] for t in facts["targets"]}
    abstentions = ", ".join(f"{name}: {rows:,} of {facts['rows']:,} rows" for name, rows in silent_rows.items() if rows)
    yield _line("abstentions", abstentions or "none")
    yield _line("answers", f"{facts['answered']:,} by the teacher, {facts['reused']:,} copied from an older store")
    yield "fingerprint"
    for part, value in facts["fingerprint"].items():
        for key, text in _parts(part, value):
            yield _line(f"  {key}", text)


def _encoding(facts: dict[str, Any]) -> Iterator[str]:
    encoding = facts["encoding"]
    kept = f"top {encoding['top_k']} and the sum of the others" if any(k for _, k in encoding["kept"]) else "all logits"
    error = f"KL {encoding['mean_kl']:.2g} nats on average, {encoding['max_kl']:.2g} at the most"
    yield _line(
        "encoding",
        f"{encoding['dtype']}, {kept}; {error}; the same answer in {encoding['same_argmax']:.4%} of the rows",
    )


def _views(policy: dict[str, Any]) -> str:
    if not policy["count"]:
        return policy["policy"]
    changed = ", ".join(f"{name} ({_short(how)})" for name, how in policy["augment"].items())
    return f"as prepared, and {policy['count']} of every training row from seed {policy['seed']}: {changed}"


def _parts(part: str, value: Any) -> Iterator[tuple[str, str]]:
    if part in ("subsets", "views", "encoding"):  # said above
        return
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield f"{WORDS[part]} ({key})", _short(inner)
    else:
        yield WORDS[part], _short(value)


def _short(value: Any) -> str:
    if isinstance(value, list):
        items = cast("list[Any]", value)
        rest = f", and {len(items) - LISTED:,} more" if len(items) > LISTED else ""
        return ", ".join(map(str, items[:LISTED])) + rest
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in cast("dict[str, Any]", value).items() if v)
    return "none" if value is None else str(value)


def _line(name: str, text: str) -> str:
    return f"{name:<{WIDE}} {text}"


def _size(count: float) -> str:
    for unit, large in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= large:
            return f"{count / large:.3g} {unit}"
    return f"{count:.0f} bytes"

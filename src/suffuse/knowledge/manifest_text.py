"""A store for people: its manifest in lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import manifest
from .fingerprint import WORDS

LISTED, WIDE = 8, 26  # names of a long list


def show(folder: Path) -> Iterator[str]:
    """What a store holds, how it is stored, what decided it. Raises SuffuseError where it isn't whole."""
    facts = manifest.read(folder)
    yield _line("knowledge store", str(folder))
    train, held = facts["train_rows"], facts["rows"] - facts["train_rows"]
    rows = f"{facts['rows']:,}: {train:,} training, {held:,} validation; {facts['unlabelled']:,} without a label"
    yield _line("rows", rows)
    yield _line("on disk", f"{_size(manifest.size(facts))} in {len(facts['arrays'])} arrays")
    for name, array in facts["arrays"].items():
        shape = " x ".join(f"{n:,}" for n in array["shape"])
        yield _line(f"  {name}", f"{shape} {array['dtype']}, {_size(array['bytes'])}")
    yield _line("taps", ", ".join(facts["taps"]))
    yield _line("subsets", "; ".join(" + ".join(s) or "full" for s in facts["fingerprint"]["subsets"]))
    yield _line("views", _views(facts["fingerprint"]["views"]))
    yield from _encoding(facts)
    silent = {t["name"]: facts["blocks"][0]["abstentions"][t["name"]] for t in facts["targets"]}
    said = ", ".join(f"{name}: {rows:,} of {facts['rows']:,} rows" for name, rows in silent.items() if rows)
    yield _line("abstentions", said or "none")
    yield _line("answers", f"{facts['answered']:,} by the teacher, {facts['reused']:,} copied from an older store")
    yield "fingerprint"
    for part, value in facts["fingerprint"].items():
        for key, one in _parts(part, value):
            yield _line(f"  {key}", one)


def _encoding(facts: dict) -> Iterator[str]:
    made = facts["encoding"]
    kept = f"top {made['top_k']} and the sum of the others" if any(k for _, k in made["kept"]) else "all logits"
    error = f"KL {made['mean_kl']:.2g} nats on average, {made['max_kl']:.2g} at the most"
    yield _line(
        "encoding", f"{made['dtype']}, {kept}; {error}; the same answer in {made['same_argmax']:.4%} of the rows"
    )


def _views(policy: dict) -> str:
    if not policy["count"]:
        return policy["policy"]
    changed = ", ".join(f"{name} ({_short(how)})" for name, how in policy["augment"].items())
    return f"as prepared, and {policy['count']} of every training row from seed {policy['seed']}: {changed}"


def _parts(part: str, value: Any) -> Iterator[tuple[str, str]]:
    if part in ("subsets", "views", "encoding"):  # said above
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{WORDS[part]} ({key})", _short(inner)
    else:
        yield WORDS[part], _short(value)


def _short(value: Any) -> str:
    if isinstance(value, list):
        more = f", and {len(value) - LISTED:,} more" if len(value) > LISTED else ""
        return ", ".join(map(str, value[:LISTED])) + more
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items() if v)
    return "none" if value is None else str(value)


def _line(name: str, text: str) -> str:
    return f"{name:<{WIDE}} {text}"


def _size(count: float) -> str:
    for unit, large in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= large:
            return f"{count / large:.3g} {unit}"
    return f"{count:.0f} bytes"

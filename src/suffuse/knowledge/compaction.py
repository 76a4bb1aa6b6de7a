"""All parts as one store: an array per tap, block after block, and the manifest with each array's hash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import new_array, write_array
from . import manifest
from .encoding import INDEX, LOGITS, VALUES
from .parts import FACTS, PER_ROW, read_part, starts

if TYPE_CHECKING:
    from .making import Making


def compact(making: Making, folder: Path, shared: dict[str, np.ndarray]) -> None:
    """Parts -> ``folder``. ``shared``: per-row arrays, as :func:`suffuse.knowledge.making.per_row` gives them. The
    manifest is written last: without it there is no store."""
    folder.mkdir(parents=True, exist_ok=True)
    columns, target = making.columns, making.columns.target[making.rows]
    shared = {**shared, "label": target.astype(np.int32 if columns.spec.plain else np.float32)}
    for name, array in shared.items():
        write_array(folder / f"{name}.npy", array)
    begin, arrays = _arrays(making, folder)
    for part in making.parts:
        content = read_part(part.file(making.place))
        for name in content.keys() - {"slot"}:
            arrays[name][begin[name][part.block] + content["slot"]] = content[name]
    said = [{**b.to_json(), **_said(making, arrays, begin, n)} for n, b in enumerate(making.blocks)]
    total = _cost(arrays["error"], arrays["same"])
    for array in arrays.values():
        array.flush()
    described = {n: manifest.describe(folder / f"{n}.npy") for n in PER_ROW if n in shared}
    described |= {n: manifest.describe(folder / f"{n}.npy", begin[n]) for n in arrays}
    taps = dict.fromkeys(LOGITS if n in (VALUES, INDEX) else n for n in arrays if n not in FACTS)
    facts = {
        "format": manifest.FORMAT,
        "rows": len(making.rows),
        "train_rows": int((columns.split[making.rows] == 0).sum()),
        "unlabelled": int((~columns.spec.known(target)).sum()),
        "taps": list(taps),
        "dtype": making.encoding.dtype,
        "encoding": {**making.made["encoding"], "kept": [list(k) for k in making.encoding.kept], **total},
        "targets": [{"name": h.name, "kind": h.kind, "outputs": h.outputs} for h in columns.spec.heads],
        "reused": making.reused,
        "answered": making.answers,
        "blocks": said,
        "fingerprint": making.made,
        "arrays": described,
    }
    manifest.write(folder, facts)


def _arrays(making: Making, folder: Path) -> tuple[dict[str, list[int]], dict[str, Any]]:
    """Array -> where each block begins in it; array -> (S, ...), empty."""
    full = making.blocks[0].subset
    there: dict[str, np.ndarray] = {}
    elsewhere: set[str] = set()  # in blocks of other subsets too
    for other in (False, True):
        one = next((p for p in making.parts if (making.blocks[p.block].subset != full) == other), None)
        content = read_part(one.file(making.place)) if one else {}
        there = there or content
        elsewhere |= set(content) if other else set()
    begin: dict[str, list[int]] = {}
    arrays: dict[str, Any] = {}
    for name, example in there.items():
        if name != "slot":
            alone = bool(elsewhere) and name not in elsewhere
            begin[name] = starts(making.blocks, making.counts, alone)
            own = [c for b, c in zip(making.blocks, making.counts, strict=True) if b.subset == full or not alone]
            arrays[name] = new_array(folder / f"{name}.npy", example.dtype, (sum(own), *example.shape[1:]))
    return begin, arrays


def _said(making: Making, arrays: dict, begin: dict, number: int) -> dict:
    """What the manifest says of a block: its rows, what storing cost, and for how many there is no answer."""
    count = making.counts[number]

    def of(name: str) -> np.ndarray:
        return arrays[name][begin[name][number] : begin[name][number] + count]

    silent = making.encoding.abstained(of(LOGITS if LOGITS in arrays else VALUES))
    names = [h.name for h in making.columns.spec.heads]
    return {
        "rows": count,
        **_cost(of("error"), of("same")),
        "abstentions": {name: int(rows.sum()) for name, rows in zip(names, silent, strict=True)},
    }


def _cost(error: np.ndarray, same: np.ndarray) -> dict[str, float]:
    return {
        "mean_kl": float(error.mean(dtype=np.float64)),
        "max_kl": float(error.max()),
        "same_argmax": float(same.mean()),
    }

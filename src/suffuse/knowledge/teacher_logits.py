"""What a finished store's rows were answered, as one array: for reports and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..types import Spec
from . import manifest

CHUNK = 16_384  # rows at a time


def answers(folder: Path, spec: Spec) -> np.ndarray:
    """Logits (K, C) of all rows as prepared and with all modalities, in the order of ``key.npy``; memory-mapped where
    they are stored as they are. Raises SuffuseError where there is no whole store."""
    facts = manifest.read(folder)
    if "logits" in facts["arrays"]:
        return manifest.load(folder, facts, ["logits"])["logits"][: facts["rows"]]
    found = np.empty((facts["rows"], spec.outputs), dtype=np.float16)
    arrays = manifest.load(folder, facts)
    for start in range(0, len(found), CHUNK):
        some = slice(start, min(start + CHUNK, len(found)))
        found[some] = decoded(facts, arrays, spec, 0, some)
    return found


def decoded(facts: dict, arrays: dict[str, np.ndarray], spec: Spec, block: int, some: slice) -> np.ndarray:
    """Logits (B, C) float32 of some rows of a block."""
    import torch

    from .logit_encoding import INDEX, LOGITS, VALUES, Encoding

    made = facts["fingerprint"]["encoding"]
    found = {}
    for name in (LOGITS, VALUES, INDEX):
        if name in arrays:
            begin = facts["arrays"][name]["starts"][block]
            found[name] = torch.from_numpy(arrays[name][begin + some.start : begin + some.stop])
    return Encoding.of(spec, made["dtype"], made["top_k"]).decode(found).float().numpy()

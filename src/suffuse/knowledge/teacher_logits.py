"""The teacher's logits in a finished store as one array, for reports and tables."""

# pyright: reportUnknownMemberType=false
# (torch annotates from_numpy, tolist and manual_seed in part)

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..types import Spec
from . import manifest

CHUNK = 16_384  # rows at a time


def stored_logits(folder: Path, spec: Spec) -> np.ndarray:
    """Logits (K, C) of all rows as prepared and with all modalities, in the order of ``key.npy``; memory-mapped where
    they are stored as they are. Raises SuffuseError where there is no whole store."""
    facts = manifest.read(folder)
    if "logits" in facts["arrays"]:
        return manifest.load(folder, facts, ["logits"])["logits"][: facts["rows"]]
    logits = np.empty((facts["rows"], spec.outputs), dtype=np.float16)
    arrays = manifest.load(folder, facts)
    for start in range(0, len(logits), CHUNK):
        rows = slice(start, min(start + CHUNK, len(logits)))
        logits[rows] = decode_rows(facts, arrays, spec, 0, rows)
    return logits


def decode_rows(
    facts: dict[str, Any], arrays: dict[str, np.ndarray], spec: Spec, block: int, rows: slice
) -> np.ndarray:
    """Logits (B, C) float32 of some rows of a block."""
    import torch

    from .logit_encoding import INDEX, LOGITS, VALUES, Encoding

    encoding = facts["fingerprint"]["encoding"]
    stored: dict[str, torch.Tensor] = {}
    for name in (LOGITS, VALUES, INDEX):
        if name in arrays:
            begin = facts["arrays"][name]["starts"][block]
            stored[name] = torch.from_numpy(arrays[name][begin + rows.start : begin + rows.stop])
    return Encoding.of(spec, encoding["dtype"], encoding["top_k"]).decode(stored).float().numpy()

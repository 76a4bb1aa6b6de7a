"""What preparing pictures costs, as a ratio to the bare decoder on the same threads.

    python benchmarks/prepare.py PICTURES [--write]     a folder of pictures, e.g. of fashion9k; results/prepare.json

Bare: Pillow opens, decodes and resizes each file in a pool of as many threads as cores. Prepare: the same files through
suffuse's ``clean``: kept inside the data root, hashed, turned upright, padded, written to disk with a journal. Its rate
should be 0.85 of the bare one or more. Blocks of both alternate in one process, so that a slower moment of the machine
falls on both; the first pair warms the file cache and isn't counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
from PIL import Image

from result_file import write_result
from suffuse.modalities import load_modality
from suffuse.modalities.cell import Root
from suffuse.modalities.image import SUFFIXES
from suffuse.prepare.cell_cleaning import clean

HERE = Path(__file__).parent
SIZE = 64  # pixels


def bare(folder: Path, names: list[str]) -> float:
    """Pictures a second, without anything around the decoder."""

    def one(name: str) -> np.ndarray:
        with Image.open(folder / name) as picture:
            return np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))

    start = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(one, names))
    return len(found) / (time.perf_counter() - start)


def prepared(folder: Path, names: list[str]) -> float:
    """Pictures a second, as ``prepare`` reads them."""
    chosen = load_modality("image").Settings.model_validate({"kind": "image", "column": "image", "size": SIZE})
    cells = pa.chunked_array([pa.array(names)])
    with tempfile.TemporaryDirectory() as work:
        start = time.perf_counter()
        found = clean(chosen, cells, Root.of(folder), Path(work), lambda share: None)
        seconds = time.perf_counter() - start
    assert not found.reasons, found.reasons
    return len(names) / seconds


def main() -> None:
    """Alternate blocks, print and keep the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--block", type=int, default=1500, help="pictures in a block")
    parser.add_argument("--write", action="store_true", help="benchmarks/results/prepare.json")
    asked = parser.parse_args()
    names = sorted(p.name for p in asked.pictures.iterdir() if p.suffix.lower() in SUFFIXES)[: asked.block]
    pairs = []
    for number in range(asked.blocks + 1):
        sides = (bare, prepared) if number % 2 else (prepared, bare)
        rates = {side.__name__: side(asked.pictures, names) for side in sides}
        if number:
            pairs.append(rates)
        print(f"{rates['bare']:8.0f} bare {rates['prepared']:8.0f} prepared  {rates['prepared'] / rates['bare']:.3f}")
    ratios = [pair["prepared"] / pair["bare"] for pair in pairs]
    found = {
        "ratio": statistics.median(ratios),
        "ratios": [round(r, 4) for r in ratios],
        "bare_per_second": statistics.median(p["bare"] for p in pairs),
        "prepared_per_second": statistics.median(p["prepared"] for p in pairs),
        "pictures": len(names),
        "size": SIZE,
        "threads": os.cpu_count(),
        "pillow": PIL.__version__,
    }
    print(f"median ratio {found['ratio']:.3f} (at least 0.85)")
    if asked.write:
        write_result("prepare", found)


if __name__ == "__main__":
    main()

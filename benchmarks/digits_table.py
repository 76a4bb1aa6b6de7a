"""The table of ``recipes/digits.yaml``, made of the manifest of ``digits_noise``.

    python benchmarks/digits_table.py DATA TABLE.csv

DATA is the folder with the data sets. The manifest has a noisy recording for validation and test rows alone: training
makes its noise by augmentation. So ``clean`` is the clean recording of every row, and ``heard`` the noisy one where
there is one, the clean one elsewhere. ``snr`` and ``noise_seen`` (whether training has that kind of noise) are words,
for scores of each value. The other columns stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from rows import Row, read, write

KEPT = ("transcript", "context", "context_has_it", "speaker", "noise_kind")


def write_table(folder: Path, file: Path, most: Mapping[str, int] | None = None) -> Path:
    """The table of the manifest in ``folder``; of each split the first ``most`` rows, where it says how many."""
    left = dict(most or {})
    kept: list[Row] = []
    for row in read(folder / "manifest.csv"):
        if most is None or left.get(row["split"], 0) > 0:
            left[row["split"]] = left.get(row["split"], 0) - 1
            kept.append(table_row(row))
    write(file, kept)
    return file


def table_row(row: Row) -> Row:
    """A row of the manifest as the recipe reads it."""
    seen = {"1": "seen", "0": "unseen", "": "none"}[row["noise_seen"]]
    return {
        "id": row["id"],
        "split": row["split"],
        "clean": row["audio"],
        "heard": row["audio_noisy"] or row["audio"],
        "snr": f"{float(row['snr']):g} dB" if row["snr"] else "clean",
        "noise_seen": seen,
        **{name: row[name] for name in KEPT},
    }


def main() -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path)
    asked = parser.parse_args()
    write_table(asked.data / "digits_noise", asked.table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

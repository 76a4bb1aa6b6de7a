"""Small datasets in folders, laid out as on the Hub."""

from __future__ import annotations

from pathlib import Path

import datasets
from PIL import Image

CONFIGURATIONS = """---
configs:
- config_name: en
  data_files:
  - {split: train, path: "en/train-*"}
  - {split: test, path: "en/test-*"}
- config_name: de
  data_files:
  - {split: train, path: "de/train-*"}
  - {split: test, path: "de/test-*"}
---
"""
FEATURES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "photo": datasets.Image(),
        "y": datasets.ClassLabel(names=["neg", "pos"]),
    }
)


def dataset(rows: int, start: int = 0, word: str = "text") -> datasets.Dataset:
    """Texts, pictures and a class label."""
    numbers = range(start, start + rows)
    return datasets.Dataset.from_dict(
        {
            "text": [f"{word} number {n} that says {'good' if n % 2 else 'bad'} things" for n in numbers],
            "photo": [Image.new("RGB", (8, 8), (n, 200 * (n % 2), 0)) for n in numbers],
            "y": [n % 2 for n in numbers],
        },
        features=FEATURES,
    )


def repository(folder: Path, train: int = 40, test: int = 20) -> Path:
    """A folder with two configurations of two splits; the training rows of ``en`` in two files."""
    for name in ("en", "de"):
        (folder / name).mkdir(parents=True)
        half = train // 2
        dataset(half, 0, name).to_parquet(str(folder / name / "train-00000-of-00002.parquet"))
        dataset(train - half, half, name).to_parquet(str(folder / name / "train-00001-of-00002.parquet"))
        dataset(test, train, name).to_parquet(str(folder / name / "test-00000-of-00001.parquet"))
    (folder / "README.md").write_text(CONFIGURATIONS, encoding="utf-8")
    return folder

"""Frozen first, then fine-tuned (LP-FT, Kumar et al. 2022): the rest of a network learns on cached vectors, the whole
network goes on from there, and validation decides which of the two is kept.

A random head sends large gradients into pretrained weights; one that has learned doesn't. Both networks have the same
tensors: the second keeps the standardisation of vectors that the first was trained with.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..files import read_json, write_json
from ..recipe import Network
from .seed_selection import selection_score

FROZEN, FINETUNED = "frozen", "finetuned"
KEY = "frozen_first"  # of training.json: the validation of both, and which was kept


def is_finetuned(network: Network) -> bool:
    """Whether some encoder of a network is fine-tuned."""
    return any(encoder.get("finetune") is not None for encoder in network.encoders.values())


def candidates(network: Network) -> dict[str, Network]:
    """The two networks, in the order in which they are trained."""
    frozen, finetuned = dict(network.encoders), dict(network.encoders)
    for name, encoder in network.encoders.items():
        finetune: Any = encoder.get("finetune")
        if finetune is not None:
            frozen[name] = encoder.model_copy(update={"frozen": True, "finetune": None})
            after = finetune.model_copy(update={"after_frozen": True, "unfreeze_after": 0})
            finetuned[name] = encoder.model_copy(update={"finetune": after})
    return {
        FROZEN: network.model_copy(update={"encoders": frozen}),
        FINETUNED: network.model_copy(update={"encoders": finetuned}),
    }


def better(folders: dict[str, Path]) -> str:
    """Which of the two trainings is better on validation: by its score, then by its loss. Of equal ones the frozen one,
    which costs less."""
    scores = {name: read_json(folder / "training.json")["validation"] for name, folder in folders.items()}
    ranks = {name: (selection_score(values), -values["log_loss"]) for name, values in scores.items()}
    return FINETUNED if ranks[FINETUNED] > ranks[FROZEN] else FROZEN


def keep_better(folders: dict[str, Path], folder: Path) -> None:
    """Copy the better training to ``folder``. Its ``training.json``, written last, also has the validation of both
    under :data:`KEY`."""
    kept = better(folders)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(folders[kept], folder, ignore=shutil.ignore_patterns("training.json"))
    records = {name: read_json(place / "training.json") for name, place in folders.items()}
    tried = {name: record["validation"] for name, record in records.items()}
    write_json(folder / "training.json", {**records[kept], KEY: {**tried, "kept": kept}})

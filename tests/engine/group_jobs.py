"""Trainings in float64 that several processes share: what their workers call, and what one process does alone."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from suffuse import losses
from suffuse.data.columns import Columns
from suffuse.data.sampler import Sampler
from suffuse.data.training_views import Viewer
from suffuse.engine import loop
from suffuse.engine.loop import Plan, fit
from suffuse.engine.objective import Objective
from suffuse.engine.process_group import current
from suffuse.engine.runtime import seed, settle
from suffuse.engine.validation import scorer
from suffuse.engine.workers import run_jobs
from suffuse.model import FusionModel
from suffuse.recipe import Network, Training
from suffuse.registry import settings
from suffuse.types import Field, Head, Spec

WIDTHS = {
    "logits": 3,
    "fused": 7,
    "picture": 6,
    "sound": 6,
    "question": 6,
    "gates": 3,
    "picture.map": 16,
    "picture.look.map": 32,
}
MIXED = (Head("answer", "classes", ("a", "b", "c")), Head("tags", "labels", ("x", "y")), Head("price", "number"))
BATCH = 7  # of 22 rows: the last batch is one row, fewer than there are processes


def columns(mixed: bool = False) -> Columns:
    """Pictures that rows share, questions, and sounds that few rows have: some batches have one of them, or none."""
    random, rows, count = np.random.default_rng(5), 30, 9
    sounds = random.normal(size=(count, 12, 5)).astype(np.float32)
    sounds[:, :, -1] = np.arange(12)[None] < random.integers(3, 13, count)[:, None]
    words = random.integers(2, 12, (count, 6), dtype=np.int32)
    words[np.arange(6)[None] >= random.integers(1, 7, count)[:, None]] = 0
    entries = {
        "picture": random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8),
        "sound": sounds,
        "question": words,
    }
    present = random.random((rows, 3)) >= np.array([0.2, 0.75, 0.2])
    present[~present.any(1), 2] = True
    fields = (
        Field("picture", "image", {"size": 16, "mean": [0.5, 0.4, 0.6], "std": [0.25, 0.3, 0.2]}),
        Field("sound", "sequence", {"features": 4, "length": 12, "mean": [0.1] * 4, "std": [1.1] * 4}),
        Field("question", "text", {"vocabulary": 12, "length": 6}),
    )
    prior, target = tuple(np.log([0.5, 0.3, 0.2]).tolist()), random.integers(0, 3, rows)
    spec = Spec(fields, (replace(MIXED[0]),), prior)
    if mixed:
        tags = (random.random((rows, 2)) < 0.4).astype(float)
        tags[random.random(rows) < 0.2] = -1
        price = np.where(random.random((rows, 1)) < 0.8, random.normal(size=(rows, 1)), np.nan)
        target = np.concatenate([target[:, None], tags, price], 1).astype(np.float32)
        spec = Spec(fields, MIXED, (*prior, -0.5, 0.5, 0.0))
    return Columns(
        spec, entries, np.where(present, random.integers(0, count, (rows, 3)), 0), present, target,
        split=(np.arange(rows) % 4 == 3).astype(np.int8), group=np.arange(rows),
        key=np.arange(1, rows + 1, dtype=np.uint64),
    )  # fmt: skip


def network(fusion: str, dropout: float = 0.0, unimodal_weight: float = 0.0) -> Network:
    """Batch norm over pictures and over frames, a recurrent net, and a fusion."""
    encoders = {
        "picture": {"kind": "conv", "widths": [4, 6]},
        "sound": {"kind": "conv1d", "widths": [4, 3], "kernel": 3},
        "question": {"kind": "gru", "embedding": 4, "width": 5},
    }
    wide = {} if fusion in ("concat", "queries") else {"width": 8}
    facts = {
        "encoders": encoders,
        "fusion": {"kind": fusion, **wide},
        "hidden": 0 if fusion == "queries" else 6,
        "dropout": dropout,
        "unimodal_weight": unimodal_weight,
    }
    return Network.model_validate(facts)


def parts(case: dict) -> tuple[Objective, Plan]:
    """The training that a case describes."""
    settle(1)
    seed(case.get("seed", 0))
    data = columns(case.get("mixed", False))
    widths = {**WIDTHS, "logits": data.spec.outputs}
    chosen = {str(n): settings(losses.TABLE, s) for n, s in enumerate(case["losses"])}
    form = network(case.get("fusion", "gated"), case.get("dropout", 0.0), case.get("unimodal_weight", 0.0))
    model = FusionModel(form, data.spec)
    objective = Objective(
        model, chosen, widths, mixup=case.get("mixup", 0.0), both=case.get("also_full_input", False)
    ).double()
    random = torch.Generator().manual_seed(8)
    taught = {n: torch.randn(len(data.target), w, generator=random).double() for n, w in widths.items()}
    taught["gates"], taught["picture.map"] = taught["gates"].softmax(1), taught["picture.map"].square()
    taught["picture.look.map"] = taught["picture.look.map"].square()
    taught["logits"][::5] = torch.nan  # a teacher that abstains now and then
    died = Path(case["folder"]) / f"died-{case['name']}"

    def gather(picked: np.ndarray, number: int) -> tuple:
        gather.calls += 1  # type: ignore[attr-defined]
        if gather.calls == case.get("stop") and current().rank == case.get("who", 0) and not died.exists():  # type: ignore[attr-defined]
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        view = (Viewer(3, case.get("drop", 0.0)), number)
        batch = data.batch(picked, None, view, objective.needs_full_input, current().split)
        return batch, {n: taught[n].index_select(0, batch.rows) for n in objective.needs()}

    gather.calls = 0  # type: ignore[attr-defined]
    training = Training.model_validate({"epochs": 1, "batch": BATCH, "learning_rate": 0.02, **case.get("training", {})})
    rows = data.rows("train")
    sampler = Sampler(rows, data.shared()[rows], BATCH, 3)
    plan = Plan(
        training, sampler, sampler.steps, gather, scorer(data, data.labelled("validation")),
        Path(case["folder"]) / case["name"], lambda share, words: None, case.get("balance_losses", False),
    )  # fmt: skip
    return objective, plan


def one(case: dict) -> None:
    """One case, by all processes that share it; the first writes what came out."""
    objective, plan = parts(case)
    state = fit(objective, plan)
    for rank in [current().rank] if case.get("everybody") else [0] * current().first:
        found = {k: v.contiguous().clone() for k, v in objective.state_dict().items()}
        save_file(found, Path(case["folder"]) / f"{case['name']}-{rank}.safetensors")
    if current().first:
        (Path(case["folder"]) / f"{case['name']}.json").write_text(json.dumps([vars(state)]))


def many(job: dict, tell: Any) -> None:
    """Several cases, one after the other: a process takes longer to begin than most of them last."""
    if job.get("often"):
        loop.CHECKPOINT_SECONDS = -1.0
    for case in job["cases"]:
        one(case)


def together(cases: list[dict], folder: Path, size: int = 2, often: bool = False) -> None:
    """Cases in ``size`` processes."""
    job = {"cases": [{**case, "folder": str(folder)} for case in cases], "often": often}
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), before)))
    try:
        run_jobs("group_jobs:many", [job], size, lambda share, words: None, size)
    finally:
        os.environ["PYTHONPATH"] = before


def weights(folder: Path, name: str, rank: int = 0) -> dict[str, torch.Tensor]:
    """What a case ended with."""
    return load_file(folder / f"{name}-{rank}.safetensors")


def history(folder: Path, name: str) -> list[dict]:
    """What was noted of it."""
    return json.loads((folder / f"{name}.json").read_text())[0]["history"]


if __name__ == "__main__":
    many({"cases": json.loads(sys.argv[1])}, None)

"""The Lightning and the Trainer example, run on a tiny run where these libraries are installed."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from suffuse import Knowledge, Run, pipeline
from suffuse.losses import kd

EXAMPLES = Path(__file__).parents[2] / "examples"
LIBRARIES = {"lightning_student": ("lightning",), "trainer_student": ("transformers", "accelerate")}


@pytest.fixture(scope="module")
def extracted(build_once: Callable[..., Path], write_table: Callable[..., Path], tiny_recipe: Any) -> Path:
    """The folder of a table and a run with a store."""

    def make(folder: Path) -> None:
        run = Run.of(tiny_recipe(write_table(folder / "table")), folder / "run")
        for verb in ("prepare", "teach", "extract"):
            pipeline.run_stage(run, verb)

    return build_once("extracted", {}, make)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
def test_an_example_trains_a_student(name: str, extracted: Path, tmp_path: Path, monkeypatch: Any) -> None:
    for library in LIBRARIES[name]:
        pytest.importorskip(library, reason="needs `make test-loops`")
    monkeypatch.chdir(tmp_path)
    file = EXAMPLES / f"{name}.py"
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 40
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    before = module.Student(3).network
    torch.manual_seed(0)
    after = module.main(extracted / "run", extracted / "table" / "rows.csv", "id", "text").network.cpu()
    moved = [float((a - b).detach().abs().max()) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert all(0 < change < math.inf for change in moved)


def test_both_examples_are_short_and_documented() -> None:
    page = (EXAMPLES.parent / "docs" / "knowledge.md").read_text(encoding="utf-8")
    for name in LIBRARIES:
        assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 40
        assert f"examples/{name}.py" in page


def test_a_plain_loop_learns_from_the_dataset(extracted: Path) -> None:
    knowledge = Knowledge.open(extracted / "run", split="train")
    loader = torch.utils.data.DataLoader(knowledge, batch_size=8, shuffle=True)
    biases = torch.zeros(len(knowledge.classes), requires_grad=True)
    optimizer, losses = torch.optim.SGD([biases], lr=0.5), []
    for _ in range(20):
        total = 0.0
        for batch in loader:
            loss = kd(biases.expand(len(batch["logits"]), -1), batch["logits"], temperature=1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total)
    assert losses[-1] < losses[0]

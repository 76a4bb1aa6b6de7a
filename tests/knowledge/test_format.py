"""docs/knowledge.md is enough to read a store with: another program, of the page alone, finds what suffuse finds."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suffuse.knowledge import Knowledge

PAGE = Path(__file__).parents[2] / "docs" / "knowledge.md"


def read(folder: Path, subset: list[str], view: int | None) -> dict[int, np.ndarray]:
    """Key -> log-probabilities (C,) of a block; NumPy alone, as the page says. One target of classes."""
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    block = next(n for n, b in enumerate(facts["blocks"]) if b["subset"] == subset and b["view"] == view)
    count = facts["blocks"][block]["rows"]

    def of(name: str) -> np.ndarray:
        start = facts["arrays"][name]["starts"][block]
        return np.load(folder / f"{name}.npy", allow_pickle=False)[start : start + count].astype(np.float64)

    keys, ((n, k),) = np.load(folder / "key.npy")[:count].tolist(), facts["encoding"]["kept"]
    if k == 0:
        z = of("logits")
        return dict(zip(keys, z - np.log(np.exp(z).sum(1, keepdims=True)), strict=True))
    values, index = of("logits.values"), of("logits.index").astype(int)
    found = {}
    for key, row, places in zip(keys, values, index, strict=True):
        found[key] = np.full(n, row[k] - np.log(n - k))
        found[key][places] = row[:k]
    return found


@pytest.mark.parametrize("top_k", [0, 1])
def test_another_program_reads_it(maker, columns, teacher, top_k):
    folder = maker.store(teacher, extract={"subsets": "each", "views": 2, "top_k": top_k})
    knowledge, rows = Knowledge.open(folder, columns), columns.rows("train")
    for number, block in enumerate(knowledge.blocks):
        found = read(folder, list(block.subset), block.view)
        ours = knowledge.gather(torch.from_numpy(rows), ("logits",), number)["logits"].double().log_softmax(1).numpy()
        theirs = np.array([found[int(columns.key[r])] for r in rows])
        np.testing.assert_allclose(theirs - np.log(np.exp(theirs).sum(1, keepdims=True)), ours, atol=1e-6)


def test_the_page_s_own_lines_run(maker, columns, teacher, monkeypatch):
    folder = maker.store(teacher, extract={"subsets": "each"})
    monkeypatch.chdir(folder.parent)
    said: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1], said)  # type: ignore[index]
    assert len(said["keys"]) == len(said["logits"]) == 60
    assert said["facts"]["blocks"][said["block"]]["subset"] == ["picture"]


def test_the_digest_is_what_the_page_says(maker, teacher):
    folder = maker.store(teacher)
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    digest = facts.pop("digest")
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode("utf-8")).hexdigest() == digest


def test_the_page_names_every_key_and_array(maker, teacher):
    facts = json.loads((maker.store(teacher, extract={"subsets": "each", "views": 1}) / "manifest.json").read_text())
    page = PAGE.read_text(encoding="utf-8")
    names = {*facts, *facts["fingerprint"], *facts["blocks"][0], *facts["encoding"], *facts["arrays"]} - {
        "picture",
        "question",
    }
    assert not {name for name in names if f"`{name}`" not in page}

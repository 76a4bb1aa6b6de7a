"""`suffuse doctor`: a finished run is in order, and whatever is done to it afterwards is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from e2e_tools import Finished, check_success, suffuse


def states(run: Path) -> tuple[dict[int, tuple[str, str]], int]:
    """Item -> state and fact; and the exit code."""
    result = suffuse("doctor", str(run), "--json", cwd=run.parent)
    return {one["number"]: (one["state"], one["fact"]) for one in json.loads(result.out)}, result.code


def test_a_finished_run_is_in_order(finished: Finished) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in finished.run.rglob("*") if p.is_file())
    text = check_success(suffuse("doctor", str(finished.run), cwd=finished.project)).out
    assert "BROKEN" not in text and "not there" not in text
    assert text.count("\n  ") >= 68 and text.rstrip().splitlines()[-1].count(",") >= 1
    found, code = states(finished.run)
    assert code == 0 and len(found) == 34
    assert {state for state, _ in found.values()} <= {"kept", "warning", "by tests"}
    for number in (1, 4, 5, 7, 8, 10, 11, 12, 18, 19, 21, 26, 30, 31, 32, 33, 34):
        assert found[number][0] == "kept", (number, found[number])
    assert sorted((p, p.stat().st_mtime_ns) for p in finished.run.rglob("*") if p.is_file()) == before


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def other_teacher(run: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(run / "teacher" / "model.safetensors")
    name = next(n for n, t in tensors.items() if t.dtype == np.float32 and t.ndim > 1)
    tensors[name] = tensors[name] + 0.5
    save_file(tensors, run / "teacher" / "model.safetensors")


def leak(run: Path) -> None:
    """A test row becomes a training row's twin: the store knows it."""
    key, split = np.load(run / "data" / "key.npy"), np.load(run / "data" / "split.npy")
    key[np.flatnonzero(split == 2)[0]] = key[np.flatnonzero(split == 0)[0]]
    np.save(run / "data" / "key.npy", key)


def tear(run: Path) -> None:
    group, split = np.load(run / "data" / "group.npy"), np.load(run / "data" / "split.npy")
    group[np.flatnonzero(split == 2)[0]] = group[np.flatnonzero(split == 0)[0]]
    np.save(run / "data" / "group.npy", group)


def look_again(run: Path) -> None:
    (run / "test_evaluations.json").write_text('["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"]')


def worse_file(run: Path) -> None:
    facts = json.loads((run / "export" / "parity.json").read_text())
    next(iter(facts["subsets"].values())).update(difference=0.5, absent_changes_nothing=False)
    (run / "export" / "parity.json").write_text(json.dumps(facts))


def lose_a_seed(run: Path) -> None:
    shutil.rmtree(sorted((run / "baseline").iterdir())[0])


@pytest.mark.parametrize(
    ("harm", "items"),
    [
        (lambda run: flip(run / "knowledge" / "logits.npy"), {11: "broken"}),
        (other_teacher, {1: "broken"}),
        (leak, {12: "broken"}),
        (tear, {12: "broken"}),
        (look_again, {11: "broken", 26: "warning"}),
        (worse_file, {19: "broken", 30: "broken"}),
        (lose_a_seed, {21: "broken", 27: "broken"}),
        (lambda run: shutil.rmtree(run / "scores"), {11: "broken", 26: "not there", 28: "not there"}),
        (lambda run: (run / "knowledge" / "manifest.json").write_text("{}"), {7: "broken", 11: "broken"}),
    ],
    ids=["bytes", "teacher", "leak", "group", "looks", "export", "seed", "scores", "manifest"],
)
def test_what_is_done_to_it_afterwards_is_found(copied: Path, harm, items) -> None:
    harm(copied)
    found, code = states(copied)
    for number, state in items.items():
        assert found[number][0] == state, (number, found[number])
    assert code == int("broken" in items.values())


def test_a_run_of_which_nothing_is_made(project) -> None:
    recipe = project()
    result = suffuse("doctor", recipe.name, "--out", "nothing", cwd=recipe.parent)
    assert result.code == 0 and "isn't made yet" in result.out and "Traceback" not in result.err

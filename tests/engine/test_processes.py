"""Several processes that share a training come to what one process comes to: every loss, every kind of part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from group_jobs import history, one, together, weights
from losses_tools import minimal

from suffuse import losses
from suffuse.errors import SuffuseError
from suffuse.types import CLASSES, TOKENS, Split

pytestmark = [pytest.mark.slow, pytest.mark.long]  # several processes, each of which imports torch
TASK = {"kind": "task", "weight": 0.5}


def classes(kind: str) -> bool:
    return CLASSES in (losses.load_loss(kind).HEADS or (CLASSES,))


# those on sequences alone are means over rows as others are
KINDS = [kind for kind in losses.KINDS if losses.load_loss(kind).HEADS != (TOKENS,)]
EVERY_LOSS = {
    kind: {"losses": [minimal(kind).model_dump(), TASK], "mixed": not classes(kind), "drop": 0.5} for kind in KINDS
}
EVERY_LOSS["query_attention_transfer"]["fusion"] = "queries"
SOFT = [{"kind": "kd"}, {"kind": "similarity", "tap": "picture"}, TASK]
PARTS = {
    "transformer": {"losses": SOFT, "fusion": "transformer"},
    "bottleneck": {"losses": SOFT, "fusion": "bottleneck"},
    "concat": {"losses": SOFT, "fusion": "concat"},
    "mixup": {"losses": SOFT, "mixup": 0.7},
    "also_full_input": {"losses": SOFT, "also_full_input": True, "drop": 1.0, "fusion": "bottleneck"},
    "complementary_subsets": {
        "losses": [*SOFT, {"kind": "subset_consistency"}],
        "drop": "complementary_subsets",
        "fusion": "bottleneck",
    },
    "ema": {"losses": SOFT, "training": {"ema": 0.9, "epochs": 2}},
    "accumulate": {"losses": SOFT, "training": {"accumulate": 3, "epochs": 2}},
    "balance_losses": {"losses": SOFT, "balance_losses": True},
    "several targets": {"losses": [{"kind": "kd"}, {"kind": "hint", "tap": "fused"}, TASK], "mixed": True},
    "unimodal heads": {"losses": SOFT, "unimodal_weight": 0.7, "mixup": 0.7, "drop": 0.5},
    "patience": {"losses": SOFT, "training": {"patience": 1, "epochs": 6}},
}
DROPPED = {"losses": SOFT, "dropout": 0.4, "mixup": 0.5, "training": {"ema": 0.9, "epochs": 3}, "everybody": True}
TWICE = {"first": DROPPED, "second": DROPPED, "other": {**DROPPED, "seed": 1}}
FAST = ("kd", "crd", "rkd_distance", "hint")  # with the parts; the others are marked slow


def named(cases: dict[str, dict]) -> list[dict]:
    return [{"name": name, **case} for name, case in cases.items()]


def alike(folder: Path, size: int, case: dict) -> None:
    """One process alone gives the same weights, statistics and history as ``size`` did."""
    found, said = weights(folder, case["name"]), history(folder, case["name"])
    alone = folder / "alone"
    alone.mkdir(exist_ok=True)
    one({**case, "folder": str(alone)})
    expected = weights(alone, case["name"])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")
        else:
            assert torch.equal(found[name], value), name
    for one_, other in zip(history(alone, case["name"]), said, strict=True):
        assert one_["validation"] == pytest.approx(other["validation"], abs=1e-5)
        assert one_["shares"] == pytest.approx(other["shares"], abs=1e-8)
        assert one_["terms"] == pytest.approx(other["terms"], abs=1e-5)


@pytest.fixture(scope="module")
def fast(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    together(named({**{k: EVERY_LOSS[k] for k in FAST}, **PARTS, **TWICE}), folder)
    return folder


@pytest.mark.parametrize("name", [*FAST, *PARTS])
def test_two_processes_are_one(fast, name):
    alike(fast, 2, {"name": name, **{**EVERY_LOSS, **PARTS}[name]})


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("every")
    together(named(EVERY_LOSS), folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_loss_sees_the_whole_batch(slow, kind):
    alike(slow, 2, {"name": kind, **EVERY_LOSS[kind]})


@pytest.mark.parametrize("size", [3, 5])
def test_more_processes_are_one_too(tmp_path, size):
    """Five have fewer rows than processes in the last batch, and fewer sounds than processes in most."""
    cases = {"every": {"losses": [*SOFT, {"kind": "crd"}], "drop": 0.5, "everybody": True}, "mixup": PARTS["mixup"]}
    together(named(cases), tmp_path, size)
    for name, case in cases.items():
        alike(tmp_path, size, {"name": name, **case, "everybody": False})
    for rank in range(1, size):
        bits(weights(tmp_path, "every"), weights(tmp_path, "every", rank))


def bits(some: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert some.keys() == other.keys()
    for name, value in some.items():
        assert torch.equal(value, other[name]), name


def test_two_processes_give_the_same_bits_every_time_and_each_has_them(fast):
    bits(weights(fast, "first"), weights(fast, "second"))
    bits(weights(fast, "first"), weights(fast, "first", 1))
    assert history(fast, "first") == history(fast, "second") != history(fast, "other")


@pytest.mark.parametrize(("who", "stop"), [(1, 6), (0, 9)])
def test_a_process_that_dies_ends_the_others_and_all_go_on_from_there(fast, tmp_path, who, stop):
    case = named({"killed": {**DROPPED, "who": who, "stop": stop}})
    with pytest.raises(SuffuseError) as caught:
        together(case, tmp_path, often=True)
    assert caught.value.line() == f"a training process died (exit code -9, process {who + 1})"
    assert (tmp_path / "killed" / "checkpoints" / "last.safetensors").exists()
    assert not (tmp_path / "killed.json").exists()
    together(case, tmp_path, often=True)
    bits(weights(fast, "first"), weights(tmp_path, "killed"))
    assert history(tmp_path, "killed") == history(fast, "first")


def test_one_that_doesn_t_answer_is_not_waited_for_without_end(tmp_path):
    """Stopped, not dead: its connections stay open."""
    code = (
        "import sys, time, torch\n"
        "from datetime import timedelta\nfrom pathlib import Path\n"
        "from suffuse.engine.process_group import join_group, summed\n"
        "from suffuse.errors import SuffuseError\n"
        "rank = int(sys.argv[1])\n"
        "with join_group(rank, 2, Path(sys.argv[2]), timedelta(seconds=2)):\n"
        "    time.sleep(60 * rank)\n"
        "    try:\n        summed(torch.ones(1))\n"
        "    except SuffuseError as error:\n        print(error.line(), flush=True)\n        import os; os._exit(3)\n"
    )
    file = str(tmp_path / "meet")
    silent = subprocess.Popen([sys.executable, "-c", code, "1", file])
    try:
        said = subprocess.run(
            [sys.executable, "-c", code, "0", file], capture_output=True, text=True, timeout=50, check=False
        )
    finally:
        silent.kill()
        silent.wait()
    assert said.returncode == 3, said.stderr
    assert said.stdout.startswith("another process of this training ended, or didn't answer in time: got ")
    assert len(said.stdout.splitlines()) == 1


def test_a_split_gives_everything_to_somebody():
    for size in (2, 3, 5):
        for n in range(23):
            splits = [Split(rank, size) for rank in range(size)]
            counts = splits[0].counts(n)
            assert sum(counts) == n and len(counts) == size
            if splits[0].few(n):
                assert counts[0] == n and all(s.own(n) == slice(0, n) for s in splits)
            else:
                owned = [i for s in splits for i in range(n)[s.own(n)]]
                assert owned == list(range(n)) and max(counts) - min(counts) <= 1
                assert [len(range(n)[s.own(n)]) for s in splits] == list(counts)

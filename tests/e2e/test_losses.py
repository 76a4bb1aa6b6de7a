"""Every loss for classes in one recipe, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e_tools import check_failure, check_success, make_project, make_recipe, suffuse, write_recipe

LOSSES = {
    "labels": {"kind": "task", "weight": 0.1},
    "soft": {"kind": "kd", "confidence": 0.5},
    "hard": {"kind": "hard_label"},
    "apart": {"kind": "dkd"},
    "other": {"kind": "nkd"},
    "order": {"kind": "dist"},
    "spacing": {"kind": "lskd"},
    "middle": {"kind": "js"},
    "back": {"kind": "reverse_kd"},
    "joint": {"kind": "hint"},
    "each": {"kind": "modality_hints"},
    "where": {"kind": "attention_transfer", "map": "picture"},
    "alike": {"kind": "similarity"},
    "far": {"kind": "rkd_distance"},
    "angles": {"kind": "rkd_angle", "tap": "question"},
    "which": {"kind": "crd"},
    "kernel": {"kind": "cka"},
    "near": {"kind": "affinity"},
    "counts": {"kind": "gate_transfer"},
    "across": {"kind": "cross_modal_relation"},
    "doubt": {"kind": "entropy_relations"},
    "fewer": {"kind": "subset_consistency"},
    "nothing": {"kind": "kd", "weight": 1e-12},
}


def distil(calibrate: bool, **losses: dict) -> dict:
    train = {"epochs": 2, "batch": 16, "modality_dropout": 0.5}
    return {
        "train": train,
        "num_seeds": 1,
        "unimodal_baselines": False,
        "balance_losses": "gradient_norm" if calibrate else None,
        "losses": losses,
    }


@pytest.mark.slow
@pytest.mark.long
def test_all_losses_at_once(tmp_path: Path) -> None:
    student = {**make_recipe()["student"], "fusion": {"kind": "gated", "width": 8}}
    recipe = make_project(tmp_path, student=student, distill=distil(False, **LOSSES))
    result = check_success(suffuse("run", recipe, "--out", "run", cwd=tmp_path))
    folder = tmp_path / "run" / "student" / "seed-1"
    facts = json.loads((folder / "training.json").read_text())
    assert list(facts["shares"]) == list(LOSSES)
    assert sum(facts["shares"].values()) == pytest.approx(1)
    assert all((share > 1e-4) == (name != "nothing") for name, share in facts["shares"].items()), facts["shares"]
    assert len(facts["alerts"]) == 1 and "'nothing'" in facts["alerts"][0]
    assert f"alert: student, seed 1: {facts['alerts'][0]}" in result.err
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [list(epoch["terms"]) == list(epoch["shares"]) == list(LOSSES) for epoch in epochs] == [True] * 2
    config = (folder / "config.json").read_text() + (tmp_path / "run" / "export" / "signature.json").read_text()
    assert "project" not in config
    baseline = json.loads((tmp_path / "run" / "baseline" / "seed-1" / "training.json").read_text())
    assert baseline["shares"] == {"labels": 1.0} and baseline["alerts"] == []
    assert baseline["parameters"] == facts["parameters"]  # no projector stays in the student

    # another map is another store; other weights are not
    recipe = write_recipe(tmp_path / "recipe.yaml", make_recipe(student=student, distill=distil(True, **{
        name: LOSSES[name] for name in ("labels", "soft", "where")
    })))  # fmt: skip
    result = check_success(suffuse("run", recipe, "--out", "run", cwd=tmp_path))
    assert "extract   done" not in result.err and "distill   done" in result.err
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert epochs[0]["weights"] == epochs[1]["weights"] and epochs[0]["weights"]["labels"] != pytest.approx(0.1)


@pytest.mark.slow
@pytest.mark.long
def test_another_form_of_the_input_is_met_and_rows_are_learned_whole(tmp_path: Path) -> None:
    """The teacher reads larger pictures than the student, whose rows lose a modality and are learned whole too."""
    made = make_recipe(distill=distil(False, **{
        "near": {"kind": "hint", "tap": "picture", "teacher_tap": "large"},
        "far": {"kind": "rkd_distance", "tap": "picture", "teacher_tap": "large"},
        "soft": {"kind": "kd"},
        "labels": {"kind": "task"},
    }))  # fmt: skip
    made["modalities"]["large"] = {**made["modalities"]["picture"], "size": 24}
    made["teacher"]["encoders"]["large"] = made["teacher"]["encoders"].pop("picture")
    for who in ("teacher", "distill"):
        made[who]["train"] |= {"modality_dropout": 0.5, "also_full_input": True}
    make_project(tmp_path)
    check_success(suffuse("run", write_recipe(tmp_path / "recipe.yaml", made), "--out", "run", cwd=tmp_path))
    facts = json.loads((tmp_path / "run" / "student" / "seed-1" / "training.json").read_text())
    assert all(facts["shares"][name] > 1e-4 for name in ("near", "far", "soft", "labels")), facts["shares"]
    assert facts["alerts"] == []
    store = json.loads((tmp_path / "run" / "knowledge" / "manifest.json").read_text())
    assert "large" in store["taps"] and "picture" not in store["taps"]
    said = check_success(suffuse("run", "run", "--set", "distill.losses.near.teacher_tap=fused", cwd=tmp_path))
    assert "extract   up to date" in said.err  # a store doesn't hang on what a loss reads of it

    made["distill"]["losses"]["near"].pop("teacher_tap")
    wrong = write_recipe(tmp_path / "wrong.yaml", made)
    check_failure(suffuse("check", wrong, cwd=tmp_path), 2, "distill.losses.near.tap", "add `teacher_tap: large`")


def test_a_loss_that_can_t_be_used_is_one_line(tmp_path: Path) -> None:
    losses = {"soft": {"kind": "kd"}, "near": {"kind": "gate_transfer"}}
    recipe = write_recipe(tmp_path / "recipe.yaml", make_recipe(distill=distil(False, **losses)))
    check_failure(suffuse("check", recipe, cwd=tmp_path), 2, "distill.losses.near", "learns no share", "modality_hints")

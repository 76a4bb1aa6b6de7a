"""Recordings of noise that a recipe names: from its folder, and what is stale where they change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from suffuse import pipeline
from suffuse.errors import UsageError
from suffuse.knowledge.fingerprint import expected, fingerprint
from suffuse.prepare.check.table_check import check
from suffuse.run import Run
from suffuse.stages import STAGES
from suffuse.types import Head, Spec

KEY = "content of modalities.sound.augment.noise.files"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of two recordings' rows beside a folder with noise."""
    (tmp_path / "noise").mkdir()
    random = np.random.default_rng(0)
    for name in ("noise/a.wav", "noise/b.wav", "one.wav", "two.wav"):
        soundfile.write(tmp_path / name, random.normal(0, 0.1, 4000), 8000)
    rows = "".join(f"{n},{'one' if n % 2 else 'two'}.wav,word {n},{n % 2}\n" for n in range(40))
    (tmp_path / "rows.csv").write_text("id,clip,words,label\n" + rows)
    network = {"encoders": {"sound": {"kind": "conv1d", "widths": [4]}, "words": {"kind": "gru", "width": 4}}}
    noise = {"files": "noise", "snr": [0, 20]}
    plan = {
        "data": {"source": "rows.csv", "target": "label", "id": "id"},
        "modalities": {
            "sound": {"kind": "audio", "column": "clip", "rate": 8000, "augment": {"noise": noise}},
            "words": {"kind": "text", "column": "words"},
        },
        "teacher": {**network, "fusion": {"kind": "concat", "width": 4}},
        "student": {**network, "fusion": {"kind": "concat", "width": 4}},
        "distill": {"train": {"augment": True, "epochs": 1}},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(plan))
    return tmp_path / "recipe.yaml"


def opened(recipe: Path, *overrides: str) -> Run:
    return Run.open(recipe, overrides, folder=recipe.parent / "run")


def contents(run: Run, verb: str) -> dict[str, object]:
    """Of noise, of what decides a stage."""
    return {k: v for k, v in pipeline.inputs(run, STAGES[verb]).items() if k.startswith("content of") and "noise" in k}


def test_paths_start_from_the_recipe_s_folder(recipe, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    run = opened(recipe)
    assert run.recipe.modalities["sound"].references() == {"augment.noise.files": str(recipe.parent / "noise")}


def test_what_the_recordings_hold_decides_the_trainings_that_hear_them(recipe):
    run = opened(recipe)
    assert {verb: [*contents(run, verb)] for verb in STAGES if contents(run, verb)} == {"distill": [KEY]}
    before = contents(run, "distill")
    soundfile.write(recipe.parent / "noise" / "b.wav", np.random.default_rng(5).normal(0, 0.1, 4000), 8000)
    after = contents(run, "distill")
    assert before[KEY] != after[KEY] and all(after[KEY])  # type: ignore[arg-type]
    soundfile.write(recipe.parent / "noise" / "c.wav", np.random.default_rng(6).normal(0, 0.1, 4000), 8000)
    assert len(contents(run, "distill")[KEY]) == 3  # type: ignore[arg-type]


def test_a_teacher_that_hears_it_and_stored_views_of_it_are_decided_too(recipe):
    run = opened(recipe, "teacher.train.augment=true", "extract.views=2")
    assert [verb for verb in STAGES if contents(run, verb)] == ["teach", "extract", "distill"]
    assert not contents(opened(recipe, "distill.train.augment=false"), "distill")


def test_the_baseline_s_own_noise_counts(recipe):
    own = "distill.baseline.augment={sound: {noise: {files: [noise/a.wav]}}}"
    run = opened(recipe, own, "distill.train.augment=false")
    assert [*contents(run, "distill")] == ["content of distill.baseline.augment.sound.noise.files.0"]
    baseline = run.recipe.viewed_modalities(False)["sound"]
    assert baseline.references() == {"augment.noise.files.0": str(recipe.parent / "noise" / "a.wav")}
    assert run.recipe.distill.baseline is not None
    assert run.recipe.distill.baseline.augment == {"sound": {"noise": {"files": [str(recipe.parent / "noise/a.wav")]}}}
    plain = opened(recipe, "distill.baseline.augment={sound: {gain: 3}}")
    assert plain.recipe.distill.baseline is not None and plain.recipe.distill.baseline.augment == {"sound": {"gain": 3}}


def test_a_store_of_views_knows_its_recordings(recipe):
    """Views of other noise are not used again, and a store of them is refused."""
    run = opened(recipe, "extract.views=2")
    spec = Spec((), (Head("label", "classes", ("0", "1")),), (0.0, 0.0))
    made = fingerprint(run, spec, ("sound",), "weights")
    assert made["views"] == expected(run, spec, made)["views"]
    soundfile.write(recipe.parent / "noise" / "a.wav", np.random.default_rng(5).normal(0, 0.1, 4000), 8000)
    assert made["views"] != expected(run, spec, made)["views"]
    for file in (recipe.parent / "noise").iterdir():
        file.unlink()
    (recipe.parent / "noise").rmdir()
    assert made["views"] == expected(run, spec, made)["views"]  # what is gone was used already
    assert "files" not in fingerprint(opened(recipe), spec, ("sound",), "weights")["views"]


def test_missing_noise_is_said_when_the_recipe_is_checked(recipe):
    check(opened(recipe))
    with pytest.raises(UsageError, match="no such noise") as raised:
        check(opened(recipe, "modalities.sound.augment.noise.files=gone"))
    assert raised.value.exit_code == 2 and str(raised.value.got).endswith("gone")

"""A run from raw rows to the report: artefacts, which stages are repeated after an edit, bit-identical results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from e2e_tools import Finished, Result, check_failure, check_success, hashes, scores, stamp, suffuse, suffuse_process
from safetensors.numpy import load_file

from suffuse.stages import STAGES

SLOW = ("prepare", "teach", "extract", "distill", "export")
VERBS = ("run", "check", "status", "init", "predict", *STAGES)


def edit(recipe: Path, key: str, value: object) -> None:
    """Change one key of a recipe file."""
    facts = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    *way, last = key.split(".")
    place = facts
    for step in way:
        place = place[step]
    place[last] = value
    recipe.write_text(yaml.safe_dump(facts, sort_keys=False), encoding="utf-8")


def modules(importtime: str) -> set[str]:
    """Names of the modules that ``python -X importtime`` told of."""
    lines = [line for line in importtime.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def test_help_lists_every_verb() -> None:
    for args in (("--help",), ()):
        said = check_success(suffuse(*args)).out
        assert all(f"  {verb} " in said for verb in VERBS)


def test_the_run_folder_holds_everything(finished: Finished) -> None:
    run = finished.run
    for name in ("recipe.yaml", "run.json", "report.html", "data/schema.json", "data/quarantine.csv"):
        assert (run / name).is_file(), name
    for name in ("teacher/model.safetensors", "knowledge/manifest.json", "export/model.onnx", "scores/student.json"):
        assert (run / name).is_file(), name
    for who in ("student", "baseline", "student-0.5", "baseline-0.5", "only-picture", "only-question"):
        seeds = sorted(p.parent.name for p in (run / who).glob("*/model.safetensors"))
        assert seeds == ["seed-1", "seed-2"], who
    assert not list((run / ".partial").iterdir())
    assert not (run / "previous").exists()
    assert not list(run.rglob("*.tmp"))


def test_table_on_stdout_talk_on_stderr(finished: Finished) -> None:
    out, err = finished.result.out, finished.result.err
    lines = out.splitlines()
    starts = ("Not ready: ", "WARNING: ", "rows: ", "with all labels, distillation ", "model ", "report: ", "student: ")
    places = [next(n for n, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert places[0] == 0 and places == sorted(places) and len(lines) <= 15
    for who in ("scikit-learn", "teacher", "student", "exported student"):
        assert any(line.startswith(who) for line in lines), who
    assert err.splitlines()[-1].startswith("next: suffuse ")
    assert "report.html" in out
    for verb in STAGES:
        assert f"{verb:<9} to do: not made yet" in err
        assert f"{verb:<9} done in " in err
        assert " done in " not in out


def test_run_json_says_with_what_it_was_made(finished: Finished) -> None:
    facts = json.loads((finished.run / "run.json").read_text(encoding="utf-8"))
    assert facts["seed"] == 0
    assert facts["python"].startswith("3.")
    assert {"torch", "numpy", "onnxruntime"} <= set(facts["packages"])
    assert facts["hardware"]["cores"] >= 1
    assert facts["hardware"]["processor"]
    assert "suffuse" in facts
    assert "commit" in facts


def test_second_call_does_nothing_and_loads_no_torch(plain: Finished, tmp_path: Path) -> None:
    project = Path(shutil.copytree(plain.project, tmp_path / "project"))
    run = project / "run"
    assert "everything is up to date" not in plain.result.err
    for _ in range(2):  # hashes of files that are this new are remembered by the second
        check_success(suffuse("run", "recipe.yaml", "--out", "run", cwd=project))
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file() and p.name != ".lock"}
    again = check_success(suffuse("run", "recipe.yaml", "--out", "run", cwd=project))
    assert "everything is up to date" in again.err
    assert again.out == plain.result.out.replace(str(plain.project), str(project))
    assert {p: p.stat().st_mtime_ns for p in before} == before
    for args in (("run", run), ("status", run), ("teach", run)):
        loaded = modules(check_success(suffuse_process(*args, flags=("-X", "importtime"))).err)
        assert "suffuse.pipeline" in loaded
        assert not {m for m in loaded if m.partition(".")[0] in ("torch", "pandas", "sklearn", "scipy", "onnxruntime")}


@pytest.mark.slow
@pytest.mark.long
def test_each_stage_alone_gives_the_same_bytes(plain: Finished, tmp_path: Path) -> None:
    check_each_stage(suffuse, plain, tmp_path / "again")


@pytest.mark.slow
@pytest.mark.long
def test_each_stage_in_a_process_of_its_own_gives_the_same_bytes(finished: Finished, tmp_path: Path) -> None:
    """Whatever the processes' hash seeds are."""
    check_each_stage(suffuse_process, finished, tmp_path / "again")


def check_each_stage(command: Callable[..., Result], finished: Finished, run: Path) -> None:
    """By the run's own resolved recipe, in another folder; whichever stage comes too early says what it lacks."""
    recipe = finished.run / "recipe.yaml"
    for verb, then in zip(STAGES, [*STAGES][1:], strict=False):
        early = check_failure(command(then, recipe, "--out", run), 1, f"{then} needs {verb}", "isn't made yet")
        assert early.hints == [f"hint: `suffuse {verb}` first, or `suffuse run`"]
        check_success(command(verb, recipe, "--out", run))
    check_success(command("report", recipe, "--out", run))
    assert hashes(run) == hashes(finished.run)
    assert scores(run) == scores(finished.run)
    for verb in SLOW:
        assert stamp(run, verb)["digest"] == stamp(finished.run, verb)["digest"]
    assert yaml.safe_load((run / "recipe.yaml").read_text()) == yaml.safe_load(recipe.read_text())
    assert "everything is up to date" in check_success(command("run", run)).err


@pytest.mark.slow
@pytest.mark.long
def test_an_edited_recipe_does_again_what_follows(plain: Finished, copied_plain: Path) -> None:
    edit(copied_plain / "recipe.yaml", "teacher.train.epochs", 3)
    edit(copied_plain / "recipe.yaml", "distill.label_fractions", [])
    status = check_success(suffuse("status", copied_plain)).out.splitlines()
    assert status[0].split(maxsplit=1) == ["prepare", "up to date"]
    assert status[1].split(maxsplit=1) == ["teach", "teacher.train.epochs: 2 -> 3"]
    assert status[2].split(maxsplit=1) == ["extract", "follows teach"]
    result = check_success(suffuse("run", copied_plain))
    assert f"{'prepare':<9} up to date" in result.err
    assert f"{'teach':<9} to do: teacher.train.epochs: 2 -> 3" in result.err
    assert "0.5 of the labels" not in result.out
    old = {p.name: p for p in (copied_plain / "previous").glob("*/*")}
    for name in ("teacher", "knowledge", "student", "baseline", "student-0.5", "export", "scores", "report.html"):
        assert name in old, name
        assert not name.endswith("-0.5") or not (copied_plain / name).exists()
    assert "data" not in old
    then, now = hashes(plain.run), hashes(copied_plain)
    kept = old["teacher"] / "model.safetensors"
    assert kept.read_bytes() == (plain.run / "teacher" / "model.safetensors").read_bytes()
    for name in ("teacher/model.safetensors", "knowledge/logits.npy", "student/seed-1/model.safetensors"):
        assert then[name] != now[name], name
    alone = "baseline/seed-1/model.safetensors"  # learns nothing from the teacher
    assert then[alone] == now[alone]


def test_more_resamples_evaluate_again_and_nothing_else(plain: Finished, copied_plain: Path) -> None:
    result = check_success(suffuse("run", copied_plain, "--set", "evaluate.resamples=200"))
    assert f"{'evaluate':<9} to do: evaluate.resamples: 100 -> 200" in result.err
    assert "made with --set evaluate.resamples=200; to repeat it: suffuse run " in result.err
    assert check_success(suffuse("status", copied_plain)).out.startswith(
        "run       made with --set evaluate.resamples=200\n"
    )
    assert result.err.count(" done in ") == 2
    for verb in SLOW:
        assert stamp(copied_plain, verb) == stamp(plain.run, verb)
    assert len(json.loads((copied_plain / "test_evaluations.json").read_text())) == 2


def test_distill_needs_no_teacher(finished: Finished, copied: Path) -> None:
    (copied / "teacher" / "model.safetensors").rename(copied / "elsewhere")
    check_success(suffuse("distill", copied, "--set", "distill.train.epochs=3"))
    assert hashes(copied, ["distill"]).keys() == hashes(finished.run, ["distill"]).keys()
    assert hashes(copied, ["distill"]) != hashes(finished.run, ["distill"])
    lost = check_failure(suffuse("export", copied), 1, "teacher")
    assert "model.safetensors" in lost.errors[0]


@pytest.mark.slow
@pytest.mark.long
def test_a_student_of_fewer_modalities_learns_from_what_is_there(plain: Finished, copied_plain: Path) -> None:
    """The same rows, teacher and store; what is exported asks for the question alone."""
    less = ("--set", "student.modalities=[question]", "--set", "distill.label_fractions=[]")
    said = check_success(suffuse("run", copied_plain, *less))
    assert all(f"{verb:<9} up to date" in said.err for verb in ("prepare", "teach", "extract"))
    assert hashes(copied_plain, ["teach", "extract"]) == hashes(plain.run, ["teach", "extract"])
    signature = json.loads((copied_plain / "export" / "signature.json").read_text())
    assert "question" in json.dumps(signature["inputs"]) and "picture" not in json.dumps(signature["inputs"])
    found = {who: json.loads((copied_plain / "scores" / f"{who}.json").read_text()) for who in ("student", "teacher")}
    assert found["student"]["parameters"] < found["teacher"]["parameters"]
    refused = check_failure(
        suffuse("distill", copied_plain, "--set", "student.modalities=[sound]"), 2, "sound", "question"
    )
    assert "student" in refused.errors[0]


def test_a_student_for_any_subset_is_chosen_by_the_mean_over_them(copied: Path) -> None:
    check_success(
        suffuse(
            "distill",
            copied,
            "--set",
            "distill.train.modality_dropout=complementary_subsets",
            "--set",
            "distill.num_seeds=1",
        )
    )
    for who in ("student", "baseline"):
        kept = json.loads((copied / who / "seed-1" / "training.json").read_text())
        lines = (copied / who / "seed-1" / "metrics.jsonl").read_text().splitlines()
        means = [json.loads(line)["validation"]["subsets"] for line in lines]
        assert kept["validation"]["subsets"] == max(means) == means[kept["best_epoch"] - 1]
    refused = check_failure(
        suffuse("distill", copied, "--set", "distill.train={modality_dropout: complementary_subsets, mixup: 0.2}"),
        2,
        "mixup",
    )
    assert "distill.train.modality_dropout" in refused.errors[0]


def test_more_seeds_train_only_those(finished: Finished, copied: Path) -> None:
    """A verdict says how many seeds would settle it: what was trained stays, to the bit, and the old files too."""
    before = hashes(copied, ["distill"])
    old = (copied / "student" / "seed-1" / "training.json").stat()
    more = (
        "--set",
        "distill.num_seeds=3",
        "--set",
        "distill.unimodal_baselines=false",
        "--set",
        "distill.label_fractions=[]",
    )
    said = check_success(suffuse("distill", copied, *more))
    assert "4 trainings are as they were" in said.err and "6 trainings" in said.err
    after = hashes(copied, ["distill"])
    kept = {f for f in before if f.startswith(("student/", "baseline/"))}
    assert kept < set(after) and all(after[f] == before[f] for f in kept)
    assert {f.split("/")[0] for f in after} == {"student", "baseline", "judged.json", "convergence.json"}
    (moved,) = (copied / "previous").glob("*/student")
    assert (moved / "seed-1" / "training.json").stat().st_mtime == old.st_mtime
    assert {f"student/seed-3/{f}" for f in ("model.safetensors", "training.json")} <= set(after)

    anew = check_success(suffuse("distill", copied, *more, "--set", "distill.train.epochs=3"))
    assert "as they were" not in anew.err
    assert hashes(copied, ["distill"])["student/seed-1/model.safetensors"] != before["student/seed-1/model.safetensors"]


def test_views_of_labels_alone_leave_the_student_as_it_is(finished: Finished, copied: Path) -> None:
    own = ("--set", "distill.baseline={augment: {picture: {shift: 0.3}}}")
    check_success(
        suffuse(
            "distill", copied, *own, "--set", "distill.unimodal_baselines=false", "--set", "distill.label_fractions=[]"
        )
    )
    before, after = (hashes(run, ["distill"]) for run in (finished.run, copied))
    for seed in ("seed-1", "seed-2"):
        same = {who: after[f"{who}/{seed}/model.safetensors"] == before[f"{who}/{seed}/model.safetensors"]
                for who in ("student", "baseline")}  # fmt: skip
        assert same == {"student": True, "baseline": False}
    wrong = ("--set", "distill.baseline={augment: {picture: {shft: 0.3}}}")
    refused = check_failure(suffuse("distill", copied, *wrong), 2, "shft")
    assert "distill.baseline.augment.picture.shft" in refused.errors[0]


def test_a_training_whose_files_were_changed_is_done_again(finished: Finished, copied: Path) -> None:
    before = hashes(copied, ["distill"])
    weights = copied / "student" / "seed-1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    said = check_success(
        suffuse("distill", copied, "--set", "distill.unimodal_baselines=false", "--set", "distill.label_fractions=[]")
    )
    assert "3 trainings are as they were" in said.err
    after = hashes(copied, ["distill"])
    assert all(after[f] == before[f] for f in after if f.endswith("model.safetensors"))


def test_the_export_holds_no_teacher(finished: Finished) -> None:
    export, signature = finished.run / "export", json.loads((finished.run / "export" / "signature.json").read_text())
    parity = json.loads((export / "parity.json").read_text())
    student = finished.run / parity["source"]
    assert sorted(p.name for p in export.iterdir()) == [
        "README.md",
        "model.onnx",
        "parity.json",
        "question.tokenizer.json",
        "signature.json",
    ]
    assert signature["parameters"] == json.loads((student / "training.json").read_text())["parameters"]
    content = (export / "model.onnx").read_bytes()
    for name, tensor in load_file(finished.run / "teacher" / "model.safetensors").items():
        if tensor.dtype == np.float32 and tensor.size >= 16:
            assert tensor.tobytes() not in content, name
    held = sum(int(np.prod(i.dims)) for i in onnx.load_from_string(content).graph.initializer)
    theirs = json.loads((finished.run / "teacher" / "training.json").read_text())["parameters"]
    assert held < 1.5 * signature["parameters"] < theirs


def test_no_test_row_is_in_the_knowledge(finished: Finished) -> None:
    data = finished.run / "data"
    keys, split = np.load(data / "key.npy"), np.load(data / "split.npy")
    known = np.load(finished.run / "knowledge" / "key.npy")
    assert (split == 2).sum() > 5
    assert not np.isin(keys[split == 2], known).any()
    assert sorted(known) == sorted(keys[split != 2])
    groups = np.load(data / "group.npy")
    assert not np.isin(groups[split == 2], groups[split != 2]).any()

"""The knowledge store as users meet it: made by one process or several, looked at, verified, exported, made anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from e2e_tools import (
    HEADER,
    check_failure,
    check_success,
    environment,
    hashes,
    make_recipe,
    make_rows,
    suffuse,
    undo,
    write_csv,
    write_recipe,
)

from suffuse.checked_json import write_checked

AUGMENT = {"modalities__picture__augment": {"shift": 0.2, "brightness": 0.2}}
VIEWED = {
    **AUGMENT,
    "extract": {"subsets": "all", "views": 2},
    "distill": {
        "train": {"epochs": 2, "batch": 16, "augment": True, "modality_dropout": "uniform"},
        "num_seeds": 1,
        "unimodal_baselines": False,
        "teacher_input": "masked",
    },
}


def project(folder: Path, rows: list[dict[str, str]], **changes: Any) -> Path:
    """A table of these rows and its recipe."""
    write_csv(folder / "rows.csv", rows)
    return write_recipe(folder / "recipe.yaml", make_recipe(**changes))


def rows_of(folder: Path, unlabelled: int = 0, pictures: int = 40) -> list[dict[str, str]]:
    """Rows with pictures; of every third picture's rows the label is taken away, as often as is said."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = make_rows(folder, pictures)
    for row in [r for r in rows if int(r["number"]) % 3 == 0][:unlabelled]:
        row["answer"] = ""
    return rows


@pytest.fixture(scope="module")
def viewed(build_once: Callable[..., Path]) -> Path:
    """A run with subsets, views and unlabelled rows, as far as distill."""

    def make(folder: Path) -> None:
        recipe = project(folder, rows_of(folder, unlabelled=20), **VIEWED)
        for verb in ("prepare", "teach", "extract", "distill"):
            check_success(suffuse(verb, recipe, "--out", folder / "run"))

    return build_once("viewed", VIEWED, make) / "run"


def manifest(run: Path) -> dict[str, Any]:
    return json.loads((run / "knowledge" / "manifest.json").read_text(encoding="utf-8"))


def test_unlabelled_rows_are_in_the_store_and_are_learned_from(viewed: Path) -> None:
    facts, data = manifest(viewed), viewed / "data"
    target, split, key = (np.load(data / f"{n}.npy") for n in ("target", "split", "key"))
    bare = (target == -1) & (split < 2)
    assert bare.sum() == facts["unlabelled"] > 5
    stored = np.load(viewed / "knowledge" / "key.npy")
    assert np.isin(key[bare], stored).all() and not np.isin(key[split == 2], stored).any()
    place = np.flatnonzero(np.isin(stored, key[bare]))
    assert (np.load(viewed / "knowledge" / "label.npy")[place] == -1).all()
    assert not np.isnan(np.load(viewed / "knowledge" / "logits.npy")[place]).any()


@pytest.mark.slow
def test_what_an_unlabelled_row_is_answered_moves_the_student(viewed: Path, tmp_path: Path) -> None:
    """The same run without those rows' answers' content ends with other weights: they are not left out."""
    folder = tmp_path / "project"
    rows = [r for r in rows_of(folder, unlabelled=20) if r["answer"]]
    recipe = project(folder, rows, **VIEWED)
    for verb in ("prepare", "teach", "extract", "distill"):
        check_success(suffuse(verb, recipe, "--out", folder / "run"))
    name = "student/seed-1/model.safetensors"
    assert (folder / "run" / name).read_bytes() != (viewed / name).read_bytes()
    assert manifest(folder / "run")["unlabelled"] == 0


def test_it_is_shown(viewed: Path) -> None:
    said = check_success(suffuse("knowledge", "show", viewed)).out
    for words in ("without a label", "picture + question; picture; question", "2 of every training row from seed 0",
                  "shift 0.2", "KL ", "abstentions", "weights of the teacher", "preprocessing (question)"):  # fmt: skip
        assert words in said, words
    assert all(len(line) < 200 for line in said.splitlines())
    assert json.loads(check_success(suffuse("knowledge", "show", viewed, "--json")).out) == manifest(viewed)


def test_it_is_verified(viewed: Path) -> None:
    assert "arrays are as they were written" in check_success(suffuse("knowledge", "verify", viewed)).out
    found = json.loads(check_success(suffuse("knowledge", "verify", viewed, "--json")).out)
    assert found["arrays"] == len(manifest(viewed)["arrays"]) and 0 <= found["worst"] <= 1


def test_it_is_exported(viewed: Path, copied: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.parquet"
    assert "answers in" in check_success(suffuse("knowledge", "export", viewed, "--out", out)).out
    table, facts = pq.read_table(out), manifest(viewed)
    assert len(table) == sum(b["rows"] for b in facts["blocks"])
    classes = facts["fingerprint"]["classes"]
    assert table.column_names == [
        "id",
        "split",
        "label",
        "subset",
        "view",
        "teacher",
        *(f"teacher: {c}" for c in classes),
    ]
    plain = [r for r in table.to_pylist() if r["view"] is None and r["subset"] == "picture+question"]
    rows = {r["id"]: r for r in pq.read_table(viewed / "data" / "rows.parquet").to_pylist()}
    assert {r["id"] for r in plain} == {i for i, r in rows.items() if r["split"] != "test"}
    logits, keys = (np.load(viewed / "knowledge" / f"{n}.npy") for n in ("logits", "key"))
    for row in plain:
        own = rows[row["id"]]
        z = logits[np.flatnonzero(keys == own["key"])[0]].astype(float)
        p = np.exp(z) / np.exp(z).sum()
        assert [row[f"teacher: {c}"] for c in classes] == pytest.approx(p.tolist(), abs=1e-5)
        assert row["teacher"] == classes[int(p.argmax())]
        assert (row["split"], row["label"]) == (own["split"], own["label"])
    missing = check_success(suffuse("knowledge", "export", copied)).out
    assert str(copied / "knowledge.parquet") in missing


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("look", "RUN"), 2, ["no such action", "show, verify or export"]),
        (("show", "nowhere"), 2, ["no such run"]),
        (("export", "RUN", "--out", "x.csv"), 2, [".parquet"]),
    ],
)
def test_wrong_use_is_one_line(viewed: Path, arguments: tuple[str, ...], code: int, words: list[str]) -> None:
    check_failure(suffuse("knowledge", *(str(viewed) if a == "RUN" else a for a in arguments)), code, *words)


@pytest.fixture
def copied(viewed: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(viewed, tmp_path / "run"))


def test_a_store_that_was_tampered_with_is_one_line(copied: Path) -> None:
    array = np.load(copied / "knowledge" / "logits.npy", mmap_mode="r+")
    array[5] += 1
    array.flush()
    for action in ("show", "verify", "export"):  # sizes and the manifest are as they were
        check_failure(
            suffuse("knowledge", action, copied), 1, "changed after it was written", "logits.npy", "--from extract"
        )
    (copied / "stamps" / "extract.json").unlink()  # a store alone is checked by its own manifest
    check_success(suffuse("knowledge", "show", copied))
    check_failure(suffuse("knowledge", "verify", copied), 1, "changed after it was written", "logits.npy")
    (copied / "knowledge" / "fused.npy").write_bytes(b"short")
    for action in ("show", "verify", "export"):
        check_failure(
            suffuse("knowledge", action, copied), 1, "can't open the knowledge store", "fused.npy has 5 bytes"
        )
    (copied / "knowledge" / "manifest.json").write_text("{}")
    check_failure(suffuse("knowledge", "show", copied), 1, "can't open the knowledge store")


def test_a_student_is_not_trained_from_a_store_of_another_teacher(copied: Path) -> None:
    stamp = copied / "stamps" / "teach.json"
    facts = json.loads(stamp.read_text())
    write_checked(stamp, {**facts, "digest": "0" * 32})
    extract = copied / "stamps" / "extract.json"
    made = json.loads(extract.read_text())
    made["inputs"]["stage teach"] = "0" * 32  # as if the stages had been told that all is well
    write_checked(extract, made)
    result = suffuse("distill", copied, "--set", "distill.train.epochs=3")
    check_failure(result, 1, "the knowledge store was made with other files of the teacher")


@pytest.mark.slow
@pytest.mark.long
def test_top_k_goes_all_the_way(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    distill = {**VIEWED["distill"], "teacher_input": "full", "train": {"epochs": 1, "batch": 16}}
    recipe = project(folder, rows_of(folder), extract={"top_k": 2}, distill=distill)
    check_success(suffuse("run", recipe, "--out", folder / "run"))
    facts = manifest(folder / "run")
    assert not (folder / "run" / "knowledge" / "logits.npy").exists()
    assert facts["encoding"]["top_k"] == 2 and facts["encoding"]["mean_kl"] > 1e-4
    assert facts["encoding"]["same_argmax"] == 1
    assert "top 2 and the sum of the others" in check_success(suffuse("knowledge", "show", folder / "run")).out
    check_success(suffuse("knowledge", "verify", folder / "run"))


@pytest.mark.slow
def test_rows_that_were_added_are_the_only_ones_that_are_asked(tmp_path: Path) -> None:
    """Unlabelled rows of the validation split leave the teacher as it was."""
    folder = tmp_path / "project"
    rows = rows_of(folder, pictures=30)
    split = [
        "test" if int(r["number"]) % 5 == 0 else "validation" if int(r["number"]) % 5 == 1 else "train" for r in rows
    ]
    header = (*HEADER, "part")
    table = [{**r, "part": s} for r, s in zip(rows, split, strict=True)]

    def write(some: list[dict[str, str]]) -> None:
        lines = [",".join(r[h] for h in header) for r in some]
        (folder / "rows.csv").write_text("\n".join([",".join(header), *lines]) + "\n", encoding="utf-8")

    recipe = write_recipe(folder / "recipe.yaml", make_recipe(data__split={"column": "part"}))
    write(table)
    for verb in ("prepare", "teach", "extract"):
        check_success(suffuse(verb, recipe, "--out", folder / "run"))
    first = manifest(folder / "run")
    held = [r for r in table if r["part"] == "validation"][:6]
    more = [{**r, "id": f"new-{r['id']}", "answer": "", "picture": ""} for r in held]
    write([*table, *more])
    for verb in ("prepare", "teach", "extract"):
        result = check_success(suffuse(verb, recipe, "--out", folder / "run"))
    facts = manifest(folder / "run")
    assert facts["fingerprint"]["teacher"] == first["fingerprint"]["teacher"]
    assert facts["rows"] > first["rows"]
    assert (facts["reused"], facts["answered"]) == (first["rows"], facts["rows"] - first["rows"])
    assert f"{first['rows']:,} from before" in result.err
    check_success(suffuse("knowledge", "verify", folder / "run"))


# several processes


def ranks(run: Path, count: int, **options: Any) -> list[subprocess.Popen[str]]:
    """``suffuse extract RUN`` as a launcher starts it."""
    command = [sys.executable, "-m", "suffuse", "extract", str(run)]
    made = []
    for rank in range(count):
        env = environment(RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank), **options)
        made.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return made


def small_parts(folder: Path, seconds: float) -> str:
    """A folder for PYTHONPATH that makes parts small and slow, so that there is something to share and to kill."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        f"""
import sys
from importlib.machinery import PathFinder

class Small:
    def find_spec(self, name, path=None, target=None):
        if name not in ("suffuse.knowledge.chunks", "suffuse.teachers.trained", "suffuse.pipeline"):
            return None
        spec = PathFinder.find_spec(name, path)
        original = spec.loader.exec_module

        def exec_module(module):
            original(module)
            if name == "suffuse.knowledge.chunks":
                module.PART = 8
            elif name == "suffuse.pipeline":
                module.PATIENCE = 2.0
            else:
                import time
                answer = module.Trained.answer

                def slow(self, question):
                    time.sleep({seconds})
                    return answer(self, question)

                module.Trained.answer = slow

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Small())
""",
        encoding="utf-8",
    )
    own = str(folder)
    return os.pathsep.join([own, os.environ["PYTHONPATH"]]) if os.environ.get("PYTHONPATH") else own


def end(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return err


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_make_the_store_of_one(copied: Path, tmp_path: Path) -> None:
    path = small_parts(tmp_path / "small", 0.05)
    undo(copied, "extract")
    end(ranks(copied, 1, PYTHONPATH=path)[0])
    one = hashes(copied, ["extract"])
    undo(copied, "extract")
    said = [end(p) for p in ranks(copied, 2, PYTHONPATH=path)]
    assert hashes(copied, ["extract"]) == one
    assert all("extract   done" in s for s in said)
    assert not list((copied / ".partial").iterdir())


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_is_killed_and_the_other_does_the_rest(copied: Path, tmp_path: Path, victim: int) -> None:
    """Also where it is the one that leads."""
    path = small_parts(tmp_path / "small", 0.1)
    undo(copied, "extract")
    both = ranks(copied, 2, PYTHONPATH=path)
    parts, limit = copied / ".partial" / "extract" / ".parts", time.monotonic() + 60
    while len(list(parts.glob("*/*"))) < 6 and time.monotonic() < limit:
        time.sleep(0.02)
    time.sleep(0.5)
    os.kill(both[victim].pid, signal.SIGKILL)
    both[victim].communicate()
    end(both[1 - victim])
    check_success(suffuse("knowledge", "verify", copied))
    assert not (copied / "previous").exists()


@pytest.mark.slow
@pytest.mark.long
def test_what_dead_processes_left_is_taken_up_at_the_next_start(copied: Path, tmp_path: Path) -> None:
    path = small_parts(tmp_path / "small", 0.1)
    undo(copied, "extract")
    both = ranks(copied, 2, PYTHONPATH=path)
    parts, limit = copied / ".partial" / "extract" / ".parts", time.monotonic() + 60
    while len(list(parts.glob("*/*"))) < 6 and time.monotonic() < limit:
        time.sleep(0.02)
    for process in both:
        process.kill()
        process.communicate()
    assert list((copied / ".partial" / "extract" / ".claims").glob("*.claim"))
    kept = {p: p.stat().st_mtime_ns for p in parts.glob("*/*.safetensors")}
    again = ranks(copied, 1, PYTHONPATH=path)[0]
    limit = time.monotonic() + 60
    while again.poll() is None and time.monotonic() < limit:
        for part, when in kept.items():
            try:
                assert part.stat().st_mtime_ns == when, "a part that was there is not written again"
            except FileNotFoundError:
                break
        time.sleep(0.05)
    assert "there already" in end(again)
    check_success(suffuse("knowledge", "verify", copied))

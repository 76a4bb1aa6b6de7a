"""Whatever is wrong with what it is given: one clear line, the right exit code, and nothing is lost."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e_tools import (
    Finished,
    check_failure,
    check_success,
    hashes,
    make_recipe,
    make_rows,
    start,
    suffuse,
    suffuse_process,
    undo,
    write_csv,
    write_recipe,
)

Project = Callable[..., Path]


def notes(run: Path) -> list[dict[str, str]]:
    """quarantine.csv."""
    with (run / "data" / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# the table


@pytest.mark.parametrize("verb", ["prepare", pytest.param("run", marks=[pytest.mark.slow, pytest.mark.long])])
def test_bad_rows_are_written_down_and_the_run_goes_on(tmp_path: Path, verb: str) -> None:
    """Every kind of bad row at once; row n of the table stands in line n + 2."""
    rows = make_rows(tmp_path)
    (tmp_path / "images" / "0.png").unlink()  # rows 0 and 1
    whole = (tmp_path / "images" / "1.png").read_bytes()
    (tmp_path / "images" / "1.png").write_bytes(whole[: len(whole) // 2])  # rows 2 and 3
    rows[5]["question"] = "  "
    rows[6]["id"] = rows[4]["id"]
    rows[7]["id"] = ""
    rows[8]["picture"] = rows[8]["question"] = ""
    rows[9]["answer"] = ""
    write_csv(tmp_path / "rows.csv", rows)
    with (tmp_path / "rows.csv").open("ab") as file:
        file.write(b"r96,images/2.png,too few\r\n")
        file.write(b"r97,images/2.png,what shape is the thing,circle,2,too many\r\n")
        file.write(b"r98,images/2.png,what sh\xe4pe is the thing,circle,2\r\n")
    recipe = make_recipe(data__encoding="utf-8", distill={"train": {"epochs": 1, "batch": 16}, "num_seeds": 1})
    write_recipe(tmp_path / "recipe.yaml", recipe)
    result = check_success(suffuse(verb, "recipe.yaml", "--out", "run", cwd=tmp_path))
    found = {(int(n["line"]), n["column"], n["action"]): n["reason"] for n in notes(tmp_path / "run")}
    assert found[2, "picture", "absent"] == found[3, "picture", "absent"] == "no such file"
    assert found[4, "picture", "absent"].startswith("broken picture")
    assert found[7, "question", "absent"] == "empty text"
    assert found[8, "id", "quarantined"] == "duplicate id: stands in line 6 too"
    assert found[9, "id", "quarantined"] == "no id"
    assert found[10, "", "quarantined"] == "nothing is present in this row"
    assert found[11, "answer", "unlabelled"] == "no label"
    assert found[98, "", "quarantined"] == "broken row: got 3 cells, expected 5"
    assert found[99, "", "quarantined"] == "broken row: got 6 cells, expected 5"
    assert found[100, "", "quarantined"] == "broken row: not UTF-8: byte 0xe4"
    counted = {action: sum(a == action for _, _, a in found) for _, _, action in found}
    assert len(found) == len(notes(tmp_path / "run"))
    for action, number in counted.items():
        assert f"{number} {action} (" in result.err
    schema = json.loads((tmp_path / "run" / "data" / "schema.json").read_text())
    assert sum(schema["rows"].values()) == len(rows) + 3 - counted["quarantined"]


def test_no_source(project: Project) -> None:
    recipe = project(data__source="rows.cvs")
    failed = check_failure(suffuse("run", recipe, cwd=recipe.parent), 2, "no such source", "rows.cvs")
    assert "data.source" in failed.errors[0]


def test_a_table_in_place_of_a_recipe(project: Project) -> None:
    recipe = project()
    for verb in ("run", "check", "status", "prepare"):
        failed = check_failure(suffuse(verb, "rows.csv", cwd=recipe.parent), 2, "this is a table, and no recipe")
        assert "suffuse init rows.csv --target COLUMN" in failed.hints[0]


def test_a_column_that_is_not_there(project: Project) -> None:
    recipe = project(data__target="anwser")
    check_failure(
        suffuse("run", recipe, cwd=recipe.parent), 2, "no such column", "data.target", "did you mean 'answer'?"
    )
    recipe = project(modalities__picture__column="pictures")
    check_failure(suffuse("run", recipe, cwd=recipe.parent), 2, "modalities.picture.column", "did you mean 'picture'?")


def test_a_single_class(tmp_path: Path) -> None:
    rows = [{**row, "answer": "yes"} for row in make_rows(tmp_path, pictures=12)]
    write_csv(tmp_path / "rows.csv", rows)
    write_recipe(tmp_path / "recipe.yaml", make_recipe())
    check_failure(suffuse("run", "recipe.yaml", cwd=tmp_path), 1, "nothing to learn", "only 'yes'", "two classes")
    check_failure(suffuse("init", "rows.csv", "--target", "answer", "-o", "x.yaml", cwd=tmp_path), 2, "only 'yes'")


def test_all_pictures_are_elsewhere(tmp_path: Path) -> None:
    rows = [{**row, "question": ""} for row in make_rows(tmp_path, pictures=12)]
    shutil.rmtree(tmp_path / "images")
    write_csv(tmp_path / "rows.csv", rows)
    write_recipe(tmp_path / "recipe.yaml", make_recipe())
    check_failure(suffuse("run", "recipe.yaml", cwd=tmp_path), 1, "no row can be used", "no such file", "data.root")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("the table is empty",)),
        (b"id,picture,question,answer,number\n", ("the table has no rows",)),
        (b"id,picture,question,answer,answer\n1,2,3,4,5\n", ("two columns have the same name", "'answer' twice")),
        (b"id,picture,question,answer,numb\xe9\n1,2,3,4,5\n", ("not UTF-8", "rows.csv:1", "0xe9")),
        (
            b"id,picture,question,answer,number\n1,2,caf\xe9,4,5\n",
            ("the table has no rows", "first in line 2", "0xe9"),
        ),
    ],
)
def test_a_broken_table(project: Project, content: bytes, words: tuple[str, ...]) -> None:
    recipe = project(data__encoding="utf-8")
    (recipe.parent / "rows.csv").write_bytes(content)
    result = suffuse("run", recipe, cwd=recipe.parent)
    check_failure(result, result.code, *words)
    assert result.code in (1, 2)


# the recipe


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("techer", ("unknown key", "'techer'", "did you mean 'teacher'?")),
        ("data__taget", ("unknown key", "data.taget", "did you mean 'target'?")),
        ("teacher__train__epoch", ("teacher.train.epoch", "did you mean 'epochs'?")),
        ("modalities__picture__sise", ("modalities.picture.sise", "did you mean 'size'?")),
        ("student__encoders__picture__width", ("student.encoders.picture.width", "did you mean 'widths'?")),
    ],
)
def test_a_misspelt_key(project: Project, key: str, words: tuple[str, ...]) -> None:
    recipe = project(**{key: 3})
    failed = check_failure(suffuse("run", recipe, cwd=recipe.parent), 2, *words)
    assert "recipe.yaml" in failed.errors[0]
    assert not (recipe.parent / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher__train__epochs": 0}, ("teacher.train.epochs", "got 0")),
        ({"teacher__train__epochs": "many"}, ("teacher.train.epochs", "'many'")),
        ({"modalities__picture__kind": "imgae"}, ("modalities.picture", "did you mean 'image'?")),
        ({"modalities__picture__size": 4}, ("modalities.picture.size", "got 4")),
        ({"data__target": None}, ("data.target", "missing")),
        ({"student__encoders": {}}, ("student", "picture, question")),
    ],
)
def test_a_value_that_can_not_be(project: Project, changes: dict, words: tuple[str, ...]) -> None:
    recipe = project(**changes)
    check_failure(suffuse("run", recipe, cwd=recipe.parent), 2, "recipe.yaml", *words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("version: 1\ndata: {source: [\n", ("not YAML", "recipe.yaml:")),
        ("a: b: c\n", ("not YAML", "recipe.yaml:1")),
        ("", ("no recipe", "got nothing")),
        ("- 1\n", ("no recipe", "got a list")),
        ("\x00\x01", ("not YAML",)),
    ],
)
def test_a_recipe_that_is_none(tmp_path: Path, content: str, words: tuple[str, ...]) -> None:
    (tmp_path / "recipe.yaml").write_text(content, encoding="utf-8")
    check_failure(suffuse("run", "recipe.yaml", cwd=tmp_path), 2, *words)


def test_no_recipe(tmp_path: Path) -> None:
    check_failure(suffuse("run", "nothing.yaml", cwd=tmp_path), 2, "no such recipe", "nothing.yaml", "suffuse init")
    check_failure(suffuse("run", tmp_path, cwd=tmp_path), 2, "no such recipe")


def test_an_override_that_is_none(project: Project) -> None:
    recipe = project()
    check_failure(suffuse("run", recipe, "--set", "teacher.train.epochs"), 2, "--set", "a.b=value")
    check_failure(suffuse("run", recipe, "--set", "teacher.train.epoch=3"), 2, "did you mean 'epochs'?")
    check_failure(suffuse("run", recipe, "--set", "version.x=3"), 2, "--set", "version")


def test_a_student_that_is_not_smaller(finished: Finished, copied: Path) -> None:
    failed = check_failure(
        suffuse("distill", copied, "--set", "student.hidden=900"), 1, "isn't smaller than its teacher"
    )
    assert "expected fewer than" in failed.errors[0]
    assert hashes(copied, ["prepare", "teach", "extract"]) == hashes(finished.run, ["prepare", "teach", "extract"])


# the command line


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("trian", "recipe.yaml"), ("trian",)),
        (("run", "recipe.yaml", "--sett", "a=1"), ("--sett",)),
        (("run",), ("RECIPE",)),
        (("init",), ("rows",)),
        (("predict", "x"), ("rows",)),
    ],
)
def test_bad_usage(args: tuple[str, ...], words: tuple[str, ...], tmp_path: Path) -> None:
    assert check_failure(suffuse(*args, cwd=tmp_path), 2, *words).hints


# the exported student


def test_predict_from_what_is_no_export(finished: Finished, tmp_path: Path) -> None:
    rows = finished.project / "rows.csv"
    check_failure(suffuse("predict", tmp_path, rows, "-o", tmp_path / "x.csv"), 1, "no export", "suffuse export")
    check_failure(suffuse("predict", tmp_path / "nowhere", rows, "-o", tmp_path / "x.csv"), 1, "no export")
    check_failure(suffuse("predict", finished.run, rows, "-o", tmp_path / "x.xlsx"), 2, ".xlsx", ".parquet")
    check_failure(suffuse("predict", finished.run, tmp_path / "no.csv", "-o", tmp_path / "x.csv"), 2, "no such source")
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize("name", ["model.onnx", "question.tokenizer.json", "signature.json"])
@pytest.mark.parametrize("how", ["changed", "cut", "lost"])
def test_a_tampered_export(name: str, how: str, finished: Finished, tmp_path: Path) -> None:
    export = Path(shutil.copytree(finished.run / "export", tmp_path / "export"))
    content = (export / name).read_bytes()
    if how == "lost":
        (export / name).unlink()
    else:
        middle = len(content) // 2
        changed = content[:middle] + b"\xff" + content[middle + 1 :]
        (export / name).write_bytes(changed if how == "changed" else content[:middle])
    failed = check_failure(
        suffuse("predict", export, finished.project / "rows.csv", "-o", tmp_path / "x.csv"), 1, "export"
    )
    assert not (tmp_path / "x.csv").exists()
    assert str(export) in failed.errors[0]


# the run folder


def test_a_folder_that_can_not_be(project: Project) -> None:
    recipe = project()
    check_failure(suffuse("run", recipe, "--out", recipe.parent / "rows.csv" / "run"), 1, "rows.csv")
    check_failure(suffuse("run", recipe, "--out", recipe.parent / "rows.csv"), 1, "rows.csv")
    assert (recipe.parent / "rows.csv").stat().st_size > 1000


def test_a_second_process_on_the_same_run(project: Project) -> None:
    recipe = project()
    first = start("run", recipe, "--out", "run", cwd=recipe.parent)
    try:
        while not (recipe.parent / "run" / ".partial" / "teach").exists():
            assert first.poll() is None
        check_failure(
            suffuse("run", recipe, "--out", "run", cwd=recipe.parent), 1, "another process works on this run", "--out"
        )
        assert first.poll() is None
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_a_changed_artefact_is_made_again_on_request(copied_plain: Path) -> None:
    (copied_plain / "report.html").write_text("<p></p>")
    said = check_success(suffuse("status", copied_plain)).out.splitlines()
    assert said[-1].split(maxsplit=1) == ["report", "report.html was changed after it was written"]
    check_failure(suffuse("run", copied_plain), 1, "report.html", "--from report")
    assert (copied_plain / "report.html").read_text() == "<p></p>"
    check_success(suffuse("run", copied_plain, "--from", "report"))
    assert (copied_plain / "report.html").stat().st_size > 1000
    assert [file.read_text() for file in (copied_plain / "previous").rglob("report.html")] == ["<p></p>"]


def limit_files() -> None:
    """In the child: no file of more than 100 kB, which is how a full disk looks without one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_file_that_can_not_grow(project: Project) -> None:
    recipe = project(modalities__picture__size=64)
    limited = suffuse_process("prepare", recipe, "--out", "run", cwd=recipe.parent, preexec_fn=limit_files)
    check_failure(limited, 1, "File too large", "items.npy", "make room")
    check_success(suffuse("prepare", recipe, "--out", "run", cwd=recipe.parent))


def mount(folder: Path, options: str) -> None:
    """A file system of its own, in memory. Skips the test where that isn't permitted."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"can't mount a file system here: {made.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty place for a mount, which is taken away afterwards."""
    if shutil.which("mount") is None:
        pytest.skip("no mount command here")
    place = tmp_path / "disk"
    place.mkdir()
    yield place
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def test_a_disk_that_can_only_be_read(disk: Path, project: Project) -> None:
    recipe = project()
    mount(disk, "ro")
    check_failure(suffuse("run", recipe, "--out", disk / "run"), 1, "Read-only file system", str(disk))


def test_a_full_disk_while_preparing(disk: Path, project: Project) -> None:
    recipe = project(modalities__picture__size=64)
    mount(disk, "size=256k")
    check_failure(
        suffuse_process("prepare", recipe, "--out", disk / "run"), 1, "No space left", "items.npy", "make room"
    )
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    check_success(suffuse("prepare", recipe, "--out", disk / "run"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("stage", "rooms"), [("extract", (8, 40, 72)), ("distill", (40,))])
def test_a_full_disk_is_never_a_signal(stage: str, rooms: tuple[int, ...], disk: Path, finished: Finished) -> None:
    """At whichever write the disk is full, mapped memory among them: one line; with more room it goes on."""
    mount(disk, "size=16m")
    run = Path(shutil.copytree(finished.run, disk / "run"))
    undo(run, stage)
    before, full = hashes(run, ["prepare", "teach"]), 0
    for free in rooms:
        used = sum(f.stat().st_blocks for f in disk.rglob("*")) // 2
        subprocess.run(["mount", "-o", f"remount,size={used + free}k", str(disk)], check=True)
        result = suffuse_process(stage, run)
        if result.code:
            full += 1
            check_failure(result, 1, "No space left", "make room")
    assert full >= min(2, len(rooms))
    subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
    check_success(suffuse_process(stage, run))
    assert hashes(run, ["prepare", "teach"]) == before
    assert hashes(run, [stage]) == hashes(finished.run, [stage])

"""Tables that are no file: pictures and recordings by class, ``hf://`` folders, and addresses that fetch downloads."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from e2e_tools import check_failure, check_success, draw, environment, start, suffuse, suffuse_process
from fetch_tools import Server, serving
from hub_tools import COMMIT, repository, serving_hub

from suffuse import Predictor, Run, fit, pipeline

TINY = {
    "teacher.portfolio": "null",
    "teacher.train.epochs": "3",
    "distill.train.epochs": "3",
    "export.int8": "off",
    "export.teacher": "false",
    "evaluate.probes": "[]",
    "evaluate.resamples": "100",
    "evaluate.classical_baselines": "false",
    "distill.unimodal_baselines": "false",
}
SETS = [argument for key, value in TINY.items() for argument in ("--set", f"{key}={value}")]
COLOURS = ("blue", "green", "red")


def photos(folder: Path, count: int = 24) -> Path:
    """Pictures of three classes, and two files among them that are none."""
    chance = random.Random(0)
    for colour in COLOURS:
        for number in range(count):
            draw(folder / colour / f"{number:02}.png", colour, "circle", 16, chance)
    (folder / "red" / "notes.txt").write_text("taken in spring", encoding="utf-8")
    (folder / "green" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    (folder / "README.md").write_text("photos of circles", encoding="utf-8")
    return folder


def clips(folder: Path, count: int = 12) -> Path:
    """Recordings of two pitches, by class."""
    for label, pitch in (("high", 0.6), ("low", 0.1)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            tone = 0.5 * np.sin(np.arange(1600) * pitch * (1 + number / 200))
            soundfile.write(folder / label / f"{number}.wav", tone, 8000)
    return folder


def cells(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def finished(build_once: Callable[..., Path]) -> Path:
    """A folder with ``photos``, and the run ``made`` of them."""

    def make(folder: Path) -> None:
        photos(folder / "photos")
        check_success(suffuse("run", "photos", "--preset", "fast", "-o", "made", *SETS, cwd=folder))

    return build_once("photos", TINY, make)


def test_init_takes_the_class_for_the_target(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    result = check_success(suffuse("init", "photos", "--json", cwd=tmp_path))
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert recipe["data"]["source"] == "photos"
    assert (recipe["data"]["target"], recipe["data"]["id"]) == ("label", "id")
    assert recipe["modalities"]["image"]["kind"] == "image"
    roles = {column["name"]: column["role"] for column in json.loads(result.out)["columns"]}
    assert roles == {"id": "id", "image": "image", "label": "target"} and not json.loads(result.out)["unused"]


def test_init_takes_given_splits(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        photos(tmp_path / "photos" / split, 6)
    check_success(suffuse("init", "photos", cwd=tmp_path))
    data = yaml.safe_load((tmp_path / "recipe.yaml").read_text())["data"]
    assert data["split"] == {"column": "split"} and data["target"] == "label"


def test_names_of_folders_are_classes_whatever_they_look_like(tmp_path: Path) -> None:
    chance = random.Random(0)
    for label in ("NA", "20", "35.5", "a;b"):
        for number in range(8):
            draw(tmp_path / "photos" / label / f"{number}.png", "red", "circle", 16, chance)
    check_success(suffuse("init", "photos", cwd=tmp_path))
    check_success(suffuse("prepare", "recipe.yaml", "--set", "data.duplicates=keep", "--out", "run", cwd=tmp_path))
    schema = json.loads((tmp_path / "run" / "data" / "schema.json").read_text())
    assert sorted(schema["classes"]) == ["20", "35.5", "NA", "a;b"] and sum(schema["labelled"].values()) == 32


def test_a_table_file_needs_a_target(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nsome words,a\nother words,b\n")
    check_failure(suffuse("init", "rows.csv", cwd=tmp_path), 2, "--target COLUMN", "text, label")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    check_failure(suffuse("check", "photos", cwd=tmp_path), 2, "this is a table", "suffuse run", "--target label")
    check_failure(suffuse("run", "hf://user/photos"), 2, "this is a table", "--target COLUMN")


def test_what_is_no_picture_is_quarantined_with_its_reason(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    check_success(suffuse("init", "photos", cwd=tmp_path))
    check_success(suffuse("prepare", "recipe.yaml", "--out", "made", cwd=tmp_path))
    notes = cells(tmp_path / "made" / "data" / "quarantine.csv")
    left_out = {row["id"]: row["reason"] for row in notes if row["action"] == "quarantined"}
    assert set(left_out) == {"red/notes.txt", "green/broken.png"}
    reasons = {row["id"]: row["reason"] for row in notes if row["column"] == "image"}
    assert "not a picture" in reasons["red/notes.txt"] and "not a picture" in reasons["green/broken.png"]
    schema = json.loads((tmp_path / "made" / "data" / "schema.json").read_text())
    assert sum(schema["rows"].values()) == 72 and schema["classes"] == list(COLOURS)


@pytest.mark.slow
@pytest.mark.long
def test_predict_reads_folders_with_and_without_classes(finished: Path, tmp_path: Path) -> None:
    chance = random.Random(1)
    for number, colour in enumerate(COLOURS * 3):
        draw(tmp_path / "new" / f"{number}.png", colour, "circle", 16, chance)
    check_success(suffuse("predict", finished / "made", "new", "-o", "flat.csv", cwd=tmp_path))
    found = cells(tmp_path / "flat.csv")
    assert [row["id"] for row in found] == [f"{number}.png" for number in range(9)]
    predictor = Predictor.load(finished / "made" / "export")
    alone = [predictor.predict({"image": f"{number}.png"}, tmp_path / "new") for number in range(9)]
    assert [row["label"] for row in found] == [answer.label for answer in alone]
    assert not any(row["absent"] for row in found)
    check_success(suffuse("predict", finished / "made", finished / "photos", "-o", "all.csv", cwd=tmp_path))
    by_id = {row["id"]: row for row in cells(tmp_path / "all.csv")}
    assert len(by_id) == 74 and "not a picture" in by_id["red/notes.txt"]["absent"]
    assert {"red/notes.txt", "green/broken.png"} == {name for name, row in by_id.items() if row["absent"]}


@pytest.mark.slow
@pytest.mark.long
def test_predict_reads_a_folder_through_the_library(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    chance = random.Random(2)
    for number, colour in enumerate(COLOURS):
        draw(tmp_path / "new" / colour / f"{number}.png", colour, "circle", 16, chance)
    for source, out in (("hf://new", "library.csv"), ("new", "folder.csv")):
        check_success(suffuse("predict", finished / "made", source, "-o", out, "--keep", "label", cwd=tmp_path))
    found, same = cells(tmp_path / "library.csv"), cells(tmp_path / "folder.csv")
    assert [row["table(label)"] for row in found] == list(COLOURS)
    assert [row["confidence"] for row in found] == [row["confidence"] for row in same]


@pytest.mark.slow
@pytest.mark.long  # quicker: the frame in test_fit.py, and a folder of recordings that is prepared, below
def test_fit_takes_a_folder(tmp_path: Path) -> None:
    model = fit(
        clips(tmp_path / "clips"), "label", folder=tmp_path / "run", preset="fast",
        settings={key: yaml.safe_load(value) for key, value in TINY.items()},
    )  # fmt: skip
    assert "audio" in model.run.recipe.modalities
    new = clips(tmp_path / "more", 3)
    assert {answer.label for answer in model.predict(new)} <= {"high", "low"}  # type: ignore[union-attr]
    assert set(model.evaluate(new)) == {"label"}
    assert "data:audio/wav;base64," in model.report().read_text(encoding="utf-8")


def test_a_renamed_class_makes_prepare_stale(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    check_success(suffuse("init", "photos", cwd=tmp_path))
    check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path))
    run = Run.open(tmp_path / "run")
    assert not pipeline.plan(run)["prepare"]
    (tmp_path / "photos" / "README.md").write_text("other words")  # no row
    assert not pipeline.plan(run)["prepare"]
    (tmp_path / "photos" / "red").rename(tmp_path / "photos" / "rose")  # the same files in the same order
    assert pipeline.plan(run)["prepare"] == ["the source's content has changed"]
    (tmp_path / "photos" / "rose").rename(tmp_path / "photos" / "red")
    assert not pipeline.plan(run)["prepare"]
    shutil.copy(tmp_path / "photos" / "red" / "00.png", tmp_path / "photos" / "red" / "01.png")
    assert pipeline.plan(run)["prepare"] == ["the source's content has changed"]


def test_recordings_by_class_are_prepared(tmp_path: Path) -> None:
    (clips(tmp_path / "clips") / "low" / "cover.txt").write_text("x")
    check_success(suffuse("init", "clips", cwd=tmp_path))
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text())["modalities"]["audio"]["kind"] == "audio"
    check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path))
    left_out = [row for row in cells(tmp_path / "run" / "data" / "quarantine.csv") if row["action"] == "quarantined"]
    assert [row["id"] for row in left_out] == ["low/cover.txt"]


def test_a_folder_of_the_library_is_prepared_and_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    shutil.rmtree(photos(tmp_path / "data" / "photos") / "red")
    (tmp_path / "data" / "photos" / "green" / "broken.png").unlink()
    (tmp_path / "recipes").mkdir()
    check_success(suffuse("init", "hf://data/photos", "--target", "label", "-o", "recipes/r.yaml", cwd=tmp_path))
    assert yaml.safe_load((tmp_path / "recipes" / "r.yaml").read_text())["data"]["source"] == "hf://../data/photos"
    check_success(suffuse("prepare", "recipes/r.yaml", "--out", "run", cwd=tmp_path))
    run = Run.open(tmp_path / "run")
    assert run.recipe.data.source == f"hf://{tmp_path / 'data' / 'photos'}" and not pipeline.plan(run)["prepare"]
    (tmp_path / "data" / "photos" / "green" / "00.png").unlink()
    assert pipeline.plan(run)["prepare"] == ["the source's content has changed"]
    check_success(suffuse("prepare", "recipes/r.yaml", "--out", "run", cwd=tmp_path))
    assert not pipeline.plan(run)["prepare"]


@pytest.mark.long
def test_a_name_on_a_hub(tmp_path: Path) -> None:
    repository(tmp_path / "reviews")
    with serving_hub(tmp_path / "reviews", "user/reviews") as (endpoint, asked):
        env = environment(HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path / "home"), HF_HUB_DISABLE_TELEMETRY="1")
        env.pop("HF_DATASETS_CACHE", None)
        source = "hf://user/reviews@main?config=en"
        check_success(suffuse_process("init", source, "--target", "y", cwd=tmp_path, env=env))
        data = yaml.safe_load((tmp_path / "recipe.yaml").read_text())["data"]
        assert data["source"] == f"hf://datasets/user/reviews@{COMMIT}?config=en"
        assert asked[0].startswith("/api/datasets/user/reviews/revision/main")
        assert all("/main" not in path for path in asked[1:]) and not any("/de/" in path for path in asked)
        asked.clear()
        options = ("--set", "data.duplicates=keep", "--out", "run")
        check_success(suffuse_process("prepare", "recipe.yaml", *options, cwd=tmp_path, env=env))
        assert "prepare   up to date" in suffuse_process("status", "recipe.yaml", *options, cwd=tmp_path, env=env).out
        assert not asked  # the commit was loaded before
    assert (tmp_path / "home" / "datasets" / "suffuse").is_dir()


# addresses


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def addresses(folder: Path, server: Server, count: int = 40) -> Path:
    """A table of addresses of pictures, the last of which leads nowhere; a shade is a class."""
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", "photo", "label"])
        out.writerows(
            [f"r{n}", server.address(f"picture/{6 * n}.png"), "bright" if n >= count // 2 else "dark"]
            for n in range(count)
        )
        out.writerow([f"r{count}", server.address("none/x.png"), "dark"])
    return folder / "rows.csv"


def test_fetch_then_init_then_prepare(tmp_path: Path, server: Server) -> None:
    addresses(tmp_path, server)
    result = check_success(suffuse("fetch", "rows.csv", "--allow-private", "--json", cwd=tmp_path))
    facts = json.loads(result.out)
    assert (facts["files"], facts["failed"], facts["reasons"]) == (40, 1, {"404 Not Found": 1})
    assert "WARNING: 1 addresses gave no file" in result.err and "rows-fetched/failed.csv lists" in result.err
    again = check_success(suffuse("fetch", "rows.csv", "--allow-private", cwd=tmp_path))
    assert again.err.splitlines()[-1] == "next: suffuse init rows-fetched.parquet --target COLUMN"
    assert max(server.requests.values()) == server.requests["/none/x.png"] == 2
    check_success(suffuse("init", "rows-fetched.parquet", "--target", "label", cwd=tmp_path))
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert list(recipe["modalities"]) == ["photo"]
    prepared = check_success(suffuse("prepare", "recipe.yaml", "--out", "run", cwd=tmp_path))
    assert "1 cell holds a web address: `suffuse fetch " in prepared.err
    left_out = [row for row in cells(tmp_path / "run" / "data" / "quarantine.csv") if row["column"] == "photo"]
    assert [(row["id"], row["reason"].split(":")[0]) for row in left_out] == [("r40", "a web address")]


def test_addresses_that_were_not_fetched_are_said_with_the_way_out(tmp_path: Path, server: Server) -> None:
    addresses(tmp_path, server)
    check_failure(
        suffuse("init", "rows.csv", "--target", "label", cwd=tmp_path), 2, "no column", "`suffuse fetch rows.csv`"
    )
    recipe: dict[str, Any] = {
        "data": {"source": "rows.csv", "target": "label", "id": "id"},
        "modalities": {"photo": {"kind": "image", "column": "photo", "size": 8}},
        "teacher": {"encoders": {"photo": {"kind": "hog"}}, "fusion": {"kind": "concat", "width": 8}},
        "student": {"encoders": {"photo": {"kind": "hog"}}, "fusion": {"kind": "concat", "width": 4}},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    check_failure(suffuse("prepare", "recipe.yaml", cwd=tmp_path), 1, "41 cells hold web addresses", "suffuse fetch")
    assert not server.requests


def test_fetch_opens_no_private_address_unasked(tmp_path: Path, server: Server) -> None:
    addresses(tmp_path, server)
    check_failure(suffuse("fetch", "rows.csv", cwd=tmp_path), 1, "no address gave a file", "--allow-private")
    assert not server.requests


def test_fetch_without_its_library(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses(tmp_path, server)
    monkeypatch.setitem(sys.modules, "urllib3", None)
    check_failure(suffuse("fetch", "rows.csv", cwd=tmp_path), 2, "urllib3 isn't installed", "suffuse[fetch]")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--image", "photo", "--audio", "photo"), ("a column has two roles",)),
        (("--image", "foto"), ("no such column", "did you mean 'photo'?")),
        (("-o", "rows.csv"), ("expected a .parquet file",)),
    ],
)
def test_fetch_that_is_asked_wrongly(
    tmp_path: Path, server: Server, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    addresses(tmp_path, server)
    check_failure(suffuse("fetch", "rows.csv", *options, cwd=tmp_path), 2, *words)


@pytest.mark.long
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_fetch_that_was_killed_goes_on(tmp_path: Path, server: Server, sent: signal.Signals) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        addresses(tmp_path / name, server)
    command = ("fetch", "rows.csv", "--allow-private", "--parallel", "2")
    check_success(suffuse_process(*command, cwd=tmp_path / "whole"))
    server.requests.clear()
    server.delay = 0.05
    process = start(*command, cwd=tmp_path / "killed")
    while sum(server.requests.values()) < 12:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, sent)
    process.communicate()
    asked = set(server.requests)
    server.delay = 0.0
    server.requests.clear()
    check_success(suffuse_process(*command, cwd=tmp_path / "killed"))
    assert len(set(server.requests) & asked) <= 4 + 1  # what was under way when it ended, and the address that failed
    files = [
        {str(f.relative_to(tmp_path / name)): f.read_bytes() for f in (tmp_path / name).rglob("*.p*") if f.is_file()}
        for name in ("whole", "killed")
    ]
    assert files[0] == files[1]

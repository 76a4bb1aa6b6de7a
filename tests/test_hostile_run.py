"""A run folder from anywhere: no name in it leads out of it, and nothing outside of it is written, moved or read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from suffuse import integrity, pipeline
from suffuse.checked_json import write_checked
from suffuse.errors import SuffuseError
from suffuse.files import file_facts, write_bytes, write_json
from suffuse.knowledge import builder, manifest
from suffuse.modalities.ragged import open_column
from suffuse.paths import inside, refuse_links
from suffuse.run import Run

REFUSED = ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "C:\\x", "C:x", "a\\b", "a\0b", 3, None]


@pytest.fixture
def run(tmp_path: Path, tiny_recipe) -> Run:
    return Run.of(tiny_recipe(tmp_path / "rows.csv"), tmp_path / "run")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file beside the run that nobody may touch."""
    (tmp_path / "bashrc").write_text("mine")
    return tmp_path / "bashrc"


@pytest.mark.parametrize("name", REFUSED, ids=repr)
def test_a_name_that_is_no_plain_relative_path_is_refused(tmp_path, name):
    with pytest.raises(SuffuseError, match="can't be used"):
        inside(tmp_path, name)


def test_plain_names_and_links_within_the_folder_are_taken(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to("deep")
    assert inside(tmp_path, "deep/a b.npy") == tmp_path / "deep" / "a b.npy"
    assert inside(tmp_path, "link/a") == tmp_path / "link" / "a"
    assert inside(tmp_path, "视.npy", plain=True).name == "视.npy"
    for name in ("deep/a", ".hidden"):
        with pytest.raises(SuffuseError, match="isn't a plain name"):
            inside(tmp_path, name, plain=True)
    refuse_links(tmp_path)


@pytest.mark.parametrize("target", ["../bashrc", "/etc", "loop"])
def test_a_link_that_leads_out_or_in_a_circle_is_refused(tmp_path, target):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "loop").symlink_to(target)
    with pytest.raises(SuffuseError, match="leads out"):
        inside(folder, "loop/x")
    with pytest.raises(SuffuseError, match="leads out"):
        refuse_links(folder)


@pytest.mark.parametrize(
    "names",
    [["../bashrc"], ["../../bashrc"], ["/tmp/x"], ["a/b"], [".hidden"], ["stamps"], ["recipe.yaml"], {"a": 1}, "x"],
    ids=str,
)
def test_a_complete_stage_moves_plain_names_alone(run, outside, names):
    partial = run.begin("teach", {"a": 1})
    write_bytes(run.folder / ".partial" / "bashrc", b"theirs")
    for name in ("a", "stamps"):
        write_bytes(partial / name / "b", b"x")
    write_json(partial / "COMPLETE", names)
    with pytest.raises(SuffuseError):
        run.commit("teach", 1.0)
    assert outside.read_text() == "mine" and run.stamp("teach") is None
    assert (run.folder / "recipe.yaml").exists() and not (run.folder / "previous").exists()


def test_a_link_in_a_complete_stage_is_refused(run, outside):
    partial = run.begin("teach", {"a": 1})
    (partial / "teacher").mkdir()
    (partial / "teacher" / "model.safetensors").symlink_to(outside)
    with pytest.raises(SuffuseError, match="leads out"):
        run.commit("teach", 1.0)


@pytest.mark.parametrize("name", ["../bashrc", "/etc/hostname", "a/../../bashrc"])
def test_a_stamp_s_files_lie_in_the_run(run, outside, name):
    facts = {"inputs": {}, "outputs": {name: file_facts(outside)}, "digest": "d"}
    write_checked(run.path("stamps", "teach.json"), facts)
    for call in (run.stamp, lambda verb: list(integrity.changes(run.folder, verb)), lambda _: pipeline.plan(run)):
        with pytest.raises(SuffuseError, match="can't be used"):
            call("teach")
    run.replace("teach")
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("outputs", [["a"], {"a": 1}, {"a": ["1", 2]}, None])
def test_a_stamp_of_another_form_is_named(run, outputs):
    write_checked(run.path("stamps", "teach.json"), {"inputs": {}, "outputs": outputs, "digest": "d"})
    with pytest.raises(SuffuseError, match=r"no stamp of a stage .*stamps/teach\.json"):
        run.stamp("teach")


@pytest.mark.parametrize("link", [".lock", ".partial", "previous", "stamps", "features", "data/deep/x"])
def test_a_run_with_a_link_out_of_it_is_not_worked_on(run, tmp_path, outside, link):
    """What is written below such a link would land elsewhere."""
    (tmp_path / "elsewhere" / "teach").mkdir(parents=True)
    place = run.folder / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside if link == ".lock" else tmp_path / "elsewhere")
    with pytest.raises((SuffuseError, OSError)) as caught, run.locked():
        pass
    assert link in str(caught.value)
    assert outside.read_text() == "mine" and (tmp_path / "elsewhere" / "teach").is_dir()


def test_a_half_written_file_is_not_written_through_a_link(tmp_path, outside):
    from suffuse.files import temporary_of

    temporary_of(tmp_path / "a.json").symlink_to(outside)
    write_json(tmp_path / "a.json", 1)
    assert outside.read_text() == "mine" and (tmp_path / "a.json").read_text() == "1\n"


@pytest.mark.parametrize("name", ["../bashrc", "/etc/passwd", "deep/x", ".x"])
def test_columns_of_the_data_lie_in_their_folder(tmp_path, name):
    np.save(tmp_path / "a.npy", np.zeros(3))
    for field in ({"file": name}, {"file": "a.npy", "bounds": name}):
        with pytest.raises(SuffuseError, match="can't be used"):
            open_column(tmp_path, field)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b"])
def test_arrays_of_a_store_lie_in_their_folder(tmp_path, name):
    manifest.write(tmp_path, {"format": manifest.FORMAT, "arrays": {name: {"bytes": 1, "shape": [1], "dtype": "i"}}})
    with pytest.raises(SuffuseError, match="can't be used"):
        manifest.read(tmp_path)
    with pytest.raises(SuffuseError, match="can't be used"):
        manifest.array_file(tmp_path, name)


def test_the_store_that_rows_are_copied_from_lies_in_the_run(run):
    with pytest.raises(SuffuseError, match="can't be used"):
        builder.previous_store(run, {"teacher": "w", "older": "../other/knowledge"})


def test_an_export_s_files_lie_beside_its_signature(tmp_path):
    from suffuse import export_integrity

    (tmp_path / "model.onnx").write_bytes(b"x")
    signature = {"version": 1, "forms": {"fp32": {"file": "../model.onnx"}}}
    export_integrity.seal(tmp_path, signature)
    facts = json.loads((tmp_path / "signature.json").read_text())
    facts["files"]["../model.onnx"], facts["bytes"]["../model.onnx"] = facts["files"].pop("model.onnx"), 1
    del facts["bytes"]["model.onnx"]
    write_json(tmp_path / "signature.json", {**facts, "digest": export_integrity.digest(facts)})
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(SuffuseError, match="not a file name"):
        export_integrity.read(tmp_path)

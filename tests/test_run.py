"""The run folder: killed anywhere, called again, nothing is lost and nothing is half."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suffuse.errors import SuffuseError
from suffuse.files import file_facts, read_json, write_bytes, write_json
from suffuse.recipe import make_recipe
from suffuse.run import Run, flat


@pytest.fixture
def run(tmp_path, tiny_recipe) -> Run:
    return Run.of(tiny_recipe(tmp_path / "rows.csv"), tmp_path / "run")


def make(run: Run, content: str, inputs: dict | None = None, stage: str = "teach") -> None:
    """A stage that writes a folder and a file."""
    partial = run.begin(stage, inputs or {"a": 1})
    write_json(partial / "teacher" / "deep" / "facts.json", content)
    write_bytes(partial / "notes.txt", content.encode())
    write_bytes(partial / ".work" / "scratch", b"not an artefact")
    run.commit(stage, 1.234)


def contents(run: Run) -> tuple[str, str]:
    return read_json(run.path("teacher", "deep", "facts.json")), run.path("notes.txt").read_text()


def previous(run: Run) -> dict[str, list[str]]:
    """Name -> what files of that name under previous/ hold."""
    found: dict[str, list[str]] = {}
    for file in sorted(run.path("previous").rglob("*")):
        if file.is_file():
            found.setdefault(file.name, []).append(file.read_text())
    return found


def test_a_stage_s_artefacts_move_into_place_and_are_stamped(run):
    make(run, "one")
    assert contents(run) == ("one", "one")
    stamp = run.stamp("teach")
    assert stamp["inputs"] == {"a": 1} and stamp["seconds"] == 1.23
    assert set(stamp["outputs"]) == {"notes.txt", "teacher/deep/facts.json"}
    for name, facts in stamp["outputs"].items():
        assert file_facts(run.path(name)) == facts
    assert not run.partial("teach").exists() and not run.path("previous").exists()
    assert make_recipe(__import__("yaml").safe_load(run.path("recipe.yaml").read_text())) == run.recipe


def test_the_digest_is_that_of_the_bytes(run):
    make(run, "one")
    first = run.stamp("teach")["digest"]
    make(run, "two", {"a": 2})
    second = run.stamp("teach")["digest"]
    make(run, "one", {"a": 3})
    assert first == run.stamp("teach")["digest"] != second


def test_what_is_replaced_is_kept(run):
    make(run, "one")
    run.begin("teach", {"a": 2})
    run.replace("teach")
    assert run.stamp("teach") is None and not run.path("teacher").exists()
    make(run, "two", {"a": 2})
    make(run, "three", {"a": 3})  # without replace: commit itself puts aside
    assert contents(run) == ("three", "three")
    kept = previous(run)
    assert sorted(kept["notes.txt"]) == ["one", "two"]
    assert sorted(kept["facts.json"]) == ['"one"\n', '"two"\n']


def test_nothing_put_aside_overwrites_anything(run, tmp_path):
    for number in range(5):  # within one second
        (tmp_path / "thing").write_text(str(number))
        run.put_aside(tmp_path / "thing", "thing")
    assert sorted(previous(run)["thing"]) == ["0", "1", "2", "3", "4"]


def test_a_killed_attempt_goes_on_where_inputs_are_the_same(run):
    write_bytes(run.begin("teach", {"a": 1}) / ".work" / "half", b"done so far")
    assert (run.begin("teach", {"a": 1}) / ".work" / "half").read_bytes() == b"done so far"
    assert not (run.begin("teach", {"a": 2}) / ".work").exists()
    assert previous(run)["half"] == ["done so far"]


def test_an_attempt_killed_before_it_noted_its_inputs_is_no_attempt(run):
    write_bytes(run.partial("teach") / "half", b"of what?")
    assert not (run.begin("teach", {"a": 1}) / "half").exists()


@pytest.mark.parametrize("nth", range(1, 9))
def test_killed_at_any_rename_of_a_commit_it_completes(run, killed_at_rename, nth):
    make(run, "old")
    partial = run.begin("teach", {"a": 2})
    write_json(partial / "teacher" / "deep" / "facts.json", "new")
    write_bytes(partial / "notes.txt", b"new")
    killed = killed_at_rename(nth, lambda: run.commit("teach", 1))
    assert killed == (nth <= 7)  # COMPLETE; two artefacts put aside and two moved in; hashes remembered; the stamp
    if killed:
        assert run.stamp("teach")["inputs"] == {"a": 1}  # not yet said to be done
        run.commit("teach", 1)
    assert contents(run) == ("new", "new")
    assert run.stamp("teach")["inputs"] == {"a": 2}
    assert set(run.stamp("teach")["outputs"]) == {"notes.txt", "teacher/deep/facts.json"}
    assert previous(run) == {"facts.json": ['"old"\n'], "notes.txt": ["old"]}


def test_what_a_kill_after_the_stamp_leaves_is_no_finished_attempt(run):
    """Killed while the emptied working folder was being deleted; later an artefact is lost and made again."""
    partial = run.begin("teach", {"a": 1})
    write_bytes(partial / "notes.txt", b"one")
    write_json(partial / "COMPLETE", ["notes.txt"])
    shutil.copytree(partial, run.path("copy"))
    run.commit("teach", 1)
    run.path("copy", "notes.txt").unlink()
    run.path("copy").rename(partial)
    run.path("notes.txt").unlink()
    assert not (run.begin("teach", {"a": 1}) / "COMPLETE").exists()


def test_files_that_a_killed_process_was_writing_are_no_artefacts(run):
    partial = run.begin("teach", {"a": 1})
    write_bytes(partial / "teacher" / "weights", b"1")
    (partial / "teacher" / ".weights.77.tmp").write_bytes(b"half")
    (partial / ".notes.txt.77.tmp").write_bytes(b"half")
    run.commit("teach", 1)
    assert set(run.stamp("teach")["outputs"]) == {"teacher/weights"}
    assert [p.name for p in run.path("teacher").iterdir()] == ["weights"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_bytes(tmp_path / "file", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="file"):  # and the message names it
        write_bytes(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("content", ["", "{", '{"a": 1', "\0"])
def test_json_that_was_cut_off_is_named(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(SuffuseError, match=r"a JSON file can't be read .*a\.json"):
        read_json(tmp_path / "a.json")
    assert read_json(tmp_path / "nowhere.json") is None
    assert read_json(tmp_path / "a.json" / "below.json") is None


def test_flat():
    assert flat({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}}, "x") == {"x.a.b": 1, "x.a.c.d": [1, 2], "x.e": {}}


HOLD = """
import sys, time
from pathlib import Path
from suffuse.run import Run
run = Run.open(Path(sys.argv[1]))
with run.locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_don_t_work_on_one_run(run):
    make(run, "one")
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(run.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(SuffuseError, match="another process works on this run") as caught, run.locked():
            pass
        assert str(run.folder) in caught.value.line() and caught.value.hint
    finally:
        other.kill()
        other.wait()
        other.stdout.close()  # type: ignore[union-attr]
    with run.locked():  # its lock went with it
        pass


def test_paths_start_from_the_recipe_s_folder(tmp_path, tiny_recipe, monkeypatch):
    recipe = tiny_recipe(Path("data/rows.csv"))
    recipe["data"]["root"] = "pictures"
    (tmp_path / "place").mkdir()
    file = tmp_path / "place" / "mine.yaml"
    file.write_text(json.dumps(recipe))
    monkeypatch.chdir(tmp_path)
    run = Run.open("place/mine.yaml")
    assert run.folder == tmp_path / "runs" / "mine"
    assert run.recipe.data.source == str(tmp_path / "place" / "data" / "rows.csv")
    assert run.recipe.data.root == str(tmp_path / "place" / "pictures")
    run.begin("prepare", {})
    monkeypatch.chdir("/")
    again = Run.open(run.folder)
    assert again == run
    assert Run.open(file, ("seed=5",), tmp_path / "else").recipe.seed == 5
    recipe["data"]["source"] = "easy-vqa"  # a known set's name stays a name
    assert Run.of(recipe, tmp_path / "x", tmp_path).recipe.data.source == "easy-vqa"

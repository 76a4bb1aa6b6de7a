"""The artefacts of a run, read once and only where a check needs them, and the checksums of all its files."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from ..checked_json import read_checked
from ..data.columns import Columns
from ..errors import SuffuseError
from ..files import file_facts, read_array, read_json
from ..integrity import CHANGED, changes, finished, read_stamp
from ..knowledge import manifest
from ..knowledge.teacher_logits import stored_logits
from ..paths import leads_inside
from ..report import scores_table
from ..run import Run, edited

CHECKED = ("run.json", "tuning.json", "tuned.json", "export-times.json", "stamps/*.json", "tuning/**/*.json",
           "features/*/*.json")  # fmt: skip


class Absent(Exception):
    """An artefact that a check needs is missing: its stage wasn't run."""


class Evidence:
    """The artefacts of a run; a missing one raises Absent. ``run_code``: whether a check may run code that the recipe
    names."""

    def __init__(self, run: Run, run_code: bool = False):
        self.run, self.run_code = run, run_code

    def need(self, *names: str) -> Path:
        """A path of the run that must exist."""
        path = self.run.path(*names)
        if not path.exists():
            raise Absent("/".join(names))
        return path

    @cached_property
    def columns(self) -> Columns:
        """The prepared data."""
        return Columns.open(self.need("data", "schema.json").parent)

    @cached_property
    def manifest(self) -> dict:
        """The store's facts."""
        return manifest.read(self.need("knowledge", "manifest.json").parent)

    @cached_property
    def keys(self) -> np.ndarray:
        """(K,) uint64, the store's rows."""
        self.manifest  # noqa: B018 - it exists and is intact
        return read_array(self.run.path("knowledge", "key.npy"), "r")

    @cached_property
    def logits(self) -> np.ndarray:
        """(K, C) float32, the stored logits on all that the teacher reads; NaN where it has none."""
        self.manifest  # noqa: B018 - it exists and is intact
        return stored_logits(self.run.path("knowledge"), self.columns.spec)

    @cached_property
    def teacher(self) -> dict:
        """``training.json`` of the teacher."""
        return read_json(self.need("teacher", "training.json")) or {}

    @cached_property
    def scores(self) -> dict[str, dict]:
        """Model -> scorecard."""
        self.need("scores")
        return scores_table.scores(self.run)

    def trainings(self, model: str) -> dict[str, Path]:
        """Seed -> folder of a finished training."""
        return {p.parent.name: p.parent for p in sorted(self.need(model).glob("seed-*/training.json"))}


def verify_files(folder: Path) -> tuple[int, list[str]]:
    """The number of files hashed again, whatever was verified before, and the problems: files that are changed or
    missing, links out of the run."""
    count, problems = 0, []
    for verb in finished(folder):
        try:
            count += len(_outputs(folder, verb))
            problems += [str(change) for change in changes(folder, verb)]
        except SuffuseError as error:
            problems.append(error.line())
    own_count, own_problems = _own_files(folder)
    return count + own_count, list(dict.fromkeys([*problems, *own_problems]))


def unknown_files(folder: Path) -> list[str]:
    """Files that no stage wrote, in folders of the stages."""
    known = {name for verb in finished(folder) for name in _outputs(folder, verb)}
    folders = sorted({name.partition("/")[0] for name in known if "/" in name})
    files = [
        file for name in folders for file in sorted((folder / name).rglob("*")) if file.is_file() or file.is_symlink()
    ]
    return [name for file in files if (name := file.relative_to(folder).as_posix()) not in known]


def _outputs(folder: Path, verb: str) -> dict[str, list]:
    return (read_stamp(folder, verb) or {"outputs": {}})["outputs"]


def _own_files(folder: Path) -> tuple[int, list[str]]:
    """The same for files that hold their own checksums, for the files that these name, and for links."""
    count, problems = 0, []
    for file in sorted({file for pattern in CHECKED for file in folder.glob(pattern) if file.is_file()}):
        try:
            facts = _checked_content(file)
            count += 1
            problems += [f"{path.relative_to(folder)} {CHANGED}" for path in _changed_companions(file, facts)]
        except SuffuseError as error:
            problems.append(error.line())
    if edited(folder):
        problems.append("recipe.yaml was changed after the last stage wrote it")
    links = (link for link in folder.rglob("*") if link.is_symlink() and not leads_inside(link, folder))
    return count, [*problems, *(f"{link.relative_to(folder)} is a link out of the run" for link in links)]


def _checked_content(file: Path) -> dict:
    """The content of a file with a checksum; empty for one without, which must only be readable."""
    content = read_json(file)
    return (read_checked(file) or {}) if isinstance(content, dict) else {}


def _changed_companions(file: Path, facts: dict) -> list[Path]:
    """Files whose hashes this one holds and that differ: vectors of a frozen encoder, logits of a trial."""
    companions = {
        "vectors": file.with_suffix(".npy"), "keys": file.with_suffix(".keys"), "logits": file.with_name("logits.npy"),
    }  # fmt: skip
    return [
        path for key, path in companions.items() if key in facts and path.is_file() and file_facts(path) != facts[key]
    ]

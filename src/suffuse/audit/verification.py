"""Every file of a run, hashed again. What was verified before, and is remembered, counts for nothing here."""

from __future__ import annotations

from pathlib import Path

from ..checked_json import read_checked
from ..errors import SuffuseError
from ..files import file_facts, read_json
from ..integrity import CHANGED, changes, finished, read_stamp
from ..paths import leads_inside
from ..run import edited

CHECKED = ("run.json", "tuning.json", "tuned.json", "export-times.json", "stamps/*.json", "tuning/**/*.json",
           "features/*/*.json")  # fmt: skip


def verified(folder: Path) -> tuple[int, list[str]]:
    """How many files were hashed, and what is wrong with which: changed, missing, or a link out of the run."""
    count, wrong = 0, []
    for verb in finished(folder):
        try:
            count += len(_outputs(folder, verb))
            wrong += [str(change) for change in changes(folder, verb)]
        except SuffuseError as error:
            wrong.append(error.line())
    own_count, own_wrong = _own(folder)
    return count + own_count, list(dict.fromkeys([*wrong, *own_wrong]))


def strangers(folder: Path) -> list[str]:
    """Files that no stage wrote, in folders that stages made."""
    known = {name for verb in finished(folder) for name in _outputs(folder, verb)}
    tops = sorted({name.partition("/")[0] for name in known if "/" in name})
    files = [file for top in tops for file in sorted((folder / top).rglob("*")) if file.is_file() or file.is_symlink()]
    return [name for file in files if (name := file.relative_to(folder).as_posix()) not in known]


def _outputs(folder: Path, verb: str) -> dict[str, list]:
    return (read_stamp(folder, verb) or {"outputs": {}})["outputs"]


def _own(folder: Path) -> tuple[int, list[str]]:
    """The same of the run's own files, which hold their checksums; of vectors; and of links."""
    count, wrong = 0, []
    for file in sorted({file for pattern in CHECKED for file in folder.glob(pattern) if file.is_file()}):
        try:
            facts = _facts(file)
            count += 1
            wrong += [f"{other.relative_to(folder)} {CHANGED}" for other in _beside(file, facts)]
        except SuffuseError as error:
            wrong.append(error.line())
    if edited(folder):
        wrong.append("recipe.yaml was changed after the last stage wrote it")
    links = (link for link in folder.rglob("*") if link.is_symlink() and not leads_inside(link, folder))
    return count, [*wrong, *(f"{link.relative_to(folder)} is a link out of the run" for link in links)]


def _facts(file: Path) -> dict:
    """A checked file's content; of one that carries no checksum only that it can be read."""
    content = read_json(file)
    return (read_checked(file) or {}) if isinstance(content, dict) else {}


def _beside(file: Path, facts: dict) -> list[Path]:
    """Files beside it whose hashes it holds, and that have others: vectors of a frozen encoder, logits of a trial."""
    named = {
        "vectors": file.with_suffix(".npy"), "keys": file.with_suffix(".keys"), "logits": file.with_name("logits.npy"),
    }  # fmt: skip
    return [path for key, path in named.items() if key in facts and path.is_file() and file_facts(path) != facts[key]]

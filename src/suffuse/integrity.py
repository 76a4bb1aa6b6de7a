"""Whether a run's files are what its stages wrote.

A stamp holds the size and the hash of every file that its stage made. Who reads a run calls :func:`require` first: each
file is read and hashed, and one that was changed is named. What was hashed before is not read again while its size, its
times and its inode are the same; ``.verified.json`` remembers them. That file holds no trust: an entry says that these
values were seen together with this hash, and counts only where the stamp has the same hash. A change that keeps all of
these values (bits that rot on a disk) is found by :func:`changes` without the memory, as ``suffuse doctor`` asks for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checked_json import read_checked, write_checked
from .errors import SuffuseError
from .files import file_facts
from .paths import inside
from .progress import say

MEMORY = ".verified.json"
LOG = "test_evaluations.json"  # every evaluation on the test rows: without it the count would start again
TICK = 50_000_000  # ns: a file system's clock may stand still for so long, and a second write in it leaves no trace
OWN = ("run.json", "tuning.json", "tuned.json", "export-times.json")  # of no stage; each holds its checksum
CHANGED, MISSING = "was changed after it was written", "is missing"


@dataclass(frozen=True)
class Change:
    """A file that isn't what its stage wrote."""

    name: str  # relative to the run
    verb: str  # the stage that made it; nothing where none did
    status: str = CHANGED

    def __str__(self) -> str:
        return f"{self.name} {self.status}"


@dataclass
class Memory:
    """Hashes of files of a run, by what the file system says of them."""

    folder: Path
    files: dict[str, list] = field(default_factory=dict)  # name -> [size, mtime, ctime, inode, hash]
    added: bool = False

    @classmethod
    def open(cls, folder: Path) -> Memory:
        """What was remembered; nothing where the file isn't what was written."""
        try:
            remembered = (read_checked(folder / MEMORY) or {}).get("files", {})
            return cls(folder, remembered if isinstance(remembered, dict) else {})
        except SuffuseError as error:
            say(f"notice: {error.line()}; every file is verified again")
            return cls(folder, added=True)

    def facts(self, name: str, path: Path) -> list[int | str]:
        """[size, hash] of a file, as :func:`suffuse.files.file_facts`; read only where something about it is new."""
        file_state = _file_state(path)
        remembered = self.files.get(name)
        if isinstance(remembered, list) and remembered[:-1] == file_state:
            return [file_state[0], remembered[-1]]
        begin = time.time_ns()
        size, digest = file_facts(path)
        if _file_state(path) == file_state and begin - max(file_state[1], file_state[2]) > TICK:
            self.files[name], self.added = [*file_state, digest], True
        return [size, digest]

    def save(self) -> None:
        """Keep what was added. A run that can't be written to is verified again the next time."""
        if self.added:
            with contextlib.suppress(OSError):
                write_checked(self.folder / MEMORY, {"files": self.files})


def read_stamp(folder: Path, verb: str) -> dict[str, Any] | None:
    """What a finished stage was made from and holds; None where it never finished.

    Raises SuffuseError where the stamp isn't what was written, or names a file outside of the run.
    """
    place = folder / "stamps" / f"{verb}.json"
    stamp = read_checked(place, _hint(folder, verb))
    if stamp is None:
        return None
    outputs = stamp.get("outputs")
    is_complete = isinstance(stamp.get("digest"), str) and isinstance(stamp.get("inputs", {}), dict)
    if not is_complete or not isinstance(outputs, dict) or not all(_is_facts(facts) for facts in outputs.values()):
        raise SuffuseError("this is no stamp of a stage", where=place, hint=_hint(folder, verb))
    for name in outputs:
        inside(folder, name)
    return stamp


def finished(folder: Path) -> list[str]:
    """The stages that have a stamp. Beside stamps stand hashes of the source and of files that the recipe names."""
    names = sorted(file.stem for file in (folder / "stamps").glob("*.json"))
    return [name for name in names if name != "source" and not name.startswith("file-")]


def missing(folder: Path, verb: str) -> list[str]:
    """Files of a finished stage that are gone."""
    outputs = (read_stamp(folder, verb) or {"outputs": {}})["outputs"]
    return [name for name in outputs if not inside(folder, name).is_file()]


def changes(folder: Path, verb: str, *, under: str = "", memory: Memory | None = None) -> Iterator[Change]:
    """Files of a finished stage that are gone or aren't what it wrote, of those whose names begin with ``under``. Every
    byte is read; with a ``memory``, of files that it doesn't know."""
    for name, expected in (read_stamp(folder, verb) or {"outputs": {}})["outputs"].items():
        if not name.startswith(under):
            continue
        path = inside(folder, name)
        if not path.is_file():
            yield Change(name, verb, MISSING)
        elif (
            path.stat().st_size != expected[0] or (memory.facts(name, path) if memory else file_facts(path)) != expected
        ):
            yield Change(name, verb)


def require(folder: Path, *verbs: str, under: str = "", remember: bool = True) -> None:
    """Raise SuffuseError where a file that one of these stages made was changed since; it names the file and the
    command that makes it again. A missing file is no change: its stage isn't up to date, and who needs it says so.
    """
    memory, damaged = Memory.open(folder), []
    for verb in verbs:
        damaged += [
            c for c in changes(folder, verb, under=under, memory=memory) if c.status != MISSING or c.name == LOG
        ]
    if remember:
        memory.save()
    if damaged:
        raise damage(folder, damaged)


def require_own(folder: Path) -> None:
    """Raise SuffuseError where a file of the run that no stage made isn't what was written."""
    for name in OWN:
        read_checked(folder / name)


def in_run(folder: Path) -> bool:
    """Whether an export stands in this folder as a run keeps it."""
    return (folder / "export" / "signature.json").exists()


def exported(folder: Path) -> Path:
    """The export folder of a run, which has to be what the run wrote; any other folder is an export itself."""
    if not in_run(folder):
        return folder
    require(folder, "export", under="export/", remember=False)
    return folder / "export"


def damage(folder: Path, damaged: list[Change]) -> SuffuseError:
    """The error that names the first of these files, and how it is made again."""
    first = damaged[0]
    rest = f"{len(damaged) - 1} other file{'s' if len(damaged) > 2 else ''} as well" if len(damaged) > 1 else ""
    got = f"not the file that {first.verb} wrote" if first.status == CHANGED else ""
    return SuffuseError(
        f"{'a file' if first.name != LOG else 'the record of test-set evaluations'} {first.status}",
        where=folder / first.name, got="; ".join(filter(None, (got, rest))), hint=_hint(folder, first.verb),
    )  # fmt: skip


def hashed(folder: Path, names: Iterable[str]) -> dict[str, list]:
    """Name -> [size, hash] of files that a stage has just written, which are remembered with them."""
    memory = Memory.open(folder)
    time.sleep(2 * TICK / 1e9)  # what was just moved into place is too new to be remembered
    facts_by_name = {name: memory.facts(name, inside(folder, name)) for name in names}
    memory.save()
    return facts_by_name


def _file_state(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]


def _is_facts(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], int) and isinstance(value[1], str)


def _hint(folder: Path, verb: str) -> str:
    return (
        f"`suffuse run {folder} --from {verb}` makes it again and moves what is there to previous/; "
        "or put the file back from a copy"
    )

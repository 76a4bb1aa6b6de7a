"""The run folder: recipe, artefacts, stamps. Every stage is safe to kill and to call twice.

A stage works in ``.partial/STAGE`` and, when all is there, marks it complete and renames it into place; a
stamp in ``stamps/STAGE.json`` then says from what it was made and what it holds. What a changed recipe
replaces moves to ``previous/``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from . import run_html
from .checked_json import read_checked, write_checked
from .environment import alive, surroundings
from .errors import SuffuseError
from .file_lock import lock
from .files import TEMPORARY, bytes_facts, file_facts, read_json, remove_temporaries, write_json, write_text
from .integrity import LOG, hashed, read_stamp
from .object_store import placed
from .paths import inside, refuse_links
from .progress import say
from .recipe import Network, Recipe, Student, make_recipe, read_recipe, to_yaml, with_parts
from .registry import ModalitySettings, TeacherSettings

COMPLETE = "COMPLETE"
SELECTION = "selection.json"  # what ``distill`` selected as the student among the recipe's candidates
OWN = ("recipe.yaml", "run.json", "stamps", "previous")  # of the run itself: no stage makes them
SHARED = (".partial/extract", "features")  # where processes write that don't hold the lock, on other hosts as well
QUIET = 60.0  # seconds in which a file that is being written changes; half-written ones that are older were left
FORGOTTEN = 86_400.0  # seconds after which the process of that number is another one
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class Busy(SuffuseError):
    """Another process works on the run."""


class ReadOnly(SuffuseError):
    """The run can be read, and not written to."""


@dataclass(frozen=True)
class Run:
    """A run folder and the recipe that decides it."""

    folder: Path
    recipe: Recipe
    overrides: Mapping[str, str] = field(default_factory=dict)  # keys that ``--set`` changed in the recipe -> its texts
    proposed: Student | None = None  # the recipe's student, where another network was selected and stands in its place

    @classmethod
    def open(cls, path: str | Path, overrides: tuple[str, ...] = (), folder: str | Path | None = None) -> Run:
        """From a recipe file (the run is ``runs/NAME`` unless ``folder`` says else) or from a run folder.

        Relative paths in a recipe file start from the recipe's folder; they are stored absolute. A run folder's recipe
        has the overrides that the run was made with; code that it names isn't imported.
        """
        path = Path(path)
        told = dict(text.split("=", 1) for text in overrides if "=" in text)
        if path.is_dir():
            recipe = read_recipe(path / "recipe.yaml", overrides, own=False)
            if edited(path):
                say(f"notice: {path / 'recipe.yaml'} is not the file that the last stage wrote: it was edited since")
            return cls(Path(folder or path).resolve(), recipe, recorded_overrides(path) | told).selected()
        recipe = read_recipe(path, overrides)
        made = cls.of(recipe, folder or Path("runs") / (recipe.name or path.stem), path.parent)
        return replace(made, overrides=told).selected()

    @classmethod
    def of(cls, recipe: Recipe | dict, folder: str | Path, base: str | Path = ".", rows: Any = None) -> Run:
        """From a recipe object; relative data paths start from ``base``.

        ``rows`` (a pandas frame, a Hugging Face dataset, an Arrow table, a list of records) are written to
        ``source.parquet`` in the run folder, and are then the recipe's source.
        """
        folder = Path(folder).resolve()
        if rows is not None:
            raw = recipe if isinstance(recipe, dict) else recipe.model_dump(mode="json")
            recipe = {**raw, "data": {**raw.get("data", {}), "source": str(folder / "source.parquet")}}
        made = recipe if isinstance(recipe, Recipe) else make_recipe(with_parts(recipe, Path(base)))
        if rows is not None:
            from .sources.frame import save_rows

            save_rows(rows, folder / "source.parquet", made.modalities)
        return cls(folder, _absolute(made, Path(base)))

    @property
    def source_recipe(self) -> Recipe:
        """The recipe with the student and the candidates that it was given."""
        return self.recipe if self.proposed is None else self.recipe.model_copy(update={"student": self.proposed})

    def selected(self) -> Run:
        """The run with the network that ``distill`` selected as the recipe's student; itself where it selects none, or
        hasn't yet."""
        recipe = self.source_recipe
        if not recipe.student.is_selected:
            return self
        files = (self.path(SELECTION), self.partial("distill") / SELECTION)
        facts = next((facts for file in files if (facts := read_json(file)) is not None), None)
        if facts is None:
            return replace(self, recipe=recipe, proposed=None)
        student = Student.model_validate(facts["network"])
        return replace(self, recipe=recipe.model_copy(update={"student": student}), proposed=recipe.student)

    def __repr__(self) -> str:
        return run_html.text(self.folder, self.recipe.data.targets)

    def _repr_html_(self) -> str:
        kinds = {name: str(modality.kind) for name, modality in self.recipe.modalities.items()}
        return run_html.page(self.folder, self.recipe.data.targets, kinds)

    def path(self, *names: str) -> Path:
        """A path inside the run."""
        return self.folder.joinpath(*names)

    def partial(self, stage: str) -> Path:
        """Where a stage works until it is done."""
        return self.path(".partial", stage)

    def stamp(self, stage: str) -> dict[str, Any] | None:
        """What a finished stage was made from and holds; None where it never finished. Raises SuffuseError where the
        stamp isn't what was written."""
        return read_stamp(self.folder, stage)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time works on a run. It first removes what killed processes left half-written, and refuses
        links that lead out of the run: it would write there.

        Raises Busy and ReadOnly.
        """
        descriptor = self._lock_file()
        try:
            try:
                lock(descriptor, self.folder)
            except BlockingIOError:
                raise Busy(
                    "another process works on this run", where=self.folder, hint="wait for it, or use --out"
                ) from None
            refuse_links(self.folder)
            remove_temporaries(self.folder, self._abandoned)
            yield
        finally:
            os.close(descriptor)

    def _lock_file(self) -> int:
        """Its descriptor. A link in its place is not followed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return os.open(self.path(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            hint = "give the folder write access, or use --out for a run elsewhere"
            raise ReadOnly("the run can't be written to", where=self.folder, got=error.strerror, hint=hint) from None

    def _abandoned(self, file: Path, pid: int) -> bool:
        """Whether nobody writes this file any more. A process number says nothing of another host's processes, nor
        where numbers come again, as in a container: there the file's age decides."""
        age, name = time.time() - file.stat().st_mtime, file.relative_to(self.folder).as_posix()
        if alive(pid) and pid != os.getpid():
            return age > FORGOTTEN
        shared = any(name.startswith(f"{place}/") for place in SHARED)
        return age > QUIET or not (shared or pid == os.getpid())

    def begin(self, stage: str, inputs: Mapping[str, Any]) -> Path:
        """The stage's working folder: the one left by a killed attempt at the same inputs, or a new one."""
        partial, wanted = self.partial(stage), json.loads(json.dumps(inputs))
        stamp = self.stamp(stage)
        if stamp and stamp["inputs"] == wanted:  # finished once: what is left there was moved out before a kill
            shutil.rmtree(partial, ignore_errors=True)
        if partial.exists() and read_json(partial / "inputs.json") != wanted:
            self.put_aside(partial, f"{stage}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / "inputs.json", wanted)
        recipe = to_yaml(self.source_recipe)
        write_text(self.path("recipe.yaml"), recipe)
        facts = {**surroundings(self.recipe.seed), "overrides": dict(self.overrides)}
        write_checked(self.path("run.json"), {**facts, "recipe": bytes_facts(recipe.encode())})
        return partial

    def commit(self, stage: str, seconds: float) -> None:
        """Move a finished working folder into place and stamp it. Killed in the middle, it can be called again."""
        partial = self.partial(stage)
        if not (partial / COMPLETE).exists():
            for left in partial.rglob(f".*{TEMPORARY}"):  # by a process that was killed while it wrote
                left.unlink()
            write_json(partial / COMPLETE, sorted(p.name for p in partial.iterdir() if not _private(p.name)))
        refuse_links(partial)
        names = self._artefacts(partial)
        for name in names:
            if (partial / name).exists():
                if self.path(name).exists():
                    self.put_aside(self.path(name), name)
                (partial / name).replace(self.path(name))
        files = hashed(self.folder, (f for n in names for f in self.files(n)))
        facts = {
            "stage": stage,
            "inputs": read_json(partial / "inputs.json"),
            "outputs": files,
            "digest": hashlib.blake2b(json.dumps(files, sort_keys=True).encode(), digest_size=16).hexdigest(),
            "seconds": round(seconds, 2),
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
            **({"evaluations": read_json(self.path(LOG))} if LOG in names else {}),
        }
        write_checked(self.path("stamps", f"{stage}.json"), facts)
        shutil.rmtree(partial)

    def _artefacts(self, partial: Path) -> list[str]:
        """What a complete working folder says that it holds: plain names alone, and none of the run's own.

        Raises SuffuseError where it says anything else.
        """
        names = read_json(partial / COMPLETE)
        if not isinstance(names, list):
            raise SuffuseError("this is no list of artefacts", where=partial / COMPLETE, got=type(names).__name__)
        for name in names:
            inside(partial, name, plain=True)
            inside(self.folder, name, plain=True)
            if name in OWN:
                raise SuffuseError("no stage makes this file", where=partial / COMPLETE, got=name)
        return names

    def files(self, name: str) -> list[str]:
        """All files of an artefact (a folder or a file), relative to the run."""
        place = self.path(name)
        found = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        return [str(p.relative_to(self.folder)) for p in found]

    def replace(self, stage: str) -> None:
        """Move what a stage had made to ``previous/``; where its stamp isn't what was written, the stamp alone: what
        the stage makes again replaces the rest."""
        place = self.path("stamps", f"{stage}.json")
        try:
            stamp = self.stamp(stage)
        except SuffuseError:
            stamp = {"outputs": {}} if place.is_file() and not place.is_symlink() else None
        if stamp is None:
            return
        for name in sorted({Path(f).parts[0] for f in stamp["outputs"]} - {*OWN}):
            if inside(self.folder, name, plain=True).exists():
                self.put_aside(self.path(name), name)
        self.put_aside(place, f"{stage}.stamp.json")

    def put_aside(self, path: Path, name: str) -> None:
        """Move to ``previous/TIME/NAME``; nothing that was made is deleted."""
        place = self.previous(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)

    def previous(self, name: str) -> Path:
        """Where something that is replaced goes: ``previous/TIME/NAME``, a place that isn't taken."""
        when = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
        place = self.path("previous", when, name)
        number = 1
        while place.exists():
            number += 1
            place = self.path("previous", f"{when}-{number}", name)
        return place


def recorded_overrides(folder: Path) -> dict[str, str]:
    """Keys that ``--set`` changed when the run in this folder was made -> the texts that it was given."""
    made = (read_checked(folder / "run.json") or {}).get("overrides")
    return {str(key): str(value) for key, value in made.items()} if isinstance(made, dict) else {}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries -> one level, keys joined by dots."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


def edited(folder: Path) -> bool:
    """Whether a run's recipe isn't the file that its last stage wrote; an edit is one way to change a run."""
    try:
        wanted = (read_checked(folder / "run.json") or {}).get("recipe")
    except SuffuseError:  # what is said of run.json is said elsewhere
        return False
    return (
        isinstance(wanted, list) and (folder / "recipe.yaml").is_file() and wanted != file_facts(folder / "recipe.yaml")
    )


def augment_files(modality: ModalitySettings) -> dict[str, str]:
    """The files and folders that decide a modality's training views: a name below ``augment`` -> each."""
    named = modality.references().items()
    return {key.removeprefix("augment."): name for key, name in named if key.startswith("augment.")}


def _private(name: str) -> bool:
    """What a working folder holds for itself."""
    return name.startswith(".") or name == "inputs.json"


def _placed(network: Network, base: Path) -> Network:
    """The network with the files that its encoders name as absolute paths."""
    encoders = {name: encoder.placed(base) for name, encoder in network.encoders.items()}
    return network.model_copy(update={"encoders": encoders})


def _absolute(recipe: Recipe, base: Path) -> Recipe:
    """Source, folders and the files that parts name, as absolute paths; a known set's name stays a name."""
    from .sources import TABLE, load_remote

    data = recipe.data
    changed: dict[str, Any] = {"derive": {name: d.placed(base) for name, d in data.derive.items()}}
    if remote := load_remote(data.source):
        changed["source"] = remote.placed(data.source, base)
    elif data.source not in TABLE:
        changed["source"] = placed(data.source, base)
    for key in ("root", "allowed_dir"):
        if (folder := getattr(data, key)) is not None:
            changed[key] = placed(folder, base)
    made = {
        "data": data.model_copy(update=changed),
        "modalities": {name: m.placed(base) for name, m in recipe.modalities.items()},
    }
    for who, network in recipe.networks.items():
        made[who] = _placed(network, base)
    candidates = {name: _placed(network, base) for name, network in recipe.student.candidates.items()}
    made["student"] = made["student"].model_copy(update={"candidates": candidates})
    if isinstance(recipe.teacher, TeacherSettings):
        made["teacher"] = recipe.teacher.placed(base)
    if baseline := recipe.distill.baseline:
        own = {n: m.placed(base).get("augment") for n, m in recipe.baseline_modalities().items() if augment_files(m)}
        views = {name: augment.model_dump(mode="json", exclude_unset=True) for name, augment in own.items()}
        changed_baseline = baseline.model_copy(update={"augment": {**baseline.augment, **views}})
        made["distill"] = recipe.distill.model_copy(update={"baseline": changed_baseline})
    return recipe.model_copy(update=made)

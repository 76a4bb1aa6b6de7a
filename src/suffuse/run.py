"""The run folder: recipe, artefacts, stamps. Every stage is safe to kill and to call twice.

A stage works in ``.partial/STAGE`` and, when all is there, marks it complete and renames it into place; a
stamp in ``stamps/STAGE.json`` then says from what it was made and what it holds. What a changed recipe
replaces moves to ``previous/``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import SuffuseError
from .files import TEMPORARY, file_facts, read_json, write_json, write_text
from .machine import surroundings
from .parts import TeacherSettings
from .recipe import Recipe, make_recipe, read_recipe, to_yaml

COMPLETE = "COMPLETE"


class Busy(SuffuseError):
    """Another process works on the run."""


@dataclass(frozen=True)
class Run:
    """A run folder and the recipe that decides it."""

    folder: Path
    recipe: Recipe
    overrides: Mapping[str, str] = field(default_factory=dict)  # keys that ``--set`` changed in the recipe -> its texts

    @classmethod
    def open(cls, path: str | Path, overrides: tuple[str, ...] = (), folder: str | Path | None = None) -> Run:
        """From a recipe file (the run is ``runs/NAME`` unless ``folder`` says else) or from a run folder.

        Relative paths in a recipe file start from the recipe's folder; they are stored absolute. A run folder's recipe
        has the overrides that the run was made with.
        """
        path = Path(path)
        told = dict(text.split("=", 1) for text in overrides if "=" in text)
        if path.is_dir():
            recipe = read_recipe(path / "recipe.yaml", overrides)
            return cls(Path(folder or path).resolve(), recipe, recorded_overrides(path) | told)
        recipe = read_recipe(path, overrides)
        made = cls.of(recipe, folder or Path("runs") / (recipe.name or path.stem), path.parent)
        return replace(made, overrides=told)

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
        made = recipe if isinstance(recipe, Recipe) else make_recipe(recipe)
        if rows is not None:
            from .sources.frame import save_rows

            save_rows(rows, folder / "source.parquet", made.modalities)
        return cls(folder, _absolute(made, Path(base)))

    def path(self, *names: str) -> Path:
        """A path inside the run."""
        return self.folder.joinpath(*names)

    def partial(self, stage: str) -> Path:
        """Where a stage works until it is done."""
        return self.path(".partial", stage)

    def stamp(self, stage: str) -> dict | None:
        """What a finished stage was made from and holds; None where it never finished."""
        return read_json(self.path("stamps", f"{stage}.json"))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time works on a run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(
                    "another process works on this run", where=self.folder, hint="wait for it, or use --out"
                ) from None
            yield

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
        write_text(self.path("recipe.yaml"), to_yaml(self.recipe))
        facts = {**surroundings(self.recipe.seed), "overrides": dict(self.overrides)}
        write_json(self.path("run.json"), facts)
        return partial

    def commit(self, stage: str, seconds: float) -> None:
        """Move a finished working folder into place and stamp it. Killed in the middle, it can be called again."""
        partial = self.partial(stage)
        if not (partial / COMPLETE).exists():
            for left in partial.rglob(f".*{TEMPORARY}"):  # by a process that was killed while it wrote
                left.unlink()
            write_json(partial / COMPLETE, sorted(p.name for p in partial.iterdir() if not _private(p.name)))
        for name in read_json(partial / COMPLETE) or []:
            if (partial / name).exists():
                if self.path(name).exists():
                    self.put_aside(self.path(name), name)
                (partial / name).replace(self.path(name))
        names = read_json(partial / COMPLETE) or []
        files = {f: file_facts(self.path(f)) for n in names for f in self.files(n)}
        facts = {
            "stage": stage,
            "inputs": read_json(partial / "inputs.json"),
            "outputs": files,
            "digest": hashlib.blake2b(json.dumps(files, sort_keys=True).encode(), digest_size=16).hexdigest(),
            "seconds": round(seconds, 2),
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        write_json(self.path("stamps", f"{stage}.json"), facts)
        shutil.rmtree(partial)

    def files(self, name: str) -> list[str]:
        """All files of an artefact (a folder or a file), relative to the run."""
        place = self.path(name)
        found = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        return [str(p.relative_to(self.folder)) for p in found]

    def replace(self, stage: str) -> None:
        """Move what a stage had made to ``previous/``."""
        stamp = self.stamp(stage)
        if stamp is None:
            return
        for name in sorted({Path(f).parts[0] for f in stamp["outputs"]}):
            if self.path(name).exists():
                self.put_aside(self.path(name), name)
        self.put_aside(self.path("stamps", f"{stage}.json"), f"{stage}.stamp.json")

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
    facts = read_json(folder / "run.json")
    made = facts.get("overrides") if isinstance(facts, dict) else None
    return {str(key): str(value) for key, value in made.items()} if isinstance(made, dict) else {}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries -> one level, keys joined by dots."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


def _private(name: str) -> bool:
    """What a working folder holds for itself."""
    return name.startswith(".") or name == "inputs.json"


def _absolute(recipe: Recipe, base: Path) -> Recipe:
    """Source, folders and the files that parts name, as absolute paths; a known set's name stays a name."""
    from .sources import TABLE

    data = recipe.data
    changed: dict[str, Any] = {"derive": {name: d.placed(base) for name, d in data.derive.items()}}
    if data.source not in TABLE:
        changed["source"] = str((base / data.source).resolve())
    for key in ("root", "within"):
        if (folder := getattr(data, key)) is not None:
            changed[key] = str((base / folder).resolve())
    made = {
        "data": data.model_copy(update=changed),
        "modalities": {name: m.placed(base) for name, m in recipe.modalities.items()},
    }
    for who, network in recipe.networks.items():
        encoders = {name: e.placed(base) for name, e in network.encoders.items()}
        made[who] = network.model_copy(update={"encoders": encoders})
    if isinstance(recipe.teacher, TeacherSettings):
        made["teacher"] = recipe.teacher.placed(base)
    return recipe.model_copy(update=made)

"""What decides a store's content, part by part; and which part of it is another one now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from ..content_hashes import reference_content
from ..data.training_views import Viewer
from ..errors import SuffuseError
from ..recipe import Recipe
from ..run import Run, augment_files, flat
from ..types import Spec
from .chunks import subsets

WORDS = {  # of an error, by the first word of the part's name
    "teacher": "weights of the teacher",
    "teacher_files": "files of the teacher",
    "classes": "classes",
    "modalities": "modalities",
    "preprocessing": "preprocessing",
    "subsets": "subsets",
    "views": "views",
    "encoding": "encoding",
    "splits": "splits",
}
ANSWERS = ("teacher", "classes", "modalities", "encoding")  # parts that decide the answer to a row as prepared


def fingerprint(run: Run, spec: Spec, names: Sequence[str], weights: str) -> dict[str, Any]:
    """All parts. ``names``: the teacher's modalities; ``weights``: its hash."""
    settings, stamp = run.recipe.extract, run.stamp("teach")
    fields = [f for f in spec.fields if f.name in names]
    return {
        "teacher": weights,
        "teacher_files": stamp["digest"] if stamp else None,
        "classes": list(spec.classes),
        "modalities": list(names),
        "preprocessing": {f.name: _hash([f.kind, f.statistics, _settings(run.recipe, f.name)]) for f in fields},
        "subsets": [list(s) for s in subsets(settings.subsets, names)],
        "views": views(run),
        "encoding": {"dtype": settings.dtype, "top_k": settings.top_k},
        "splits": ["train", "validation"],
    }


def views(run: Run) -> dict[str, Any]:
    """The view policy: number of views, seed, augmentations, and hashes of the files that these name."""
    recipe = run.recipe
    if not recipe.extract.views:
        return {"count": 0, "policy": "as prepared, no augmentation"}
    chosen = {n: augment for n, m in recipe.modalities.items() if (augment := m.get("augment"))}
    augment = {n: a.model_dump(mode="json") if isinstance(a, BaseModel) else a for n, a in chosen.items()}
    named = {f"{n}.{key}": name for n in chosen for key, name in augment_files(recipe.modalities[n]).items()}
    files = {"files": {key: reference_content(run, name) for key, name in named.items()}} if named else {}
    return {"count": recipe.extract.views, "seed": recipe.seed, "augment": augment, **files}


def viewer(recipe: Recipe) -> Viewer | None:
    """The viewer that augments the stored views."""
    if not recipe.extract.views:
        return None
    chosen = {n: m for n, m in recipe.modalities.items() if m.get("augment")}
    return Viewer(recipe.seed, 0.0, chosen)


def expected(run: Run, spec: Spec, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that are known without opening the teacher, for its modalities in the stored fingerprint."""
    names = [n for n in stored.get("modalities", ()) if isinstance(n, str)]
    parts = fingerprint(run, spec, names, "")
    del parts["teacher"]
    stored_views: Any = stored.get("views")
    files: dict[str, Any] = parts["views"].get("files", {})
    if files and isinstance(stored_views, dict):  # one that is gone: what was made with it stays
        parts["views"]["files"] = {**cast("dict[str, Any]", stored_views).get("files", {}), **_present(files)}
    return parts


def _present(files: Mapping[str, Any]) -> dict[str, Any]:
    return {key: content for key, content in files.items() if content is not None}


def compare(stored: Mapping[str, Any], expected: Mapping[str, Any], where: Path) -> None:
    """Raise SuffuseError that names the first part in which the stored fingerprint differs from the expected one."""
    for part, expected_part in expected.items():
        stored_values, expected_values = flat(stored.get(part), part), flat(expected_part, part)
        for key in {**stored_values, **expected_values}:
            if stored_values.get(key) != expected_values.get(key):
                inner = key.removeprefix(part).removeprefix(".")
                raise SuffuseError(
                    f"the knowledge store was made with other {WORDS[part]}" + (f" ({inner})" if inner else ""),
                    where=where,
                    got=_short(stored_values.get(key)),
                    expected=_short(expected_values.get(key)),
                    hint="`suffuse extract` again",
                )


def _settings(recipe: Recipe, name: str) -> dict[str, Any]:
    facts = recipe.modalities[name].model_dump(mode="json")
    return {k: v for k, v in facts.items() if k != "augment"}


def _hash(facts: Any) -> str:
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."

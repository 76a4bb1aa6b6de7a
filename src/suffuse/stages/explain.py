"""explain: one row's answer, taken apart, teacher and student side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ..data.columns import SPLITS, Columns
from ..engine.runtime import device_of
from ..engine.seed_selection import best_seed
from ..errors import SuffuseError, UsageError, did_you_mean, listed, nearest, shortened
from ..explaining.explanation import Method, explain_modalities, explain_row
from ..explaining.perturbation import ExportRow, ModelRow, NetworkRow
from ..files import parsing
from ..integrity import require
from ..model import open_model
from ..predictor import Predictor
from ..run import Run
from ..teachers import Question, Teacher
from ..teachers.factory import open_teacher
from ..transcripts.frame_predictions import references
from ..types import TOKENS

TABLE = "it looks its answers up, so it can't be asked about a changed row"


@dataclass(frozen=True)
class ExplainOptions:
    """What is explained, and by which means."""

    target: str | None = None  # none: the first one
    method: Method = "auto"
    exported: bool = False  # the exported file in place of the student's network


def explain(run: Run, row: str, options: ExplainOptions | None = None) -> dict[str, Any]:
    """What made the answers to a row: its id, or ``#N`` for the N-th prepared row.

    Raises UsageError where there is no such row or target, SuffuseError where nothing is trained yet or a file that is
    read was changed since.
    """
    options = options or ExplainOptions()
    require(run.folder, "prepare", "teach", "distill", *(("export",) if options.exported else ()))
    columns = _columns(run)
    position = find(run, row)
    names = [head.name for head in columns.spec.heads]
    if options.target is not None and options.target not in names:
        raise UsageError(
            "no such target", where="--target", got=options.target, hint=did_you_mean(options.target, names)
        )
    target = names.index(options.target) if options.target is not None else 0
    models = {"teacher": _teacher(run, columns, position, target, options.method)}
    student = "exported student" if options.exported else "student"
    models[student] = explain_row(
        _student(run, columns, position, options.exported), run.recipe.modalities, target, options.method
    )
    return {
        "row": {"id": _ids(run)[position], "number": position + 1, "split": SPLITS[int(columns.split[position])]},
        "target": names[target],
        "label": _label(columns, position, target),
        "models": models,
    }


def find(run: Run, row: str) -> int:
    """The position of a row among the prepared ones, by id; ``#N`` or a number that is no id: the N-th."""
    ids = _ids(run)
    places = [n for n, one in enumerate(ids) if one == row]
    if len(places) > 1:
        raise UsageError("several rows have this id", where="--row", got=f"{row}: {len(places)} rows", hint="use #N")
    if places:
        return places[0]
    number = row.removeprefix("#")
    if number.isdecimal() and 1 <= int(number) <= len(ids):
        return int(number) - 1
    known = [one for one in ids if one is not None]
    near = f"of {len(known):,} ids the nearest are: {listed(nearest(row, known))}" if known else "the table has no ids"
    expected = f"an id of the table, or #1 to #{len(ids)}"
    raise UsageError("no such row", where="--row", got=shortened(row), expected=expected, hint=near)


def _ids(run: Run) -> list[str]:
    file = run.path("data", "rows.parquet")
    with parsing(file):
        return pq.read_table(file, columns=["id"])["id"].to_pylist()


def _columns(run: Run) -> Columns:
    for verb in ("prepare", "teach", "distill"):
        if run.stamp(verb) is None:
            hint = f"`suffuse {verb}` first, or `suffuse run`"
            raise SuffuseError(f"explain needs {verb}, which isn't made yet", where=run.folder, hint=hint)
    return Columns.open(run.path("data"))


def _label(columns: Columns, position: int, target: int) -> Any:
    """The row's label in words, of classes: the only ones that explaining needs."""
    head, values = columns.spec.targets(columns.target[[position]])[target]
    known = bool(head.known(values)[0])
    if not known:
        return None
    if head.kind == "classes":
        number = int(values[0])
        return head.classes[number] if number < len(head.classes) else "another class"
    if head.kind == TOKENS:
        return references(head, values)[0]
    if head.kind == "labels":
        return [c for c, v in zip(head.classes, values[0], strict=True) if v > 0]
    return float(values[0]) * head.std + head.mean


def _student(run: Run, columns: Columns, position: int, exported: bool) -> ModelRow:
    if exported:
        if run.stamp("export") is None:
            raise SuffuseError("nothing is exported yet", where=run.folder, hint="`suffuse export` first")
        predictor = Predictor.load(run.path("export"), model_files="/")  # none is opened: rows are prepared
        return ExportRow(columns.of([i.field.name for i in predictor.inputs]), position, predictor)
    folder = run.path("student")
    model = open_model(folder / best_seed(folder)).to(device_of(run.recipe.compute))
    return NetworkRow(columns.of(model.spec.names), position, model)


def _teacher(run: Run, columns: Columns, position: int, target: int, method: Method) -> dict:
    if run.recipe.trained is not None:
        model = open_model(run.path("teacher")).to(device_of(run.recipe.compute))
        row = NetworkRow(columns.of(model.spec.names), position, model)
        return explain_row(row, run.recipe.modalities, target, method)
    teacher = open_teacher(run, columns)
    if not teacher.modalities:
        return {"silent": TABLE}
    return outside(teacher, columns, position, target)


def outside(teacher: Teacher, columns: Columns, position: int, target: int) -> dict:
    """A teacher from outside: it may be kept from seeing a modality, and that is all."""
    names, row = teacher.modalities, np.array([position])
    known = [n for n in names if n in columns.spec.names]
    present = columns.present[position][[columns.spec.names.index(n) for n in known]]
    present_names = [n for n, p in zip(known, present, strict=True) if p]

    def ask(subsets: np.ndarray) -> np.ndarray:
        shown = [tuple(n for n, p in zip(present_names, s, strict=True) if p) for s in subsets]
        return np.concatenate([teacher.answer(Question(row, kept))["logits"] for kept in shown])

    return explain_modalities(tuple(known), present, ask, columns.spec, target)

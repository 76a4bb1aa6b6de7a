"""Questions on pictures, laid out as VQA-RAD is (Lau et al. 2018, doi:10.1038/sdata.2018.251): a folder with one JSON
file, a list of objects that hold ``image_name``, ``question`` and ``answer``, and somewhere in it the pictures.

Columns: what the objects hold, and ``id`` (their ``qid``), ``image`` (the picture's path from the folder) and
``split``: test where ``phrase_type`` begins with "test", else train. In that split pictures stand on both sides; to
keep them apart, group by ``image`` and let splits be made.

Answers are put into one form, by :data:`RULE`; so is ``answer_type``. Every cell that this changes is noted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from json import dumps
from pathlib import Path
from typing import Any

from ..errors import SuffuseError, UsageError, listed
from ..subsample import evenly_spaced
from .json import read_objects, to_table
from .row_stream import Broken, Rows
from .table_format import TableFormat

REQUIRED_COLUMNS = ("image_name", "question", "answer")
RULE = "lower case; white space folded; no .,;:!? at the end; a number as its shortest text (2.0 as 2)"
TYPE_RULE = "upper case, without white space around it"
TRAILING = ".,;:!?。，；：！？ "
PROBED = 50  # pictures, to find their folder
MAX_FOLDERS = 1000  # that are searched


def read(folder: Path, table_format: TableFormat) -> Rows:
    """All questions, in the file's order.

    Raises UsageError where there is no file of questions or more than one, SuffuseError where no picture is found.
    """
    file, (questions, numbers, broken) = _questions(folder)
    pictures = _picture_folder(folder, [str(q["image_name"]) for q in questions if q.get("image_name")])
    rows: list[dict] = []
    changed: list[tuple[int, str, str]] = []
    for question, number in zip(questions, numbers, strict=True):
        answer, kind = normalised(question.get("answer")), _upper(question.get("answer_type"))
        for column, new in (("answer", answer), ("answer_type", kind)):
            old = _text(question.get(column))
            if new != old:
                changed.append((number, column, f"put into one form: {_quoted(old)} is {_quoted(new)}"))
        forms = {"answer": answer, "answer_type": kind} if "answer_type" in question else {"answer": answer}
        rows.append({**_defaults(question, number), **question, **forms, "image": _path(pictures, question)})
    rules = {"answer": RULE, "answer_type": TYPE_RULE}
    return Rows(to_table(rows, file), numbers, folder, broken, changed, rules)


def holds_questions(folder: Path) -> bool:
    """Whether a file of a folder is one of questions."""
    return any(_are_questions(table[0]) for file in folder.glob("*.json") if (table := _objects(file, False)))


def normalised(answer: Any) -> str | None:
    """An answer in the form in which answers are compared, as :data:`RULE` says; None where nothing is left."""
    text = unicodedata.normalize("NFC", _text(answer) or "")
    text = " ".join(text.lower().split()).rstrip(TRAILING)
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text) or None


def _questions(folder: Path) -> tuple[Path, tuple[list[dict], list[int], Broken]]:
    """The one file of questions in a folder, and its objects."""
    files = sorted(f for f in folder.glob("*.json") if not f.name.startswith("."))
    tables = {file: table for file in files if (table := _objects(file, len(files) == 1)) and _are_questions(table[0])}
    if len(tables) != 1:
        names = listed(f.name for f in tables) or "none"
        keys = ", ".join(REQUIRED_COLUMNS)
        raise UsageError(
            "this folder is no table",
            where=folder,
            got=f"files of questions: {names}",
            expected=f"one .json file of objects with {keys}, or a dataset saved by save_to_disk",
        )
    return next(iter(tables.items()))


def _objects(file: Path, only: bool) -> Any:
    """Objects of a file; where it is one of several, nothing if it is no list of them."""
    try:
        return read_objects(file)
    except SuffuseError:
        if only:
            raise
        return None


def _are_questions(rows: list[dict]) -> bool:
    return bool(rows) and all(any(key in row for row in rows[:PROBED]) for key in REQUIRED_COLUMNS)


def _picture_folder(folder: Path, names: list[str]) -> Path:
    """The folder, in or below this one, in which most of these pictures lie. Raises SuffuseError where none does."""
    distinct = sorted(set(names))
    probed = [distinct[position] for position in evenly_spaced(len(distinct), PROBED)]
    best, max_count = folder, 0
    for candidate in _folders(folder):
        count = sum(_is_file(candidate / name) for name in probed)
        if count > max_count:
            best, max_count = candidate, count
        if max_count == len(probed):
            break
    if probed and not max_count:
        raise SuffuseError(
            "the pictures of these questions aren't there", where=folder, got=f"no '{probed[0]}' and the like",
            expected="a folder in it that holds them",
        )  # fmt: skip
    return best.relative_to(folder)


def _folders(folder: Path) -> Iterable[Path]:
    """The folder itself, its subfolders, and theirs."""
    inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    further = [q for p in inner[:MAX_FOLDERS] for q in sorted(p.iterdir()) if q.is_dir()]
    return [folder, *inner[:MAX_FOLDERS], *further[:MAX_FOLDERS]]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that can't be one
        return False


def _defaults(question: dict, number: int) -> dict[str, Any]:
    """``id`` and ``split`` of an object, which may have these keys itself."""
    test = str(question.get("phrase_type") or "").strip().lower().startswith("test")
    name = question.get("qid")
    return {"id": str(number) if name is None else _text(name), "split": "test" if test else "train"}


def _path(pictures: Path, question: dict) -> str | None:
    name = question.get("image_name")
    return (pictures / str(name)).as_posix() if name else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return dumps(value, ensure_ascii=False)


def _upper(value: Any) -> str | None:
    text = _text(value)
    return text.strip().upper() if text else text


def _quoted(text: str | None) -> str:
    return "nothing" if text is None else f"'{text}'"

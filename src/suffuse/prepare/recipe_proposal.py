"""A table -> types of its columns, and a commented recipe that runs unchanged, with sizes measured on the table."""

from __future__ import annotations

import keyword
import math
import os
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from .. import sources
from ..errors import UsageError, listed
from ..modalities import text, text_ngrams
from ..modalities.cell import Root
from ..modalities.number_format import PLAIN
from ..object_store import checked, is_url, local_path
from ..recipe import RESERVED
from ..sources.table_format import AS_IS, TableFormat, without_missing
from ..types import TOKENS
from . import recipe_writer
from .column_roles import Plan, assign, unused
from .column_types import WEB, Column, inspect, number_format, sample
from .forced_roles import force
from .installed_encoders import FINETUNED, MAX_CHARACTERS, TEACHERS, InstalledEncoders, choose_encoders
from .recipe_draft import Draft, TeacherTraining
from .table_reading import missing_values, reading_lines

TRAIN = 0.765  # share of the rows that is left for training where splits are made
FEW_ROWS = 5000  # labelled training rows, below which a network has no hidden layer in its head; measured at 700 only
FEW_LABELS = 0.5  # of the training rows have a label: below it three teachers together, who cost little then

SIDES = (32, 64, 96)  # pixels of a picture; more is slow without a GPU
MAX_LENGTH = 2048  # n-grams of a text
VOCABULARIES = (4096, 65_536)  # ids of n-grams, fewest and most
MANY_IDS, SAMPLED_TEXTS = 2**30, 2_000  # the first: next to no collisions
NGRAMS_OF_ID = 2.5  # different n-grams that share one; with 10 a student of 700 film reviews lost 4 points
FROZEN_COST = 0.02  # of an entry whose features are computed once, in pictures of 64 pixels
# views of a recording whose words are to be written down
VOICES = {"time_masks": 2, "time": 0.08, "band_masks": 2, "bands": 0.2, "gain": 6, "speed": 0.15, "warp": 0.15}
SPOKEN_ROWS = 32  # of a step, where recordings are written down
TRIM = 30  # decibels: what is quieter at the ends of few recordings is cut
FRAMES_IN_PICTURE = 200  # frames of sound that cost about as much as a picture of 64 pixels
NGRAMS_IN_PICTURE = 4000
MAX_EPOCHS, TABLE_EPOCHS = 150, 400  # the second of networks that read tables alone: a step takes a millisecond
STEPS, TABLE_STEPS = (600, 2500), (600, 20_000)  # fewest and most steps of a training
FINETUNING_EPOCHS, FINETUNING_STEPS = 3, 100  # at least, of pretrained encoders
PICTURES = 1_000_000  # that a training may read: some minutes for teacher and students on two cores


@dataclass(frozen=True)
class Preset:
    """How much the proposed trainings may cost."""

    epochs: float  # times the usual number
    teachers: int  # trainings of the teacher's network, at least
    students: int  # seeds
    folds: int  # of the portfolio
    unimodal_baselines: bool
    candidates: bool  # whether the student is selected among several networks
    sentences: bool  # whether the teacher reads texts with a sentence encoder, where one is installed


PRESETS = {
    "fast": Preset(0.5, 1, 1, 3, unimodal_baselines=False, candidates=False, sentences=False),
    "good": Preset(1.0, 1, 3, 5, unimodal_baselines=True, candidates=True, sentences=True),
    "best": Preset(2.0, 3, 5, 10, unimodal_baselines=True, candidates=True, sentences=True),
}


@dataclass(frozen=True)
class Proposal:
    """The table's columns, and the recipe's text (YAML with comments)."""

    columns: list[Column]
    text: str
    reading: list[str]  # lines about how the table was read
    unused: list[tuple[str, str]]  # (column, why) of those that no model reads
    plan: Plan  # the roles of the columns
    draft: Draft  # sizes and trainings, of which the text is written

    def redrafted(self, draft: Draft) -> Proposal:
        """The proposal with other sizes and trainings."""
        return replace(self, draft=draft, text=recipe_writer.write(self.plan, draft))


@dataclass(frozen=True)
class Choices:
    """What the user says of a table, where it isn't inferred."""

    table_format: TableFormat = AS_IS
    roles: Mapping[str, str] = field(default_factory=dict)  # column -> role
    student_budget: Mapping[str, float | str] = field(default_factory=dict)  # keys of ``student.budget``
    teacher: str | None = None  # one of TEACHERS; None: pretrained where an encoder is installed, else small


def propose(
    source: str,
    target: str | None,
    root: str | None = None,
    place: Path = Path(),
    allowed_dir: str | None = None,
    preset: str = "good",
    choices: Choices = Choices(),
) -> Proposal:
    """Inspect a table and propose a recipe for predicting ``target``; of files by class their class, where it is None.

    ``source`` is a file, a folder or the name of a known set; ``root`` the folder that file paths
    start from, the table's own where there is none; ``allowed_dir`` the folder that no file may lie outside of, the
    root where there is none; ``place`` the folder in which the recipe will stand; ``preset`` one of PRESETS;
    ``choices`` what isn't inferred.
    Raises UsageError where there is nothing to predict or nothing to predict it from.
    """
    if preset not in PRESETS:
        raise UsageError("no such preset", where="--preset", got=preset, expected=" or ".join(PRESETS))
    source = local_path(source)
    if choices.teacher not in (None, *TEACHERS):
        raise UsageError("no such teacher", where="--teacher", got=choices.teacher, expected=" or ".join(TEACHERS))
    if remote := sources.load_remote(source):
        source = remote.pinned(source)
    rows = sources.read(source, "rows", choices.table_format)
    target = _target(rows, target)
    missing = missing_values(rows)
    rows = without_missing(rows, missing)
    for key, folder in (("--root", root), ("--allowed-dir", allowed_dir)):
        if folder is not None and not is_url(folder) and not Path(local_path(folder)).is_dir():
            raise UsageError("no such folder", where=key, got=folder)
    folder = rows.root if root is None else root
    file_root = Root.of(folder, allowed_dir)
    known = {target: "category"} if target == rows.known.target else {}
    plan = assign(force(inspect(rows, file_root), known | {**choices.roles}, target, rows, file_root), target)
    _check_usable(plan, folder, source)
    draft = replace(
        _draft(plan, source, place, rows.table.num_rows, preset, choices),
        root=None if root is None else _relative(root, place),
        allowed_dir=None if allowed_dir is None else _relative(allowed_dir, place),
        text_format=rows.text_format,
        missing_values=missing,
        student_budget=tuple(choices.student_budget.items()),
    )
    text = recipe_writer.write(plan, draft)
    return Proposal(plan.columns, text, reading_lines(rows), unused(plan), plan, draft)


def _target(rows: sources.Rows, target: str | None) -> str:
    """The column to predict. Raises UsageError where there is none, or the source doesn't name it."""
    if target is None and rows.known.target is None:
        hint = f"--target COLUMN names it: {listed(rows.table.column_names)}"
        raise UsageError("which column is to be predicted?", where="--target", hint=hint)
    target = target or rows.known.target or ""
    sources.column(rows, target, "--target")
    return target


def names(columns: Iterable[str]) -> list[str]:
    """A plain, unique name for each column: ``Question text`` -> ``question_text``."""
    plain_names: list[str] = []
    for column in columns:
        plain = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", column)).strip("_").lower() or "column"
        plain = f"column_{plain}" if plain[0].isdigit() or plain in RESERVED or keyword.iskeyword(plain) else plain
        number, name = 2, plain
        while name in plain_names:
            number, name = number + 1, f"{plain}_{number}"
        plain_names.append(name)
    return plain_names


def _draft(plan: Plan, source: str, place: Path, rows: int, preset_name: str, choices: Choices) -> Draft:
    """All that the recipe says about data and sizes."""
    preset = PRESETS[preset_name]
    transcript = plan.target_type.kind == TOKENS
    used, table = plan.used(), [] if transcript else plan.table()
    if transcript:  # what a recording says, and what may have been said
        used = [column for column in used if column.role in ("audio", "text")]
    plain_names = names([*(c.name for c in used), *["facts"][: len(table)]])
    train = plan.counts.get("train") or round(TRAIN * rows)
    labelled = max(plan.labelled if plan.split else round(TRAIN * plan.labelled), 1)
    few_rows = labelled < FEW_ROWS and not transcript
    of_column = _spoken if transcript else partial(_modality, few_rows=few_rows)
    modalities = dict(zip(plain_names, map(of_column, used), strict=False))
    distinct_share = {c.name: min(c.distinct / rows, 1.0) if c.distinct else 1.0 for c in used}
    # what repeats is encoded once
    cost = sum(distinct_share[m["column"]] * _cost(m, few_rows) for m in modalities.values())
    pictures = sum(
        distinct_share[m["column"]] * rows * m.get("max_images", 1) for m in modalities.values() if m["kind"] == "image"
    )
    if table:
        types = {c.name: c.role for c in table}
        formats = {c.name: number_format(c).short() for c in table if c.role == "number" and number_format(c) != PLAIN}
        numbers = {"numbers": formats} if formats else {}
        modalities[plain_names[-1]] = {"kind": "tabular", "column": list(types), "types": types, **numbers}
        cost += 0.01
    encoders = _encoders(choices.teacher, preset, {} if transcript else modalities, used, pictures)
    teachers = max(3 if labelled < FEW_LABELS * train else 1, preset.teachers)
    teacher_batch = SPOKEN_ROWS if transcript else batch_size(labelled, not used)
    return Draft(
        source=_source(source, place),
        rows=rows,
        modalities=modalities,
        encoders=encoders,
        finetuned=choices.teacher == FINETUNED,
        batch=SPOKEN_ROWS if transcript else batch_size(train, not used),
        epochs=round(preset.epochs * epochs(train, cost, not used)),
        students=preset.students,
        folds=0 if transcript else preset.folds,
        unimodal_baselines=preset.unimodal_baselines and not transcript,
        transcript=transcript,
        candidates=preset.candidates and not transcript,
        few_rows=few_rows,
        teacher_training=TeacherTraining(
            teacher_batch,
            round(preset.epochs * epochs(labelled, cost, not used)),
            teachers,
            max(FINETUNING_EPOCHS, math.ceil(FINETUNING_STEPS / math.ceil(labelled / teacher_batch))),
        ),
    )


def _encoders(
    teacher: str | None, preset: Preset, modalities: Mapping[str, dict], used: Sequence[Column], pictures: float
) -> InstalledEncoders:
    """The teacher's pretrained encoders, with names that no modality has. A preset may leave out those of texts, unless
    a pretrained teacher is asked for."""
    if teacher is None and not preset.sentences:
        modalities = {name: settings for name, settings in modalities.items() if settings["kind"] != "text"}
    encoders = choose_encoders(teacher, modalities, used, pictures)
    taken = [*modalities]
    sentences: dict[str, dict] = {}
    for name, settings in encoders.sentences.items():
        free = names([*taken, *sentences, name])[-1]
        sentences[free] = settings
    return replace(encoders, sentences=sentences)


def _modality(column: Column, few_rows: bool) -> dict:
    if column.role == "image":
        return {"kind": "image", "column": column.name, "size": picture_size(column.side), **column.facts}
    if column.role == "audio" and few_rows:
        return {"kind": "audio", "column": column.name, **column.facts, "trim": TRIM}
    if column.role in ("audio", "sequence"):
        return {"kind": column.role, "column": column.name, **column.facts}
    return {"kind": "text", "column": column.name, **text_settings(column.cells)}


def _spoken(column: Column) -> dict:
    """A modality for a transcript: a recording, whose views are other voices, or a text, word by word."""
    if column.role == "audio":
        return {"kind": "audio", "column": column.name, **column.facts, "center": "clip", "augment": VOICES}
    words = [len(cell.split()) for cell in dict.fromkeys(column.cells) if cell]
    return {"kind": "text", "column": column.name, "tokens": "words", "length": _length(words)}


def _cost(modality: dict, few_rows: bool) -> float:
    if modality["kind"] == "image" or (modality["kind"] == "audio" and few_rows):
        return FROZEN_COST
    if modality["kind"] == "audio":
        return 100 * modality["seconds"] / FRAMES_IN_PICTURE
    if modality["kind"] == "sequence":
        return modality["length"] / FRAMES_IN_PICTURE
    return modality["length"] / NGRAMS_IN_PICTURE


def _source(source: str, place: Path) -> str:
    """The source as the recipe names it."""
    if remote := sources.load_remote(source):
        return remote.relative(source, place)
    return source if source in sources.TABLE and not Path(source).exists() else _relative(source, place)


def _relative(path: str, place: Path) -> str:
    """A path from where the recipe will stand; a URL is the same everywhere."""
    if is_url(path):
        return checked(path)
    path = local_path(path)
    return Path(os.path.relpath(Path(path).resolve(), place.resolve())).as_posix()


def _check_usable(plan: Plan, folder: Path | str, source: str) -> None:
    missing = [c for c in plan.columns if c.role == "missing"]
    if missing and not any(c.role in ("image", "audio", "sequence") for c in plan.columns):
        raise UsageError(
            f"the {missing[0].facts['what']} of column '{missing[0].name}' aren't there",
            where=f"below the folder {folder}",
            got=f"'{missing[0].examples[0]}' and the like",
            hint="--allowed-dir FOLDER says which folder may be read, a larger one than the root"
            if "outside" in missing[0].facts
            else "--root FOLDER says which folder the paths start from",
        )
    if not plan.used() and not plan.table():
        roles = "; ".join(f"{c.name}: {c.role}" for c in plan.columns if c.name != plan.target)
        web = [c.name for c in plan.columns if c.facts.get(WEB)]
        fetch = f"`suffuse fetch {shlex.quote(source)}` downloads what the addresses in {listed(web)} lead to"
        raise UsageError(
            "no column can be used",
            got=roles or "no column besides the target",
            expected="a column of pictures, texts, recordings, sequences, numbers, categories or dates",
            hint=fetch if web else "",
        )


def picture_size(side: int) -> int:
    """The size nearest to the pictures' shorter side."""
    return min(SIDES, key=lambda size: abs(size - side))


def text_settings(cells: Sequence[str | None]) -> dict:
    """tokens, vocabulary and length for the texts of a column (None: no text)."""
    distinct = [" ".join(cell.split())[:MAX_CHARACTERS].lower() for cell in dict.fromkeys(cells) if cell]
    sampled = sample(distinct, SAMPLED_TEXTS)
    settings = text.Settings.model_validate({"column": "", "tokens": "ngrams"})

    def ids(count: int) -> list[list[int]]:
        hashing = text_ngrams.Hashing.of(count, settings.word_ngrams, settings.char_ngrams)
        return [text_ngrams.ngram_ids(hashing, t) for t in sampled]

    fewest, most = VOCABULARIES
    wanted = max(num_distinct(ids(MANY_IDS), len(distinct)) / NGRAMS_OF_ID, 1)
    vocabulary = min(max(2 ** math.ceil(math.log2(wanted)), fewest), most)
    return {"tokens": "ngrams", "vocabulary": vocabulary, "length": _length([len(one) for one in ids(vocabulary)])}


def num_distinct(sampled: Sequence[Sequence[int]], total: int) -> float:
    """Number of different n-grams of ``total`` texts, from those of a sample: it grows as a power of the number of
    texts (Heaps 1978), which the sample's first half tells."""
    half = len(set(chain.from_iterable(sampled[::2])))
    whole = len(set(chain.from_iterable(sampled)))
    if not half or len(sampled) >= total:
        return whole
    growth = math.log(whole / half) / math.log(len(sampled) / len(sampled[::2]))
    return whole * (total / len(sampled)) ** growth


def batch_size(rows: int, tables_only: bool = False) -> int:
    """Rows in a step: small tables need small ones, to make steps enough."""
    return 64 if rows < (FEW_ROWS if tables_only else 2000) else 256


def epochs(rows: int, cost: float, tables_only: bool = False) -> int:
    """Epochs for so many training rows, of which each costs as much as so many pictures of 64 pixels."""
    batch = batch_size(rows, tables_only)
    (fewest, most), limit = (TABLE_STEPS, TABLE_EPOCHS) if tables_only else (STEPS, MAX_EPOCHS)
    steps = min(max(PICTURES / max(batch * cost, 1), fewest), most)
    return int(min(max(round(steps / math.ceil(rows / batch)), 8), limit))


def _length(lengths: list[int]) -> int:
    """Nearly all of them with a margin, in steps of 8."""
    rounded = math.ceil(1.25 * float(np.percentile(lengths, 99)) / 8) * 8
    return min(max(rounded, 8), MAX_LENGTH)

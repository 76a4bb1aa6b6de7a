"""Estimated cost of a run: disk, memory, time. Sizes are counted; times are measured on a sample or left out."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

from ... import fusions
from ...modalities import load_modality
from ...recipe import Network, Recipe, Training
from ...recipe.networks import Teacher
from ...recipe.student import SELECTION_SEEDS, SELECTION_SHARE
from ...registry import PartSettings, implements
from ...types import Sizes
from .content_check import workers
from .findings import STOPS, WARNS, Check

OBJECTS = 4  # a table's cells as Python objects, in sizes of the table
PROGRAM = 150_000_000  # bytes of the program itself
WIDTH = 512  # numbers of a feature, where the recipe doesn't say
ROW = 26  # bytes of a row's split, group, key and target
STEPS_TRIED = 8
FEWEST_STEPS = 300  # of a training, below which a network has hardly begun to learn
FROZEN_TEACHER = "frozen teacher"  # of a teacher with frozen_first: its training with frozen encoders
STORED = 25  # bytes of a row's key, content, label and error in the knowledge store


def disk(check: Check, recipe: Recipe, rows: dict[str, int], place: Path, outputs: int) -> dict[str, Any]:
    """Bytes that prepare and extract write, and the free bytes where the run would stand."""
    modalities = check.modalities
    columns = sum(m.cells * m.bytes for m in modalities)
    index = sum(rows.values()) * (ROW + 9 * len(modalities))
    store = _store(recipe, rows, _tap_numbers(recipe.trained, outputs))
    room = shutil.disk_usage(_existing_folder(place)).free
    frozen = sum(m.cells * 4 * _width(e) for m in modalities for e in _frozen(recipe, m.name))
    need = columns + index + frozen + 2 * store  # the store is written in parts, then as a whole
    if need > room:
        text = f"about {size(need)} are needed below {place}, and {size(room)} are free"
        check.add(STOPS, "disk", "", text)
    return {
        "data": int(columns + index),
        "features": int(frozen),
        "knowledge": int(store),
        "free": int(room),
        "how": "columns counted from the cells and the size of an entry; the store from rows and the teacher's widths, "
        f"twice while it is made; {WIDTH} numbers where the recipe names no width; models not counted",
    }


def memory(check: Check, table: int) -> dict[str, Any]:
    """Bytes in memory while rows are prepared. ``table``: bytes of the table itself."""
    texts = sum(m.cells * m.bytes for m in check.modalities if m.bytes < 1000)
    need = PROGRAM + (1 + OBJECTS) * table + texts
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > 0.9 * installed:
        check.add(WARNS, "memory", "", f"prepare needs about {size(need)}, and this machine has {size(installed)}")
    method = f"the table, its cells as objects (about {OBJECTS} times the table) and {size(PROGRAM)} for the program; "
    return {"prepare": int(need), "machine": int(installed), "how": method + "entries lie on disk and are mapped"}


def time(check: Check, recipe: Recipe, read: float, rows: dict[str, int]) -> dict[str, Any]:
    """Seconds that prepare takes, and how many steps the trainings have."""
    seconds = read + sum(m.cells * m.seconds for m in check.modalities) / workers()
    seconds += sum(column["seconds"] for column in check.derived)
    labelled = max((t["labelled"]["train"] for t in check.targets), default=0) or rows["train"]
    trainings = list_trainings(recipe, rows["train"], labelled)
    _check_steps(check, recipe, labelled, rows["train"])
    timed = [f"{m.name}: {1000 * m.seconds:.2g} ms each" for m in check.modalities]
    timed += [f"{d['name']}, derived: {1000 * d['seconds'] / max(check.rows, 1):.2g} ms a row" for d in check.derived]
    return {
        "prepare": seconds,
        "trainings": trainings,
        "how": f"prepare: the table was read once here, and cells were timed ({', '.join(timed)}); how long a step "
        "takes depends on the networks: --measure builds them and times some (needs torch)",
    }


def list_trainings(recipe: Recipe, train: int, labelled: int) -> list[dict[str, Any]]:
    """Every kind of training: how many there are, and the steps of one; the teacher's are on rows with a label."""
    distill, is_multimodal = recipe.distill, len(recipe.modalities) > 1
    teacher, trainings = recipe.trained, []
    if teacher:
        teachers = teacher.num_seeds * (
            1 + (len(teacher.encoders) if teacher.unimodal_baselines and is_multimodal else 0)
        )
        trainings += _teacher_trainings(teacher, teachers + (teacher.folds or 0), labelled)
    students = distill.num_seeds * 2 * (1 + len(recipe.fractions))
    encoders = len(recipe.student.encoders)
    baselines = distill.num_seeds * encoders if distill.unimodal_baselines and encoders > 1 else 0
    student_steps = steps(distill.train, train * (1 + recipe.data.synthetic_rows))
    trainings.append({"who": "student", "trainings": students + baselines, "steps": student_steps})
    trainings += _selection(recipe, student_steps)
    if distill.compute_matched_baseline:  # at the most: what the teacher's training took isn't known yet
        max_steps = distill.compute_matched_baseline * student_steps
        trainings.append({"who": "student", "trainings": distill.num_seeds, "steps": max_steps})
    return trainings


def _teacher_trainings(teacher: Teacher, count: int, labelled: int) -> list[dict[str, Any]]:
    """So many trainings of the teacher. With ``frozen_first`` each is two: one with frozen encoders, of which a step
    costs less, and the fine-tuning that follows, which may have epochs of its own. Of modalities alone whose encoder
    isn't fine-tuned there is only the first."""
    whole = steps(teacher.train, labelled)
    if not teacher.frozen_first:
        return [{"who": "teacher", "trainings": count, "steps": whole}]
    untuned = sum(encoder.get("finetune") is None for encoder in teacher.encoders.values())
    tuned = count - (teacher.num_seeds * untuned if teacher.unimodal_baselines else 0)
    finetuning = (
        whole if isinstance(teacher.frozen_first, bool) else whole // teacher.train.epochs * teacher.frozen_first
    )
    return [
        {"who": FROZEN_TEACHER, "trainings": count, "steps": whole},
        {"who": "teacher", "trainings": tuned, "steps": finetuning},
    ]


def _selection(recipe: Recipe, student_steps: int) -> list[dict[str, Any]]:
    """The trainings by which the student is selected, without those that become the student's; at the most, for a
    network that isn't promising is trained briefly only."""
    networks = len(recipe.student.networks())
    if networks == 1:
        return []
    others = min(networks, recipe.student.finalists) - 1
    return [
        {"who": "student", "trainings": networks, "steps": math.ceil(SELECTION_SHARE * student_steps)},
        {
            "who": "student", "trainings": others * min(SELECTION_SEEDS, recipe.distill.num_seeds),
            "steps": student_steps,
        },
    ]  # fmt: skip


def _check_steps(check: Check, recipe: Recipe, labelled: int, train: int) -> None:
    """Warn where few rows have a label, and the teacher's epochs over them make few steps."""
    if recipe.trained and labelled < train / 2:
        teacher_steps = steps(recipe.trained.train, labelled)
        if teacher_steps < FEWEST_STEPS:
            text = f"the teacher takes {teacher_steps:,} steps, on {labelled:,} labelled of {train:,} training rows: "
            check.add(WARNS, "few_steps", "teacher.train", text + "more epochs, or a smaller batch")


def steps(training: Training, rows: int) -> int:
    """Steps of one training."""
    return training.epochs * -(-rows // training.batch)


def apply_measurements(check: Check, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Replace estimates by what :func:`suffuse.evaluation.training_time.estimate_training` measured."""
    rows, threads = check.splits["rows"], recipe.compute.threads
    check.costs["disk"]["knowledge"] = _store(recipe, rows, facts["teacher"]["kept"])
    check.costs["disk"]["how"] = "columns counted from the cells and the size of an entry; the store from the teacher"
    cells, total = num_entries(check, recipe), 0.0
    for training in check.costs["time"]["trainings"]:
        network = facts[training["who"]]
        parallel = min(max(threads // recipe.compute.processes, 1), training["trainings"])
        seconds_each = training["steps"] * network["step"] * (1 + rows["validation"] / max(rows["train"], 1) / 3)
        training |= {"step": network["step"], "seconds": training["trainings"] * seconds_each / parallel}
        total += training["seconds"] + sum(seconds * cells[name] for name, seconds in network["frozen"].items())
    method = f"{STEPS_TRIED} steps of each network on one thread, made-up rows; "
    method += f"up to {threads} trainings side by side; "
    parameters = {who: facts[who]["parameters"] for who in ("teacher", "student")}
    check.costs["time"] |= {"training": total, "parameters": parameters}
    check.costs["time"]["how"] = method + "validation counted as a third of a step, stopping early not at all"
    student, teacher = facts["student"]["parameters"], facts["teacher"]["parameters"]
    if teacher is not None and student >= teacher:
        text = f"the student has {student:,} parameters, the teacher {teacher:,}: it must be smaller; lower its widths"
        check.add(STOPS, "student_not_smaller", "student", text)


def num_entries(check: Check, recipe: Recipe) -> dict[str, int]:
    """Modality -> entries that a frozen encoder reads at the most, those of synthetic rows included."""
    copies = {
        m.name: recipe.data.synthetic_rows
        if implements(load_modality(recipe.modalities[m.name].kind), "synthesise")
        else 0
        for m in check.modalities
    }
    return {m.name: m.cells * (1 + copies[m.name]) for m in check.modalities}


def size(count: float) -> str:
    """Bytes as text: ``1.3 GB``."""
    for unit, large in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= large:
            return f"{count / large:.3g} {unit}"
    return f"{count:.0f} bytes"


def _store(recipe: Recipe, rows: dict[str, int], numbers: int) -> int:
    """Bytes of the knowledge store, at the most: so many numbers of a row, for each subset and view."""
    count, settings = len(recipe.trained.encoders) if recipe.trained else 1, recipe.extract
    subset_counts = {"full": 1, "each": 1 + count if count > 1 else 1, "all": 2**count - 1}
    subsets = subset_counts[settings.subsets] if isinstance(settings.subsets, str) else 1 + len(settings.subsets)
    train = rows["train"] * (1 + recipe.data.synthetic_rows)
    answers = recipe.num_teachers * subsets * (train + rows["validation"] + settings.views * train)
    return answers * (STORED + (2 if settings.dtype == "float16" else 4) * numbers)


def _tap_numbers(network: Network | None, outputs: int) -> int:
    """Numbers of a row in the knowledge store: logits, the joint vector, each modality's, gates; of a teacher from
    outside logits alone."""
    if network is None:
        return outputs
    widths = tuple(_width(encoder) for encoder in network.encoders.values())
    part = fusions.load_fusion(network.fusion.kind)
    try:
        joint = part.width(network.fusion, Sizes(widths, (0,) * len(widths), outputs))
    except (ValueError, IndexError):  # a fusion that asks more of its encoders: the width that it names itself
        joint = _width(network.fusion)
    return outputs + joint + sum(widths) + len(widths)


def _frozen(recipe: Recipe, name: str) -> list[Any]:
    """The different frozen encoders of a modality: their vectors are kept."""
    encoders = [n.encoders[name] for n in recipe.networks.values() if name in n.encoders]
    if recipe.trained and recipe.trained.frozen_first:
        tuned = recipe.trained.encoders.get(name)
        if tuned is not None and tuned.get("finetune") is not None:  # it is frozen in the first of two trainings
            encoders.append(tuned.model_copy(update={"frozen": True, "finetune": None}))
    return [e for i, e in enumerate(encoders) if e.get("frozen") and e not in encoders[:i]]


def _width(settings: PartSettings) -> int:
    """The width that a part's settings name, else ``WIDTH``."""
    width = settings.get("width") or (settings.get("widths") or [None])[-1]
    return int(width) if width else WIDTH


def _existing_folder(place: Path) -> Path:
    """The nearest folder that exists already."""
    return next(p for p in (place, *place.parents) if p.exists())

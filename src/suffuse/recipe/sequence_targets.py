"""What a recipe must say, and what it needn't, where its target is a sequence of units (kind ``tokens``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..losses.compatibility import FRAMEWISE
from ..registry import ModalitySettings, PartSettings, TeacherSettings
from ..types import TIMED, TOKENS, TRANSCRIPTS
from .data_settings import Data
from .networks import Network, Teacher

FUSION = "frames"


def is_sequence(data: Data) -> bool:
    """Whether the target is a sequence."""
    return any(data.task(name).kind == TOKENS for name in data.targets)


def filled(raw: dict[str, Any]) -> dict[str, Any]:
    """Raw YAML of a recipe, the fusion of frames written into networks that name none, where its target is a
    sequence."""
    data = raw.get("data")
    tasks = data.get("tasks") if isinstance(data, dict) else None
    if not isinstance(tasks, dict):
        return raw
    if not any(isinstance(task, dict) and task.get("kind") == TOKENS for task in tasks.values()):
        return raw
    networks = {
        name: {**raw[name], "fusion": {"kind": FUSION}}
        for name in ("teacher", "student")
        if isinstance(raw.get(name), dict) and "fusion" not in raw[name] and "kind" not in raw[name]
    }
    return {**raw, **networks}


def check_frames(
    losses: Mapping[str, PartSettings], modalities: Mapping[str, ModalitySettings], augmented: bool, views: int
) -> None:
    """Raise ValueError where a loss compares frames of teacher and student, and the student's recording is faster or
    slower than the one that the teacher answered. ``modalities``: the student's, of which it hears views where
    ``augmented``; ``views``: how many are stored.
    """
    framewise = [name for name, loss in losses.items() if loss.kind in FRAMEWISE]
    paced = [name for name, settings in modalities.items() if getattr(settings.get("augment"), "speed", 0)]
    if framewise and paced and augmented and not views:
        got = f"{losses[framewise[0]].kind} beside modalities.{paced[0]}.augment.speed, without extract.views"
        expected = "extract.views: 8, so that the teacher answers what the student hears, or kind sequence_kd"
        raise ValueError(f"distill.losses.{framewise[0]}: got {got}, expected {expected}")


def has_times(teacher: Any) -> bool:
    """Whether a teacher of transcripts says when it hears each unit; one whose answers are texts doesn't."""
    if not isinstance(teacher, TeacherSettings):
        return True
    return not (teacher.WRITES_TRANSCRIPTS or teacher.get("form") == TRANSCRIPTS)


def heard_modality(teacher: TeacherSettings, modalities: Mapping[str, ModalitySettings]) -> str:
    """The audio modality that a recogniser hears. Raises ValueError where there is none, or several and none is
    named."""
    known, chosen = [name for name, settings in modalities.items() if settings.kind == "audio"], teacher.get("modality")
    if chosen is None and len(known) == 1:
        return known[0]
    if chosen not in known:
        got = f"'{chosen}'" if chosen else "none"
        expected = f"one of kind audio: {', '.join(known)}" if known else "a recipe with a modality of kind audio"
        raise ValueError(f"teacher.modality: got {got}, expected {expected}")
    return chosen


def check_teacher(data: Data, teacher: Any, modalities: Mapping[str, ModalitySettings]) -> None:
    """Raise ValueError where a teacher from outside doesn't go with the target, or a recogniser has nothing to hear."""
    if not isinstance(teacher, TeacherSettings):
        return
    if is_sequence(data):
        if teacher.WRITES_TRANSCRIPTS:
            heard_modality(teacher, modalities)
        if has_times(teacher):
            expected = (
                f"kind recogniser, kind table with form {TRANSCRIPTS}, or a teacher that the run trains, for a target "
                f"of kind {TOKENS}"
            )
            raise ValueError(f"teacher.kind: got {teacher.kind}, expected {expected}")
        return
    for name, member in teacher.everyone().items():
        if not has_times(member):
            key, got = ("kind", member.kind) if member.WRITES_TRANSCRIPTS else ("form", TRANSCRIPTS)
            where = ".".join(filter(None, ("teacher", name, key)))
            raise ValueError(f"{where}: got {got}, expected a target of kind {TOKENS}")


def check(data: Data, networks: Mapping[str, Network], modalities: Mapping[str, ModalitySettings]) -> None:
    """Raise ValueError where something of the recipe doesn't go with a sequence."""
    if not is_sequence(data):
        return
    if len(data.targets) > 1:
        raise ValueError(f"data.target: got {len(data.targets)} targets, expected a target of kind tokens alone")
    for owner, network in networks.items():
        if network.fusion.kind != FUSION:
            expected = f"{FUSION}, for a target of kind tokens"
            raise ValueError(f"{owner}.fusion.kind: got {network.fusion.kind}, expected {expected}")
        if not any(modalities[name].kind in TIMED for name in network.encoders):
            got, expected = ", ".join(network.encoders), " or ".join(TIMED)
            raise ValueError(f"{owner}.encoders: got {got}, expected a modality of kind {expected} for a transcript")
        if network.unimodal_weight:
            raise ValueError(f"{owner}.unimodal_weight: got {network.unimodal_weight}, expected 0 for a transcript")
        if isinstance(network, Teacher) and network.portfolio is not None:
            raise ValueError(f"{owner}.portfolio: got one, expected none: classical models give no transcript")

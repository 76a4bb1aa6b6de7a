"""Every module of every table follows the Protocol of its kind: names, parameters and annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from types import FunctionType
from typing import Any

import pytest

from suffuse import derive, encoders, evaluation, fusions, losses, modalities, sources, teachers
from suffuse.recipe.stage_settings import PROBES
from suffuse.registry import Part, PartSettings, implements, load_part, required_members

ROOMS: dict[str, tuple[type, Callable[[str], Any], list[str]]] = {
    "encoders": (encoders.EncoderPart, encoders.load_encoder, [*encoders.TABLE]),
    "fusions": (fusions.FusionPart, fusions.load_fusion, [*fusions.TABLE]),
    "losses": (losses.LossPart, losses.load_loss, [*losses.TABLE]),
    "modalities": (modalities.ModalityPart, modalities.load_modality, [*modalities.TABLE]),
    "derive": (derive.DerivationPart, derive.load_derivation, [*derive.TABLE]),
    "probes": (evaluation.ProbePart, evaluation.load_probe, [*PROBES]),
    "teachers": (teachers.TeacherPart, teachers.load_teacher, [k for k in teachers.TABLE if k != "ensemble"]),
    "readers": (
        sources.ReaderPart,
        sources.load_reader,
        sorted({*sources.SUFFIXES.values(), *sources.FOLDERS.values()}),
    ),
    "known sets": (sources.KnownSetPart, sources.load_known_set, [*sources.TABLE]),
}
PARTS = [pytest.param(room, kind, id=f"{room}-{kind}") for room, (_, _, kinds) in ROOMS.items() for kind in kinds]


@pytest.mark.parametrize(("room", "kind"), PARTS)
def test_a_module_has_the_names_and_signatures_of_its_protocol(room: str, kind: str) -> None:
    protocol, open_part, _ = ROOMS[room]
    part = open_part(kind)
    assert isinstance(part, Part) and open_part(kind) is part  # checked once
    assert required_members(protocol) <= vars(part.module).keys()
    for name, member in vars(protocol).items():
        if isinstance(member, FunctionType) and not name.startswith("_") and implements(part, name):
            check_signature(member, getattr(part.module, name), f"{room}.{kind}.{name}")
    if room not in ("probes", "readers", "known sets"):
        assert issubclass(part.Settings, PartSettings)
    for name, annotation in protocol.__annotations__.items():
        if annotation in ("bool", "int", "str"):
            assert type(getattr(part, name)).__name__ == annotation, name
        if annotation == "tuple[str, ...]":
            value = getattr(part, name)
            assert isinstance(value, tuple) and all(isinstance(item, str) for item in value), name


def check_signature(wanted: FunctionType, function: Callable[..., Any], where: str) -> None:
    """The module's function takes what the Protocol's takes, by the same names in the same order; further parameters
    have defaults."""
    expected = list(inspect.signature(wanted).parameters.values())[1:]
    own = list(inspect.signature(function).parameters.values())
    names = [own.name if p.kind is p.POSITIONAL_ONLY else p.name for p, own in zip(expected, own, strict=False)]
    assert [p.name for p in own[: len(expected)]] == names and len(names) == len(expected), where
    assert all(p.default is not p.empty for p in own[len(expected) :]), where
    assert all(p.default is p.empty for p in own[: len(expected)]), where
    assert all(p.annotation is not p.empty for p in own), where
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty, where


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_public_of_a_protocol_has_a_docstring(room: str) -> None:
    protocol = ROOMS[room][0]
    functions = {n: f for n, f in vars(protocol).items() if isinstance(f, FunctionType) and not n.startswith("_")}
    assert functions and all(f.__doc__ for f in functions.values()) and protocol.__doc__


def test_defaults_stand_in_for_what_a_module_leaves_out() -> None:
    part, settings = encoders.load_encoder("mlp"), losses.load_loss("task").Settings()
    assert not implements(part, "tokens") and implements(encoders.load_encoder("conv"), "tokens")
    assert part.QUERIES == () and part.hindrance(settings, None) == ""  # type: ignore[arg-type]
    assert losses.load_loss("kd").min_classes(settings) == 1 and losses.load_loss("lskd").min_classes(settings) == 3
    assert losses.load_loss("task").asks(settings) == losses.load_loss("task").needs(settings) == ()


def test_a_module_without_a_required_name_is_refused() -> None:
    table = {"broken": "suffuse.markdown"}
    lacking = "DOCS, MODALITIES, Settings, encode"
    with pytest.raises(TypeError, match=f"suffuse.markdown is no EncoderPart: it lacks {lacking}"):
        load_part(table, "broken", encoders.EncoderPart)
    assert not hasattr(import_module("suffuse.markdown"), "QUERIES")  # a module is left as it is

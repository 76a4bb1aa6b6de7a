"""What every probe of the table keeps to."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from suffuse.evaluation import size
from suffuse.evaluation.scorecard import merge_fields, run_probes
from suffuse.recipe.stage_settings import PROBES, Evaluate
from suffuse.registry import load
from suffuse.testing.probe_checks import check_result

ROOT = Path(__file__).parents[2]
TIMED = ("latency", "latency_ms", "memory")  # what no two measurements share


@pytest.fixture(scope="module")
def found_by(looked_at):
    """What a probe finds, asked once."""
    _, context = looked_at
    memory: dict[str, dict[str, dict]] = {}

    def ask(name: str) -> dict[str, dict]:
        if name not in memory:
            part: Any = load(PROBES, name)
            with mock.patch.object(size, "STARTS", 1):
                memory[name] = part.probe(replace(context, cache={}))
        return memory[name]

    return ask


# two measurements of every export in processes of their own; quicker: test_size.py
ONE_SLOW = [pytest.param(name, marks=pytest.mark.long if name == "size" else ()) for name in PROBES]


@pytest.mark.parametrize("name", ONE_SLOW)
def test_a_probe_tells_what_the_page_says_as_json_and_the_same_again(looked_at, name, monkeypatch):
    monkeypatch.setattr(size, "STARTS", 1)
    check_result(name, looked_at[1], TIMED)


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_looks_at_all_main_models(looked_at, found_by, name):
    _, context = looked_at
    found = found_by(name)
    main = {model.name for model in context.main_models()}
    assert {"teacher", "student", "baseline", "export"} <= main <= {*context.models} and "majority" not in main
    exports = {who for who in main if who.startswith("export")}
    if name == "agreement":
        assert set(found) == set(context.models) - {"teacher"}
    elif name == "explained":
        assert set(found) == {"teacher", "student"}
    elif name == "latency":
        assert set(found) == {"teacher", *exports}
    else:
        assert set(found) == main


@pytest.mark.parametrize("name", PROBES)
def test_values_have_intervals_that_hold_them(looked_at, found_by, name):
    _, context = looked_at
    seeds = {who: len(model.logits) for who, model in context.models.items()}

    def look(value: Any, who: str) -> None:
        if isinstance(value, dict) and {"mean", "low", "high", "per_seed"} <= set(value):
            assert value["mean"] == pytest.approx(np.mean(value["per_seed"])) and value["low"] <= value["high"]
            assert len(value["per_seed"]) == seeds[who]
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(one, who)

    for who, card in found_by(name).items():
        look(card, who)


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_has_a_page_and_imports_no_other_stage_s_part(name):
    part: Any = load(PROBES, name)
    page = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in page and all(f"`{field}`" in page for field in part.FIELDS)
    file = ROOT / "src" / Path(*PROBES[name].split(".")).with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert (ast.get_docstring(tree) or "").count(" ") > 10
    made = next(f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name == "probe")
    assert [a.arg for a in made.args.args] == ["context"] and ast.get_docstring(made)


def test_the_recipe_names_the_table_s_probes():
    folder = ROOT / "src" / "suffuse" / "evaluation"
    probes = {f"suffuse.evaluation.{file.stem}" for file in folder.glob("*.py") if "\nFIELDS = " in file.read_text()}
    assert set(PROBES.values()) == probes and Evaluate().probes == "all"


def test_only_what_is_wanted_is_run_and_parts_of_a_field_stand_side_by_side(looked_at):
    _, context = looked_at
    found = run_probes(replace(context, cache={}), ["agreement"])
    assert set(found) == set(context.models) and found["teacher"] == {} and set(found["student"]) == {"agreement"}
    assert merge_fields({"a": {"x": 1}, "b": 2}, {"a": {"y": 3}}) == {"a": {"x": 1, "y": 3}, "b": 2}


def test_a_network_asked_once_for_all_subsets_answers_as_when_asked_for_each(looked_at):
    _, context = looked_at
    rows = context.rows
    for who in ("teacher", "student", "export"):
        member = next(iter(context.models[who].members.values()))
        for there in ([True, False], [False, True], [False, False]):
            present = context.columns.present.copy()
            present[rows] &= there
            kept = np.broadcast_to(np.array(there), (1, len(rows), 2)).copy()
            changed = replace(member, columns=replace(context.columns, present=present))  # type: ignore[type-var]
            np.testing.assert_allclose(member.masked_logits(rows, kept)[0], changed.logits(rows), atol=1e-5)


def test_on_columns_that_nobody_changed_a_member_says_what_it_said(looked_at):
    _, context = looked_at
    for model in context.main_models():
        for seed, member in model.members.items():
            for name in member.names:
                said = member.logits_on(context.columns, name, context.rows)
                assert said is not None and (said == model.logits[seed]).all()

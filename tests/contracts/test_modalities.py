"""What every modality keeps to: cells in, the model's arrays out, the same way every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from suffuse import modalities, sources
from suffuse.modalities.cell import Absent
from suffuse.registry import settings
from suffuse.sources.frame import save_rows
from suffuse.testing.modality_checks import CHECKS, Built

CASES = [
    pytest.param({"column": "c", **choice, "kind": kind}, id=f"{kind}-{number}")
    for kind in modalities.TABLE
    for number, choice in enumerate(modalities.load_modality(kind).EXAMPLES)
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("asked", CASES)
def test_a_modality_keeps_to_its_contract(asked, check):
    check(lambda fitted_on: Built(asked, fitted_on))


@pytest.mark.parametrize("asked", CASES)
def test_settings_refuse_what_they_don_t_know(asked):
    with pytest.raises(ValueError, match="colour"):
        settings(modalities.TABLE, {**asked, "colour": "gray"})


FIT = """
import json, sys
import numpy as np
from suffuse import modalities, sources
from suffuse.registry import load, settings

def fit(asked, values):
    part, chosen = load(modalities.TABLE, asked["kind"]), settings(modalities.TABLE, asked)
    return part.fit(chosen, np.array(values, dtype=np.uint8) if asked["kind"] == "image" else values)

print(json.dumps([fit(*case) for case in json.loads(sys.stdin.read())]))
"""
FITTED = [c for c in CASES if "image" not in str(c.id) or str(c.id) == "image-0"]


def items_to_fit(one: Built, kind: str) -> list:
    """Its items; of texts such that many words are as frequent as others."""
    if kind != "text":
        return one.items
    random = np.random.default_rng(0)
    return [" ".join("".join(random.choice(list("abcde"), 3)) for _ in range(5)) for _ in range(80)]


@pytest.fixture(scope="module")
def fitted_elsewhere() -> list[list]:
    """The statistics of all cases, as processes with different hash seeds find them: [process][case]."""
    given = []
    for (asked,) in (case.values for case in FITTED):
        items = items_to_fit(Built(asked), asked["kind"])
        given.append([asked, [i.tolist() if isinstance(i, np.ndarray) else i for i in items]])
    found = []
    for seed in ("1", "77"):
        said = subprocess.run(
            [sys.executable, "-c", FIT],
            input=json.dumps(given),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(said.stdout))
    return found


@pytest.mark.parametrize("number", range(len(FITTED)), ids=[str(c.id) for c in FITTED])
def test_statistics_are_the_same_in_every_process(number: int, fitted_elsewhere: list[list]):
    """Tokenizers are trained with hash maps inside: ties must not be decided by the process's hash seed."""
    (asked,) = FITTED[number].values
    one = Built(asked)
    items = items_to_fit(one, asked["kind"])
    expected = one.part.fit(one.settings, one.stack(items))
    assert one.part.fit(one.settings, one.stack(items)) == expected
    assert [found[number] for found in fitted_elsewhere] == [expected] * 2


SIGNALS = [c for c in CASES if modalities.load_modality(c.values[0]["kind"]).AUGMENTED]  # type: ignore[index]


def entries_of(one: Built) -> np.ndarray:
    return one.encode(one.items)


def still(asked: dict, entries: np.ndarray) -> np.ndarray:
    """What no view and no damage may touch: padding, which steps are real, and empty places."""
    kept = np.zeros(entries.shape, dtype=bool)
    if asked["kind"] == "image":
        if entries.ndim == 5:
            kept[..., 3] = True
            kept |= entries[..., 3:] == 0
        return kept
    kept[..., -1] = True
    return kept | (entries[..., -1:] == 0)


@pytest.mark.parametrize("asked", SIGNALS)
def test_a_view_is_a_pure_function_of_an_entry_and_its_numbers(asked):
    one = Built({**asked, "augment": modalities.load_modality(asked["kind"]).AUGMENTED})
    entries = entries_of(one)
    before, draws = entries.copy(), np.random.default_rng(0).random((len(entries), one.part.DRAWS))
    seen = one.part.augment(one.settings, entries, draws)
    assert (entries == before).all()
    assert seen.shape == entries.shape and seen.dtype == entries.dtype
    assert (seen == one.part.augment(one.settings, entries, draws)).all()
    for n in range(len(entries)):
        assert (one.part.augment(one.settings, entries[n : n + 1], draws[n : n + 1])[0] == seen[n]).all()
        few = asked.get("form") == "embedding" and entries[n, :, -1].sum() < 8  # a tenth of them is no step
        assert few or (seen[n] != entries[n]).any()
    fixed = still(asked, entries)
    assert (seen[fixed] == entries[fixed]).all() and np.isfinite(seen).all()
    other = one.part.augment(one.settings, entries, 1 - draws)
    assert (other != seen).any()


@pytest.mark.parametrize("asked", SIGNALS)
def test_without_augment_a_view_is_what_is_there(asked):
    one = Built(asked)
    entries = entries_of(one)
    draws = np.random.default_rng(0).random((len(entries), one.part.DRAWS))
    assert (one.part.augment(one.settings, entries, draws) == entries).all()


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("asked", SIGNALS)
def test_damage_depends_on_content_and_seed_alone(asked, severity):
    one = Built(asked)
    entries = entries_of(one)
    before = entries.copy()
    found = one.part.corrupt(one.settings, one.statistics, entries, severity, 3)
    assert (entries == before).all()
    assert found.shape == entries.shape and found.dtype == entries.dtype and np.isfinite(found).all()
    for n in range(len(entries)):
        assert (one.part.corrupt(one.settings, one.statistics, entries[n : n + 1], severity, 3)[0] == found[n]).all()
        assert (found[n] != entries[n]).any()
    fixed = still(asked, entries)
    assert (found[fixed] == entries[fixed]).all()
    assert (one.part.corrupt(one.settings, one.statistics, entries, severity, 4) != found).any()


@pytest.mark.parametrize("asked", SIGNALS)
def test_more_severe_damage_changes_more(asked):
    one = Built(asked)
    entries = entries_of(one)
    kinds = one.part.DAMAGES
    for kind in kinds if isinstance(kinds, tuple) else kinds[one.settings.model_dump()["form"]]:

        def change(severity: int, kind: str = kind) -> float:
            found = [one.part.corrupt(one.settings, one.statistics, entries, severity, n, kind) for n in range(8)]
            return float(np.mean([np.abs(f - entries.astype(float)) for f in found]))

        little, more, most = change(1), change(3), change(5)
        assert 0 < little <= more <= most, kind
        assert little < most or (kind == "silence" and one.settings.model_dump()["features"] < 3), kind


@pytest.mark.parametrize("asked", SIGNALS)
def test_it_is_explained(asked):
    one = Built(asked)
    said = one.part.explain(one.settings, one.statistics)
    assert len(said) >= 2 and all(s.endswith(".") and len(s) > 20 for s in said)


@pytest.mark.parametrize("asked", SIGNALS)
def test_python_objects_go_through_a_table_without_loss(asked, tmp_path):
    """What a frame held reads, out of Parquet, as what the predictor is given directly."""
    one = Built(asked)
    columns = one.settings.columns
    rows = [v if isinstance(v, dict) else {"c": v} for v in one.values]
    rows.append(dict.fromkeys(columns))
    file = save_rows(rows, tmp_path / "rows.parquet", {"m": one.settings})
    table = sources.read(str(file))
    cells = sources.cells(table, one.settings.column, "c").to_pylist()
    for cell, value in zip(cells, one.values, strict=False):
        before, after = (one.part.load(one.settings, v, Path()) for v in (value, cell))
        assert before[0] == after[0] and np.array_equal(before[1], after[1])
    with pytest.raises(Absent):
        one.load(cells[-1])

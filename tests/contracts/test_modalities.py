"""What every modality keeps to: cells in, the model's arrays out, the same way every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from suffuse import modalities
from suffuse.modalities.cell import Absent, Unreadable
from suffuse.parts import ModalitySettings, load, settings

CHOICES = {
    "image": [{"size": 8, "fit": fit} for fit in ("pad", "crop", "stretch")],
    "tabular": [
        {"column": ["price", "colour", "bought", "code"], "clip": 0.1, "least": 1},
        {"column": ["price"], "types": {"price": "number"}},
        {"column": ["colour", "bought"], "types": {"bought": "category"}, "least": 1, "most": 10},
    ],
    "text": [{"tokens": tokens, "vocabulary": 300, "length": 8} for tokens in ("words", "bpe")],
}
VALUES = {
    "image": [np.random.default_rng(n).integers(0, 256, (8 + n, 12, 3), dtype=np.uint8) for n in range(5)],
    "tabular": [
        {
            "price": f"{3 * n + 0.5}",
            "colour": ("red", "blue", "绿", "rot")[n % 4] + "x" * n,
            "bought": day,
            "code": n % 2,
        }
        for n, day in enumerate(("2024-01-31", "5.3.2023", "2024-03-05T10:00Z", date(2020, 2, 29), "1 Mar 1999"))
    ],
    "text": ["A red circle?", "请问这是什么", "ما لون الدائرة؟", "ünï 🎉", "a red red square, please: now!"],
}
CASES = [
    pytest.param({"kind": kind, "column": "c", **choice}, id=f"{kind}-{number}")
    for kind in modalities.TABLE
    for number, choice in enumerate(CHOICES[kind])
]


class Built:
    """A modality, fitted on its values."""

    def __init__(self, asked: dict, fitted_on: int = 5):
        self.part = load(modalities.TABLE, asked["kind"])
        self.settings = settings(modalities.TABLE, asked)
        assert isinstance(self.settings, ModalitySettings)
        self.values = VALUES[asked["kind"]]
        self.items = [self.load(v) for v in self.values]
        self.statistics = self.part.fit(self.settings, self.stack(self.items[:fitted_on]))

    def load(self, value: object):
        return self.part.load(self.settings, value, Path())[1]

    def stack(self, items: list):
        return np.stack(items) if isinstance(items[0], np.ndarray) else items

    def encode(self, items: list) -> np.ndarray:
        return self.part.encode(self.settings, self.statistics, items)


@pytest.mark.parametrize("asked", CASES)
def test_equal_contents_have_equal_digests_and_others_others(asked):
    one = Built(asked)
    digests = [one.part.load(one.settings, v, Path())[0] for v in one.values]
    again = [one.part.load(one.settings, v, Path())[0] for v in one.values]
    assert digests == again
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("asked", CASES)
def test_an_item_is_encoded_the_same_alone_and_in_company(asked):
    one = Built(asked)
    whole = one.encode(one.items)
    assert len(whole) == len(one.items)
    for row, item in enumerate(one.items):
        alone = one.encode([item])[0]
        wide = alone.shape[0]
        assert (whole[row][:wide] == alone).all()
        assert (whole[row][wide:] == 0).all()  # padding of a longer company


@pytest.mark.parametrize("asked", CASES)
def test_different_items_are_encoded_differently(asked):
    one = Built(asked)
    assert len(np.unique(one.encode(one.items), axis=0)) == len(one.items)


@pytest.mark.parametrize("asked", CASES)
def test_an_absent_slot_can_be_filled(asked):
    one = Built(asked)
    blank = one.part.blank(one.settings)
    assert one.encode([blank, *one.items]).shape[0] == len(one.items) + 1
    fixed = one.part.stored(one.settings)
    if fixed is not None:
        assert (blank.shape, str(blank.dtype)) == fixed
        assert all((i.shape, str(i.dtype)) == fixed for i in one.items)


@pytest.mark.parametrize("asked", CASES)
def test_statistics_come_from_the_items_given_and_go_through_json(asked):
    few, all_ = Built(asked, 2), Built(asked, 5)
    alone = few.part.fit(few.settings, few.stack(few.items[:2]))
    assert few.statistics == alone  # what other items there are makes no difference
    assert few.statistics != all_.statistics
    assert json.loads(json.dumps(all_.statistics)) == all_.statistics


@pytest.mark.parametrize("asked", CASES)
def test_nothing_is_absent_and_a_broken_cell_is_unreadable(asked):
    one = Built(asked)
    for empty in (None, float("nan"), "", "  \n\t "):
        with pytest.raises(Absent):
            one.load(empty)
    with pytest.raises(Unreadable):
        one.load(b"\xff\xfe\x00broken")


@pytest.mark.parametrize("asked", CASES)
def test_settings_refuse_what_they_don_t_know(asked):
    with pytest.raises(ValueError, match="colour"):
        settings(modalities.TABLE, {**asked, "colour": "gray"})


FIT = """
import json, sys
import numpy as np
from suffuse import modalities
from suffuse.parts import load, settings
asked, values = json.loads(sys.stdin.read())
part, chosen = load(modalities.TABLE, asked["kind"]), settings(modalities.TABLE, asked)
values = np.array(values, dtype=np.uint8) if asked["kind"] == "image" else values
print(json.dumps(part.fit(chosen, values)))
"""


@pytest.mark.parametrize("asked", [c for c in CASES if "image" not in str(c.id) or c is CASES[0]])
def test_statistics_are_the_same_in_every_process(asked):
    """Tokenizers are trained with hash maps inside: ties must not be decided by the process's hash seed."""
    one = Built(asked)
    items: list = one.items
    if asked["kind"] == "text":  # many ties
        random = np.random.default_rng(0)
        items = [" ".join("".join(random.choice(list("abcde"), 3)) for _ in range(5)) for _ in range(80)]
    expected = one.part.fit(one.settings, one.stack(items))
    assert one.part.fit(one.settings, one.stack(items)) == expected
    given = json.dumps([asked, [i.tolist() if isinstance(i, np.ndarray) else i for i in items]])
    for seed in ("1", "77"):
        said = subprocess.run(
            [sys.executable, "-c", FIT],
            input=given,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(said.stdout) == expected

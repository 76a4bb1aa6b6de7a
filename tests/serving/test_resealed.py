"""An export that somebody changed and sealed again: whatever is wrong with it is one line that names the file."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_tools import record

from suffuse import export_integrity
from suffuse.errors import SuffuseError
from suffuse.predictor import Predictor

LINE = re.compile(r"can't read the export: [\w.]+\.(json|onnx)\b.* \(.*\)$")
TOKENIZER = "words.tokenizer.json"
DERIVE = {"note": {"settings": {"kind": "mask_words", "column": "raw"}, "facts": {"words": ["thing"]}}}
NESTED: list[Any] = []
for _ in range(100):
    NESTED = [NESTED]
VALUES = (
    None,
    True,
    0,
    -1,
    7,
    2**31,
    10**30,
    0.5,
    -1e300,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\0",
    [],
    [0],
    {},
)
VALUES += ({"a": 1}, [[1], "b"], NESTED)
HEAVY = {"name", "why", "inputs", "output", "parameters", "version"}  # texts that nothing depends on, tried once each


@pytest.fixture(scope="module")
def folder(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of five modalities and three targets, with all that a signature may hold."""
    place = Path(shutil.copytree(export, tmp_path_factory.mktemp("resealed") / "export"))
    subset = "look+words+noise+facts+path"
    write(place, {**read(place), "temperatures": {subset: {"kind": 1.5}, "words": {"tags": 0.5}}, "derive": DERIVE})
    predicted(place)
    return place


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / export_integrity.SIGNATURE).read_text(encoding="utf-8"))


def write(folder: Path, facts: Any) -> None:
    """Seal it as somebody would who knows how."""
    if isinstance(facts, dict):
        facts = {**facts, "digest": export_integrity.digest(facts)} if "digest" in facts else facts
    (folder / export_integrity.SIGNATURE).write_text(json.dumps(facts), encoding="utf-8")


def predicted(folder: Path) -> None:
    """Load, describe and answer."""
    made = Predictor.load(folder)
    json.dumps(made.describe(), allow_nan=False)
    records = [record(1), {"raw": "a thing"}]
    named = [{k: v for k, v in one.items() if k in made.known} for one in records]
    made.predict([one or dict.fromkeys(made.known) for one in named])
    made.predict(dict.fromkeys(made.known))


def places(value: Any, way: tuple = ()) -> Iterator[tuple]:
    """The ways to all values in it; of a list to the first and last."""
    if way:
        yield way
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*way, key))
    elif isinstance(value, list) and value:
        for at in {0, len(value) - 1}:
            yield from places(value[at], (*way, at))


def changed(facts: Any, way: tuple, how: Any) -> Any:
    """A copy with another value there: ``how`` is one, or what is done to it."""
    made = copy.deepcopy(facts)
    inner = made
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = how(inner[way[-1]]) if callable(how) else how
    return made


def lost(facts: Any, way: tuple) -> Any:
    """A copy without it."""
    made = copy.deepcopy(facts)
    inner = made
    for step in way[:-1]:
        inner = inner[step]
    del inner[way[-1]]
    return made


def mutations(facts: Any, count: int) -> list[tuple[str, Any]]:
    """Name and content of some of them, drawn by chance."""
    every: list[tuple[str, Any]] = []
    for way in places(facts):
        name = ".".join(map(str, way))
        if way[0] in HEAVY:
            every.append((f"{name} lost", lost(facts, way)))
            continue
        every += [(f"{name} = {str(value)[:30]}", changed(facts, way, value)) for value in VALUES]
        every.append((f"{name} lost", lost(facts, way)))
        every.append((f"{name} longer", changed(facts, way, lambda v: v + v[-1:] if isinstance(v, (list, str)) else v)))
        every.append((f"{name} shorter", changed(facts, way, lambda v: v[:-1] if isinstance(v, (list, str)) else v)))
        every.append((f"{name} in a text", changed(facts, way, str)))
    return random.Random(0).sample(every, min(count, len(every)))


def failures(folder: Path, cases: list[tuple[str, Any]], put: Any) -> tuple[list[str], int]:
    """Which cases end other than by an answer or by one line; and how many are refused."""
    bad, refused = [], 0
    for name, content in cases:
        put(content)
        try:
            predicted(folder)
        except SuffuseError as error:
            refused += 1
            if not LINE.match(error.line()) or len(error.line()) > 600:
                bad.append(f"{name}: {error.line()[:200]}")
        except BaseException as error:
            bad.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    return bad, refused


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "export"))


@pytest.mark.parametrize(("count", "least"), [(100, 60), pytest.param(250, 150, marks=pytest.mark.long)])
def test_a_changed_signature(own: Path, count: int, least: int) -> None:
    cases = mutations(read(own), count)
    bad, refused = failures(own, cases, lambda facts: write(own, facts))
    assert not bad, (len(bad), bad[:20])
    assert refused > least


def test_a_changed_tokenizer(own: Path) -> None:
    facts = read(own)

    def put(content: Any) -> None:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        (own / TOKENIZER).write_bytes(text)
        files = {**facts["files"], TOKENIZER: hashlib.sha256(text).hexdigest()}
        write(own, {**facts, "files": files, "bytes": {**facts["bytes"], TOKENIZER: len(text)}})

    cases = mutations(json.loads((own / TOKENIZER).read_text()), 150)
    cases += [("no JSON", b"{"), ("nothing", b""), ("no UTF-8", b"\xff"), ("deep", b"[" * 10**5), ("a list", b"[]")]
    bad, refused = failures(own, cases, put)
    assert not bad, (len(bad), bad[:20])
    assert refused > 60


def test_a_tokenizer_that_pads_to_terabytes_pads_nothing(own: Path) -> None:
    facts, content = read(own), json.loads((own / TOKENIZER).read_text())
    content["padding"] = {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    content["padding"] |= {"pad_type_id": 0, "pad_token": "[PAD]"}
    text = json.dumps(content).encode()
    (own / TOKENIZER).write_bytes(text)
    files = {**facts["files"], TOKENIZER: hashlib.sha256(text).hexdigest()}
    write(own, {**facts, "files": files, "bytes": {**facts["bytes"], TOKENIZER: len(text)}})
    predicted(own)


TYPICAL = {
    "heads.0.std": ("x", "heads.0.std: got 'x'"),
    "heads.0.classes": (3, "heads.0.classes: got 3"),
    "modalities.0.settings.size": (-1, "modalities: look: settings: size: got -1"),
    "modalities.0.statistics.size": (32, "modalities: look: statistics: got 1 pictures of 32 pixels"),
    "modalities.2.statistics.mean": ([1.0], "modalities: noise: statistics: got 16 features, 1 means"),
    "modalities.3.statistics.columns.1.names": (["a"], "modalities: facts: statistics: numbers and categories"),
    "modalities.1.name": ("look", "the modality 'look' is there twice"),
    "limits.pixels": (-5, "limits.pixels: got -5"),
    "temperatures.words.tags": (0, "temperatures.words.tags: got 0"),
    "derive.note.settings.column": ("note", "derive: note: the column is made from itself"),
    "forms.fp32.file": (7, "forms.fp32.file: got 7"),
    "form": ("int4", "form: got 'int4', expected fp32"),
    "version": (True, "version True, this suffuse reads 1"),
}


@pytest.mark.parametrize("name", TYPICAL)
def test_the_line_names_the_file_the_place_and_what_is_there(own: Path, name: str) -> None:
    value, said = TYPICAL[name]
    way = tuple(int(step) if step.isdigit() else step for step in name.split("."))
    write(own, changed(read(own), way, value))
    with pytest.raises(SuffuseError) as caught:
        Predictor.load(own)
    assert caught.value.line().startswith(f"can't read the export: signature.json: {said}"), caught.value.line()


def test_what_is_wrong_in_the_signature_is_found_before_the_network_is_loaded(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    def never(*args: Any, **more: Any) -> Any:
        raise AssertionError("loaded")

    monkeypatch.setattr(onnxruntime, "InferenceSession", never)
    write(own, changed(read(own), ("heads", 0, "mean"), None))
    with pytest.raises(SuffuseError, match=r"heads\.0\.mean"):
        Predictor.load(own)

"""Raw records to answers, from the export folder alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suffuse.activations import softmax
from suffuse.engine.inference import logits
from suffuse.errors import SuffuseError, UsageError
from suffuse.predictor import Prediction, Predictor
from suffuse.predictor.input_encoding import encode


def test_raw_cells_become_the_bits_that_training_saw(predictor, columns, table, root):
    for m, one in enumerate(predictor.inputs):
        found = encode(one, [row[one.settings.column] for row in table], root)
        got, absent, here = found.entries, found.absent, columns.present[:, m]
        assert not found.partly
        assert set(np.flatnonzero(~here)) == set(absent) and 0 < len(absent) < len(table)
        stored = columns.entries[one.field.name][columns.entry[:, m]]
        wide = min(stored.shape[1], got.shape[1])
        assert got.dtype == stored.dtype
        assert (got[here, :wide] == stored[here, :wide]).all()
        assert (got[here, wide:] == 0).all() and (stored[here, wide:] == 0).all()
        for row in np.flatnonzero(here)[:12]:  # alone too
            alone = encode(one, [table[row][one.settings.column]], root).entries[0]
            assert (alone == stored[row][: alone.shape[0]]).all()


def test_answers_are_the_model_s(predictor, model, columns, records, root):
    exact = softmax(logits(model, columns, np.arange(len(records))))
    answers = predictor.predict(records, root)
    got = np.array([list(a.probabilities.values()) for a in answers])
    np.testing.assert_allclose(got, exact, atol=1e-5)
    assert len({a.label for a in answers}) > 1
    for answer, row in zip(answers, got, strict=True):
        assert answer.label == columns.spec.classes[row.argmax()]
        assert answer.confidence == row.max() == answer.probabilities[answer.label]


def test_one_record_is_answered_as_in_company(predictor, records, root):
    answers = predictor.predict(records, root)
    for record, answer in list(zip(records, answers, strict=True))[::6]:
        alone = predictor.predict(record, root)
        assert isinstance(alone, Prediction)
        assert alone.absent == answer.absent and alone.label == answer.label
        assert alone.confidence == pytest.approx(answer.confidence, abs=1e-5)


def test_what_is_missing_is_said_and_changes_nothing_else(predictor, columns, root):
    prior = dict(zip(columns.spec.classes, np.exp(columns.spec.log_prior), strict=True))
    nothing = predictor.predict({"text": None}, root)
    assert set(nothing.absent) == {"picture", "question"}
    assert nothing.probabilities == pytest.approx(prior, abs=1e-6)
    assert predictor.predict({"image": None, "question": None}, root) == nothing
    for cell, reason in (
        ("gone.png", "no such file"),
        ("pictures/3.png", "not a picture in a known format"),
        (None, "empty cell"),
        (b"junk", "not a picture in a known format"),
    ):
        answer = predictor.predict({"image": cell, "text": "what colour has thing 3"}, root)
        assert answer.absent == {"picture": reason}
        assert answer.probabilities == predictor.predict({"text": "what colour has thing 3"}, root).probabilities


def test_a_modality_may_be_called_by_its_name_or_its_column(predictor, root):
    picture = Image.new("RGB", (8, 8), (220, 30, 30))
    one = predictor.predict({"picture": picture, "question": "what colour"}, root)
    assert one == predictor.predict({"image": picture, "text": "what colour"}, root)
    assert one == predictor.predict({"image": np.asarray(picture), "question": b"what colour"}, root)
    assert one.absent == {}


def test_an_unknown_key_is_told(predictor):
    with pytest.raises(UsageError, match="no such input: got 'questoin'") as caught:
        predictor.predict([{"text": "a"}, {"questoin": "b"}])
    assert caught.value.hint == "did you mean 'question'?"


def test_no_records_are_no_answers(predictor):
    assert predictor.predict([]) == []


@pytest.mark.parametrize("count", [1, 7, 64])
def test_any_number_of_records_and_any_length_of_text(predictor, count):
    records = [{"text": "thing " * (1 + n)} for n in range(count)]
    answers = predictor.predict(records)
    assert len(answers) == count
    assert all(sum(a.probabilities.values()) == pytest.approx(1, abs=1e-5) for a in answers)


def test_threads_get_the_same_answers(predictor, records, root):
    expected = [predictor.predict(r, root) for r in records]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(lambda r: predictor.predict(r, root), records)) == expected


@pytest.fixture
def copy(export, tmp_path) -> Path:
    return shutil.copytree(export, tmp_path / "copy")


def refused(folder: Path) -> SuffuseError:
    with pytest.raises(SuffuseError) as caught:
        Predictor.load(folder)
    assert "\n" not in caught.value.line() and str(folder) in caught.value.line()
    return caught.value


@pytest.mark.parametrize("name", ["model.onnx", "question.tokenizer.json", "signature.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "one byte", "longer"])
def test_a_file_that_isn_t_the_exported_one_is_refused(copy, name, damage):
    file = copy / name
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
        assert f"no {name}" in refused(copy).line()
        return
    if damage == "one byte":
        at = content.index(b'"classes"') + 1 if name == "signature.json" else len(content) // 2
        content[at] ^= 1
    file.write_bytes(
        {"empty": b"", "cut": bytes(content[:-9]), "longer": bytes(content) + b"x"}.get(damage, bytes(content))
    )
    assert "can't read the export" in refused(copy).line()


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["blue", "red", "green"]},  # another order: every answer would be another
        {"classes": ["blue", "green"]},
        {"files": {}},
        {"modalities": []},
        {"version": 2},
    ],
)
def test_a_signature_that_was_edited_is_refused(copy, change):
    facts = json.loads((copy / "signature.json").read_text())
    (copy / "signature.json").write_text(json.dumps({**facts, **change}))
    assert "signature.json is not the file that was exported" in refused(copy).line()


@pytest.mark.parametrize("content", ["[]", "{}", "null", "3"])
def test_json_that_is_no_signature_is_refused(copy, content):
    (copy / "signature.json").write_text(content)
    assert "can't read the export" in refused(copy).line()


def test_a_folder_that_is_no_export(tmp_path):
    error = refused(tmp_path)
    assert "this folder is no export" in error.line() and "suffuse export" in error.hint


def test_spaces_in_a_signature_don_t_matter(copy):
    facts = json.loads((copy / "signature.json").read_text())
    (copy / "signature.json").write_text(json.dumps(facts))
    assert Predictor.load(copy).heads[0].classes == ("blue", "green", "red")


LIGHT = """
import sys
from suffuse.predictor import Predictor
answer = Predictor.load(sys.argv[1]).predict({"text": "what colour"})
print(sorted({"torch", "pandas", "sklearn", "scipy", "onnx", "pyarrow"} & set(sys.modules)), answer.label)
"""


def test_predicting_loads_no_torch(export, predictor):
    said = subprocess.run([sys.executable, "-c", LIGHT, str(export)], capture_output=True, text=True, check=True)
    assert said.stdout == f"[] {predictor.predict({'text': 'what colour'}).label}\n"

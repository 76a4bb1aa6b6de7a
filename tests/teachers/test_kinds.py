"""Each kind says what its model says, read in the model's own way; what is wrong is one clear line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from teacher_tools import CLASSES, MAKERS

from suffuse.data.columns import Columns
from suffuse.engine.inference import logits
from suffuse.errors import SuffuseError, UsageError
from suffuse.model import open_model
from suffuse.prepare.raw_cells import RawRows
from suffuse.registry import settings
from suffuse.teachers import TABLE, Question
from suffuse.teachers.factory import open_external


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - np.log(np.exp(z).sum(1, keepdims=True))


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_logits_are_the_module_s(open_kind, rows, exact, kind):
    np.testing.assert_allclose(open_kind(kind).answer(Question(rows))["logits"], exact, atol=1e-5)


def test_an_estimator_s_probabilities_are_its_own(open_kind, rows, exact):
    found = open_kind("sklearn").answer(Question(rows))["logits"]
    np.testing.assert_allclose(found, log_softmax(exact), atol=1e-5)


@pytest.mark.skipif(not importlib.util.find_spec("keras"), reason="needs the extra: pip install 'suffuse[keras]'")
def test_a_keras_model_s_probabilities_are_its_own(open_kind, rows, exact):
    found = open_kind("keras").answer(Question(rows))["logits"]
    np.testing.assert_allclose(found, log_softmax(exact), atol=1e-5)


@pytest.mark.skipif(not importlib.util.find_spec("keras"), reason="needs the extra: pip install 'suffuse[keras]'")
def test_a_keras_file_with_code_in_it_is_refused(open_kind, teach_by, columns, tmp_path):
    import keras

    made = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x), keras.layers.Dense(3)])
    made.save(tmp_path / "code.keras")
    raw = {"kind": "keras", "file": str(tmp_path / "code.keras"), "labels": list(CLASSES)}
    raw["inputs"] = {made.inputs[0].name: {"read": "numbers", "column": ["x1", "x2"]}}
    with pytest.raises(UsageError, match="can't be opened"):
        open_external(teach_by(raw), columns)


def test_without_keras_the_way_to_install_it_is_told(teach_by, columns, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    (tmp_path / "a.keras").write_bytes(b"x")
    raw = {"kind": "keras", "file": str(tmp_path / "a.keras"), "labels": list(CLASSES)}
    raw["inputs"] = {"x": {"read": "numbers", "column": "x1"}}
    with pytest.raises(UsageError) as caught:
        open_external(teach_by(raw), columns)
    assert caught.value.hint == "pip install 'suffuse[keras]'"


def test_a_hugging_face_model_answers_as_its_own_pipeline(open_kind, columns, rows, prepared):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    order = ("red", "blue", "green")
    teacher = open_kind("huggingface", order)
    folder = teacher.settings.name
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found, texts = teacher.answer(Question(rows))["logits"], RawRows(prepared).cells("text", rows)
    for row in (0, 1, 4, 7):
        if texts[row]:
            theirs = model(**tokenizer(texts[row], return_tensors="pt")).logits[0].detach().numpy()
            np.testing.assert_allclose(found[row], [theirs[order.index(name)] for name in CLASSES], atol=1e-5)
    empty = np.array([not text for text in texts])
    assert empty.any()
    np.testing.assert_array_equal(np.isnan(found).any(1), empty)


def test_a_model_of_pictures_has_its_own_processor(teach_by, columns, rows, prepared, tmp_path):
    from PIL import Image
    from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification, ViTImageProcessor

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = ViTConfig(image_size=12, patch_size=4, id2label=dict(enumerate(CLASSES[::-1])), **sizes)
    ViTForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 12, "width": 12}, image_mean=[0.2] * 3, image_std=[0.7] * 3).save_pretrained(
        tmp_path
    )
    raw = {"kind": "huggingface", "name": str(tmp_path), "reads": "image", "column": "image"}
    teacher = open_external(teach_by(raw), columns)
    assert teacher.modalities == ("picture",)
    found, paths = teacher.answer(Question(rows))["logits"], RawRows(prepared).cells("image", rows)
    np.testing.assert_array_equal(np.isnan(found).any(1), [not path for path in paths])
    model, processor = ViTForImageClassification.from_pretrained(tmp_path), AutoImageProcessor.from_pretrained(tmp_path)
    picture = Image.open(Path(prepared.recipe.data.source).parent / paths[0])
    theirs = model(**processor(images=picture, return_tensors="pt")).logits[0].detach().numpy()
    np.testing.assert_allclose(found[0], theirs[::-1], atol=1e-5)


def test_a_model_of_sound_is_given_samples_at_its_own_rate(teach_by, columns, prepared, tmp_path, monkeypatch):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    from suffuse.modalities.audio_ops import as_wav

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    sizes |= {"conv_dim": [8], "conv_kernel": [10], "conv_stride": [5], "classifier_proj_size": 8}
    sizes |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 1}
    config = Wav2Vec2Config(id2label=dict(enumerate(CLASSES)), **sizes)
    Wav2Vec2ForSequenceClassification(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(tmp_path)
    sound = as_wav(np.sin(np.arange(4000, dtype=np.float32) / 5), 16000)
    cells = {"image": [sound, None, b"no sound"]}
    monkeypatch.setattr(RawRows, "cells", lambda self, column, rows, key="": cells[column])
    raw = {"kind": "huggingface", "name": str(tmp_path), "reads": "audio", "column": "image"}
    found = open_external(teach_by(raw), columns).answer(Question(np.arange(3)))["logits"]
    np.testing.assert_array_equal(np.isnan(found).any(1), [False, True, True])


def test_a_run_s_network_reads_other_modalities_in_its_own_way(open_kind, columns, prepared, finished_run):
    """Its rows are among this run's, by their ids: what it says of them is what it says of its own."""
    teacher = open_kind("run")
    assert teacher.modalities == ("photo", "note")
    theirs, ids = Columns.open(finished_run.path("data")), RawRows(finished_run).ids
    own = logits(open_model(finished_run.path("teacher")), theirs, np.arange(len(ids)))
    assert theirs.spec.classes == ("1 rot", "2 blau", "3 gruen")
    place = [RawRows(prepared).ids.index(name) for name in ids]
    found = teacher.answer(Question(np.array(place)))
    np.testing.assert_allclose(found["logits"], own[:, [1, 2, 0]], atol=1e-5)  # blue, green, red
    assert found["gates"].shape == (len(ids), 2)
    assert found["fused"].shape[1] == 8
    seen = teacher.answer(Question(np.array(place), ("note",)))["logits"]
    absent = ~theirs.present[:, 1]
    assert absent.any()
    assert np.isnan(seen[absent]).all()
    assert not np.allclose(seen[~absent], found["logits"][~absent])


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"kind": "run", "folder": "/nowhere"}, ("no such run", "/nowhere")),
        ({"kind": "onnx", "file": "/nowhere.onnx"}, ("no such file",)),
        ({"kind": "torch", "adapter": "/nowhere.py:f", "columns": "x1"}, ("no such file", "/nowhere.py")),
        ({"kind": "table", "file": "/nowhere.csv"}, ("no such file",)),
        ({"kind": "huggingface", "name": "no/model", "reads": "text", "column": "text"}, ("isn't on this machine",)),
        ({"kind": "keras", "file": "/nowhere", "labels": ["a"], "inputs": {"x": {"read": "numbers", "column": "x1"}}},
         ("no such file",)),
    ],
)  # fmt: skip
def test_what_isn_t_there_is_told(teach_by, columns, raw, words):
    with pytest.raises(UsageError) as caught:
        open_external(teach_by(raw), columns)
    for word in words:
        assert word in caught.value.text()


def test_a_run_that_reads_a_column_which_the_table_lacks(teach_by, columns, finished_run):
    raw = {"kind": "run", "folder": str(finished_run.folder)}
    with pytest.raises(UsageError) as caught:
        open_external(teach_by(raw), columns)
    assert caught.value.got == "'wording'"
    assert "columns: {theirs: ours}" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def teacher(**more):\n    return 3", ("returned something else", "(int)")),
        ("def teacher(**more):\n    return 1 / 0", ("ZeroDivisionError", "own.py:2")),
        ("def other():\n    pass", ("no such function", "'teacher'")),
        ("import torch\ndef teacher(**more):\n    return torch.nn.Linear(2, 3), print", ("no names",)),
        (
            "import torch\ndef teacher(**m):\n    return torch.nn.Linear(2, 3), lambda m, r: torch.zeros(1, 4), 'abc'",
            (),
        ),
    ],
)
def test_a_function_that_fails_is_one_clear_line(teach_by, columns, rows, tmp_path, code, words):
    (tmp_path / "own.py").write_text(code, encoding="utf-8")
    raw = {"kind": "torch", "adapter": f"{tmp_path / 'own.py'}:teacher", "columns": ["x1", "x2"]}
    with pytest.raises(UsageError) as caught:
        open_external(teach_by(raw), columns).answer(Question(rows))
    for word in words:
        assert word in caught.value.text()
    assert "\n" not in caught.value.line()


def test_an_adapter_that_fails_says_where(open_kind, rows):
    teacher = open_kind("torch", columns=["x1", "x2", "text"])
    object.__setattr__(teacher.source, "adapter", lambda module, records: records[0]["nothing"])
    with pytest.raises(UsageError, match="KeyError"):
        teacher.answer(Question(rows))


def test_a_module_is_frozen_and_in_eval_mode(open_kind, rows):
    teacher = open_kind("torch")
    teacher.source.module.train()
    teacher.answer(Question(rows))
    assert not teacher.source.module.training
    assert not any(p.requires_grad for p in teacher.source.module.parameters())


def test_files_are_given_as_bytes_within_the_data_root(teach_by, columns, rows, tmp_path, prepared):
    code = (
        "import torch\nseen = []\ndef teacher():\n    return torch.nn.Linear(1, 3), answer, ['red', 'green', 'blue']\n"
    )
    code += "def answer(module, records):\n    assert all(set(r) == {'image'} for r in records)\n"
    code += "    return torch.tensor([[float(len(r['image'])), 0.0, 0.0] for r in records])\n"
    (tmp_path / "own.py").write_text(code, encoding="utf-8")
    raw = {"kind": "torch", "adapter": f"{tmp_path / 'own.py'}:teacher", "columns": "image", "files": "image"}
    found = open_external(teach_by(raw), columns).answer(Question(rows))["logits"]
    paths, root = RawRows(prepared).cells("image", rows), Path(prepared.recipe.data.source).parent
    np.testing.assert_array_equal(np.isnan(found).any(1), [not path for path in paths])
    assert found[0, CLASSES.index("red")] == len((root / paths[0]).read_bytes())


def test_reading_a_recipe_runs_no_code_of_it(tmp_path, prepared):
    """Neither does `suffuse check`: only teach, extract and evaluate ask the teacher."""
    (tmp_path / "own.py").write_text("raise SystemExit(9)", encoding="utf-8")
    program = (
        "import sys; from suffuse.registry import load, settings; from suffuse.teachers import TABLE;"
        f"settings(TABLE, {{'kind': 'torch', 'adapter': {str(tmp_path / 'own.py') + ':f'!r}, 'columns': 'x1'}});"
        "[load(TABLE, kind) for kind in TABLE];"
        "sys.exit(bool({'torch', 'keras', 'tensorflow', 'transformers', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("kind", ["torch", "sklearn"])
def test_a_run_folder_s_own_code_is_not_run(teach_by, columns, prepared, monkeypatch, kind):
    """A run folder may be somebody else's: what lies in it, or relative to where it is opened, stays unread."""
    (prepared.folder / "own.py").write_text("raise SystemExit(9)", encoding="utf-8")
    monkeypatch.chdir(prepared.folder.parent)
    for name in (f"{prepared.folder}/own.py", f"{prepared.folder.name}/own.py", f"{prepared.folder}/data/../own.py"):
        with pytest.raises(UsageError, match="this code isn't run"):
            open_external(teach_by({"kind": kind, "adapter": f"{name}:f", "columns": "x1"}), columns)
    (prepared.folder / "own.py").unlink()


def test_a_reference_to_code_must_name_a_file_and_a_function():
    for wrong in ("own.py", "own:f", "own.pyc:f", "own.py:f()", "http://x/own:f"):
        with pytest.raises(ValueError, match=r"expected file\.py:function"):
            settings(TABLE, {"kind": "torch", "adapter": wrong, "columns": "x1"})


def test_an_onnx_file_s_labels_come_from_the_signature_beside_it(
    open_kind, teach_by, columns, rows, tmp_path, prepared
):
    import hashlib

    from suffuse.predictor import digest

    raw = MAKERS["onnx"](tmp_path, CLASSES, prepared)
    raw.pop("labels")
    with pytest.raises(UsageError, match="no names"):
        open_external(teach_by(raw), columns)
    content = (tmp_path / "linear.onnx").read_bytes()
    signature = {"classes": list(CLASSES), "files": {"linear.onnx": hashlib.sha256(content).hexdigest()}}
    (tmp_path / "signature.json").write_text(json.dumps({**signature, "digest": digest(signature)}))
    named = open_external(teach_by(raw), columns).answer(Question(rows))["logits"]
    np.testing.assert_array_equal(named, open_kind("onnx").answer(Question(rows))["logits"])
    signature["files"] = {"linear.onnx": "0"}
    (tmp_path / "signature.json").write_text(json.dumps({**signature, "digest": digest(signature)}))
    with pytest.raises(UsageError, match="another file"):
        open_external(teach_by(raw), columns)


def test_an_input_that_isn_t_the_file_s(teach_by, columns, tmp_path, prepared):
    raw = MAKERS["onnx"](tmp_path, CLASSES, prepared)
    with pytest.raises(UsageError, match="aren't the file's"):
        open_external(teach_by({**raw, "inputs": {"z": {"read": "numbers", "column": "x1"}}}), columns)
    with pytest.raises(UsageError, match="no such output"):
        open_external(teach_by({**raw, "output": "z"}), columns)
    teacher = open_external(teach_by({**raw, "inputs": {"x": {"read": "numbers", "column": "x1"}}}), columns)
    with pytest.raises(SuffuseError, match="can't read these inputs"):
        teacher.answer(Question(np.arange(3)))


def test_a_changed_source_is_an_error(prepared, tmp_path):
    from dataclasses import replace

    text = Path(prepared.recipe.data.source).read_text(encoding="utf-8").splitlines()
    (tmp_path / "rows.csv").write_text("\n".join([text[0], *text[:0:-1]]) + "\n", encoding="utf-8")
    data = prepared.recipe.data.model_copy(update={"source": str(tmp_path / "rows.csv")})
    other = replace(prepared, recipe=prepared.recipe.model_copy(update={"data": data}))
    with pytest.raises(SuffuseError, match="changed since"):
        RawRows(other).cells("text", np.arange(3))

"""Zero-shot teachers from a folder of open_clip's, of random weights, against open_clip's own outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from teacher_tools import CLASSES

from suffuse.errors import UsageError
from suffuse.prepare.raw_cells import RawRows
from suffuse.teachers import Question
from suffuse.teachers.factory import open_external
from suffuse.teachers.open_clip_model import CONFIG, WEIGHTS

CONFIGURATION: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 8, "patch_size": 4, "width": 16, "layers": 1, "head_width": 8},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As `open_clip.push_to_hf_hub` lays it out."""
    library: Any = pytest.importorskip("open_clip")
    import torch
    from safetensors.torch import save_file

    place = tmp_path / "clip"
    place.mkdir()
    (place / CONFIG).write_text(json.dumps(CONFIGURATION))
    torch.manual_seed(3)
    network = library.CLIP(**CONFIGURATION["model_cfg"])
    with torch.no_grad():  # its own first weights are so small that all vectors are nearly one
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.5)
            elif name == "logit_scale":
                weight.fill_(2.0)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, place / WEIGHTS)
    return place


@pytest.fixture
def teacher_of(teach_by, columns, folder):
    raw = {"kind": "zero_shot", "name": str(folder), "reads": "image", "column": "image"}
    return lambda **more: open_external(teach_by({**raw, **more}), columns)


def test_pictures_are_scored_as_open_clip_does(teacher_of, folder, prepared, rows):
    import open_clip
    import torch
    from PIL import Image

    found = teacher_of().answer(Question(rows))["logits"]
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    paths = {n: p for n, p in enumerate(RawRows(prepared).cells("image", rows)) if p}
    images = [prepare(Image.open(Path(prepared.recipe.data.source).parent / p).convert("RGB")) for p in paths.values()]
    text = open_clip.get_tokenizer(f"local-dir:{folder}")([f"a photo of a {name}." for name in CLASSES])
    with torch.no_grad():
        expected = model.eval().get_logits(torch.stack(images), text)[0].numpy()
    np.testing.assert_allclose(found[[*paths]], expected, atol=1e-4)
    assert np.isnan(np.delete(found, [*paths], axis=0)).all() and 0 < len(paths) < len(rows)
    assert np.ptp(expected, axis=0).max() > 0.1  # pictures differ


def test_it_is_frozen_and_its_fingerprint_follows_weights_and_preparation(teacher_of, folder):
    first, facts = teacher_of().fingerprint(), teacher_of().facts()
    assert first == teacher_of(batch=5).fingerprint() and facts["parameters"] > 49408 * 16
    assert not any(p.requires_grad for p in teacher_of().source.model.network.parameters())
    changed = json.loads((folder / CONFIG).read_text())
    changed["preprocess_cfg"]["mean"] = [0.1, 0.4, 0.3]
    (folder / CONFIG).write_text(json.dumps(changed))
    assert teacher_of().fingerprint() != first


def test_texts_are_read_too(teach_by, columns, folder, rows):
    raw = {"kind": "zero_shot", "name": str(folder), "reads": "text", "column": "text"}
    teacher: Any = open_external(teach_by(raw), columns)
    logits = teacher.answer(Question(rows))["logits"]
    assert np.isfinite(logits[~np.isnan(logits).any(1)]).all() and teacher.source.scale == 20


def edited(folder: Path, **text: Any) -> None:
    changed = json.loads(json.dumps(CONFIGURATION))
    changed["model_cfg"]["text_cfg"] |= text
    (folder / CONFIG).write_text(json.dumps(changed))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / WEIGHTS).unlink(), ("lacks weights", WEIGHTS)),
        (lambda f: (f / WEIGHTS).rename(f / "open_clip_pytorch_model.bin"), ("lacks weights", WEIGHTS)),
        (lambda f: edited(f, hf_model_name="roberta-base"), ("one of transformers", "roberta-base")),
        (lambda f: edited(f, hf_tokenizer_name="somebody/tokenizer"), ("lacks its tokenizer",)),
        (lambda f: edited(f, width=24), ("open_clip refuses",)),
        (lambda f: (f / CONFIG).write_text("{}"), ("no configuration of open_clip",)),
    ],
    ids=["no weights", "a pickle", "text network elsewhere", "tokenizer elsewhere", "other widths", "no model"],
)
def test_what_lacks_something_is_refused_and_nothing_is_fetched(teacher_of, folder, monkeypatch, spoil, words):
    import socket

    def refuse(*given: Any, **more: Any) -> None:
        raise AssertionError("something is fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    spoil(folder)
    with pytest.raises(UsageError) as caught:
        teacher_of()
    for word in words:
        assert word in caught.value.text()


def test_its_length_is_its_own(teacher_of):
    with pytest.raises(UsageError, match="can't be set"):
        teacher_of(length=4)

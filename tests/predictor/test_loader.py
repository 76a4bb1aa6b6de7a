"""Forms of the network, what the hashes cover, and limits of cells."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib

import numpy as np
import pytest

from suffuse.errors import SuffuseError, UsageError
from suffuse.predictor import Predictor


def test_the_form_that_runs(signed, export, records, root):
    folder = signed()
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.int8.onnx").write_bytes(content)
    facts = json.loads((folder / "signature.json").read_text())
    files = {**facts["files"], "model.int8.onnx": hashlib.sha256(content).hexdigest()}
    sizes = {**facts["bytes"], "model.int8.onnx": len(content)}
    forms = {"fp32": {"file": "model.onnx"}, "int8": {"file": "model.int8.onnx"}}
    folder = signed(files=files, bytes=sizes, forms=forms, form="int8")
    with pytest.raises(SuffuseError, match=r"no model\.int8\.onnx"):
        Predictor.load(folder)
    (folder / "model.int8.onnx").write_bytes(content)
    assert Predictor.load(folder).describe()["form"] == "int8"
    other = Predictor.load(folder, form="fp32")
    assert other.describe()["form"] == "fp32"
    assert other.predict(records[0], root) == Predictor.load(export).predict(records[0], root)
    with pytest.raises(UsageError, match="no such form") as caught:
        Predictor.load(folder, form="int4")
    assert "int8" in caught.value.hint
    (folder / "model.int8.onnx").write_bytes(content[:-1])  # also where it isn't the one that runs
    with pytest.raises(SuffuseError, match="not the file that was exported"):
        Predictor.load(folder, form="fp32")


def bomb(side: int) -> bytes:
    """A picture of a few kilobytes that unfolds to side * side pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes((side + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_what_is_too_large_is_absent_and_was_not_decoded(signed, tmp_path, monkeypatch):
    from PIL import ImageFile

    limits = {"pixels": 400, "characters": 20, "cell_bytes": 2000, "records": 3}
    predictor = Predictor.load(signed(limits=limits))
    good = np.zeros((20, 20, 3), dtype=np.uint8)
    assert predictor.predict({"image": good, "text": "x" * 20}).absent == {}
    decoded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self.size) or load(self))
    (tmp_path / "bomb.png").write_bytes(bomb(21))
    for cell in (bomb(21), "bomb.png", np.zeros((21, 20, 3), dtype=np.uint8)):
        said = predictor.predict({"image": cell, "text": "short"}, tmp_path)
        assert said.used == ("question",)
        assert said.absent["picture"].endswith("pixels: too large, expected at most 400")
    assert decoded == []
    said = predictor.predict({"image": bytes(2001), "text": "x" * 21})
    assert said.absent == {
        "picture": "2,001 bytes: too large, expected at most 2,000",
        "question": "21 characters: too long, expected at most 20",
    }
    (tmp_path / "large.png").write_bytes(bytes(2001))
    said = predictor.predict({"image": "large.png"}, tmp_path)
    assert said.absent["picture"] == "more than 2,000 bytes: too large"


@pytest.mark.parametrize("record", ["cat.jpg", b"x", 3, None, ["cat.jpg"], [{"text": "a"}, None], [[]], {1, 2}])
def test_what_is_no_record(predictor, record):
    with pytest.raises(UsageError, match="this is no record"):
        predictor.predict(record)


def test_another_version_of_what_decodes_is_told(signed, export):
    facts = json.loads((export / "signature.json").read_text())
    assert {"Pillow", "tokenizers"} <= facts["libraries"].keys()
    assert Predictor.load(export).facts.differs == ()
    other = Predictor.load(signed(libraries={**facts["libraries"], "Pillow": "1.0"}))
    assert len(other.facts.differs) == 1
    assert other.facts.differs[0].startswith("Pillow ") and other.facts.differs[0].endswith("exported with 1.0")
    assert Predictor.load(signed(libraries={"Pillow2": "1.0"})).facts.differs == ()
    assert Predictor.load(signed(libraries=None)).facts.differs == ()  # an older export
    with pytest.raises(SuffuseError, match="can't read the export"):
        Predictor.load(signed(libraries=["Pillow"]))

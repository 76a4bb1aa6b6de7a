"""An export folder is read without trusting it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from suffuse import export_integrity, onnx_safety
from suffuse.errors import SuffuseError, UsageError


def tiny(name: str = "Identity", domain: str = "", weight: TensorProto | None = None) -> bytes:
    """An ONNX file of one node."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])
    node = helper.make_node(name, ["x"], ["logits"], domain=domain)
    graph = helper.make_graph([node], "g", [value], [out], [weight] if weight else [])
    return helper.make_model(graph).SerializeToString()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "export"
    place.mkdir()
    (place / "model.onnx").write_bytes(tiny())
    (place / "words.json").write_text('{"a": 1}')
    export_integrity.seal(place, {"version": 1, "forms": {"fp32": {"file": "model.onnx"}}, "form": "fp32"})
    return place


def refused(folder: Path, words: str) -> None:
    with pytest.raises(SuffuseError) as caught:
        export_integrity.read(folder)
    assert words in caught.value.line() and "\n" not in caught.value.line() and len(caught.value.line()) < 500


def resealed(folder: Path, **changes) -> None:
    """Sign the signature anew, as somebody who means harm would."""
    facts = {**json.loads((folder / "signature.json").read_text()), **changes}
    (folder / "signature.json").write_text(json.dumps({**facts, "digest": export_integrity.digest(facts)}))


def test_what_was_sealed_is_read(folder):
    signature, contents, model = export_integrity.read(folder)
    assert model == (folder / "model.onnx").read_bytes() and contents == {"words.json": b'{"a": 1}'}
    assert signature["bytes"] == {"model.onnx": len(model), "words.json": 8}
    assert signature["files"]["model.onnx"] == hashlib.sha256(model).hexdigest()
    assert export_integrity.forms(folder) == ["fp32"]


def test_sealing_twice_changes_nothing(folder):
    before = (folder / "signature.json").read_bytes()
    export_integrity.seal(folder, json.loads(before))
    assert (folder / "signature.json").read_bytes() == before


@pytest.mark.parametrize("name", ["model.onnx", "words.json", "signature.json"])
def test_a_link_is_refused(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    refused(folder, f"{name} is a link")


def test_another_file_is_refused_and_a_hidden_one_is_left_alone(folder):
    (folder / ".gitattributes").write_text("x")
    export_integrity.read(folder)
    (folder / "weights.bin").write_bytes(b"x")
    refused(folder, "weights.bin was not exported")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "a\\b", "a\0b"])
def test_a_path_is_refused(folder, name):
    (folder.parent / "secret").write_text("s")
    facts = export_integrity.read_signature(folder)
    digest = hashlib.sha256(b"s").hexdigest()
    resealed(folder, files={**facts["files"], name: digest}, bytes={**facts["bytes"], name: 1})
    refused(folder, "is not a file name")


@pytest.mark.parametrize("size", [-1, 2**40, 1.5, "9", None, True, [1]])
def test_an_absurd_size_is_refused(folder, size):
    facts = export_integrity.read_signature(folder)
    resealed(folder, bytes={**facts["bytes"], "words.json": size})
    refused(folder, "words.json")


def test_a_file_larger_than_stated_is_not_read_to_its_end(folder, monkeypatch):
    with (folder / "words.json").open("r+b") as file:
        file.truncate(2**33)  # a hole of 8 GB
    refused(folder, "words.json is not the file that was exported: it is larger")


def test_a_fifo_or_a_folder_in_place_of_a_file_is_refused(folder):
    import os

    (folder / "words.json").unlink()
    os.mkfifo(folder / "words.json")
    refused(folder, "words.json is not a plain file")
    (folder / "words.json").unlink()
    (folder / "words.json").mkdir()
    refused(folder, "words.json is not a plain file")


BOMBS = {
    "deep lists": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "a long number": '{"digest": ' + "9" * 100_000 + "}",
    "not UTF-8": b"\xff\xfe{}",
    "nothing": "",
    "a string": '"x"',
    "no digest": '{"version": 1}',
    "infinity": '{"digest": Infinity}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_json_that_means_harm_is_refused(folder, name):
    bomb = BOMBS[name]
    (folder / "signature.json").write_bytes(bomb if isinstance(bomb, bytes) else bomb.encode())
    refused(folder, "can't read the export")


@pytest.mark.parametrize(
    "changes",
    [
        {"forms": []}, {"forms": {}}, {"forms": {"fp32": 3}}, {"forms": {"fp32": {"file": 3}}},
        {"forms": {"fp32": {"file": "no.onnx"}}},
        {"files": []}, {"files": None}, {"bytes": {}}, {"files": {}}, {"version": 2}, {"version": "1"},
    ],
)  # fmt: skip
def test_a_signature_of_another_shape_is_refused(folder, changes):
    resealed(folder, **changes)
    refused(folder, "can't read the export")


def test_a_form_that_isn_t_there_is_told_and_why(folder):
    resealed(folder, refused={"int8": "it is not smaller"})
    with pytest.raises(UsageError, match=r"no such form \(.*\): got 'int8', expected fp32") as caught:
        export_integrity.read(folder, "int8")
    assert caught.value.hint == "it is not smaller"


def test_a_model_of_another_library_s_operators_is_refused():
    onnx_safety.check(tiny())
    onnx_safety.check(tiny("DynamicQuantizeLSTM", "com.microsoft"))
    with pytest.raises(ValueError, match="operators of a library: evil"):
        onnx_safety.check(tiny("Run", "evil"))
    with pytest.raises(ValueError, match="isn't data: EPContext"):
        onnx_safety.check(tiny("EPContext", "com.microsoft"))


def external() -> TensorProto:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../../etc/passwd")
    return weight


def test_weights_in_another_file_are_refused_wherever_they_stand():
    with pytest.raises(ValueError, match="weights in another file"):
        onnx_safety.check(tiny(weight=external()))
    inner = helper.make_graph([helper.make_node("Constant", [], ["y"], value=external())], "then", [], [])
    outer = helper.make_node("If", ["x"], ["logits"], then_branch=inner, else_branch=inner)
    model = helper.make_model(helper.make_graph([outer], "g", [], []))
    with pytest.raises(ValueError, match="weights in another file"):
        onnx_safety.check(model.SerializeToString())
    made = helper.make_function("own", "F", [], ["y"], list(inner.node), [helper.make_opsetid("", 18)])
    model = helper.make_model(helper.make_graph([], "g", [], []), functions=[made])
    with pytest.raises(ValueError, match="weights in another file"):
        onnx_safety.check(model.SerializeToString())


@pytest.mark.parametrize(
    "content", [b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f", tiny()[:-3], b"\x0b", b"MZ\x90\x00" * 9]
)
def test_bytes_that_are_no_model_are_refused_or_left_to_the_runtime(content):
    with pytest.raises(ValueError, match="model is"):
        onnx_safety.check(content)


def test_a_deeply_nested_model_takes_no_stack():
    graph = onnx.GraphProto()
    content = graph.SerializeToString()
    for _ in range(3000):  # attribute in node in graph
        for field in (6, 5, 1):
            content = bytes([field << 3 | 2]) + _varint(len(content)) + content
    onnx_safety.check(bytes([7 << 3 | 2]) + _varint(len(content)) + content)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])

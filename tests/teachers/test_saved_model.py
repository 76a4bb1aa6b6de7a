"""A TensorFlow SavedModel as the teacher. Needs the extra `tensorflow`: `make test-tensorflow` installs it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from teacher_tools import CLASSES, linear

from suffuse.errors import UsageError
from suffuse.registry import optional
from suffuse.teachers import Question
from suffuse.teachers.factory import open_external

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("tensorflow"), reason="needs `make test-tensorflow`")


@pytest.fixture
def tensorflow() -> Any:
    """Loaded in the order that torch survives."""
    return optional("tensorflow", "tensorflow")


def saved(tf: Any, folder: Path, also: Any = None) -> Path:
    """A linear model of two numbers; ``also`` is done in its function, too."""
    weight, bias = linear(CLASSES)

    class Linear(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = tf.Variable(weight.T), tf.Variable(bias)

        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
        def __call__(self, x):
            if also:
                also(x)
            return {"y": x @ self.weight + self.bias}

    module = Linear()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.__call__})
    return folder


def asked(folder: Path, **more: str) -> dict[str, Any]:
    raw = {"kind": "keras", "file": str(folder), "labels": list(CLASSES), "form": "logits", **more}
    return raw | {"inputs": {"x": {"read": "numbers", "column": ["x1", "x2"]}}}


def test_its_answers_are_its_own(tensorflow, teach_by, columns, rows, exact, tmp_path):
    raw = asked(saved(tensorflow, tmp_path / "saved"))
    found = open_external(teach_by(raw), columns).answer(Question(rows))["logits"]
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_torch_goes_on_after_it():
    """Triton, which torch loads when it needs it, ends the process where TensorFlow was there before it."""
    words = (
        "from suffuse.registry import optional; optional('tensorflow', 'tensorflow'); import torch._dynamo; print(1)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize("what", ["write_file", "print", "py_function", "checkpoint"])
def test_a_model_that_does_more_than_compute_is_refused_before_it_is_loaded(
    tensorflow, teach_by, columns, tmp_path, what, monkeypatch
):
    tf, file = tensorflow, tmp_path / "left-behind"

    def checkpoint(x):
        tf.raw_ops.SaveV2(prefix=str(file), tensor_names=["a"], shape_and_slices=[""], tensors=[x])

    does = {
        "write_file": lambda x: tf.io.write_file(str(file), tf.constant("x")),
        "print": lambda x: tf.print("x", output_stream=f"file://{file}"),
        "py_function": lambda x: tf.py_function(lambda: file.touch(), [], []),
        "checkpoint": checkpoint,
    }
    folder = saved(tf, tmp_path / "saved", does[what])
    monkeypatch.setattr(tf.saved_model, "load", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(UsageError, match="more than compute") as caught:
        open_external(teach_by(asked(folder)), columns)
    assert "table of probabilities" in caught.value.hint
    assert not list(tmp_path.glob("left-behind*"))


def test_a_model_that_calls_what_saves_its_weights_is_refused(tensorflow, teach_by, columns, tmp_path):
    """The operator is hidden in the one function that may have it, and called from the one that is asked."""
    from tensorflow.core.protobuf import saved_model_pb2

    folder = saved(tensorflow, tmp_path / "saved")
    file = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    library = model.meta_graphs[0].graph_def.library.function
    saver = next(one.signature.name for one in library if "traced_save" in one.signature.name)
    asks = next(one for one in library if "signature_wrapper" in one.signature.name)
    call = next(node for node in asks.node_def if node.op == "StatefulPartitionedCall")
    call.attr["f"].func.name = saver
    file.write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match="more than compute") as caught:
        open_external(teach_by(asked(folder)), columns)
    assert saver in caught.value.got


def test_what_isn_t_one_is_told(tensorflow, teach_by, columns, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no SavedModel"):
        open_external(teach_by(asked(tmp_path / "empty")), columns)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"nothing that a parser takes")
    with pytest.raises(UsageError, match="can't be opened"):
        open_external(teach_by(asked(tmp_path / "broken")), columns)
    folder = saved(tensorflow, tmp_path / "saved")
    with pytest.raises(UsageError, match="can't be opened"):
        open_external(teach_by(asked(folder, signature="other")), columns)
    with pytest.raises(UsageError, match="no such output"):
        open_external(teach_by(asked(folder, output="z")), columns)

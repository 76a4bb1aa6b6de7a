"""Where ONNX Runtime runs an export. No accelerator is here: what a build with one offers is a list that is given."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import onnxruntime as ort
import pytest
from typer.testing import CliRunner

from suffuse.cli import app
from suffuse.errors import SuffuseError, UsageError
from suffuse.predictor import Predictor
from suffuse.predictor import predictor as predictor_module
from suffuse.predictor.execution_device import ACCELERATORS, SerialSession, execution_device
from suffuse.predictor.output_chunks import OutputChunks
from suffuse.serving import server_process
from suffuse.stages.predict import Options, predict

CPU = "CPUExecutionProvider"
GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU]
PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
REAL_SESSION = ort.InferenceSession


class RecordingSession:
    """A session that runs on the processor, and reports the providers of a build that has all that it was asked for."""

    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, network: bytes, options: Any, providers: list[Any], **more: Any):
        self.made.append({"options": options, "providers": providers, **more})
        self.session = REAL_SESSION(network, options, providers=[CPU])
        self.names = [name if isinstance(name, str) else name[0] for name in providers]

    def get_providers(self) -> list[str]:
        return self.names

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


@pytest.fixture
def build(monkeypatch) -> Any:
    """Another build of ONNX Runtime: the providers that it lists, and the class of its sessions."""

    def use(providers: list[str], session: Any = RecordingSession) -> list[dict[str, Any]]:
        RecordingSession.made = []
        monkeypatch.setattr(ort, "get_available_providers", lambda: providers)
        monkeypatch.setattr(ort, "InferenceSession", session)
        return RecordingSession.made

    return use


def test_the_processor_is_the_default_and_its_bits_stay(export, records, root, build):
    expected = Predictor.load(export).predict(records, root)
    assert Predictor.load(export, device="cpu").predict(records, root) == expected
    assert Predictor.load(export, device="auto").predict(records, root) == expected  # no accelerator is here
    assert Predictor.load(export, device="auto").facts.device == "cpu"
    made = build(GPU_BUILD)
    assert Predictor.load(export).facts.device == "cpu"
    assert made[0]["providers"] == [CPU] and "enable_fallback" not in made[0]


@pytest.mark.parametrize(
    ("providers", "device", "name"),
    [
        (GPU_BUILD, "auto", "cuda:0"),
        (GPU_BUILD, "cuda", "cuda:0"),
        (GPU_BUILD, "cuda:1", "cuda:1"),
        (["CoreMLExecutionProvider", "AzureExecutionProvider", CPU], "auto", "coreml"),
        (["MIGraphXExecutionProvider", CPU], "auto", "migraphx:0"),
        (["DmlExecutionProvider", CPU], "directml:2", "directml:2"),
    ],
)
def test_a_device_is_its_provider_before_the_processor(export, records, build, providers, device, name):
    provider = PROVIDERS[name.partition(":")[0]]
    made = build(providers)
    predictor = Predictor.load(export, threads=3, device=device)
    assert predictor.describe()["device"] == name
    (chosen, options), processor = made[0]["providers"]
    assert chosen == provider and processor == (CPU, {})
    assert options.get("device_id", "") == name.partition(":")[2]
    assert made[0]["enable_fallback"] == 0 and made[0]["options"].intra_op_num_threads == 3
    assert made[0]["options"].enable_mem_pattern == (provider != "DmlExecutionProvider")
    assert options.get("use_tf32", "0") == "0" and ("use_tf32" in options) == name.startswith("cuda")
    text = {"text": records[0]["text"]}
    assert predictor.predict(text).label == Predictor.load(export).predict(text).label


def test_a_device_takes_a_whole_piece_at_once(export, records, root, build, monkeypatch):
    monkeypatch.setattr(predictor_module, "BATCH", 4)
    build(GPU_BUILD)
    sizes: dict[str, list[int]] = {"cpu": [], "cuda": []}
    for device, seen in sizes.items():
        predictor = Predictor.load(export, device=device)

        def run(outputs: Any, feeds: Any, run: Any = predictor.session.run, seen: list[int] = seen) -> Any:
            seen.append(len(feeds["present"]))
            return run(outputs, feeds)

        monkeypatch.setattr(predictor, "session", SimpleNamespace(run=run))
        predictor.predict(records[:10], root)
    assert sizes == {"cpu": [4, 4, 2], "cuda": [10]}


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "migraphx", "directml"])
def test_a_device_that_this_build_lacks_names_what_it_has_and_the_package(export, device):
    with pytest.raises(UsageError, match="can't use this device") as caught:
        Predictor.load(export, device=device)
    assert caught.value.got == device
    assert caught.value.expected.startswith("cpu (it has ") and CPU in caught.value.expected
    assert f"pip install {ACCELERATORS[device.partition(':')[0]].package}" in caught.value.hint


def test_what_another_build_offers_is_listed(build):
    build(GPU_BUILD)
    with pytest.raises(UsageError, match="can't use this device") as caught:
        execution_device("coreml")
    assert caught.value.expected.startswith("cpu or cuda (it has Tensorrt")
    assert "for macOS" in caught.value.hint


@pytest.mark.parametrize(
    "device", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "auto:1", "coreml:0", "CUDA", "mps"]
)
def test_what_is_no_device(device):
    with pytest.raises(UsageError, match="no such device") as caught:
        execution_device(device)
    assert "cuda[:N]" in caught.value.expected and "coreml or" not in caught.value.got


def test_a_session_that_fell_back_to_the_processor_is_an_error(export, build):
    """The real ONNX Runtime: it leaves a provider out that it can't open, and says so in a warning alone."""
    build(GPU_BUILD, REAL_SESSION)
    for device in ("cuda", "auto"):
        with pytest.raises(SuffuseError, match="can't run the network on this device") as caught:
            Predictor.load(export, device=device)
        assert caught.value.where == "cuda:0" and "CPUExecutionProvider alone" in caught.value.got
        assert "cpu" in caught.value.hint and "driver" in caught.value.hint


def test_a_device_that_can_t_be_opened_is_an_error(export, build):
    def no_session(network: bytes, options: Any, providers: list[Any], **more: Any) -> Any:
        raise RuntimeError("CUDA failure 101: invalid device ordinal\n  at cuda_call.cc")

    build(GPU_BUILD, no_session)
    with pytest.raises(SuffuseError, match="invalid device ordinal") as caught:
        Predictor.load(export, device="cuda:7")
    assert caught.value.where == "cuda:7" and "cuda_call" not in caught.value.line()


def test_a_session_of_directml_runs_for_one_thread_at_a_time(export, build):
    build(["DmlExecutionProvider", CPU])
    session = Predictor.load(export, device="directml").session
    assert isinstance(session, SerialSession) and session.get_providers()[0] == "DmlExecutionProvider"
    running, most = [0], [0]

    def run(outputs: Any, feeds: Any) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.005)
        running[0] -= 1

    session.session = SimpleNamespace(run=run)
    threads = [threading.Thread(target=session.run, args=([], {})) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_the_summary_names_the_device(export, prepared_run, build, tmp_path):
    source, out = prepared_run.recipe.data.source, tmp_path / "answers.csv"
    summary = predict(export, source, out)
    assert summary.device == "cpu" and json.loads(json.dumps(summary.to_json()))["device"] == "cpu"
    content = out.read_bytes()
    build(GPU_BUILD)
    on_device = predict(export, source, tmp_path / "others.csv", Options(device="auto"))
    assert on_device.device == "cuda:0" and on_device.rows == summary.rows
    assert predict(export, source, out, Options(device="cpu")).device == "cpu"
    assert out.read_bytes() == content


def test_what_was_begun_on_another_device_is_started_again(export, prepared_run, build, tmp_path, monkeypatch, capsys):
    source, out = prepared_run.recipe.data.source, tmp_path / "answers.parquet"

    def stop(self: Any, file: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(OutputChunks, "_parquet", stop)
        predict(export, source, out)
    build(GPU_BUILD)
    assert predict(export, source, out, Options(device="cuda")).resumed == 0
    assert "was begun with another options: it is started again" in capsys.readouterr().err


def test_the_commands_take_a_device(export, prepared_run, build, tmp_path, monkeypatch):
    def listen(host: str, port: int) -> None:
        raise ConnectionError("it is about to listen")

    monkeypatch.setattr(server_process, "listen", listen)
    commands = {
        "predict": ["predict", str(export), str(prepared_run.recipe.data.source), "-o", str(tmp_path / "out.csv")],
        "serve": ["serve", str(export)],
    }
    for arguments in commands.values():
        refused = CliRunner().invoke(app, [*arguments, "--device", "cuda"]).exception
        assert isinstance(refused, UsageError) and refused.exit_code == 2 and "onnxruntime-gpu" in refused.hint
    assert not (tmp_path / "out.csv").exists()
    build(GPU_BUILD)
    summary = CliRunner().invoke(app, [*commands["predict"], "--device", "cuda:1", "--json"])
    assert summary.exit_code == 0 and json.loads(summary.stdout)["device"] == "cuda:1"
    assert "out.csv, on cuda:1" in summary.stderr
    served = CliRunner().invoke(app, [*commands["serve"], "--device", "auto"])
    assert isinstance(served.exception, ConnectionError) and f"{export.name}: on cuda:0" in served.stderr
